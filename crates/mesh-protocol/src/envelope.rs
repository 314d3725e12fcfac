//! The sealed form of a message. This module knows the fields; `mesh-crypto` knows the keys.

use serde::{Deserialize, Serialize};

use crate::codec::{ByteCount, decode, encode, encode_into};
use crate::{
    DecodeError, EncodeError, KeyId, MESSAGE_BYTES_MAX, MessageId, PeerId, ProtocolVersion,
    Signature, UnixMillis,
};

/// What everybody on the way may read; every bit of it is authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeHeader {
    /// The version of the sealed form.
    pub version: ProtocolVersion,
    /// The message inside.
    pub message_id: MessageId,
    /// The sender, whose node key signs the envelope.
    pub from: PeerId,
    /// The one member that can open it. A sealed broadcast is one envelope per member.
    pub to: PeerId,
    /// When the message was written, by the sender's clock.
    pub timestamp: UnixMillis,
    /// Which of the receiver's sealing keys the envelope is for.
    pub sealing_key_id: KeyId,
    /// Which secret of the pair is mixed in; none when the two have never linked.
    pub pair_key_id: Option<KeyId>,
    /// HPKE encapsulated key (RFC 9180 §4.1, DHKEM(X25519, HKDF-SHA256)).
    pub encapsulated_key: [u8; 32],
    /// Makes the message's key unique among those of one encapsulation.
    pub salt: [u8; 16],
}

impl EnvelopeHeader {
    /// The exact bytes that are authenticated and signed.
    ///
    /// # Errors
    /// Never for a header made of fixed-size fields; the type keeps callers free of panics.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self, 1024)
    }
}

/// A message sealed to one receiver and signed by its sender.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// What everybody on the way may read.
    pub header: EnvelopeHeader,
    /// Sealed [`MeshMessage`](crate::MeshMessage) bytes with the AES-256-GCM tag behind them.
    #[serde(with = "serde_bytes")]
    pub ciphertext: Vec<u8>,
    /// Ed25519 signature of the sender over header and ciphertext.
    pub signature: Signature,
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Envelope")
            .field("header", &self.header)
            .field("ciphertext", &ByteCount(self.ciphertext.len()))
            .finish_non_exhaustive()
    }
}

impl Envelope {
    /// Room for the header, tag and signature around a message of the largest size.
    const BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1024;

    /// Encodes the envelope.
    ///
    /// # Errors
    /// [`EncodeError`] when the content is too large.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self, Self::BYTES_MAX)
    }

    pub(crate) fn encode_into(&self, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_into(self, Self::BYTES_MAX, bytes)
    }

    /// Decodes an envelope. Nothing in it has been checked against a key.
    ///
    /// # Errors
    /// [`DecodeError`]: a newer major version, too large, or not an envelope.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "envelope";
        if bytes.len() > Self::BYTES_MAX {
            return Err(DecodeError::TooLarge {
                bytes: bytes.len() as u64,
                bytes_max: Self::BYTES_MAX,
            });
        }
        let Some((&[major, minor], _)) = bytes.split_first_chunk::<2>() else {
            return Err(DecodeError::Malformed { what: WHAT });
        };
        let theirs = ProtocolVersion { major, minor };
        if major != ProtocolVersion::CURRENT.major {
            return Err(DecodeError::Version { theirs });
        }
        decode(WHAT, bytes, theirs > ProtocolVersion::CURRENT)
    }
}
