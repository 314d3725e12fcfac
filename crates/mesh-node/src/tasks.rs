//! The one place that starts tasks, so that stopping can wait for every one of them.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks and stops them together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Starts `future`; it is dropped where it waits when the node stops.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        let _detached = self.tracker.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = future => {}
            }
        });
    }

    /// Starts `future` in a task of its own, which nothing ends early: neither a caller that gives up nor
    /// the stop, which waits for it.
    pub(crate) fn isolate<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tracker.spawn(future)
    }

    /// Starts the application's `future` in a task of its own. When the node stops it is dropped where
    /// it waits, and there is no result.
    pub(crate) fn isolate_handler<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move { shutdown.run_until_cancelled_owned(future).await })
    }

    /// For adapters that start tasks of their own.
    pub(crate) const fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Fires when the node stops.
    pub(crate) const fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Tells every task to stop.
    pub(crate) fn cancel(&self) {
        self.shutdown.cancel();
    }

    /// Waits until every task has ended.
    pub(crate) async fn wait(&self) {
        let _was_open = self.tracker.close();
        self.tracker.wait().await;
    }
}
