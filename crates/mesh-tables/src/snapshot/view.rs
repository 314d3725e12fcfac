//! One view of the state, from which a member reads piece by piece.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use mesh_protocol::{SnapshotChunk, SnapshotRequest};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::piece::Source;
use crate::sql::execute;
use crate::{Tables, TablesError, Thing, open, seal};

/// How often a view is tried for between writes of other programs.
const ATTEMPTS: usize = 32;

/// A question and where its answer goes.
type Question = (SnapshotRequest, oneshot::Sender<Result<SnapshotChunk, TablesError>>);

/// A view of the state as it was at one moment. It ends when it is dropped, and by itself after
/// [`snapshot_view_max`](crate::TablesConfig::snapshot_view_max), for a view keeps the WAL from being emptied.
pub struct View {
    session: u64,
    questions: mpsc::Sender<Question>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("session", &self.session).finish_non_exhaustive()
    }
}

impl View {
    /// Its number, as it was handed in.
    #[must_use]
    pub const fn session(&self) -> u64 {
        self.session
    }

    /// Whether it has ended. Who reads from it goes on in a new one.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.questions.is_closed()
    }

    /// The piece that begins where `request` says. A request that names another session is answered too:
    /// its answer begins with what the first piece of a session carries.
    ///
    /// # Errors
    /// [`TablesError::Unknown`] when the view has ended; [`TablesError`] when it cannot be read.
    pub async fn chunk(&self, request: &SnapshotRequest) -> Result<SnapshotChunk, TablesError> {
        let ended =
            || TablesError::Unknown { what: Thing::Position, name: self.session.to_string() };
        let (reply, answer) = oneshot::channel();
        let question = (request.clone(), reply);
        self.questions.send(question).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl Tables {
    /// Opens a view of the state. `session` is its number among all views that members read; not 0.
    ///
    /// # Errors
    /// [`TablesError::Refused`] while this database takes in a snapshot itself, or has not caught up with the
    /// one that it took: its rows are ahead of what it has as a whole then. [`TablesError`] otherwise.
    pub async fn open_view(&self, session: u64) -> Result<View, TablesError> {
        let mut conn = open::reader_options(self.path()).connect().await?;
        for _ in 0..ATTEMPTS {
            let pinned = self.transact(move |desk| {
                Box::pin(async move {
                    if desk.state.covered.len() > 0 {
                        let reason = "this member takes over the tables itself".to_owned();
                        return Err(TablesError::Refused { reason });
                    }
                    let at = seal::status(desk).await?.clock.time();
                    if seal::seal_if_dirty(desk, at).await?.is_some() {
                        return Ok((conn, None));
                    }
                    // Whoever takes this over says that it has it.
                    desk.secure().await?;
                    // Nobody writes here, nothing is unsealed, nothing of this transaction is written: what
                    // the new view sees is what the state in memory says.
                    pin_view(&mut conn).await?;
                    Ok((conn, Some(desk.state.clone())))
                })
            });
            let (reader, state) = pinned.await?;
            conn = reader;
            if let Some(state) = state {
                let (questions, asked) = mpsc::channel(1);
                let source = Source::open(conn, state, session).await?;
                let whole_life = self.config().snapshot_view_max;
                self.reading().tracker.spawn(serve(source, asked, whole_life));
                return Ok(View { session, questions });
            }
        }
        let reason = "other programs write without a pause".to_owned();
        Err(TablesError::Refused { reason })
    }
}

async fn pin_view(conn: &mut SqliteConnection) -> Result<(), TablesError> {
    execute(conn, "BEGIN", []).await?;
    execute(conn, "SELECT 1 FROM mesh_state", []).await.map(drop)
}

async fn serve(mut source: Source, mut asked: mpsc::Receiver<Question>, whole_life: Duration) {
    let mut over = pin!(tokio::time::sleep(whole_life));
    loop {
        let question = tokio::select! {
            () = &mut over => None,
            question = asked.recv() => question,
        };
        let Some((request, reply)) = question else { break };
        let chunk = tokio::select! {
            () = &mut over => break,
            chunk = source.chunk(&request) => chunk,
        };
        // A caller that went away has no use for the answer.
        drop(reply.send(chunk));
    }
    drop(asked);
    if let Err(error) = source.into_conn().close().await {
        tracing::debug!(%error, "a view did not close cleanly");
    }
}
