//! Runs everything that one connection needs inside one task.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::task::AtomicWaker;

#[cfg(test)]
mod tests;

/// Says whether the connection ends with this future.
type Job = Pin<Box<dyn Future<Output = bool> + Send>>;

struct Intake {
    /// None once the driver is gone: a job holds the spawner, so one that waited here for nobody
    /// would keep itself alive.
    jobs: Mutex<Option<Vec<Job>>>,
    waker: AtomicWaker,
}

impl Intake {
    fn jobs(&self) -> MutexGuard<'_, Option<Vec<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands the futures that hyper starts to the [`Driver`] of the same connection.
#[derive(Clone)]
pub(crate) struct Spawner {
    intake: Arc<Intake>,
}

impl Spawner {
    pub(crate) fn new() -> Self {
        let jobs = Mutex::new(Some(Vec::new()));
        Self { intake: Arc::new(Intake { jobs, waker: AtomicWaker::new() }) }
    }
}

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        if let Some(jobs) = &mut *self.intake.jobs() {
            jobs.push(Box::pin(async move {
                future.await;
                false
            }));
        }
        self.intake.waker.wake();
    }
}

/// The connection and all its streams as one future.
///
/// A frame passes through a stream and the connection; with both in one task that is one wake-up,
/// and dropping the driver ends all of them at once.
pub(crate) struct Driver {
    intake: Arc<Intake>,
    jobs: FuturesUnordered<Job>,
}

impl Driver {
    /// Drives `connection` and what `spawner` is given, until `connection` is over.
    pub(crate) fn new<F>(spawner: &Spawner, connection: F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let jobs = FuturesUnordered::new();
        let connection: Job = Box::pin(async move {
            connection.await;
            true
        });
        jobs.push(connection);
        Self { intake: Arc::clone(&spawner.intake), jobs }
    }

    fn take_new_jobs(&mut self) -> bool {
        let new = self.intake.jobs().as_mut().map(std::mem::take).unwrap_or_default();
        let has_new = !new.is_empty();
        self.jobs.extend(new);
        has_new
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let unstarted = self.intake.jobs().take();
        // Outside the lock: dropping a job may start another.
        drop(unstarted);
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.intake.waker.register(cx.waker());
        self.take_new_jobs();
        loop {
            match self.jobs.poll_next_unpin(cx) {
                Poll::Ready(Some(true) | None) => return Poll::Ready(()),
                Poll::Ready(Some(false)) => {}
                // A job that was polled just now may have started others.
                Poll::Pending => {
                    if !self.take_new_jobs() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}
