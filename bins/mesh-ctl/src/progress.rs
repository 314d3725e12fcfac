//! Shows on standard error that something is under way, when it takes longer than a second.

use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::timeout;

/// What takes less needs no sign.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

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

/// Shows how far a download has come, when it takes longer than a second. Its end clears the line.
pub(crate) struct DownloadBar(ProgressBar);

impl DownloadBar {
    pub(crate) fn new(bytes_total: Option<u64>) -> Self {
        let (bar, template) = match bytes_total {
            Some(bytes) => {
                (ProgressBar::new(bytes), "{wide_bar} {binary_bytes} of {binary_total_bytes} {eta}")
            }
            None => (ProgressBar::no_length(), "{spinner} {binary_bytes} {elapsed}"),
        };
        bar.set_draw_target(ProgressDrawTarget::hidden());
        // The template is one of two above; without it the bar has its ordinary look.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn advance_to(&mut self, bytes: u64) {
        if self.0.is_hidden() && self.0.elapsed() >= PATIENCE {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.0.set_position(bytes);
    }
}

impl Drop for DownloadBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
