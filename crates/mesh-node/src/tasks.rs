//! The one place that starts tasks, so that stopping can wait for every one of them.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks and stops them together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// Apart, because they need the database to the end.
    handlers: TaskTracker,
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

    /// Starts a task for a handler of the application, so that a panic in it ends that task alone. It
    /// sees to it by itself that it ends soon after the stop.
    pub(crate) fn spawn_handler(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.handlers.spawn(future)
    }

    /// Waits until every handler has ended.
    pub(crate) async fn wait_for_handlers(&self) {
        let _was_open = self.handlers.close();
        self.handlers.wait().await;
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
