//! Chance that repeats by its seed (SplitMix64). It spreads; it protects nothing.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// `delay`, give or take up to `jitter`.
    pub(super) fn around(&mut self, delay: Duration, jitter: Duration) -> Duration {
        let thousandths = u32::try_from(self.draw() % 2001).unwrap_or(1000);
        delay.saturating_sub(jitter) + jitter.saturating_mul(thousandths) / 1000
    }
}
