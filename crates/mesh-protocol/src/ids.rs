//! Identities and keys as values: fixed byte strings with one text form each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::ParseError;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            let digit = HEX_DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            f.write_char(char::from(digit))?;
        }
    }
    Ok(())
}

fn read_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], ParseError> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(ParseError::Length { what, bytes: digits.len() });
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                b'A'..=b'F' => digit - b'A' + 10,
                _ => return Err(ParseError::Characters { what }),
            };
            value = value << 4 | nibble;
        }
        *byte = value;
    }
    Ok(out)
}

/// An id is text where people read, and its bytes on the wire.
macro_rules! text_or_bytes {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    crate::codec::fixed::serialize(&self.0, serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    crate::codec::fixed::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

/// Defines a newtype over a byte array: hex in text and JSON, raw bytes on the wire.
macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $bytes;

            /// Wraps the raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Reads the raw bytes.
            ///
            /// # Errors
            /// [`ParseError::Length`] when `bytes` has another length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, ParseError> {
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| ParseError::Length { what: $what, bytes: bytes.len() })
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first eight hexadecimal digits, for people and logs; not unique.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                read_hex($what, text).map(Self)
            }
        }

        text_or_bytes!($name);
    };
}

byte_id!(
    /// Identity of a peer: its Ed25519 public key. A hostname is only a label of it.
    PeerId, 32, "peer id"
);
byte_id!(
    /// Identity of a mesh: the digest of its founding record.
    MeshId, 32, "mesh id"
);
byte_id!(
    /// One database among those of the members: drawn at random, and drawn anew when a copy is restored.
    OriginId, 16, "origin id"
);
byte_id!(
    /// One table: the digest of its name, its definition and the dropped table that it replaces. Peers that
    /// create the same table have the same id; peers that create it differently do not.
    TableId, 16, "table id"
);
byte_id!(
    /// Identity of a membership record: the digest of its signed bytes and signer.
    RecordId, 32, "record id"
);
byte_id!(
    /// An X25519 public key that messages to a peer are sealed to.
    SealingPublicKey, 32, "sealing key"
);
byte_id!(
    /// An Ed25519 signature.
    Signature, 64, "signature"
);
byte_id!(
    /// A piece of a file, or a page of a manifest: the BLAKE3 of its bytes.
    ChunkId, 32, "chunk id"
);
byte_id!(
    /// Names a join token without revealing its secret.
    TokenId, 16, "token id"
);
byte_id!(
    /// Names a secret or sealing key without revealing it: a truncated digest.
    KeyId, 16, "key id"
);

/// Defines a UUIDv7 (RFC 9562 §5.7): the hyphenated form in text and JSON, raw bytes on the wire.
macro_rules! time_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Builds the id from the time and ten random bytes, six bits of which give way to version and variant.
            #[must_use]
            pub fn from_parts(now: crate::UnixMillis, random: &[u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now.0, random).into_uuid().into_bytes())
            }

            /// Wraps the raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Reads the raw bytes.
            ///
            /// # Errors
            /// [`ParseError::Length`] when `bytes` has another length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, ParseError> {
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| ParseError::Length { what: $what, bytes: bytes.len() })
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                Uuid::try_parse(text)
                    .map(|uuid| Self(uuid.into_bytes()))
                    .map_err(|_| ParseError::Characters { what: $what })
            }
        }

        text_or_bytes!($name);
    };
}

time_id!(
    /// Identity of a message: ids sort by time of creation.
    MessageId, "message id"
);
time_id!(
    /// Identity of a push: the same on everybody concerned, and sorted by time of creation.
    PushId, "push id"
);
