//! How a command ends.

use std::io;
use std::process::ExitCode;

use mesh_control::{ApiError, ClientError};
use mesh_protocol::ErrorCode;

/// The exit codes, which scripts depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed; the message says why.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The agent is not running or not reachable.
    NotRunning = 3,
    /// Refused by policy.
    Refused = 4,
    /// Not finished in time; the work goes on.
    TimedOut = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The exit code that goes with an error code.
    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::BadRequest => Self::Usage,
            ErrorCode::AgentUnreachable | ErrorCode::ShuttingDown => Self::NotRunning,
            ErrorCode::NotAMember | ErrorCode::PathRefused | ErrorCode::SecretFound => {
                Self::Refused
            }
            ErrorCode::TimedOut => Self::TimedOut,
            ErrorCode::AlreadyMember
            | ErrorCode::AmbiguousPush
            | ErrorCode::AmbiguousVersion
            | ErrorCode::ChangedSince
            | ErrorCode::ChecksumMismatch
            | ErrorCode::ClockSkew
            | ErrorCode::ConfigKeyInvalid
            | ErrorCode::ConfigKeyLocal
            | ErrorCode::ConfigTooLarge
            | ErrorCode::ConstraintFailed
            | ErrorCode::DiskFull
            | ErrorCode::HostnameInvalid
            | ErrorCode::HostnameTaken
            | ErrorCode::Internal
            | ErrorCode::IssuerUnreachable
            | ErrorCode::MessageExpired
            | ErrorCode::MessageMisdirected
            | ErrorCode::MessageTooLarge
            | ErrorCode::NotFound
            | ErrorCode::PeerUnreachable
            | ErrorCode::PositionGone
            | ErrorCode::ProtocolError
            | ErrorCode::QueryTooLong
            | ErrorCode::QueueFull
            | ErrorCode::RateLimited
            | ErrorCode::ReadOnly
            | ErrorCode::SchemaInvalid
            | ErrorCode::SealInvalid
            | ErrorCode::SealedUnreadable
            | ErrorCode::StatementInvalid
            | ErrorCode::StatementRefused
            | ErrorCode::StorageError
            | ErrorCode::TokenExpired
            | ErrorCode::TokenInvalid
            | ErrorCode::TokenRevoked
            | ErrorCode::TokenUsed
            | ErrorCode::TooManyRows
            | ErrorCode::UnknownConflict
            | ErrorCode::UnknownKey
            | ErrorCode::UnknownPeer
            | ErrorCode::UnknownPush
            | ErrorCode::UnknownRepository
            | ErrorCode::UnknownRoot
            | ErrorCode::UnknownTable
            | ErrorCode::UnknownVersion
            | ErrorCode::VersionUnsupported => Self::Failed,
        }
    }
}

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told to the user.
    Told(ApiError),
    /// Nobody reads the output any more, or it cannot be written.
    Output(io::Error),
}

impl Failure {
    /// A mistake in what the user gave.
    pub(crate) fn usage(message: impl Into<String>, hint: &str) -> Self {
        Self::Told(ApiError::new(ErrorCode::BadRequest, message, hint))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Told(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Told(error.to_api_error())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests;
