//! What a link carries: a header of twelve bytes, then one structure.
//!
//! ```text
//!  0       4       5       6       8           12
//!  | MESH  | major | minor | kind  | body_bytes |  body …
//! ```
//! Integers are little-endian.

mod bodies;
mod bounds;
mod debug;

use crate::codec::{byte_string_into, decode, encode_into};
use crate::{
    ConfigAnswer, ConfigQuestion, Custody, CustodyResult, DecodeError, EncodeError,
    FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, Forward, LinkStateVersions, LinkStates, OriginOwners,
    Probe, ProbeResult, ProtocolVersion, Receipts, RoutedPing, SnapshotRequest, Swim, SyncHave,
    SyncParts, TableDigests, WireRef,
};

pub use self::bodies::{
    Deliver, DeliverItem, DeliverOutcome, DeliverResult, Hello, Introduce, JoinReply, JoinRequest,
    LinkPing, Live, LiveResult, PairKeyStored, RecordIds, Records, Refused, Welcome,
};

const MAGIC: [u8; 4] = *b"MESH";

/// Holds the frequent small frames, so that they are allocated once.
const SMALL_FRAME_BYTES: usize = 64;

/// One structure on a link.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a link.
    Hello(Hello),
    /// Accepts a link.
    Welcome(Welcome),
    /// Refuses a link, frame or request.
    Refused(Refused),
    /// Messages to be committed.
    Deliver(Deliver),
    /// What became of them.
    DeliverResult(DeliverResult),
    /// A message that is not stored.
    Live(Live),
    /// What became of it.
    LiveResult(LiveResult),
    /// Round trip, there.
    Ping(LinkPing),
    /// Round trip, back.
    Pong(LinkPing),
    /// A pair secret is committed.
    PairKeyStored(PairKeyStored),
    /// The records that the sender has.
    RecordIds(RecordIds),
    /// Records for the receiver.
    Records(Records),
    /// Asks for admission.
    JoinRequest(JoinRequest),
    /// Grants it.
    JoinReply(JoinReply),
    /// Proves membership.
    Introduce(Introduce),
    /// Asks whether a member is reached.
    Probe(Probe),
    /// Says so.
    ProbeResult(ProbeResult),
    /// The link states that the sender has.
    LinkStateVersions(LinkStateVersions),
    /// Link states for the receiver.
    LinkStates(LinkStates),
    /// Parcels on their way.
    Forward(Forward),
    /// Receipts on their way.
    Receipts(Receipts),
    /// Parcels to be kept.
    Custody(Custody),
    /// What became of them.
    CustodyResult(CustodyResult),
    /// A round trip through others.
    RoutedPing(RoutedPing),
    /// Liveness gossip of a large mesh.
    Swim(Swim),
    /// What a member has of the replicated tables.
    SyncHave(SyncHave),
    /// Transactions of the replicated tables.
    SyncParts(SyncParts),
    /// Asks for a piece of the tables' state.
    SnapshotRequest(SnapshotRequest),
    /// An encoded [`SnapshotChunk`](crate::SnapshotChunk).
    SnapshotChunk(serde_bytes::ByteBuf),
    /// Digests of the tables.
    TableDigests(TableDigests),
    /// Asks about the shared configuration.
    ConfigQuestion(ConfigQuestion),
    /// Says of the shared configuration what was asked.
    ConfigAnswer(ConfigAnswer),
    /// Whose databases the origins of writes are.
    OriginOwners(OriginOwners),
}

/// The twelve bytes in front of every frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The sender's version.
    pub version: ProtocolVersion,
    /// The kind of structure.
    pub kind: u16,
    /// Length of the body, bytes; checked against [`FRAME_BODY_BYTES_MAX`].
    pub body_bytes: usize,
}

