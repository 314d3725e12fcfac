//! What a message can say. Each kind is a frozen structure: a newer minor version appends fields,
//! and kinds are added, never changed.

use serde::{Deserialize, Serialize};

use crate::codec::{ByteCount, binary, binary_array, check_count, decode, encode_into};
use crate::{
    APP_TYPE_BYTES_MAX, DecodeError, EncodeError, ErrorCode, JsonText, MESSAGE_BYTES_MAX,
    MessageId, PeerId, TEXT_BYTES_MAX, UnixMillis,
};

mod json;

/// The content of a message.
///
/// In JSON: `{"type": "custom_json", "data": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// One replicated write of a table.
    DatabaseSync(DatabaseSync),
    /// One chunk of a file.
    FileTransfer(FileTransfer),
    /// One piece of a live audio or video stream.
    MediaStream(MediaStream),
    /// One change of the shared configuration.
    ConfigUpdate(ConfigUpdate),
    /// What applications say to each other.
    CustomJson(CustomJson),
    /// Asks for a [`Payload::Pong`].
    Ping(Ping),
    /// Answers a [`Payload::Ping`].
    Pong(Pong),
    /// Says that a message was committed by its receiver.
    Ack(Ack),
    /// Says that a message or request was refused.
    Error(ErrorNotice),
    /// A kind of a newer version, kept as it came.
    Unknown(Unknown),
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseOperation {
    /// The row was born.
    Insert,
    /// Some of its columns were written.
    Update,
    /// The row was deleted.
    Delete,
}

/// One replicated write. A transaction is the run of them with the same `sequence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSync {
    /// The peer that made the write.
    pub origin: PeerId,
    /// The origin's transaction number, without gaps.
    pub sequence: u64,
    /// Position of this write in its transaction, from 0.
    pub index: u32,
    /// Set on the last write of the transaction.
    pub is_final: bool,
    /// Hybrid logical clock: Unix milliseconds `<< 16` | counter.
    pub stamp: u64,
    /// The table.
    pub table: String,
    /// What happened to the row.
    pub operation: DatabaseOperation,
    /// The primary key: column → value.
    pub key: JsonText,
    /// The written columns: column → value.
    pub data: JsonText,
}

/// One chunk of a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTransfer {
    /// Names the transfer that the chunk belongs to.
    #[serde(with = "binary_array")]
    pub transfer_id: [u8; 16],
    /// Where the file goes, relative to the receiving root, `/` between parts.
    pub path: String,
    /// Unix permission bits.
    pub mode: u32,
    /// Size of the whole file, bytes.
    pub file_bytes_total: u64,
    /// BLAKE3 of the whole file.
    #[serde(with = "binary_array")]
    pub file_checksum: [u8; 32],
    /// Number of this chunk, from 0.
    pub chunk_index: u32,
    /// Number of chunks of the file.
    pub chunk_count: u32,
    /// Where the chunk starts in the file, bytes.
    pub offset: u64,
    /// The bytes.
    #[serde(with = "binary")]
    pub chunk_data: Vec<u8>,
    /// BLAKE3 of `chunk_data`.
    #[serde(with = "binary_array")]
    pub checksum: [u8; 32],
    /// Set on the last chunk.
    pub is_final: bool,
}

impl std::fmt::Debug for FileTransfer {
    /// Shows where the chunk belongs: its path and bytes are the user's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileTransfer")
            .field("chunk_index", &self.chunk_index)
            .field("chunk_count", &self.chunk_count)
            .field("chunk_data", &ByteCount(self.chunk_data.len()))
            .finish_non_exhaustive()
    }
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaType {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// One piece of a live stream.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaStream {
    /// Names the stream.
    #[serde(with = "binary_array")]
    pub stream_id: [u8; 16],
    /// What the stream carries.
    pub media_type: MediaType,
    /// The codec by its registered name, such as `opus` or `avc1.64001f`.
    pub codec: String,
    /// Number of this piece, from 0, without gaps.
    pub sequence: u64,
    /// Time of presentation since the stream's start, microseconds.
    pub presentation_micros: u64,
    /// Set when the piece can be decoded without earlier ones.
    pub is_keyframe: bool,
    /// Set on the last piece.
    pub is_final: bool,
    /// The bytes.
    #[serde(with = "binary")]
    pub data: Vec<u8>,
}

