//! Errors of the façade. What the caller acts on is the [`ErrorCode`]; the text says what happened.

use std::path::PathBuf;

use mesh_control::ApiError;
use mesh_protocol::ErrorCode;
use mesh_store::StoreError;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a node did not start. Nothing runs; the data directory is as it was, or newly created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// Another agent runs on the same data directory.
    #[error("another agent (process {pid}) runs on {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, as it wrote it down; empty when it did not.
        pid: String,
    },
    /// The key file is damaged or readable by others.
    #[error("the key file {} cannot be used: {why}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The database cannot be opened.
    #[error("the database {} cannot be opened", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What the store said.
        #[source]
        source: Source,
    },
    /// What is stored does not form a mesh: the database was altered from outside.
    #[error("the stored membership is damaged: {why}")]
    Membership {
        /// What is wrong with it.
        why: String,
    },
    /// The port cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the transport said.
        #[source]
        source: Source,
    },
    /// The local socket cannot be opened.
    #[error("cannot open the control socket {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: Source,
    },
    /// A setting has no meaning.
    #[error("{setting} is not valid: {why}")]
    Config {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a request to a running node failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct NodeError {
    /// The stable word.
    pub code: ErrorCode,
    /// What happened, and what state was left.
    pub message: String,
    /// What to do next; empty when nothing is known to help.
    pub hint: String,
}

impl NodeError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: String::new() }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The database refused; nothing of the request was kept.
    pub(crate) fn storage(source: StoreError) -> Self {
        if matches!(source, StoreError::Closed) {
            return Self::stopping();
        }
        let is_full = matches!(source, StoreError::Full { .. });
        let code = if is_full { ErrorCode::DiskFull } else { source.code() };
        Self::new(code, format!("the database refused, so nothing was done: {}", chain(&source)))
            .with_hint("look at free disk space and at the agent's log")
    }

    /// Membership records are in force and told to the members, but the database did not take them.
    pub(crate) fn unstored(source: StoreError) -> Self {
        Self::new(
            ErrorCode::StorageError,
            format!(
                "the change is in force and the members were told, but the database did not take it: {}",
                chain(&source)
            ),
        )
        .with_hint("look at free disk space: the change is stored as soon as there is room, or comes back from the members after a restart")
    }

    /// The node stops while it is asked; what was asked may have happened.
    pub(crate) fn stopping() -> Self {
        Self::new(
            ErrorCode::ShuttingDown,
            "the agent is stopping; the request may have been carried out",
        )
        .with_hint("look again once the agent runs")
    }
}

impl From<NodeError> for ApiError {
    fn from(error: NodeError) -> Self {
        Self { code: error.code, message: error.message, hint: error.hint }
    }
}

/// The whole chain of an error in one line, outermost first.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        // Some errors end with what their cause says.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
