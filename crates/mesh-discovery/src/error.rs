use std::error::Error;
use std::io;

use http::StatusCode;

/// An error of a library, with its own chain of causes.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why one way to Tailscale gave no answer. The connection is closed, and the command, if one was
/// started, is killed.
#[derive(Debug, thiserror::Error)]
pub enum TailscaleError {
    /// There is no such socket, file or command: Tailscale is not installed, or not in this form.
    #[error("not there")]
    Absent,
    /// The socket or port is left over from a daemon that does not run.
    #[error("nobody listens")]
    NotRunning,
    /// This user may not use it.
    #[error("this user may not use it")]
    Forbidden,
    /// The system refused for another reason.
    #[error("the system refused")]
    Io(#[source] io::Error),
    /// The files that name the port and its password are not as they should be.
    #[error("the files of the port are not as expected: {what}")]
    PortFiles {
        /// What was wrong.
        what: &'static str,
    },
    /// The answer is no HTTP, or ended early.
    #[error("the answer broke off")]
    Http(#[source] BoxError),
    /// The daemon refused the request.
    #[error("the daemon answered {status}")]
    Status {
        /// The HTTP status.
        status: StatusCode,
    },
    /// The command failed.
    #[error("the command failed: {said}")]
    Exit {
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
        /// The first line that it wrote to standard error, without control characters.
        said: String,
    },
    /// The answer is longer than the configured bound; it was not read to its end.
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLong {
        /// The bound.
        bytes_max: usize,
    },
    /// No complete answer came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is not the JSON of a status.
    #[error("the answer cannot be read")]
    Unreadable(#[source] BoxError),
}

impl TailscaleError {
    /// Sorts what the system says about opening something by what an operator would do about it.
    pub(crate) fn opening(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            return Self::Absent;
        }
        if source.kind() == io::ErrorKind::ConnectionRefused {
            return Self::NotRunning;
        }
        if source.kind() == io::ErrorKind::PermissionDenied {
            return Self::Forbidden;
        }
        Self::Io(source)
    }
}

/// Why LAN multicast does not run. Nothing was announced, and no thread is left.
#[cfg(feature = "lan")]
#[derive(Debug, thiserror::Error)]
pub enum LanError {
    /// The multicast thread cannot be started or does not take orders.
    #[error("lan multicast cannot be started")]
    Start(#[source] BoxError),
}