impl FrameHeader {
    /// Reads a header. Nothing of the body is needed, so a body that is too large is never buffered.
    ///
    /// # Errors
    /// [`DecodeError::Magic`], [`DecodeError::Version`] or [`DecodeError::TooLarge`].
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Result<Self, DecodeError> {
        let [m0, m1, m2, m3, major, minor, k0, k1, l0, l1, l2, l3] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(DecodeError::Magic);
        }
        let version = ProtocolVersion { major, minor };
        if major != ProtocolVersion::CURRENT.major {
            return Err(DecodeError::Version { theirs: version });
        }
        let announced = u32::from_le_bytes([l0, l1, l2, l3]);
        let body_bytes = usize::try_from(announced).unwrap_or(usize::MAX);
        if body_bytes > FRAME_BODY_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                bytes: u64::from(announced),
                bytes_max: FRAME_BODY_BYTES_MAX,
            });
        }
        Ok(Self { version, kind: u16::from_le_bytes([k0, k1]), body_bytes })
    }
}

mod kind {
    pub(super) const HELLO: u16 = 1;
    pub(super) const WELCOME: u16 = 2;
    pub(super) const REFUSED: u16 = 3;
    pub(super) const DELIVER: u16 = 4;
    pub(super) const DELIVER_RESULT: u16 = 5;
    pub(super) const LIVE: u16 = 6;
    pub(super) const LIVE_RESULT: u16 = 7;
    pub(super) const PING: u16 = 8;
    pub(super) const PONG: u16 = 9;
    pub(super) const PAIR_KEY_STORED: u16 = 10;
    pub(super) const RECORD_IDS: u16 = 11;
    pub(super) const RECORDS: u16 = 12;
    pub(super) const JOIN_REQUEST: u16 = 13;
    pub(super) const JOIN_REPLY: u16 = 14;
    pub(super) const INTRODUCE: u16 = 15;
    pub(super) const PROBE: u16 = 16;
    pub(super) const PROBE_RESULT: u16 = 17;
    pub(super) const LINK_STATE_VERSIONS: u16 = 18;
    pub(super) const LINK_STATES: u16 = 19;
    pub(super) const FORWARD: u16 = 20;
    pub(super) const RECEIPTS: u16 = 21;
    pub(super) const CUSTODY: u16 = 22;
    pub(super) const CUSTODY_RESULT: u16 = 23;
    pub(super) const ROUTED_PING: u16 = 24;
    pub(super) const SWIM: u16 = 25;
    pub(super) const SYNC_HAVE: u16 = 26;
    pub(super) const SYNC_PARTS: u16 = 27;
    pub(super) const SNAPSHOT_REQUEST: u16 = 28;
    pub(super) const SNAPSHOT_CHUNK: u16 = 29;
    pub(super) const TABLE_DIGESTS: u16 = 30;
    pub(super) const CONFIG_QUESTION: u16 = 31;
    pub(super) const CONFIG_ANSWER: u16 = 32;
    pub(super) const ORIGIN_OWNERS: u16 = 33;
}

/// A header that does not know its body's length yet.
fn header(kind: u16) -> Vec<u8> {
    let ProtocolVersion { major, minor } = ProtocolVersion::CURRENT;
    let mut bytes = Vec::with_capacity(SMALL_FRAME_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[major, minor]);
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&[0; size_of::<u32>()]);
    bytes
}

/// Writes the length of the body that stands behind the header.
fn finish(mut frame: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    const TOO_LARGE: EncodeError = EncodeError::TooLarge { bytes_max: FRAME_BODY_BYTES_MAX };
    let Some((header, body)) = frame.split_first_chunk_mut::<FRAME_HEADER_BYTES>() else {
        return Err(TOO_LARGE);
    };
    let body_bytes = u32::try_from(body.len()).map_err(|_| TOO_LARGE)?;
    let [.., l0, l1, l2, l3] = header;
    [*l0, *l1, *l2, *l3] = body_bytes.to_le_bytes();
    if body.len() > FRAME_BODY_BYTES_MAX { Err(TOO_LARGE) } else { Ok(frame) }
}

