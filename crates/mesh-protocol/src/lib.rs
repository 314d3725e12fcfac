//! What travels between the agents of a mesh: ids, messages, payloads, membership records, frames,
//! limits, error codes and protocol versions.
//!
//! Never in here: async, IO, a clock, randomness, keys or signatures. Bytes go in and values come
//! out, or the other way round; every decoder bounds what it reads before it allocates and refuses
//! bad input with an error instead of a panic.
//!
//! Start reading at [`MeshMessage`] (what an application sends), [`Frame`] (what a link carries) and
//! [`Record`] (what membership is made of). The bytes are described in `docs/protocol.md`.

mod address;
mod codec;
mod config;
mod data;
mod envelope;
mod error;
mod error_code;
mod files;
mod frame;
mod git;
mod hostname;
mod ids;
mod json_text;
mod limits;
mod message;
mod payload;
mod record;
mod routing;
mod time;
mod version;

pub use address::Address;
pub use config::{
    ConfigAbout, ConfigAnswer, ConfigFinding, ConfigKeyDigests, ConfigQuestion, ConfigSaid,
    ConfigSummary,
};
pub use data::{
    CellState, CellWrite, Coverage, Dot, HybridClock, Incoming, JoinPlan, Listed, LoserFacts,
    LoserState, MergePlan, OriginContext, OriginHave, OriginOwners, Readiness, Resolved, RowChange,
    RowFacts, RowState, SchemaChange, Section, SnapshotChunk, SnapshotPosition, SnapshotRequest,
    SqlValue, SyncHave, SyncParts, TableDigest, TableDigests, TheirRow, TransactionHeader,
    TransactionPart, Version, VersionVector,
};
pub use envelope::{Envelope, EnvelopeHeader};
pub use error::{DecodeError, EncodeError, ParseError, RecordError};
pub use error_code::ErrorCode;
pub use files::{
    Chunk, ChunkHead, ChunkNeed, ChunkRange, ChunkRanges, ChunkRef, ChunkSource, Confirmation,
    Fetch, FileDigests, FileEntry, FileTime, FolderEntry, LinkEntry, ManifestItem, ManifestPage,
    PageIds, PageNeed, PageOf, PathError, PushAnswer, PushEvent, PushFact, PushHeader, PushMessage,
    PushMethod, PushOffer, PushProblem, PushReason, PushResult, PushStep, PushTotals, RelativePath,
    RollbackOffer, RootName, TestEnd, TestOutcome, Verification, WaitingFor,
};
pub use frame::{
    Deliver, DeliverItem, DeliverOutcome, DeliverResult, Frame, FrameHeader, Hello, Introduce,
    JoinReply, JoinRequest, LinkPing, Live, LiveResult, PairKeyStored, RecordIds, Records, Refused,
    Welcome,
};
pub use git::{GitEnd, GitPiece, GitPieces, GitService};
pub use hostname::Hostname;
pub use ids::{
    ChunkId, KeyId, MeshId, MessageId, OriginId, PeerId, PushId, RecordId, SealingPublicKey,
    Signature, TableId, TokenId,
};
pub use json_text::JsonText;
pub use limits::*;
pub use message::{Encryption, MeshMessage, Recipient, WireMessage, WireRef};
pub use payload::{
    Ack, ConfigUpdate, CustomJson, DatabaseOperation, DatabaseSync, ErrorNotice, FileTransfer,
    MediaStream, MediaType, Payload, Ping, Pong, Unknown,
};
pub use record::{
    Admission, FormerHostname, Founding, Profile, Record, RecordVerifier, Removal, SignedRecord,
    VerifiedRecord,
};
pub use routing::{
    Custody, CustodyResult, Forward, Itinerary, LinkState, LinkStateVersion, LinkStateVersions,
    LinkStates, Neighbour, Parcel, Probe, ProbeResult, Receipt, Receipts, RoutedPing,
    SignedLinkState, Swim,
};
pub use time::UnixMillis;
pub use version::{ProtocolVersion, VersionRange};

#[cfg(test)]
mod tests;
