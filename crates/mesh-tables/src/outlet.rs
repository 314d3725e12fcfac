//! Tells what this database has, when it is on the disk.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Sleep, sleep};

use crate::desk::Desk;
use crate::state::Have;

/// The shortest time between two waits for the disk, which others may need for what cannot wait.
const PAUSE: Duration = Duration::from_millis(10);

/// The same while somebody follows the changes, which are told when they are on the disk.
const PAUSE_FOLLOWED: Duration = Duration::from_millis(1);

/// How long to wait before a disk is tried again that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who waits for changes.
#[derive(Debug, Default)]
pub(crate) struct Followers(Arc<()>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Follower(#[expect(dead_code, reason = "counted")] Arc<()>);

impl Followers {
    pub(crate) fn add(&self) -> Follower {
        Follower(Arc::clone(&self.0))
    }

    fn are_there(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

pub(crate) struct Outlet {
    /// What is on the disk.
    published: watch::Sender<Arc<Have>>,
    /// What is committed.
    committed: watch::Sender<Arc<Have>>,
    followers: Arc<Followers>,
    /// What was committed and is not known to be on the disk.
    waiting: Option<Arc<Have>>,
    /// A wait for the disk, and what will be on it.
    flush: Option<Flush>,
    /// Until it is over, no other wait begins.
    pause: Option<Pin<Box<Sleep>>>,
}

struct Flush {
    task: JoinHandle<io::Result<()>>,
    /// How many commits had not waited for the disk when it began.
    commits: u64,
    have: Arc<Have>,
}

/// Something happened to what waits.
pub(crate) enum Moment {
    /// A wait may begin.
    Due,
    /// A wait has ended.
    Over(io::Result<()>),
}

impl Outlet {
    pub(crate) fn new(
        desk: &Desk,
    ) -> (Self, watch::Receiver<Arc<Have>>, watch::Receiver<Arc<Have>>) {
        let now = Arc::new(desk.state.have());
        let (published, have) = watch::channel(Arc::clone(&now));
        let (committed, known) = watch::channel(now);
        let outlet = Self {
            published,
            committed,
            followers: Arc::default(),
            waiting: None,
            flush: None,
            pause: None,
        };
        (outlet, have, known)
    }

    /// Hurries while there are followers.
    pub(crate) fn hurried_by(self, followers: &Arc<Followers>) -> Self {
        Self { followers: Arc::clone(followers), ..self }
    }

    /// Takes note of what was done on the desk.
    pub(crate) fn tell(&mut self, desk: &Desk) {
        let have = desk.state.have();
        if **self.committed.borrow() != have {
            self.committed.send_replace(Arc::new(have));
        }
        if desk.is_on_disk {
            self.publish_committed();
        } else if *self.published.borrow() != *self.committed.borrow() {
            self.waiting = Some(Arc::clone(&self.committed.borrow()));
        }
    }

    /// Everything is on the disk. What a wait that is under way will say is old then.
    fn publish_committed(&mut self) {
        self.waiting = None;
        if let Some(flush) = &mut self.flush {
            flush.have = Arc::clone(&self.committed.borrow());
        }
        let have = Arc::clone(&self.committed.borrow());
        self.publish(have);
    }

    fn publish(&self, have: Arc<Have>) {
        self.published.send_if_modified(|before| {
            let is_new = **before != *have;
            *before = have;
            is_new
        });
    }

    /// Waits until there is something to do. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Moment {
        if let Some(flush) = &mut self.flush {
            let ended = (&mut flush.task).await;
            return Moment::Over(ended.unwrap_or_else(|error| Err(io::Error::other(error))));
        }
        if self.waiting.is_none() {
            return std::future::pending().await;
        }
        if let Some(pause) = &mut self.pause {
            pause.await;
        }
        Moment::Due
    }

    pub(crate) async fn take(&mut self, moment: Moment, desk: &mut Desk) {
        match moment {
            Moment::Due => self.begin(desk).await,
            Moment::Over(ended) => self.end(ended, desk),
        }
    }

    async fn begin(&mut self, desk: &mut Desk) {
        self.pause = None;
        let Some(have) = self.waiting.take() else { return };
        if !desk.is_unsure {
            let disk = Arc::clone(&desk.disk);
            let task = spawn_blocking(move || disk.sync());
            self.flush = Some(Flush { task, commits: desk.commits_later, have });
            return;
        }
        match desk.secure().await {
            Ok(()) => self.publish_committed(),
            Err(error) => {
                tracing::debug!(%error, "it is still not known what is on the disk");
                self.try_again(have);
            }
        }
    }

    fn end(&mut self, ended: io::Result<()>, desk: &mut Desk) {
        let Some(Flush { commits, have, .. }) = self.flush.take() else { return };
        match ended {
            Ok(()) => {
                let pause = if self.followers.are_there() { PAUSE_FOLLOWED } else { PAUSE };
                self.pause = Some(Box::pin(sleep(pause)));
                desk.is_on_disk |= commits == desk.commits_later;
                self.publish(have);
            }
            Err(error) => {
                tracing::error!(%error, "the disk failed with what members sent; they are not told that it is here");
                desk.is_unsure = true;
                self.try_again(have);
            }
        }
    }

    fn try_again(&mut self, have: Arc<Have>) {
        self.waiting.get_or_insert(have);
        self.pause = Some(Box::pin(sleep(RETRY_AFTER)));
    }
}
