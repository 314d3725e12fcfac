use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::open::{self, Opened};
use crate::readers::Readers;
use crate::writer::{Desk, Gauges, HotOp, Lazies, OPS_WAITING_MAX, Op, Reply, State, Writer};
use crate::{OpenError, StoreConfig, StoreError};

/// What the database holds at this moment. Changes with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the application has not acknowledged.
    pub inbox_unacked: u64,
    /// Bytes of their bodies.
    pub inbox_bytes: u64,
    /// Ids of acknowledged messages that are still remembered.
    pub inbox_seen: u64,
    /// Messages that wait for their receivers' acknowledgement, once per receiver.
    pub outbox: u64,
}

struct Inner {
    path: PathBuf,
    outbox_stream: u64,
    ops: mpsc::Sender<Op>,
    lazies: Arc<Lazies>,
    gauges: Arc<Gauges>,
    readers: Arc<Readers>,
}

/// A handle on the database; cheap to clone.
///
/// A future that is dropped does not take its write back: it may happen or not.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database at `path`, creating it when it does not exist; its folder must exist.
    ///
    /// The file gets mode 0600, is checked for damage and brought to the newest schema. The writing task
    /// runs on `tracker` and ends with [`Store::close`], or when the last handle is dropped.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file. It is left as it was, apart from its mode and from
    /// migrations that succeeded.
    pub async fn open(
        path: &Path,
        config: StoreConfig,
        tracker: &TaskTracker,
    ) -> Result<Self, OpenError> {
        let Opened { mut conn, lock } = open::open(path, &config).await?;
        let state = State::load(&mut conn, &config).await.map_err(OpenError::Content)?;
        let readers = Arc::new(Readers::new(open::reader_options(path), config.readers, tracker));
        let (ops, waiting) = mpsc::channel(OPS_WAITING_MAX);
        let lazies = Arc::new(Lazies::default());
        let gauges = Arc::new(Gauges::default());
        let inner = Inner {
            path: path.to_owned(),
            outbox_stream: state.outbox_stream(),
            ops,
            lazies: Arc::clone(&lazies),
            gauges: Arc::clone(&gauges),
            readers: Arc::clone(&readers),
        };
        let desk = Desk::new(conn, state, config);
        let writer = Writer::new(desk, lock, waiting, lazies, gauges, readers);
        tracker.spawn(writer.run());
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Writes what waits, empties the WAL into the database and closes it. Other handles get
    /// [`StoreError::Closed`] from then on; closing twice is harmless.
    ///
    /// # Errors
    /// [`StoreError`] when what waited could not be written; the database is closed all the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.inner.ops.send(Op::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// Writes what the methods that do not wait have left in memory.
    ///
    /// # Errors
    /// [`StoreError`] when the commit failed; it is tried again later.
    pub async fn flush(&self) -> Result<(), StoreError> {
        if self.inner.ops.is_closed() {
            return Err(StoreError::Closed);
        }
        if self.inner.lazies.are_settled() {
            return Ok(());
        }
        self.submit(Op::Flush).await
    }

    /// What the database holds.
    ///
    /// # Errors
    /// [`StoreError::Closed`] after [`Store::close`].
    pub fn counts(&self) -> impl Future<Output = Result<Counts, StoreError>> + Send + use<> {
        let is_closed = self.inner.ops.is_closed();
        let counts = self.inner.gauges.counts();
        std::future::ready(if is_closed { Err(StoreError::Closed) } else { Ok(counts) })
    }

    /// Names this outbox database to receivers, who start anew when it changes. Never 0.
    #[must_use]
    pub fn outbox_stream(&self) -> u64 {
        self.inner.outbox_stream
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    pub(crate) fn lazies(&self) -> &Lazies {
        &self.inner.lazies
    }

    pub(crate) fn gauges(&self) -> &Gauges {
        &self.inner.gauges
    }

    /// Hands an operation to the writer and waits for its commit.
    pub(crate) async fn submit<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.inner.ops.send(op(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(crate) async fn submit_hot<T>(
        &self,
        op: impl FnOnce(Reply<T>) -> HotOp,
    ) -> Result<T, StoreError> {
        self.submit(|reply| Op::Hot(op(reply))).await
    }

    /// Runs `work` in a transaction of its own.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, Result<T, StoreError>> + Send + 'static,
    {
        self.submit(|reply| {
            Op::Alone(Box::new(move |desk| {
                Box::pin(async move {
                    let result = desk.transaction(work).await;
                    // A caller that went away has no use for the answer.
                    drop(reply.send(result));
                })
            }))
        })
        .await
    }

    /// Lends a reading connection to `work`.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>,
    {
        self.inner.readers.read(work).await
    }
}
