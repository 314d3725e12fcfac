use std::time::{Duration, Instant};

/// How often statements of one member are taken in the long run.
const EVERY: Duration = Duration::from_millis(500);

/// How many of them are taken at once after a time of rest.
const BURST: u32 = 8;

/// Bounds the statements of one member, each of which makes all ways be sought anew and travels on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// When the member will have made up for what it said.
    rested_at: Instant,
}

impl Rate {
    pub(super) const fn new(now: Instant) -> Self {
        Self { rested_at: now }
    }

    /// Counts one more statement, unless it is one too many.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let rested_at = self.rested_at.max(now) + EVERY;
        let is_taken = rested_at.saturating_duration_since(now) <= EVERY * BURST;
        if is_taken {
            self.rested_at = rested_at;
        }
        is_taken
    }
}
