//! What frames of the link itself, of messages, of records and of the join port hold. Those of other parts stand with
//! their part.

use serde::{Deserialize, Serialize};

use crate::codec::{ByteCount, list};
use crate::{
    DELIVER_ITEMS_MAX, ErrorCode, JOIN_RECORDS_MAX, KeyId, MeshId, PeerId, ProtocolVersion,
    RECORD_IDS_MAX, RECORDS_PER_FRAME_MAX, RecordId, SignedRecord, TokenId, VersionRange,
};

/// The first frame on a link, from the side that dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions that the dialler speaks.
    pub versions: VersionRange,
    /// The dialler's mesh.
    pub mesh_id: MeshId,
    /// Digest of the membership records that the dialler has.
    pub records_digest: [u8; 32],
    /// The pair secret that the dialler would go on using; none asks for a new one.
    pub pair_key_id: Option<KeyId>,
}

/// The answer to [`Hello`]: the link is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both will speak.
    pub version: ProtocolVersion,
    /// Digest of the membership records that the accepting side has.
    pub records_digest: [u8; 32],
    /// Whether both take a new pair secret from this link.
    pub is_pair_key_renewed: bool,
}

/// The other answer, to a frame or a request; the link closes after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The stable word.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// One message with what its receiver needs to order and deduplicate it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverItem {
    /// Names the sender's outbox database: another number means that sequences start anew.
    pub stream: u64,
    /// The message's number in that outbox, growing.
    pub sequence: u64,
    /// 0 urgent, 1 normal, 2 bulk. Order is kept within one priority, but for copies that custodians kept.
    pub priority: u8,
    /// When the message is worthless, Unix milliseconds by the sender's clock.
    pub expires_at: u64,
    /// Encoded [`WireMessage`](crate::WireMessage).
    #[serde(with = "serde_bytes")]
    pub message: Vec<u8>,
}

impl std::fmt::Debug for DeliverItem {
    /// Shows the message's length alone: an open message holds the user's words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeliverItem")
            .field("stream", &self.stream)
            .field("sequence", &self.sequence)
            .field("priority", &self.priority)
            .field("expires_at", &self.expires_at)
            .field("message", &ByteCount(self.message.len()))
            .finish()
    }
}

/// Messages to be committed, in order. One such frame per priority is under way at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// Comes back in the answer.
    pub batch_id: u64,
    /// The messages, oldest first.
    #[serde(deserialize_with = "list::<_, _, DELIVER_ITEMS_MAX>")]
    pub items: Vec<DeliverItem>,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliverOutcome {
    /// It is committed.
    Stored,
    /// It was committed before.
    Duplicate,
    /// Not now: try it again, and everything behind it, later.
    Deferred(ErrorCode),
    /// Never: trying again is of no use.
    Refused(ErrorCode),
}

/// Answers [`Deliver`]: one outcome per item, in order, given after the commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverResult {
    /// The batch that is answered.
    pub batch_id: u64,
    /// One outcome per item.
    #[serde(deserialize_with = "list::<_, _, DELIVER_ITEMS_MAX>")]
    pub outcomes: Vec<DeliverOutcome>,
}

/// A message that is handed over at once or not at all; nothing is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Comes back in the answer.
    pub request_id: u64,
    /// Encoded [`WireMessage`](crate::WireMessage).
    #[serde(with = "serde_bytes")]
    pub message: Vec<u8>,
}

impl std::fmt::Debug for Live {
    /// Shows the message's length alone: an open message holds the user's words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("request_id", &self.request_id)
            .field("message", &ByteCount(self.message.len()))
            .finish()
    }
}

/// Answers [`Live`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveResult {
    /// The message that is answered.
    pub request_id: u64,
    /// None when it was handed to the subscribers.
    pub error: Option<ErrorCode>,
}

/// A round trip on the link itself: heartbeat, clock comparison and `ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkPing {
    /// Comes back in the answer.
    pub nonce: u64,
    /// The sender's clock, Unix milliseconds.
    pub sent_at: u64,
}

/// Says that the pair secret of this link is committed and may be used for sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairKeyStored {
    /// Which secret.
    pub key_id: KeyId,
}

/// The membership records that the sender has; the other side answers with those that are missing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordIds {
    /// Their ids.
    #[serde(deserialize_with = "list::<_, _, RECORD_IDS_MAX>")]
    pub ids: Vec<RecordId>,
}

/// Membership records that the receiver may lack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The records; each is checked by whoever gets it.
    #[serde(deserialize_with = "list::<_, _, RECORDS_PER_FRAME_MAX>")]
    pub records: Vec<SignedRecord>,
}

/// Asks an issuer for admission (join port only).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Protocol versions that the joiner speaks.
    pub versions: VersionRange,
    /// The token.
    pub token_id: TokenId,
    /// The token's secret.
    pub secret: [u8; 32],
    /// The joiner's profile for this mesh, signed by it.
    pub profile: SignedRecord,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinRequest").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

/// Admits a joiner: every record of the mesh, the joiner's admission among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinReply {
    /// The version that both will speak.
    pub version: ProtocolVersion,
    /// The issuer.
    pub issuer: PeerId,
    /// All records of the mesh.
    #[serde(deserialize_with = "list::<_, _, JOIN_RECORDS_MAX>")]
    pub records: Vec<SignedRecord>,
}

/// Shows a member the records that prove the sender's own membership (join port only).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduce {
    /// The mesh.
    pub mesh_id: MeshId,
    /// Founding to own admission, and the sender's profile.
    #[serde(deserialize_with = "list::<_, _, RECORDS_PER_FRAME_MAX>")]
    pub records: Vec<SignedRecord>,
}
