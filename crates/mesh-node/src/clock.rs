//! The one place that reads the clock and draws randomness.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mesh_delivery::Now;
use mesh_protocol::{MessageId, UnixMillis};
use rand::Rng as _;

/// Both clocks at one moment.
#[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
pub(crate) fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    Now { instant: Instant::now(), wall: UnixMillis(millis) }
}

/// Time since the machine started, its sleep included.
pub(crate) fn since_boot() -> std::time::Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    // Elsewhere this one goes on in sleep, and `Instant` is another one that does not.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    std::time::Duration::try_from(rustix::time::clock_gettime(clock)).unwrap_or_default()
}

/// The operating system's generator, through a user-space one that it seeds.
#[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
pub(crate) fn rng() -> rand::rngs::ThreadRng {
    rand::rng()
}

/// A fresh message id.
pub(crate) fn message_id() -> MessageId {
    let mut random = [0; 10];
    rng().fill_bytes(&mut random);
    MessageId::from_parts(now().wall, &random)
}

/// A fresh random number, for nonces and seeds.
pub(crate) fn random_u64() -> u64 {
    rng().next_u64()
}

/// Waits until `deadline`, or for ever without one.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
