//! Chance that repeats by its seed (SplitMix64). It spreads and picks; it protects nothing.

use std::time::Duration;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scatters `value`: neighbouring values come out far apart, different ones stay different.
pub(crate) const fn scatter(value: u64) -> u64 {
    let mixed = value.wrapping_add(STEP);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn draw(&mut self) -> u64 {
        let drawn = scatter(self.0);
        self.0 = self.0.wrapping_add(STEP);
        drawn
    }

    /// Any number below `count`, or zero.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.draw() % count).unwrap_or(0)
    }

    /// `delay`, give or take up to a quarter.
    pub(crate) fn around(&mut self, delay: Duration) -> Duration {
        // 500 steps from three quarters to five quarters, in thousandths.
        let thousandths = 750 + u32::try_from(self.draw() % 501).unwrap_or(250);
        delay.saturating_mul(thousandths) / 1000
    }
}

#[cfg(test)]
mod tests;
