//! What happens to messages on their way.

use std::time::Duration;

/// How one way between two nodes treats messages. Probabilities are clamped to 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Probability that a message gets lost.
    pub loss: f64,
    /// Probability that a message arrives twice; each copy has a delay of its own.
    pub duplication: f64,
    /// Shortest time on the way.
    pub delay_min: Duration,
    /// Longest time on the way.
    pub delay_max: Duration,
    /// Whether messages of one pair arrive in the order in which they were sent. Without it, every
    /// message has its own random delay and may overtake others.
    pub is_ordered: bool,
}

impl Conditions {
    /// Nothing is lost, doubled or overtaken; every message takes one millisecond.
    pub const PERFECT: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(1),
        is_ordered: true,
    };

    /// The same with another probability of loss.
    #[must_use]
    pub const fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The same with another probability that a message arrives twice.
    #[must_use]
    pub const fn with_duplication(self, duplication: f64) -> Self {
        Self { duplication, ..self }
    }

    /// The same with random delays between two bounds, so that messages overtake each other.
    #[must_use]
    pub const fn with_delay(self, delay_min: Duration, delay_max: Duration) -> Self {
        Self { delay_min, delay_max, is_ordered: false, ..self }
    }

    /// The same, but in order: a message waits for those before it.
    #[must_use]
    pub const fn in_order(self) -> Self {
        Self { is_ordered: true, ..self }
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self::PERFECT
    }
}
