//! What a message can say. Each kind is a frozen structure: a newer minor version appends fields,
//! and kinds are added, never changed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::codec::{binary, binary_array, check_count, decode, encode};
use crate::{
    APP_TYPE_BYTES_MAX, DecodeError, EncodeError, ErrorCode, JsonText, MESSAGE_BYTES_MAX,
    MessageId, ParseError, PeerId, TEXT_BYTES_MAX, UnixMillis,
};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// One change of the shared configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigUpdate {
    /// Dotted key.
    pub key: String,
    /// The new value; none when the key was removed.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The kind's number on the wire; [`Unknown::KIND_NAMED`] when it came as JSON with an unknown name.
    pub kind: u16,
    /// The kind's bytes; the whole JSON document for [`Unknown::KIND_NAMED`].
    pub body: Vec<u8>,
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

    /// Encodes the kind's structure, without the kind.
    pub(crate) fn encode_body(&self) -> Result<Vec<u8>, EncodeError> {
        const MAX: usize = MESSAGE_BYTES_MAX;
        match self {
            Self::DatabaseSync(body) => encode(body, MAX),
            Self::FileTransfer(body) => encode(body, MAX),
            Self::MediaStream(body) => encode(body, MAX),
            Self::ConfigUpdate(body) => encode(body, MAX),
            Self::CustomJson(body) if body.app_type.len() > APP_TYPE_BYTES_MAX => {
                Err(EncodeError::FieldTooLarge { what: "app_type" })
            }
            Self::CustomJson(body) => encode(body, MAX),
            Self::Ping(body) => encode(body, MAX),
            Self::Pong(body) => encode(body, MAX),
            Self::Ack(body) => encode(body, MAX),
            Self::Error(body) if body.message.len() > TEXT_BYTES_MAX => {
                Err(EncodeError::FieldTooLarge { what: "message" })
            }
            Self::Error(body) => encode(body, MAX),
            Self::Unknown(unknown) if unknown.body.len() > MAX => {
                Err(EncodeError::TooLarge { bytes_max: MAX })
            }
            Self::Unknown(unknown) => Ok(unknown.body.clone()),
        }
    }

    /// Decodes the structure of `kind`; a kind that is not known is kept as it came.
    pub(crate) fn decode_body(kind: u16, body: &[u8], is_newer: bool) -> Result<Self, DecodeError> {
        const WHAT: &str = "payload";
        Ok(match kind {
            kind::DATABASE_SYNC => Self::DatabaseSync(decode(WHAT, body, is_newer)?),
            kind::FILE_TRANSFER => Self::FileTransfer(decode(WHAT, body, is_newer)?),
            kind::MEDIA_STREAM => Self::MediaStream(decode(WHAT, body, is_newer)?),
            kind::CONFIG_UPDATE => Self::ConfigUpdate(decode(WHAT, body, is_newer)?),
            kind::CUSTOM_JSON => {
                let custom: CustomJson = decode(WHAT, body, is_newer)?;
                check_count("app_type", custom.app_type.len(), APP_TYPE_BYTES_MAX)?;
                Self::CustomJson(custom)
            }
            kind::PING => Self::Ping(decode(WHAT, body, is_newer)?),
            kind::PONG => Self::Pong(decode(WHAT, body, is_newer)?),
            kind::ACK => Self::Ack(decode(WHAT, body, is_newer)?),
            kind::ERROR => {
                let notice: ErrorNotice = decode(WHAT, body, is_newer)?;
                check_count("message", notice.message.len(), TEXT_BYTES_MAX)?;
                Self::Error(notice)
            }
            _ => Self::Unknown(Unknown { kind, body: body.to_vec() }),
        })
    }

    /// The JSON form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let data = match self {
            Self::DatabaseSync(body) => serde_json::to_value(body),
            Self::FileTransfer(body) => serde_json::to_value(body),
            Self::MediaStream(body) => serde_json::to_value(body),
            Self::ConfigUpdate(body) => serde_json::to_value(body),
            Self::CustomJson(body) => serde_json::to_value(body),
            Self::Ping(body) => serde_json::to_value(body),
            Self::Pong(body) => serde_json::to_value(body),
            Self::Ack(body) => serde_json::to_value(body),
            Self::Error(body) => serde_json::to_value(body),
            Self::Unknown(Unknown { kind: Unknown::KIND_NAMED, body })
                if serde_json::from_slice::<Value>(body).is_ok() =>
            {
                return serde_json::from_slice(body).unwrap_or(Value::Null);
            }
            Self::Unknown(Unknown { kind, body }) => {
                binary::serialize(body, serde_json::value::Serializer)
                    .map(|body| json!({ "kind": kind, "body": body }))
            }
        };
        // Every structure above has string keys only, which is all that the conversion can fail on.
        json!({ "type": self.type_name(), "data": data.unwrap_or(Value::Null) })
    }

    /// Reads the JSON form; a type that is not known is kept as it came.
    ///
    /// # Errors
    /// [`ParseError::Characters`] when the document has no `type`, or its `data` does not fit the type.
    pub fn from_json(document: &Value) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        struct RawUnknown {
            kind: u16,
            #[serde(with = "binary")]
            body: Vec<u8>,
        }
        const WHAT: &str = "payload";
        let wrong = |_| ParseError::Characters { what: WHAT };
        let type_name = document
            .get("type")
            .and_then(Value::as_str)
            .ok_or(ParseError::Characters { what: WHAT })?;
        let data = document.get("data").cloned().unwrap_or(Value::Null);
        Ok(match type_name {
            "database_sync" => Self::DatabaseSync(serde_json::from_value(data).map_err(wrong)?),
            "file_transfer" => Self::FileTransfer(serde_json::from_value(data).map_err(wrong)?),
            "media_stream" => Self::MediaStream(serde_json::from_value(data).map_err(wrong)?),
            "config_update" => Self::ConfigUpdate(serde_json::from_value(data).map_err(wrong)?),
            "custom_json" => Self::CustomJson(serde_json::from_value(data).map_err(wrong)?),
            "ping" => Self::Ping(serde_json::from_value(data).map_err(wrong)?),
            "pong" => Self::Pong(serde_json::from_value(data).map_err(wrong)?),
            "ack" => Self::Ack(serde_json::from_value(data).map_err(wrong)?),
            "error" => Self::Error(serde_json::from_value(data).map_err(wrong)?),
            "unknown" => {
                let raw: RawUnknown = serde_json::from_value(data).map_err(wrong)?;
                Self::Unknown(Unknown { kind: raw.kind, body: raw.body })
            }
            _ => Self::Unknown(Unknown {
                kind: Unknown::KIND_NAMED,
                body: document.to_string().into_bytes(),
            }),
        })
    }
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        Self::from_json(&document).map_err(serde::de::Error::custom)
    }
}
