//! What the engines ask of the world.

use mesh_delivery::{End, Priority};
use mesh_membership::MemberState;
use mesh_protocol::{
    ErrorCode, LinkState, LinkStateVersion, MessageId, PeerId, Receipt, SignedLinkState, SyncHave,
    UnixMillis,
};

/// What the world is asked to do.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Dial a member.
    Dial { peer: PeerId },
    /// Send a heartbeat.
    Ping { peer: PeerId },
    /// Close the link of a member that has been silent for too long.
    CloseSilent { peer: PeerId },
    /// Close the link of a peer that is no member any more.
    CutRemoved { peer: PeerId },
    /// Ask a member whether it reaches another.
    Probe { helper: PeerId, subject: PeerId, nonce: u64 },
    /// A member is in another state than before.
    StateChanged { peer: PeerId, from: MemberState, to: MemberState },
    /// A member has been away for so long that it is to be removed.
    Forget { peer: PeerId, last_seen_at: UnixMillis },
    /// Sign this node's links and hand them back.
    Publish(LinkState),
    /// Send link states to a linked member.
    SendLinkStates { to: PeerId, states: Vec<SignedLinkState> },
    /// Tell a linked member which link states are here.
    SendLinkStateVersions { to: PeerId, versions: Vec<LinkStateVersion>, wants_answer: bool },
    /// Send liveness gossip of a large mesh.
    SendSwim { to: PeerId, data: Vec<u8> },
    /// Send a batch of the outbox.
    SendBatch { peer: PeerId, priority: Priority, batch_id: u64, sequences: Vec<u64> },
    /// A message of the outbox has come to its end; it was answered through `via`, if through others.
    Finished { sequence: u64, message_id: MessageId, to: PeerId, end: End, via: Vec<PeerId> },
    /// A lane waits before its next attempt.
    RetryScheduled { sequence: u64, attempts: u32, reason: Option<ErrorCode> },
    /// Ask a member to keep messages for a receiver that nobody reaches.
    OfferCustody { custodian: PeerId, request_id: u64, to: PeerId, sequences: Vec<u64> },
    /// Send a batch of what this node keeps for others.
    SendHeld { peer: PeerId, priority: Priority, batch_id: u64, custody_ids: Vec<u64> },
    /// Send a member what receivers said of its messages while it was away.
    SendReceipts { to: PeerId, receipts: Vec<Receipt> },
    /// Tell a linked member what this node's tables, or another member's, have.
    SendHave { to: PeerId, have: SyncHave },
    /// There are changes of the tables for a linked member.
    Feed { peer: PeerId },
    /// Take the state of the tables over from a linked member.
    TakeSnapshot { from: PeerId },
    /// End the taking of the state that was begun with what has come of it.
    AbandonSnapshot,
    /// Every member has passed more changes than before.
    TrimLog,
    /// The database of the tables is a copy or was put back: it needs another name.
    RenewOrigin { shared_upto: u64 },
    /// What was kept for others has come to its end.
    HeldFinished { custody_id: u64, message_id: MessageId, to: PeerId, end: End },
}
