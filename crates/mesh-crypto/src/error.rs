use mesh_protocol::{DecodeError, EncodeError, ErrorCode};

/// Why a message was not sealed. Nothing was produced, and the sealer can go on being used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The message claims a sender whose node key this is not.
    #[error("the message names another sender")]
    Sender,
    /// The message is for one peer and was to be sealed for another.
    #[error("the message is addressed to another peer")]
    Recipient,
    /// The message cannot be encoded.
    #[error("the message cannot be encoded")]
    Encode(#[source] EncodeError),
    /// The receiver's sealing key is a point that no honest key can be.
    #[error("the receiver's sealing key is not usable")]
    SealingKey,
}

impl SealError {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Sender | Self::Recipient => ErrorCode::MessageMisdirected,
            Self::Encode(error) => error.code(),
            Self::SealingKey => ErrorCode::SealInvalid,
        }
    }
}

/// Why an envelope was not opened. Nothing of its content was handed out, and the opener can go on being used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The signature is not the named sender's over this header and ciphertext.
    #[error("the envelope's signature is not its sender's")]
    Signature,
    /// The given sealing key is not the one that the header names.
    #[error("the envelope is sealed for another sealing key")]
    SealingKey,
    /// The given pair secret is not the one that the header names, or only one of the two has one.
    #[error("the envelope is sealed with another pair secret")]
    PairSecret,
    /// The key or the ciphertext does not fit: the sender used other keys than it names.
    #[error("the ciphertext does not open")]
    Ciphertext,
    /// The content is not a message.
    #[error("the sealed content is not a message")]
    Decode(#[source] DecodeError),
    /// The message inside says something else than the header outside.
    #[error("the message's {field} is not the one on its envelope")]
    Disagreement {
        /// The field that differs.
        field: &'static str,
    },
}

impl OpenError {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Signature | Self::SealingKey | Self::PairSecret | Self::Ciphertext => {
                ErrorCode::SealInvalid
            }
            Self::Decode(error) => error.code(),
            Self::Disagreement { .. } => ErrorCode::MessageMisdirected,
        }
    }
}

/// Why a text is not a join token. Nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text does not start like a join token.
    #[error("not a join token")]
    Prefix,
    /// The token is of a version that this build does not know.
    #[error("the join token is of another version")]
    Version,
    /// The text is longer than any token, or holds characters that no token has.
    #[error("the join token holds text that no token has")]
    Characters,
    /// The checksum does not match: the token was cut short or mistyped.
    #[error("the join token was cut short or altered")]
    Checksum,
    /// The checksum matches, but the content breaks a rule.
    #[error("the join token is malformed")]
    Malformed,
}

impl TokenError {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Version => ErrorCode::VersionUnsupported,
            Self::Prefix | Self::Characters | Self::Checksum | Self::Malformed => {
                ErrorCode::TokenInvalid
            }
        }
    }
}

/// Why a text is not a key file. No key was taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The text does not have the lines of a key file.
    #[error("not a key file")]
    Malformed,
    /// The file was written by a newer agent.
    #[error("the key file is of another version")]
    Version,
    /// The checksum does not match: the file was cut short or edited.
    #[error("the key file was cut short or altered")]
    Checksum,
}

impl KeyFileError {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Version => ErrorCode::VersionUnsupported,
            Self::Malformed | Self::Checksum => ErrorCode::StorageError,
        }
    }
}

/// Why a sealed column was not opened. Nothing of its content was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtRestError {
    /// The value is of a form that this build does not know, or empty.
    #[error("the stored value is of another version")]
    Version,
    /// The value was altered, cut short, moved from another place, or sealed with another key.
    #[error("the stored value does not open")]
    Sealed,
}

impl AtRestError {
    /// The stable word for this error.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        ErrorCode::StorageError
    }
}
