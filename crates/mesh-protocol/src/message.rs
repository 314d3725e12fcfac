//! The message and its wire form.

use serde::{Deserialize, Serialize};

use crate::codec::{byte_string_into, decode, encode_into};
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
#[derive(Deserialize)]
struct RawMessage<'a> {
    head: RawHead,
    #[serde(borrow)]
    payload: &'a [u8],
}

/// What stands in front of the payload.
#[derive(Serialize, Deserialize)]
struct RawHead {
    version: ProtocolVersion,
    message_id: MessageId,
    from: PeerId,
    to: Recipient,
    encryption: Encryption,
    timestamp: UnixMillis,
    payload_kind: u16,
}

impl MeshMessage {
    /// Encodes the message.
    ///
    /// # Errors
    /// [`EncodeError`] when it exceeds [`MESSAGE_BYTES_MAX`] or a field's bound.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        self.encode_into(&mut bytes)?;
        Ok(bytes)
    }

    fn encode_into(&self, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        let head = RawHead {
            version: ProtocolVersion::CURRENT,
            message_id: self.message_id,
            from: self.from,
            to: self.to,
            encryption: self.encryption,
            timestamp: self.timestamp,
            payload_kind: self.payload.kind(),
        };
        let starts_at = bytes.len();
        encode_into(&head, MESSAGE_BYTES_MAX, bytes)?;
        byte_string_into(bytes, |bytes| self.payload.encode_body_into(bytes))?;
        if bytes.len() - starts_at > MESSAGE_BYTES_MAX {
            return Err(EncodeError::TooLarge { bytes_max: MESSAGE_BYTES_MAX });
        }
        Ok(())
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
        let RawMessage { head, payload } = decode(WHAT, bytes, is_newer)?;
        Ok(Self {
            message_id: head.message_id,
            from: head.from,
            to: head.to,
            payload: Payload::decode_body(head.payload_kind, payload, is_newer)?,
            encryption: head.encryption,
            timestamp: head.timestamp,
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

/// A [`WireMessage`] that is somebody else's, to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireRef<'a> {
    /// Readable by the link's two ends.
    Plain(&'a MeshMessage),
    /// Readable by the receiver alone.
    Sealed(&'a Envelope),
}

impl WireRef<'_> {
    /// Encodes the form and the message.
    ///
    /// # Errors
    /// [`EncodeError`] when a bound is exceeded.
    pub fn encode(self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        self.encode_into(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn encode_into(self, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Plain(message) => {
                bytes.push(WireMessage::PLAIN);
                message.encode_into(bytes)
            }
            Self::Sealed(envelope) => {
                bytes.push(WireMessage::SEALED);
                envelope.encode_into(bytes)
            }
        }
    }
}

impl WireMessage {
    const PLAIN: u8 = 0;
    const SEALED: u8 = 1;

    /// Encodes the form and the message.
    ///
    /// # Errors
    /// [`EncodeError`] when a bound is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.as_ref().encode()
    }

    /// The same without taking it.
    #[must_use]
    pub const fn as_ref(&self) -> WireRef<'_> {
        match self {
            Self::Plain(message) => WireRef::Plain(message),
            Self::Sealed(envelope) => WireRef::Sealed(envelope),
        }
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