impl Frame {
    /// Encodes header and body.
    ///
    /// # Errors
    /// [`EncodeError`] when the body exceeds [`FRAME_BODY_BYTES_MAX`] or a field its bound.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        const MAX: usize = FRAME_BODY_BYTES_MAX;
        // What the other side would refuse is not sent.
        self.check_bounds().map_err(|what| EncodeError::FieldTooLarge { what })?;
        let mut bytes = header(self.kind());
        match self {
            Self::Hello(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Welcome(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Refused(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Deliver(body) => encode_into(body, MAX, &mut bytes)?,
            Self::DeliverResult(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Live(body) => encode_into(body, MAX, &mut bytes)?,
            Self::LiveResult(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Ping(body) | Self::Pong(body) => encode_into(body, MAX, &mut bytes)?,
            Self::PairKeyStored(body) => encode_into(body, MAX, &mut bytes)?,
            Self::RecordIds(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Records(body) => encode_into(body, MAX, &mut bytes)?,
            Self::JoinRequest(body) => encode_into(body, MAX, &mut bytes)?,
            Self::JoinReply(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Introduce(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Probe(body) => encode_into(body, MAX, &mut bytes)?,
            Self::ProbeResult(body) => encode_into(body, MAX, &mut bytes)?,
            Self::LinkStateVersions(body) => encode_into(body, MAX, &mut bytes)?,
            Self::LinkStates(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Forward(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Receipts(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Custody(body) => encode_into(body, MAX, &mut bytes)?,
            Self::CustodyResult(body) => encode_into(body, MAX, &mut bytes)?,
            Self::RoutedPing(body) => encode_into(body, MAX, &mut bytes)?,
            Self::Swim(body) => encode_into(body, MAX, &mut bytes)?,
            Self::SyncHave(body) => encode_into(body, MAX, &mut bytes)?,
            Self::SyncParts(body) => encode_into(body, MAX, &mut bytes)?,
            Self::SnapshotRequest(body) => encode_into(body, MAX, &mut bytes)?,
            Self::SnapshotChunk(body) => encode_into(body, MAX, &mut bytes)?,
            Self::TableDigests(body) => encode_into(body, MAX, &mut bytes)?,
            Self::ConfigQuestion(body) => encode_into(body, MAX, &mut bytes)?,
            Self::ConfigAnswer(body) => encode_into(body, MAX, &mut bytes)?,
            Self::OriginOwners(body) => encode_into(body, MAX, &mut bytes)?,
        }
        finish(bytes)
    }

    /// Encodes a [`Live`] frame around `message`, whose content is copied just once.
    ///
    /// # Errors
    /// As [`Frame::encode`] and [`WireRef::encode`].
    pub fn encode_live(request_id: u64, message: WireRef<'_>) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = header(kind::LIVE);
        bytes.extend_from_slice(&request_id.to_le_bytes());
        byte_string_into(&mut bytes, |bytes| message.encode_into(bytes))?;
        finish(bytes)
    }

    const fn kind(&self) -> u16 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::Refused(_) => kind::REFUSED,
            Self::Deliver(_) => kind::DELIVER,
            Self::DeliverResult(_) => kind::DELIVER_RESULT,
            Self::Live(_) => kind::LIVE,
            Self::LiveResult(_) => kind::LIVE_RESULT,
            Self::Ping(_) => kind::PING,
            Self::Pong(_) => kind::PONG,
            Self::PairKeyStored(_) => kind::PAIR_KEY_STORED,
            Self::RecordIds(_) => kind::RECORD_IDS,
            Self::Records(_) => kind::RECORDS,
            Self::JoinRequest(_) => kind::JOIN_REQUEST,
            Self::JoinReply(_) => kind::JOIN_REPLY,
            Self::Introduce(_) => kind::INTRODUCE,
            Self::Probe(_) => kind::PROBE,
            Self::ProbeResult(_) => kind::PROBE_RESULT,
            Self::LinkStateVersions(_) => kind::LINK_STATE_VERSIONS,
            Self::LinkStates(_) => kind::LINK_STATES,
            Self::Forward(_) => kind::FORWARD,
            Self::Receipts(_) => kind::RECEIPTS,
            Self::Custody(_) => kind::CUSTODY,
            Self::CustodyResult(_) => kind::CUSTODY_RESULT,
            Self::RoutedPing(_) => kind::ROUTED_PING,
            Self::Swim(_) => kind::SWIM,
            Self::SyncHave(_) => kind::SYNC_HAVE,
            Self::SyncParts(_) => kind::SYNC_PARTS,
            Self::SnapshotRequest(_) => kind::SNAPSHOT_REQUEST,
            Self::SnapshotChunk(_) => kind::SNAPSHOT_CHUNK,
            Self::TableDigests(_) => kind::TABLE_DIGESTS,
            Self::ConfigQuestion(_) => kind::CONFIG_QUESTION,
            Self::ConfigAnswer(_) => kind::CONFIG_ANSWER,
            Self::OriginOwners(_) => kind::ORIGIN_OWNERS,
        }
    }

    /// Decodes the body that `header` announced.
    ///
    /// # Errors
    /// [`DecodeError::UnknownKind`] for a kind that may be skipped, else what is wrong with the body.
    pub fn decode(header: &FrameHeader, body: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "frame";
        if body.len() != header.body_bytes {
            return Err(DecodeError::Malformed { what: WHAT });
        }
        let is_newer = header.version > ProtocolVersion::CURRENT;
        let frame = match header.kind {
            kind::HELLO => Self::Hello(decode(WHAT, body, is_newer)?),
            kind::WELCOME => Self::Welcome(decode(WHAT, body, is_newer)?),
            kind::REFUSED => Self::Refused(decode(WHAT, body, is_newer)?),
            kind::DELIVER => Self::Deliver(decode(WHAT, body, is_newer)?),
            kind::DELIVER_RESULT => Self::DeliverResult(decode(WHAT, body, is_newer)?),
            kind::LIVE => Self::Live(decode(WHAT, body, is_newer)?),
            kind::LIVE_RESULT => Self::LiveResult(decode(WHAT, body, is_newer)?),
            kind::PING => Self::Ping(decode(WHAT, body, is_newer)?),
            kind::PONG => Self::Pong(decode(WHAT, body, is_newer)?),
            kind::PAIR_KEY_STORED => Self::PairKeyStored(decode(WHAT, body, is_newer)?),
            kind::RECORD_IDS => Self::RecordIds(decode(WHAT, body, is_newer)?),
            kind::RECORDS => Self::Records(decode(WHAT, body, is_newer)?),
            kind::JOIN_REQUEST => Self::JoinRequest(decode(WHAT, body, is_newer)?),
            kind::JOIN_REPLY => Self::JoinReply(decode(WHAT, body, is_newer)?),
            kind::INTRODUCE => Self::Introduce(decode(WHAT, body, is_newer)?),
            kind::PROBE => Self::Probe(decode(WHAT, body, is_newer)?),
            kind::PROBE_RESULT => Self::ProbeResult(decode(WHAT, body, is_newer)?),
            kind::LINK_STATE_VERSIONS => Self::LinkStateVersions(decode(WHAT, body, is_newer)?),
            kind::LINK_STATES => Self::LinkStates(decode(WHAT, body, is_newer)?),
            kind::FORWARD => Self::Forward(decode(WHAT, body, is_newer)?),
            kind::RECEIPTS => Self::Receipts(decode(WHAT, body, is_newer)?),
            kind::CUSTODY => Self::Custody(decode(WHAT, body, is_newer)?),
            kind::CUSTODY_RESULT => Self::CustodyResult(decode(WHAT, body, is_newer)?),
            kind::ROUTED_PING => Self::RoutedPing(decode(WHAT, body, is_newer)?),
            kind::SWIM => Self::Swim(decode(WHAT, body, is_newer)?),
            kind::SYNC_HAVE => Self::SyncHave(decode(WHAT, body, is_newer)?),
            kind::SYNC_PARTS => Self::SyncParts(decode(WHAT, body, is_newer)?),
            kind::SNAPSHOT_REQUEST => Self::SnapshotRequest(decode(WHAT, body, is_newer)?),
            kind::SNAPSHOT_CHUNK => Self::SnapshotChunk(decode(WHAT, body, is_newer)?),
            kind::TABLE_DIGESTS => Self::TableDigests(decode(WHAT, body, is_newer)?),
            kind::CONFIG_QUESTION => Self::ConfigQuestion(decode(WHAT, body, is_newer)?),
            kind::CONFIG_ANSWER => Self::ConfigAnswer(decode(WHAT, body, is_newer)?),
            kind::ORIGIN_OWNERS => Self::OriginOwners(decode(WHAT, body, is_newer)?),
            kind => return Err(DecodeError::UnknownKind { kind }),
        };
        frame.check_bounds().map_err(|what| DecodeError::Malformed { what })?;
        Ok(frame)
    }
}
