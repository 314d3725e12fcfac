//! The one place of this program that reads a clock.

use std::time::{Duration, Instant};

use mesh_protocol::UnixMillis;

/// The time of day, to say how long ago something was.
pub(crate) fn now() -> UnixMillis {
    let millis = jiff::Timestamp::now().as_millisecond();
    UnixMillis(u64::try_from(millis).unwrap_or(0))
}

/// Measures how long something takes.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "a person reads the figure; nothing is decided by it"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
