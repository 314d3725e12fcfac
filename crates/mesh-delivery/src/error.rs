use mesh_protocol::{ErrorCode, PeerId};

/// Why a message cannot be taken into the outbox. Nothing was reserved, for none of its recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueFull {
    /// The outbox holds as many messages as it may.
    #[error("the outbox holds its {messages_max} messages")]
    Messages {
        /// The bound that was met.
        messages_max: usize,
    },
    /// The messages in the outbox are as large as they may be together.
    #[error("the outbox holds its {bytes_max} bytes")]
    Bytes {
        /// The bound that was met.
        bytes_max: u64,
    },
    /// One of the recipients has as many messages waiting as it may.
    #[error("{messages_max} messages wait for peer {peer}")]
    PeerMessages {
        /// The recipient.
        peer: PeerId,
        /// The bound that was met.
        messages_max: usize,
    },
}

impl QueueFull {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::QueueFull
    }
}
