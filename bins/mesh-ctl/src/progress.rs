//! Shows on standard error that something is under way, when it takes longer than a second.

use std::pin::pin;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::timeout;

/// What takes less needs no sign.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for `work`. The sign appears only where standard error is a terminal.
pub(crate) async fn patiently<T>(doing: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(PATIENCE, work.as_mut()).await {
        return done;
    }
    let spinner = Spinner(ProgressBar::new_spinner().with_message(doing));
    spinner.0.enable_steady_tick(Duration::from_millis(100));
    work.await
}

/// Leaves the line as it was, also when the work is given up.
struct Spinner(ProgressBar);

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
