use std::time::{Duration, Instant};

/// A limit on bytes per second: a bucket that holds a fifth of a second's worth.
///
/// Something larger than the bucket passes when the bucket is full, and is paid for afterwards.
#[derive(Clone, Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// Nanoseconds of the limit that have been used ahead of time: the bucket is full at zero.
    owed: Duration,
    seen: Option<Instant>,
}

/// How much may be ahead of time when something more is sent.
const BURST: Duration = Duration::from_millis(200);

impl RateLimit {
    /// Starts with a full bucket. Nothing passes a limit of less than one byte per second, so there is none.
    #[must_use]
    pub const fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = if bytes_per_second == 0 { 1 } else { bytes_per_second };
        Self { bytes_per_second, owed: Duration::ZERO, seen: None }
    }

    /// Takes `bytes` out of the bucket.
    ///
    /// # Errors
    /// How long to wait before asking again; nothing was taken.
    pub fn take(&mut self, bytes: u64, now: Instant) -> Result<(), Duration> {
        let passed = self.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        self.seen = Some(self.seen.map_or(now, |seen| seen.max(now)));
        self.owed = self.owed.saturating_sub(passed);
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(cost).unwrap_or(u64::MAX));
        let ahead = self.owed.saturating_add(cost.min(BURST));
        if ahead > BURST {
            return Err(ahead - BURST);
        }
        self.owed = self.owed.saturating_add(cost);
        Ok(())
    }
}
