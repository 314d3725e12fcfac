use std::time::Duration;

use mesh_protocol::{DeliverOutcome, FRAME_BODY_BYTES_MAX, PARCELS_PER_FRAME_MAX, PeerId};

use super::HOLDERS_MAX;

/// What each parcel costs in its frame beside its message, rounded up generously.
const PARCEL_OVERHEAD_BYTES: usize = 512;

/// A full offer of this size still fits one frame.
const BATCH_BYTES_LIMIT: usize =
    FRAME_BODY_BYTES_MAX - PARCELS_PER_FRAME_MAX * PARCEL_OVERHEAD_BYTES;

/// Zero would turn a refusing custodian into a busy loop.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Longer waits help nobody and would let a careless value overflow the clock.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Bounds and waits of [`Handover`](crate::Handover), which brings values that cannot work to the nearest
/// one that can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverConfig {
    /// How many custodians each message is to have; none turns handing over off.
    pub custodians: usize,
    /// How long a receiver must have been out of reach, and a message committed, before it is offered.
    pub delay: Duration,
    /// Most messages in one offer; at most [`PARCELS_PER_FRAME_MAX`].
    pub batch_items_max: usize,
    /// Most bytes in one offer. A larger message goes alone.
    pub batch_bytes_max: usize,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// How long a custodian is left alone with the messages of a receiver after it refused one of them or
    /// did not answer.
    pub retry_after: Duration,
}

impl Default for HandoverConfig {
    fn default() -> Self {
        Self {
            custodians: 2,
            delay: Duration::from_secs(1),
            batch_items_max: 128,
            batch_bytes_max: 1 << 20,
            answer_timeout: Duration::from_secs(10),
            retry_after: Duration::from_secs(30),
        }
    }
}

impl HandoverConfig {
    /// Brings every value into the range in which the engine works.
    pub(super) fn clamped(self) -> Self {
        Self {
            custodians: self.custodians.min(HOLDERS_MAX),
            delay: self.delay.min(WAIT_MAX),
            batch_items_max: self.batch_items_max.clamp(1, PARCELS_PER_FRAME_MAX),
            batch_bytes_max: self.batch_bytes_max.min(BATCH_BYTES_LIMIT),
            answer_timeout: self.answer_timeout.clamp(WAIT_MIN, WAIT_MAX),
            retry_after: self.retry_after.clamp(WAIT_MIN, WAIT_MAX),
        }
    }
}

/// A fact that the driver hands in.
#[derive(Debug)]
pub enum HandoverInput {
    /// A message is in the outbox. One that is known is ignored.
    Waiting {
        /// Its row, which grows from message to message.
        sequence: u64,
        /// Its receiver.
        to: PeerId,
        /// Its size.
        bytes: usize,
    },
    /// The message has left the outbox, however it ended.
    Ended {
        /// Its row.
        sequence: u64,
    },
    /// There is a link or a route to this receiver. Those of whom nothing was said are down.
    ReceiverUp(PeerId),
    /// There is neither any longer.
    ReceiverDown(PeerId),
    /// There is a link to this member, which may keep messages for others.
    CustodianUp(PeerId),
    /// The link is gone, and with it the answers to what was offered.
    CustodianDown(PeerId),
    /// A custodian's answer. One that comes too late, or from somebody else, is ignored.
    Answered {
        /// Who answered.
        custodian: PeerId,
        /// The offer.
        request_id: u64,
        /// One outcome per message that was offered, in order. Any other number is no answer at all.
        outcomes: Vec<DeliverOutcome>,
    },
    /// The offer was not sent, so nobody keeps anything for it.
    Unsent {
        /// The offer.
        request_id: u64,
    },
}

/// A wish that the driver fulfils.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandoverOutput {
    /// Read the messages, seal and sign them for their receiver, and ask the custodian to keep them.
    Offer {
        /// Whom to ask.
        custodian: PeerId,
        /// Comes back in the answer. Never used twice by one [`Handover`](crate::Handover).
        request_id: u64,
        /// The receiver of all of them.
        to: PeerId,
        /// The messages, oldest first; never empty.
        sequences: Vec<u64>,
    },
}

#[cfg(test)]
mod tests;