impl std::fmt::Debug for MediaStream {
    /// Shows where the piece belongs: its bytes are the user's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaStream")
            .field("media_type", &self.media_type)
            .field("codec", &self.codec)
            .field("sequence", &self.sequence)
            .field("data", &ByteCount(self.data.len()))
            .finish_non_exhaustive()
    }
}

/// One change of the shared configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ConfigUpdate {
    /// Dotted key.
    pub key: String,
    /// The new value; none when the key was removed. In JSON a removal has no such member, because
    /// `null` is a value.
    #[serde(default, deserialize_with = "json::present")]
    pub value: Option<JsonText>,
    /// The key's version after the change, from 1.
    pub version: u64,
    /// Who made the change.
    pub author: PeerId,
    /// Hybrid logical clock of the change.
    pub stamp: u64,
}

/// What applications say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomJson {
    /// Names the application and the meaning of `data`; at most 128 bytes.
    pub app_type: String,
    /// The document.
    pub data: JsonText,
}

/// Asks for a [`Pong`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Comes back in the answer.
    pub nonce: u64,
    /// The asker's clock.
    pub sent_at: UnixMillis,
}

/// Answers a [`Ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The nonce of the question.
    pub nonce: u64,
    /// The asker's clock, unchanged.
    pub ping_sent_at: UnixMillis,
    /// The answerer's clock.
    pub sent_at: UnixMillis,
}

/// Says that a message was committed by its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The message that was committed.
    pub message_id: MessageId,
    /// When, by the receiver's clock.
    pub received_at: UnixMillis,
}

/// Says that a message or request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorNotice {
    /// The stable word.
    pub code: ErrorCode,
    /// For people; at most 1,024 bytes.
    pub message: String,
    /// The message that was refused, if it was one.
    pub message_id: Option<MessageId>,
}

/// A payload of a kind that this version does not know, kept byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The kind's number on the wire; [`Unknown::KIND_NAMED`] when it came as JSON with an unknown name.
    pub kind: u16,
    /// The kind's bytes; the whole JSON document for [`Unknown::KIND_NAMED`].
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unknown")
            .field("kind", &self.kind)
            .field("body", &ByteCount(self.body.len()))
            .finish()
    }
}

impl Unknown {
    /// Kind of a payload that is known by name alone.
    pub const KIND_NAMED: u16 = u16::MAX;
}

mod kind {
    pub(super) const DATABASE_SYNC: u16 = 1;
    pub(super) const FILE_TRANSFER: u16 = 2;
    pub(super) const MEDIA_STREAM: u16 = 3;
    pub(super) const CONFIG_UPDATE: u16 = 4;
    pub(super) const CUSTOM_JSON: u16 = 5;
    pub(super) const PING: u16 = 6;
    pub(super) const PONG: u16 = 7;
    pub(super) const ACK: u16 = 8;
    pub(super) const ERROR: u16 = 9;
}

