//! What a push's stream carries: kind `u8`, length of the body `u32`, the body in the compact form.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    ChunkRange, ChunkRanges, PushAnswer, PushOffer, PushProblem, PushResult, RollbackOffer,
};
use crate::codec::{ByteCount, check_count, compact, list};
use crate::{
    CHUNK_BYTES_MAX, CHUNK_HEAD_BYTES, ChunkId, DecodeError, EncodeError, PAGE_BYTES_MAX,
    PAGE_IDS_MAX, PUSH_BODY_BYTES_MAX, PUSH_HEADER_BYTES, PeerId, PushId,
};

const CHUNK_BODY_BYTES_MAX: usize = CHUNK_HEAD_BYTES + CHUNK_BYTES_MAX as usize;

/// Names of pages, in the order of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageIds {
    /// Number of the first one, from 0.
    pub first: u64,
    /// The names.
    #[serde(deserialize_with = "list::<_, _, PAGE_IDS_MAX>")]
    pub ids: Vec<ChunkId>,
}

/// Pages that the receiver has not got from an earlier push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageNeed {
    /// Their numbers.
    pub pages: ChunkRanges,
    /// Whether no more will be asked for.
    pub is_last: bool,
}

/// A page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageOf {
    /// Its number.
    pub number: u64,
    /// An encoded [`ManifestPage`](super::ManifestPage).
    #[serde(with = "serde_bytes")]
    pub page: Vec<u8>,
}

impl fmt::Debug for PageOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageOf")
            .field("number", &self.number)
            .field("page", &ByteCount(self.page.len()))
            .finish()
    }
}

/// Chunks that whoever asks lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkNeed {
    /// Their numbers.
    pub chunks: ChunkRanges,
    /// Whether no more will be asked for, unless what was asked for does not come.
    pub is_last: bool,
}

/// Tells a target which other one to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSource {
    /// That one.
    pub from: PeerId,
    /// For what of these it lacks.
    pub chunks: ChunkRange,
}

/// Opens a stream between two targets: what follows from here is a [`ChunkNeed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// The push.
    pub push_id: PushId,
    /// The manifest that numbers are about.
    #[serde(with = "crate::codec::fixed")]
    pub manifest: [u8; 32],
}

/// What stands in front of a chunk's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// The chunk's number.
    pub number: u64,
    /// How many bytes the chunk has.
    pub raw_bytes: u32,
    /// Whether they are compressed by zstd, and then fewer.
    pub is_compressed: bool,
}

impl ChunkHead {
    /// Header and head of a chunk of which `body` is what travels. The bytes follow as they are.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLarge`] when the lengths do not fit each other or their bounds.
    pub fn encode(
        self,
        body: &[u8],
    ) -> Result<[u8; PUSH_HEADER_BYTES + CHUNK_HEAD_BYTES], EncodeError> {
        const TOO_LARGE: EncodeError = EncodeError::FieldTooLarge { what: "chunk" };
        self.check(body).map_err(|what| EncodeError::FieldTooLarge { what })?;
        let body_bytes = u32::try_from(CHUNK_HEAD_BYTES + body.len()).map_err(|_| TOO_LARGE)?;
        let [l0, l1, l2, l3] = body_bytes.to_le_bytes();
        let [n0, n1, n2, n3, n4, n5, n6, n7] = self.number.to_le_bytes();
        let [r0, r1, r2, r3] = self.raw_bytes.to_le_bytes();
        let form = u8::from(self.is_compressed);
        Ok([kind::CHUNK, l0, l1, l2, l3, n0, n1, n2, n3, n4, n5, n6, n7, form, r0, r1, r2, r3])
    }

    /// Splits a chunk's body. The bytes are as they came: nothing was unpacked.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`].
    pub fn decode(body: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        const MALFORMED: DecodeError = DecodeError::Malformed { what: "chunk" };
        let (head, bytes) = body.split_first_chunk::<CHUNK_HEAD_BYTES>().ok_or(MALFORMED)?;
        let [n0, n1, n2, n3, n4, n5, n6, n7, form, r0, r1, r2, r3] = *head;
        let is_compressed = match form {
            0 => false,
            1 => true,
            _ => return Err(MALFORMED),
        };
        let head = Self {
            number: u64::from_le_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            raw_bytes: u32::from_le_bytes([r0, r1, r2, r3]),
            is_compressed,
        };
        head.check(bytes).map_err(|what| DecodeError::Malformed { what })?;
        Ok((head, bytes))
    }

