//! Waiting for what another process does.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long anything may take before the demo is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked at.
const PACE: Duration = Duration::from_millis(10);

/// Looks again and again until `attempt` finds something.
///
/// # Errors
/// What `attempt` failed with, or that it found nothing in time.
pub(super) async fn eventually<T>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            pace.tick().await;
            if let Some(found) = attempt().await? {
                return Ok(found);
            }
        }
    };
    match timeout(PATIENCE, looking).await {
        Ok(found) => found,
        Err(_) => bail!("within {} s it did not come true that {what}", PATIENCE.as_secs()),
    }
}
