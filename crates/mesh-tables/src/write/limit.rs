//! How long the statements of a user may run. There is one writer, for which everything else that writes
//! waits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::TablesError;
use crate::desk::{Closing, Desk};
use crate::tables::closed;

/// How long statements may go on, all together, when the database is being closed.
const CLOSING_TIME_MAX: Duration = Duration::from_secs(1);

/// What ends statements that run.
pub(super) struct Limit {
    time_max: Duration,
    closing: Closing,
    is_over: CancellationToken,
    stop: Arc<AtomicBool>,
}

impl Limit {
    pub(super) fn of(desk: &Desk) -> Self {
        Self {
            time_max: desk.config.write_time_max,
            closing: desk.closing.clone(),
            is_over: desk.is_over.clone(),
            stop: Arc::clone(&desk.stop),
        }
    }

    /// Runs `work`, and ends it when its time is over. Its end is always waited for: the connection must be
    /// free before what it did is rolled back.
    pub(super) async fn hold<T>(
        mut self,
        work: impl Future<Output = Result<T, TablesError>>,
    ) -> Result<T, TablesError> {
        let closing = &mut self.closing;
        let is_over = &self.is_over;
        let closed = async {
            closed(closing).await;
            let _elapsed = timeout(CLOSING_TIME_MAX, is_over.cancelled()).await;
            is_over.cancel();
        };
        let mut work = pin!(work);
        let error = tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(self.time_max) => {
                TablesError::TookTooLong { is_write: true, seconds: self.time_max.as_secs() }
            }
            () = closed => TablesError::Closed,
        };
        self.stop.store(true, Ordering::Relaxed);
        let done = work.await;
        self.stop.store(false, Ordering::Relaxed);
        done.map_err(|_| error)
    }

    /// Fails when the time is over: SQLite looks only during statements that take long.
    pub(super) fn check(desk: &Desk) -> Result<(), TablesError> {
        if desk.stop.load(Ordering::Relaxed) { Err(TablesError::Closed) } else { Ok(()) }
    }
}
