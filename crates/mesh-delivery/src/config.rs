use std::time::Duration;

use mesh_protocol::{DELIVER_ITEMS_MAX, FRAME_BODY_BYTES_MAX, MESSAGE_TTL_MILLIS_MAX};

use crate::Priority;

/// What each message of a batch costs in its frame beside its own bytes, rounded up generously.
const ITEM_OVERHEAD_BYTES: usize = 64;

/// A full batch of this size still fits one frame.
const BATCH_BYTES_LIMIT: usize = FRAME_BODY_BYTES_MAX - DELIVER_ITEMS_MAX * ITEM_OVERHEAD_BYTES;

/// Zero would turn a refusing peer into a busy loop.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Longer waits help nobody and would let a careless value overflow the clock.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Bounds and waits of [`Outbound`](crate::Outbound), which brings values that cannot work (a batch of
/// no items, a batch larger than a frame, waits of zero or of weeks) to the nearest one that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Most messages in the outbox, a broadcast counted once per recipient.
    pub messages_max: usize,
    /// Most bytes of all messages in the outbox.
    pub bytes_max: u64,
    /// Most messages that wait for one peer.
    pub peer_messages_max: usize,
    /// Most messages in one batch; at most [`DELIVER_ITEMS_MAX`].
    pub batch_items_max: usize,
    /// Most bytes in one urgent or normal batch. A larger message goes alone.
    pub batch_bytes_max: usize,
    /// Most bytes in one bulk batch. A larger message goes alone.
    pub bulk_batch_bytes_max: usize,
    /// Wait after the first failure; it doubles with every further one, with a jitter of ± 20 %.
    pub retry_min: Duration,
    /// Where the doubling ends, before the jitter.
    pub retry_max: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            messages_max: 100_000,
            bytes_max: 1 << 30,
            peer_messages_max: 50_000,
            batch_items_max: 256,
            batch_bytes_max: 1 << 20,
            bulk_batch_bytes_max: 256 << 10,
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

impl DeliveryConfig {
    /// Brings every value into the range in which the engine works.
    pub(crate) fn clamped(self) -> Self {
        let retry_min = self.retry_min.clamp(WAIT_MIN, WAIT_MAX);
        Self {
            batch_items_max: self.batch_items_max.clamp(1, DELIVER_ITEMS_MAX),
            batch_bytes_max: self.batch_bytes_max.min(BATCH_BYTES_LIMIT),
            bulk_batch_bytes_max: self.bulk_batch_bytes_max.min(BATCH_BYTES_LIMIT),
            retry_min,
            retry_max: self.retry_max.clamp(retry_min, WAIT_MAX),
            answer_timeout: self.answer_timeout.clamp(WAIT_MIN, WAIT_MAX),
            ..self
        }
    }

    /// Most bytes in one batch of this priority.
    pub(crate) const fn batch_bytes_max(&self, priority: Priority) -> usize {
        match priority {
            Priority::Urgent | Priority::Normal => self.batch_bytes_max,
            Priority::Bulk => self.bulk_batch_bytes_max,
        }
    }
}

/// What a receiver tolerates; see [`judge`](crate::judge).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundConfig {
    /// By how much the sender's clock may differ from the receiver's.
    pub clock_skew_max: Duration,
    /// The longest life of a message, which is how long its id is remembered.
    pub ttl_max: Duration,
}

impl Default for InboundConfig {
    fn default() -> Self {
        Self {
            clock_skew_max: Duration::from_secs(5 * 60),
            ttl_max: Duration::from_millis(MESSAGE_TTL_MILLIS_MAX),
        }
    }
}
