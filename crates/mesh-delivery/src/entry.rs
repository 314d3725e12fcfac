use std::time::Instant;

use mesh_protocol::{MessageId, PeerId, UnixMillis};

/// The time, twice: `instant` never jumps and measures waits, `wall` is what expiry dates are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub instant: Instant,
    /// The wall clock, read at the same moment.
    pub wall: UnixMillis,
}

/// Which lane a message takes. Lanes do not wait for each other, so order holds within one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Small and waited for.
    Urgent,
    /// Everything that does not say otherwise.
    Normal,
    /// Large backlogs that may take their time.
    Bulk,
}

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    /// The number on the wire and in the database.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Urgent => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }

    /// Reads the number. One that is not known is [`Priority::Bulk`]: it cannot push itself forward.
    #[must_use]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Urgent,
            1 => Self::Normal,
            _ => Self::Bulk,
        }
    }
}

/// A row of the outbox, without the body: one message to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The row's number: unique in the outbox and growing, it is the order of delivery.
    pub sequence: u64,
    /// The message. A broadcast has one entry per member, all with this id.
    pub message_id: MessageId,
    /// The receiver.
    pub to: PeerId,
    /// The lane.
    pub priority: Priority,
    /// Size of the encoded message.
    pub bytes: usize,
    /// When the message is worthless.
    pub expires_at: UnixMillis,
    /// How often it was sent.
    pub attempts: u32,
}
