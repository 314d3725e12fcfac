use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mesh_protocol::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::ApiError;

/// How an error stands in JSON: `{"error": {"code": …, "message": …, "hint": …}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// The error.
    pub error: ApiError,
}

/// Why the control socket could not be opened. Nothing was changed on disk, except that the socket
/// of an agent that is gone may have been removed.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operating system cannot hold the path in a socket address.
    #[error(
        "the socket path {} has {bytes} bytes and may have {bytes_max}; choose a shorter one",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The longest that is possible.
        bytes_max: usize,
    },
    /// Somebody answers on the socket.
    #[error("another agent answers on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the name; it was left alone.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("the socket {} cannot be opened", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why figures cannot be shown on a port. Nothing is open.
#[derive(Debug, thiserror::Error)]
pub enum MetricsBindError {
    /// Others than programs of this machine could read them.
    #[error("{address} is not a loopback address; figures are shown to this machine alone")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The system refused.
    #[error("cannot listen on {address}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why the default data directory is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefaultPathError {
    /// There is no home directory to put it in.
    #[error("neither XDG_STATE_HOME nor HOME names an absolute path")]
    NoHome,
}

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket; nothing was sent.
    #[error("no agent answers on {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be opened; nothing was sent.
    #[error("the agent's socket {} cannot be reached", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The agent refused; its text says what state was left.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The connection ended before the answer did; whether the request was carried out is unknown.
    #[error("the agent closed the connection before it had answered")]
    Lost {
        /// What the connection reported.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The answer is not one of this API; the request may have been carried out.
    #[error("the agent's answer is not understood: {what}")]
    Protocol {
        /// What was expected.
        what: &'static str,
        /// What was found.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// No answer in time; the agent may still be at it.
    #[error("the agent did not answer within {} s", after.as_secs())]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
}

impl ClientError {
    /// The stable word.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotRunning { .. } | Self::Unreachable { .. } | Self::Lost { .. } => {
                ErrorCode::AgentUnreachable
            }
            Self::Api(error) => error.code,
            Self::Protocol { .. } => ErrorCode::ProtocolError,
            Self::TimedOut { .. } => ErrorCode::TimedOut,
        }
    }

    /// The same with its three parts, as the agent itself would have put it.
    #[must_use]
    pub fn to_api_error(&self) -> ApiError {
        let (source, hint): (Option<&dyn std::fmt::Display>, &str) = match self {
            Self::Api(error) => return error.clone(),
            Self::NotRunning { .. } => (
                None,
                "start the agent with `mesh-agent` (or `systemctl start mesh-agent` where it is \
                 installed as a service), or name its socket with --socket or MESH_SOCKET",
            ),
            Self::Unreachable { source, .. } => (
                Some(source),
                "only the user that runs the agent may open its socket: run the command as that \
                 user, or name another socket with --socket or MESH_SOCKET",
            ),
            Self::Lost { .. } => (
                None,
                "see whether the agent still runs (`mesh-ctl status`); the request may have been \
                 carried out",
            ),
            Self::Protocol { source, .. } => (
                source.as_ref().map(|source| source as &dyn std::fmt::Display),
                "check that the command and the agent have the same version (`mesh-ctl status`)",
            ),
            Self::TimedOut { .. } => (None, "the agent may still be at it: ask again later"),
        };
        let message = match source {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        };
        ApiError::new(self.code(), message, hint)
    }
}
