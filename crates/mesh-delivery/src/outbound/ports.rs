use mesh_protocol::{DeliverOutcome, ErrorCode, MessageId, PeerId};

use crate::{Entry, Priority, Reservation};

/// A fact that the driver hands in.
#[derive(Debug)]
pub enum Input {
    /// The outbox as the database has it, read at start, in any order. A row that is known is ignored.
    Restored(Vec<Entry>),
    /// Rows that were committed under `reservation`, which is used up whatever `entries` holds.
    ///
    /// Commits must be told in their order. A sequence that comes later than a higher one of its lane
    /// still leaves in order with all that wait, but not with those that have left.
    Committed {
        /// The room that was taken before.
        reservation: Reservation,
        /// The rows.
        entries: Vec<Entry>,
    },
    /// There is a link or a route to this peer: its lanes start at once, also those that were backing off.
    /// Without effect for a peer that is up; when one link takes over from another, say
    /// [`Input::PeerDown`] first, or what went over the old one waits for an answer in vain.
    PeerUp(PeerId),
    /// There is neither link nor route, and no answer to what was under way.
    PeerDown(PeerId),
    /// The peer is no member. Its messages end, also those whose commit is under way.
    PeerRemoved(PeerId),
    /// The peer's answer. One to a batch that is not under way (it came too late) is ignored.
    BatchAnswered {
        /// The batch; [`Outbound::peer_of_batch`](crate::Outbound::peer_of_batch) tells who may answer.
        batch_id: u64,
        /// One outcome per message that was sent, in order. Any other number is a failure of the batch.
        outcomes: Vec<DeliverOutcome>,
    },
    /// The batch could not be sent, or was lost; it will be tried again after a wait.
    BatchFailed {
        /// The batch.
        batch_id: u64,
    },
    /// The database has no body for a message. It ends with [`ErrorCode::StorageError`] and leaves its
    /// batch: the driver sends the others, and the answer counts those only. A batch that has lost all
    /// its messages this way is over; nothing is to be sent for it.
    BodyMissing {
        /// The message.
        sequence: u64,
    },
    /// The receiver's word on one message came through others. It ends the message wherever it is, also
    /// in a batch under way, whose answer still counts it. When the receiver deferred it, a batch under
    /// way that holds it has failed; one that waits is left as it is, and so is the wait of its lane:
    /// whoever repeats an old receipt fails each attempt once at most. Unknown messages are ignored.
    Settled {
        /// The message. The driver has checked that its receiver signed the receipt.
        sequence: u64,
        /// What became of it.
        outcome: DeliverOutcome,
    },
}

/// A wish that the driver fulfils.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Read the bodies and send them, in this order, as one [`Deliver`](mesh_protocol::Deliver).
    SendBatch {
        /// The receiver.
        peer: PeerId,
        /// The lane.
        priority: Priority,
        /// Comes back in the answer. Never used twice by one [`Outbound`](crate::Outbound).
        batch_id: u64,
        /// The messages, oldest first; never empty.
        sequences: Vec<u64>,
    },
    /// A message has ended: tell its sender, and delete its row when convenient. A row that survives a
    /// crash costs a repeat, which the receiver swallows.
    Finished {
        /// The row.
        sequence: u64,
        /// The message.
        message_id: MessageId,
        /// The receiver.
        to: PeerId,
        /// How.
        end: End,
    },
    /// A batch failed, wholly or from some message on. The lane waits, or rests until its peer is up.
    RetryScheduled {
        /// The first message of the lane, which all others wait for.
        sequence: u64,
        /// The receiver.
        peer: PeerId,
        /// How often that first message was sent.
        attempts: u32,
        /// Why: what the receiver said, [`ErrorCode::TimedOut`] without an answer,
        /// [`ErrorCode::ProtocolError`] for a wrong one, [`ErrorCode::PeerUnreachable`] when the way
        /// to it broke, none when the driver could not send.
        reason: Option<ErrorCode>,
    },
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The receiver has committed it.
    Acked {
        /// It had done so before: an earlier answer was lost.
        was_duplicate: bool,
    },
    /// Its time was over before an answer came. The receiver may have it all the same.
    Expired,
    /// It will not be delivered.
    Refused(ErrorCode),
}