    const fn check(self, body: &[u8]) -> Result<(), &'static str> {
        let raw = self.raw_bytes as usize;
        let is_sized = raw > 0 && self.raw_bytes <= CHUNK_BYTES_MAX;
        let fits = if self.is_compressed {
            !body.is_empty() && body.len() < raw
        } else {
            body.len() == raw
        };
        if is_sized && fits { Ok(()) } else { Err("chunk") }
    }
}

/// A chunk with its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    /// What it is.
    pub head: ChunkHead,
    /// The bytes, compressed or not.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("head", &self.head)
            .field("bytes", &ByteCount(self.bytes.len()))
            .finish()
    }
}

/// One structure on a push's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushMessage {
    /// Opens the stream of a sender to a target.
    Offer(PushOffer),
    /// Answers it.
    Answer(PushAnswer),
    /// What the manifest's pages are.
    PageIds(PageIds),
    /// Which of them the target lacks.
    PageNeed(PageNeed),
    /// One of these.
    Page(PageOf),
    /// Which chunks the target lacks.
    Need(ChunkNeed),
    /// Chunks that the target has, since it last said so.
    Have(ChunkRanges),
    /// Where else to ask for some.
    Source(ChunkSource),
    /// Opens the stream of a target to another one.
    Fetch(Fetch),
    /// A chunk.
    Chunk(Chunk),
    /// What a step came to.
    Result(PushResult),
    /// Whoever says this goes no further with this push, or does not serve it.
    Stop(PushProblem),
    /// Opens the stream of one who takes a push back to a target of that push. An answer and results follow.
    Rollback(RollbackOffer),
}

mod kind {
    pub(super) const OFFER: u8 = 1;
    pub(super) const ANSWER: u8 = 2;
    pub(super) const PAGE_IDS: u8 = 3;
    pub(super) const PAGE_NEED: u8 = 4;
    pub(super) const PAGE: u8 = 5;
    pub(super) const NEED: u8 = 6;
    pub(super) const HAVE: u8 = 7;
    pub(super) const SOURCE: u8 = 8;
    pub(super) const FETCH: u8 = 9;
    pub(super) const CHUNK: u8 = 10;
    pub(super) const RESULT: u8 = 11;
    pub(super) const STOP: u8 = 12;
    pub(super) const ROLLBACK: u8 = 13;
}

/// The five bytes in front of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushHeader {
    /// The kind of structure.
    pub kind: u8,
    /// Length of the body, checked against the bound of the kind.
    pub body_bytes: usize,
}

impl PushHeader {
    /// Reads a header. Nothing of the body is needed, so a body that is too large is never buffered.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`]. A kind that is not known passes, so that its body can be skipped.
    pub fn decode(bytes: &[u8; PUSH_HEADER_BYTES]) -> Result<Self, DecodeError> {
        let [kind, l0, l1, l2, l3] = *bytes;
        let announced = u32::from_le_bytes([l0, l1, l2, l3]);
        let body_bytes = usize::try_from(announced).unwrap_or(usize::MAX);
        let bytes_max =
            if kind == kind::CHUNK { CHUNK_BODY_BYTES_MAX } else { PUSH_BODY_BYTES_MAX };
        if body_bytes > bytes_max {
            return Err(DecodeError::TooLarge { bytes: u64::from(announced), bytes_max });
        }
        Ok(Self { kind, body_bytes })
    }

    /// Whether the body is a chunk, which [`ChunkHead::decode`] reads without copying its bytes.
    #[must_use]
    pub const fn is_chunk(&self) -> bool {
        self.kind == kind::CHUNK
    }
}

