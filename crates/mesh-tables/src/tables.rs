use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mesh_protocol::{Dot, OriginId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::desk::{Closing, Desk};
use crate::durable::{Disk, Durability};
use crate::outlet::Outlet;
use crate::readers::{Readers, Reading};
use crate::recent::Recent;
use crate::renew::after_restore;
use crate::state::{Have, State};
use crate::{Rules, TablesConfig, TablesError, TablesOpenError, open, room};

/// Most operations that wait for the writer; further callers wait to get in.
const OPS_WAITING_MAX: usize = 256;

/// Without work for so long, the connections give back their memory.
const REST_AFTER: Duration = Duration::from_secs(2);

/// One piece of work of the writer.
type Op = Box<dyn for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, ()> + Send>;

struct Inner {
    path: PathBuf,
    config: TablesConfig,
    ops: mpsc::Sender<Op>,
    closing: watch::Sender<bool>,
    have: watch::Receiver<Arc<Have>>,
    committed: watch::Receiver<Arc<Have>>,
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
        Self::open_on(None, path, config, rules, fresh, tracker).await
    }

    /// Opens it on another disk than the one where its file lies.
    pub(crate) async fn open_on(
        disk: Option<Arc<dyn Disk>>,
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
        if let Some(disk) = disk {
            desk.disk = disk;
        }
        after_restore(&mut desk, fresh).await.map_err(TablesOpenError::Content)?;
        // What was committed before the last end of this program need not be on the disk.
        desk.secure().await.map_err(TablesOpenError::Content)?;
        let (ops, waiting) = mpsc::channel(OPS_WAITING_MAX);
        let recent = desk.recent.clone();
        let options = open::reader_options(path);
        let (outlet, have, committed) = Outlet::new(&desk);
        let reading = Reading::new(options, &config, tracker.clone(), have.clone());
        let outlet = outlet.hurried_by(&reading.followers);
        let readers = [&reading.queries, &reading.own].map(Arc::clone);
        tracker.spawn(run(desk, waiting, outlet, readers, when_closed));
        let path = path.to_owned();
        let inner = Inner { path, config, ops, closing, have, committed, reading, recent };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes nothing more in. The writing task ends when it has done what it took in before; statements of
    /// users that go on for longer than a moment are stopped.
    pub fn close(&self) {
        self.inner.closing.send_replace(true);
    }

    /// What this database has, told anew whenever more of it is on the disk. What was committed is seen by
    /// readers at once, and a moment later here: a power cut takes back nothing that others were told of.
    #[must_use]
    pub fn have(&self) -> watch::Receiver<Arc<Have>> {
        self.inner.have.clone()
    }

    /// What this database has with what is not on the disk yet. Not to be told to others.
    #[must_use]
    pub fn committed(&self) -> Arc<Have> {
        Arc::clone(&self.inner.committed.borrow())
    }

    /// Waits until everything that was committed is on the disk, and so in [`Tables::have`].
    ///
    /// # Errors
    /// [`TablesError`] when the disk fails.
    pub async fn settle(&self) -> Result<(), TablesError> {
        let committed = self.at_desk(|desk| {
            Box::pin(async {
                desk.secure().await?;
                Ok(desk.state.have())
            })
        });
        let committed = committed.await?;
        // It is told right after the answer. An error says that the database is being closed.
        let is_told = |have: &Arc<Have>| {
            have.log_head >= committed.log_head
                && committed
                    .origins
                    .iter()
                    .all(|origin| have.has(&Dot { origin: origin.origin, sequence: origin.upto }))
        };
        let told = self.have().wait_for(is_told).await.map(drop);
        told.map_err(|_| TablesError::Closed)
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

    /// Runs `work` on the writing connection, in a transaction of its own, after everything before it. It is
    /// on the disk then.
    pub(crate) async fn transact<T, F>(&self, work: F) -> Result<T, TablesError>
    where
        T: Send + 'static,
        F: for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, Result<T, TablesError>> + Send + 'static,
    {
        self.transact_until(Durability::AtOnce, work).await
    }

    /// Like [`Tables::transact`], on the disk when `durability` says.
    pub(crate) async fn transact_until<T, F>(
        &self,
        durability: Durability,
        work: F,
    ) -> Result<T, TablesError>
    where
        T: Send + 'static,
        F: for<'d> FnOnce(&'d mut Desk) -> BoxFuture<'d, Result<T, TablesError>> + Send + 'static,
    {
        self.at_desk(move |desk| Box::pin(desk.transaction(durability, work))).await
    }

    /// Runs `work` on the writing connection, after everything before it; without a transaction if `work` makes
    /// none.
    pub(crate) async fn at_desk<T, F>(&self, work: F) -> Result<T, TablesError>
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
    mut outlet: Outlet,
    readers: [Arc<Readers>; 2],
    mut closing: Closing,
) {
    let mut is_resting = true;
    loop {
        let op = tokio::select! {
            op = ops.recv() => op,
            moment = outlet.next() => {
                outlet.take(moment, &mut desk).await;
                continue;
            }
            () = sleep(REST_AFTER), if !is_resting => {
                is_resting = true;
                desk.rest().await;
                readers.iter().for_each(|readers| readers.rest());
                continue;
            }
            () = closed(&mut closing), if !ops.is_closed() => {
                ops.close();
                continue;
            }
        };
        let Some(op) = op else { break };
        desk.mend().await;
        op(&mut desk).await;
        is_resting = false;
        outlet.tell(&desk);
    }
    // Queries end with this, and the database is tidied up when nobody reads any more.
    drop(outlet);
    if let Err(error) = desk.close().await {
        tracing::error!(%error, "the replicated tables did not close cleanly");
    }
}
