//! How long a lane waits after a failure.

use std::time::Duration;

use crate::mix::scramble;

/// A small generator (SplitMix64). It spreads retries and protects nothing, so it need not be secure.
#[derive(Debug)]
pub(crate) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    const fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.state)
    }

    /// `wait`, up to a fifth shorter or longer: peers that failed together do not return together.
    pub(crate) fn spread(&mut self, wait: Duration) -> Duration {
        let permille = 800 + u32::try_from(self.draw() % 401).unwrap_or(0);
        wait.saturating_mul(permille) / 1000
    }
}

/// The wait after `failures` failures in a row: `min`, then twice as long each time, up to `max`.
pub(crate) fn wait_after(failures: u32, min: Duration, max: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    min.saturating_mul(1 << doublings).min(max)
}

#[cfg(test)]
mod tests;