impl PushMessage {
    /// Encodes header and body.
    ///
    /// # Errors
    /// [`EncodeError`] when the body or a field exceeds its bound.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        const MAX: usize = PUSH_BODY_BYTES_MAX;
        // What the other side would refuse is not sent.
        self.check_bounds().map_err(|what| EncodeError::FieldTooLarge { what })?;
        let (kind, body) = match self {
            Self::Offer(body) => (kind::OFFER, compact::encode(body, MAX)?),
            Self::Answer(body) => (kind::ANSWER, compact::encode(body, MAX)?),
            Self::PageIds(body) => (kind::PAGE_IDS, compact::encode(body, MAX)?),
            Self::PageNeed(body) => (kind::PAGE_NEED, compact::encode(body, MAX)?),
            Self::Page(body) => (kind::PAGE, compact::encode(body, MAX)?),
            Self::Need(body) => (kind::NEED, compact::encode(body, MAX)?),
            Self::Have(body) => (kind::HAVE, compact::encode(body, MAX)?),
            Self::Source(body) => (kind::SOURCE, compact::encode(body, MAX)?),
            Self::Fetch(body) => (kind::FETCH, compact::encode(body, MAX)?),
            Self::Chunk(Chunk { head, bytes }) => {
                return Ok([&head.encode(bytes)?[..], bytes].concat());
            }
            Self::Result(body) => (kind::RESULT, compact::encode(body, MAX)?),
            Self::Stop(body) => (kind::STOP, compact::encode(body, MAX)?),
            Self::Rollback(body) => (kind::ROLLBACK, compact::encode(body, MAX)?),
        };
        let body_bytes =
            u32::try_from(body.len()).map_err(|_| EncodeError::TooLarge { bytes_max: MAX })?;
        Ok([&[kind][..], &body_bytes.to_le_bytes(), &body].concat())
    }

    /// Decodes the body that `header` announced.
    ///
    /// # Errors
    /// [`DecodeError::UnknownKind`] for a kind that may be skipped, else what is wrong with the body.
    pub fn decode(header: PushHeader, body: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "message of a push";
        const MAX: usize = PUSH_BODY_BYTES_MAX;
        if body.len() != header.body_bytes {
            return Err(DecodeError::Malformed { what: WHAT });
        }
        let message = match header.kind {
            kind::OFFER => Self::Offer(compact::decode(WHAT, body, MAX)?),
            kind::ANSWER => Self::Answer(compact::decode(WHAT, body, MAX)?),
            kind::PAGE_IDS => Self::PageIds(compact::decode(WHAT, body, MAX)?),
            kind::PAGE_NEED => Self::PageNeed(compact::decode(WHAT, body, MAX)?),
            kind::PAGE => Self::Page(compact::decode(WHAT, body, MAX)?),
            kind::NEED => Self::Need(compact::decode(WHAT, body, MAX)?),
            kind::HAVE => Self::Have(compact::decode(WHAT, body, MAX)?),
            kind::SOURCE => Self::Source(compact::decode(WHAT, body, MAX)?),
            kind::FETCH => Self::Fetch(compact::decode(WHAT, body, MAX)?),
            kind::CHUNK => {
                let (head, bytes) = ChunkHead::decode(body)?;
                Self::Chunk(Chunk { head, bytes: bytes.to_vec() })
            }
            kind::RESULT => Self::Result(compact::decode(WHAT, body, MAX)?),
            kind::STOP => Self::Stop(compact::decode(WHAT, body, MAX)?),
            kind::ROLLBACK => Self::Rollback(compact::decode(WHAT, body, MAX)?),
            kind => return Err(DecodeError::UnknownKind { kind: u16::from(kind) }),
        };
        message.check_bounds().map_err(|what| DecodeError::Malformed { what })?;
        Ok(message)
    }

    /// Names the field that breaks its bound, if one does.
    fn check_bounds(&self) -> Result<(), &'static str> {
        match self {
            Self::Offer(offer) => offer.check_bounds(),
            Self::Answer(answer) => answer.check_bounds(),
            Self::PageIds(ids) => {
                check_count("page names", ids.ids.len(), PAGE_IDS_MAX)?;
                match ids.first.checked_add(PAGE_IDS_MAX as u64) {
                    Some(_) => Ok(()),
                    None => Err("page number"),
                }
            }
            Self::Page(page) => check_count("page", page.page.len(), PAGE_BYTES_MAX),
            Self::Source(source) => {
                let ChunkRange { first, count } = source.chunks;
                let is_sound = count > 0 && first.checked_add(count).is_some();
                if is_sound { Ok(()) } else { Err("range") }
            }
            Self::Result(result) => result.check_bounds(),
            Self::Stop(problem) => problem.check_bounds(),
            Self::Rollback(rollback) => rollback.check_bounds(),
            // A chunk's lengths are checked with its head, ranges by their form.
            Self::PageNeed(_) | Self::Need(_) | Self::Have(_) | Self::Fetch(_) | Self::Chunk(_) => {
                Ok(())
            }
        }
    }
}
