use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::BoxFuture;
use mesh_protocol::OriginId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::desk::{Closing, Desk};
use crate::readers::Reading;
use crate::recent::Recent;
use crate::renew::after_restore;
use crate::state::{Have, State};
use crate::{Rules, TablesConfig, TablesError, TablesOpenError, open, room};

/// Most operations that wait for the writer; further callers wait to get in.
const OPS_WAITING_MAX: usize = 256;

/// One piece of work of the writer.
type Op = Box<dyn for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, ()> + Send>;

struct Inner {
    path: PathBuf,
    config: TablesConfig,
    ops: mpsc::Sender<Op>,
    closing: watch::Sender<bool>,
    have: watch::Receiver<Arc<Have>>,
    reading: Reading,
    recent: Recent,
}

/// A handle on the replicated tables; cheap to clone.
///
/// A future that is dropped does not take its write back: it may happen or not.
#[derive(Clone)]
pub struct Tables {
    inner: Arc<Inner>,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Tables {
    /// Opens the database at `path`, creating it when it does not exist; its folder must exist. One that
    /// has no origin, because it is new or was restored, takes `fresh`, which is drawn at random.
    ///
    /// The writing task runs on `tracker` and ends after [`Tables::close`], or when the last handle is
    /// dropped.
    ///
    /// # Errors
    /// [`TablesOpenError`] says what is wrong with the file.
    pub async fn open(
        path: &Path,
        config: TablesConfig,
        rules: Arc<dyn Rules>,
        fresh: OriginId,
        tracker: &TaskTracker,
    ) -> Result<Self, TablesOpenError> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut conn = open::open(path, &config, &stop).await?;
        let (closing, when_closed) = watch::channel(false);
        let state = State::load(&mut conn, fresh).await.map_err(TablesOpenError::Content)?;
        let mut desk =
            Desk::new(path, conn, state, config.clone(), rules, stop, when_closed.clone());
        after_restore(&mut desk, fresh).await.map_err(TablesOpenError::Content)?;
        let (published, have) = watch::channel(Arc::new(desk.state.have()));
        let (ops, waiting) = mpsc::channel(OPS_WAITING_MAX);
        let recent = desk.recent.clone();
        tracker.spawn(run(desk, waiting, published, when_closed));
        let options = open::reader_options(path);
        let reading = Reading::new(options, &config, tracker.clone(), have.clone());
        let inner = Inner { path: path.to_owned(), config, ops, closing, have, reading, recent };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes nothing more in. The writing task ends when it has done what it took in before; statements of
    /// users that go on for longer than a moment are stopped.
    pub fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    /// What this database has, told anew after every commit that changed it.
    #[must_use]
    pub fn have(&self) -> watch::Receiver<Arc<Have>> {
        self.inner.have.clone()
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Its bounds.
    #[must_use]
    pub fn config(&self) -> &TablesConfig {
        &self.inner.config
    }

    /// The newest entries of the log.
    pub(crate) fn recent(&self) -> &Recent {
        &self.inner.recent
    }

    /// What it takes to read.
    pub(crate) fn reading(&self) -> &Reading {
        &self.inner.reading
    }

    /// Runs `work` on the writing connection, in a transaction of its own, after everything before it.
    pub(crate) async fn transact<T, F>(&self, work: F) -> Result<T, TablesError>
    where
        T: Send + 'static,
        F: for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, Result<T, TablesError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let op: Op = Box::new(move |desk| {
            Box::pin(async move {
                let result = desk.transaction(work).await;
                // A caller that went away has no use for the answer.
                drop(reply.send(result));
            })
        });
        self.inner.ops.send(op).await.map_err(|_| TablesError::Closed)?;
        match answer.await.unwrap_or(Err(TablesError::Closed)) {
            Ok(value) => Ok(value),
            Err(error) => Err(room::explain(self.path(), error).await),
        }
    }

    /// Runs `work` on the writing connection without a transaction: it reads.
    pub(crate) async fn peek<T, F>(&self, work: F) -> Result<T, TablesError>
    where
        T: Send + 'static,
        F: for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, Result<T, TablesError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let op: Op = Box::new(move |desk| {
            Box::pin(async move {
                // A caller that went away has no use for the answer.
                drop(reply.send(work(desk).await));
            })
        });
        self.inner.ops.send(op).await.map_err(|_| TablesError::Closed)?;
        match answer.await.unwrap_or(Err(TablesError::Closed)) {
            Ok(value) => Ok(value),
            Err(error) => Err(room::explain(self.path(), error).await),
        }
    }
}

/// Waits until the database is to be closed, or nobody is left who could.
pub(crate) async fn closed(closing: &mut Closing) {
    // An error says that every handle is gone.
    let _closed = closing.wait_for(|is_closing| *is_closing).await;
}

async fn run(
    mut desk: Desk,
    mut ops: mpsc::Receiver<Op>,
    published: watch::Sender<Arc<Have>>,
    mut closing: Closing,
) {
    loop {
        let op = tokio::select! {
            op = ops.recv() => op,
            () = closed(&mut closing), if !ops.is_closed() => {
                ops.close();
                continue;
            }
        };
        let Some(op) = op else { break };
        desk.mend().await;
        op(&mut desk).await;
        let have = desk.state.have();
        published.send_if_modified(|before| {
            let is_new = **before != have;
            if is_new {
                *before = Arc::new(have);
            }
            is_new
        });
    }
    // Queries end with this, and the database is tidied up when nobody reads any more.
    drop(published);
    if let Err(error) = desk.close().await {
        tracing::error!(%error, "the replicated tables did not close cleanly");
    }
}
