use crate::{ErrorCode, ProtocolVersion};

/// Why a text or byte string is not the value it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The value has the wrong length.
    #[error("{what} has a length of {bytes} bytes, which is not allowed")]
    Length {
        /// Which value.
        what: &'static str,
        /// The length that was met.
        bytes: usize,
    },
    /// The value holds characters that it must not hold.
    #[error("{what} holds characters that are not allowed")]
    Characters {
        /// Which value.
        what: &'static str,
    },
}

/// Why a value cannot be put on the wire. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The encoded form is larger than the protocol allows.
    #[error("the encoded form exceeds {bytes_max} bytes")]
    TooLarge {
        /// The bound that was met.
        bytes_max: usize,
    },
    /// A field breaks a bound of its own (count or length).
    #[error("{what} exceeds its bound")]
    FieldTooLarge {
        /// Which field.
        what: &'static str,
    },
}

impl EncodeError {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::MessageTooLarge
    }
}

/// Why bytes from outside are not a value of this protocol. Nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not start with the protocol's magic.
    #[error("not a frame of this protocol")]
    Magic,
    /// The sender speaks a major version that this build does not.
    #[error("protocol version {theirs} is not supported")]
    Version {
        /// The version in the header.
        theirs: ProtocolVersion,
    },
    /// The header announces more than the bound; nothing was read.
    #[error("a body of {bytes} bytes exceeds the bound of {bytes_max}")]
    TooLarge {
        /// The announced length.
        bytes: u64,
        /// The bound.
        bytes_max: usize,
    },
    /// The bytes end early, run on, or do not form the value.
    #[error("malformed {what}")]
    Malformed {
        /// Which value.
        what: &'static str,
    },
    /// A frame kind that this version does not know; the link may skip it.
    #[error("frame kind {kind} is not known")]
    UnknownKind {
        /// The number in the header.
        kind: u16,
    },
}

impl DecodeError {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Version { .. } => ErrorCode::VersionUnsupported,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::Magic | Self::Malformed { .. } | Self::UnknownKind { .. } => {
                ErrorCode::ProtocolError
            }
        }
    }
}

/// Why a signed record was refused. Nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The signature does not match the bytes and the signer.
    #[error("the record's signature is not valid")]
    Signature,
    /// The signer is not the one that this kind of record must come from.
    #[error("the record is not signed by the peer it must come from")]
    Signer,
    /// The record cannot be decoded or breaks a bound.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