impl Payload {
    /// The kind's number on the wire.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::DatabaseSync(_) => kind::DATABASE_SYNC,
            Self::FileTransfer(_) => kind::FILE_TRANSFER,
            Self::MediaStream(_) => kind::MEDIA_STREAM,
            Self::ConfigUpdate(_) => kind::CONFIG_UPDATE,
            Self::CustomJson(_) => kind::CUSTOM_JSON,
            Self::Ping(_) => kind::PING,
            Self::Pong(_) => kind::PONG,
            Self::Ack(_) => kind::ACK,
            Self::Error(_) => kind::ERROR,
            Self::Unknown(unknown) => unknown.kind,
        }
    }

    /// The kind's name in JSON; `unknown` for a kind that has none here.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::DatabaseSync(_) => "database_sync",
            Self::FileTransfer(_) => "file_transfer",
            Self::MediaStream(_) => "media_stream",
            Self::ConfigUpdate(_) => "config_update",
            Self::CustomJson(_) => "custom_json",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
            Self::Ack(_) => "ack",
            Self::Error(_) => "error",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Appends the kind's structure, without the kind.
    pub(crate) fn encode_body_into(&self, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        const MAX: usize = MESSAGE_BYTES_MAX;
        // What the other side would refuse is not sent.
        self.check_bounds().map_err(|what| EncodeError::FieldTooLarge { what })?;
        match self {
            Self::DatabaseSync(body) => encode_into(body, MAX, bytes),
            Self::FileTransfer(body) => encode_into(body, MAX, bytes),
            Self::MediaStream(body) => encode_into(body, MAX, bytes),
            Self::ConfigUpdate(body) => encode_into(body, MAX, bytes),
            Self::CustomJson(body) => encode_into(body, MAX, bytes),
            Self::Ping(body) => encode_into(body, MAX, bytes),
            Self::Pong(body) => encode_into(body, MAX, bytes),
            Self::Ack(body) => encode_into(body, MAX, bytes),
            Self::Error(body) => encode_into(body, MAX, bytes),
            Self::Unknown(unknown) if unknown.body.len() > MAX => {
                Err(EncodeError::TooLarge { bytes_max: MAX })
            }
            Self::Unknown(unknown) => {
                bytes.extend_from_slice(&unknown.body);
                Ok(())
            }
        }
    }

    /// Decodes the structure of `kind`; a kind that is not known is kept as it came.
    pub(crate) fn decode_body(kind: u16, body: &[u8], is_newer: bool) -> Result<Self, DecodeError> {
        const WHAT: &str = "payload";
        let payload = match kind {
            kind::DATABASE_SYNC => Self::DatabaseSync(decode(WHAT, body, is_newer)?),
            kind::FILE_TRANSFER => Self::FileTransfer(decode(WHAT, body, is_newer)?),
            kind::MEDIA_STREAM => Self::MediaStream(decode(WHAT, body, is_newer)?),
            kind::CONFIG_UPDATE => Self::ConfigUpdate(decode(WHAT, body, is_newer)?),
            kind::CUSTOM_JSON => Self::CustomJson(decode(WHAT, body, is_newer)?),
            kind::PING => Self::Ping(decode(WHAT, body, is_newer)?),
            kind::PONG => Self::Pong(decode(WHAT, body, is_newer)?),
            kind::ACK => Self::Ack(decode(WHAT, body, is_newer)?),
            kind::ERROR => Self::Error(decode(WHAT, body, is_newer)?),
            _ => Self::Unknown(Unknown { kind, body: body.to_vec() }),
        };
        payload.check_bounds().map_err(|what| DecodeError::Malformed { what })?;
        Ok(payload)
    }

    /// Names the field that breaks its bound, if one does.
    fn check_bounds(&self) -> Result<(), &'static str> {
        let check_depth = |what, document: &JsonText| {
            if document.is_too_deep() { Err(what) } else { Ok(()) }
        };
        match self {
            Self::DatabaseSync(sync) => {
                check_depth("key", &sync.key)?;
                check_depth("data", &sync.data)
            }
            Self::ConfigUpdate(update) => {
                update.value.as_ref().map_or(Ok(()), |value| check_depth("value", value))
            }
            Self::CustomJson(custom) => {
                check_count("app_type", custom.app_type.len(), APP_TYPE_BYTES_MAX)?;
                check_depth("data", &custom.data)
            }
            Self::Error(notice) => check_count("message", notice.message.len(), TEXT_BYTES_MAX),
            // It would read back as that kind, or not at all.
            Self::Unknown(Unknown { kind: kind::DATABASE_SYNC..=kind::ERROR, .. }) => Err("kind"),
            Self::FileTransfer(_)
            | Self::MediaStream(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::Ack(_)
            | Self::Unknown(_) => Ok(()),
        }
    }
}
