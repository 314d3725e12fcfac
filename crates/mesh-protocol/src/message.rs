//! The message and its wire form.

use serde::{Deserialize, Serialize};

use crate::codec::{decode, encode};
use crate::{
    DecodeError, EncodeError, Envelope, MESSAGE_BYTES_MAX, MessageId, Payload, PeerId,
    ProtocolVersion, UnixMillis,
};

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipient {
    /// One member.
    Peer(PeerId),
    /// Every member at the time of sending.
    Broadcast,
}

/// How a message is or was protected between sender and receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// By the TLS link between the two.
    Link,
    /// Sealed end to end as well: nobody between them can read it.
    Sealed,
}

/// What one member says to another, or to all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshMessage {
    /// Unique; receivers drop a second message with the same id.
    pub message_id: MessageId,
    /// The member that wrote it.
    pub from: PeerId,
    /// Whom it is for.
    pub to: Recipient,
    /// What it says.
    pub payload: Payload,
    /// How it travels.
    pub encryption: Encryption,
    /// When it was written, by the sender's clock.
    pub timestamp: UnixMillis,
}

/// The bytes of a [`MeshMessage`]: what is sealed, or carried in the open inside a link.
#[derive(Serialize, Deserialize)]
struct RawMessage {
    version: ProtocolVersion,
    message_id: MessageId,
    from: PeerId,
    to: Recipient,
    encryption: Encryption,
    timestamp: UnixMillis,
    payload_kind: u16,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
}

impl MeshMessage {
    /// Encodes the message.
    ///
    /// # Errors
    /// [`EncodeError`] when it exceeds [`MESSAGE_BYTES_MAX`] or a field's bound.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let raw = RawMessage {
            version: ProtocolVersion::CURRENT,
            message_id: self.message_id,
            from: self.from,
            to: self.to,
            encryption: self.encryption,
            timestamp: self.timestamp,
            payload_kind: self.payload.kind(),
            payload: self.payload.encode_body()?,
        };
        encode(&raw, MESSAGE_BYTES_MAX)
    }

    /// Decodes a message.
    ///
    /// # Errors
    /// [`DecodeError`]: a newer major version, too large, or not a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "message";
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                bytes: bytes.len() as u64,
                bytes_max: MESSAGE_BYTES_MAX,
            });
        }
        // The version stands first and decides how the rest is read.
        let Some((&[major, minor], _)) = bytes.split_first_chunk::<2>() else {
            return Err(DecodeError::Malformed { what: WHAT });
        };
        let theirs = ProtocolVersion { major, minor };
        if major != ProtocolVersion::CURRENT.major {
            return Err(DecodeError::Version { theirs });
        }
        let is_newer = theirs > ProtocolVersion::CURRENT;
        let raw: RawMessage = decode(WHAT, bytes, is_newer)?;
        let payload = Payload::decode_body(raw.payload_kind, &raw.payload, is_newer)?;
        Ok(Self {
            message_id: raw.message_id,
            from: raw.from,
            to: raw.to,
            payload,
            encryption: raw.encryption,
            timestamp: raw.timestamp,
        })
    }
}

/// A message as it is stored and travels: in the open inside a link, or sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireMessage {
    /// Readable by the link's two ends.
    Plain(MeshMessage),
    /// Readable by the receiver alone.
    Sealed(Envelope),
}

impl WireMessage {
    const PLAIN: u8 = 0;
    const SEALED: u8 = 1;

    /// Encodes the form and the message.
    ///
    /// # Errors
    /// [`EncodeError`] when a bound is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let (form, body) = match self {
            Self::Plain(message) => (Self::PLAIN, message.encode()?),
            Self::Sealed(envelope) => (Self::SEALED, envelope.encode()?),
        };
        let mut bytes = Vec::with_capacity(body.len() + 1);
        bytes.push(form);
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Decodes either form.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are neither.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&Self::PLAIN, body)) => MeshMessage::decode(body).map(Self::Plain),
            Some((&Self::SEALED, body)) => Envelope::decode(body).map(Self::Sealed),
            Some(_) | None => Err(DecodeError::Malformed { what: "message form" }),
        }
    }

    /// The message's id.
    #[must_use]
    pub const fn message_id(&self) -> MessageId {
        match self {
            Self::Plain(message) => message.message_id,
            Self::Sealed(envelope) => envelope.header.message_id,
        }
    }

    /// The message's sender. For the sealed form it is a claim until the signature was checked.
    #[must_use]
    pub const fn from(&self) -> PeerId {
        match self {
            Self::Plain(message) => message.from,
            Self::Sealed(envelope) => envelope.header.from,
        }
    }
}
