use std::fmt;
use std::io;
use std::path::Path;

use mesh_protocol::{PathError, PushId};
use rustix::io::Errno;

use crate::Kind;
use crate::path::shown;

/// Why a path is not taken. The same for the same path on every machine, but for what depends on what
/// stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no path beneath a root.
    Path(PathError),
    /// It is the root itself, or no name at all.
    Root,
    /// A name is longer than the file system takes.
    NameTooLong,
    /// It lies in the folder that the root keeps its own things in.
    Reserved,
    /// A symbolic link is on the way.
    Link,
    /// Something on the way is not a folder.
    NotAFolder,
    /// Neither file, folder nor symbolic link; or, where only a file will do, no file.
    Special(Kind),
    /// A file that steers what is pushed has more bytes than anybody writes by hand.
    TooLarge {
        /// How many it may have.
        bytes_max: u64,
    },
    /// A symbolic link that leads out of the root, or could.
    LinkLeaves,
    /// Another file system is mounted on the way: nothing can be moved there in one step.
    OtherFileSystem,
    /// The file system takes it for the name of something else, which differs in case or in how letters
    /// are composed.
    Clash,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path(error) => return write!(f, "{error}"),
            Self::Root => "it is the root itself",
            Self::NameTooLong => "a name is too long",
            Self::Reserved => "it is kept for the agent's own things",
            Self::Link => "it leads through a symbolic link",
            Self::NotAFolder => "it leads through something that is not a folder",
            Self::Special(kind) => return write!(f, "{kind} stands there"),
            Self::TooLarge { bytes_max } => {
                return write!(f, "it has more than the {bytes_max} bytes that are read of it");
            }
            Self::LinkLeaves => "the symbolic link could lead out of the root",
            Self::OtherFileSystem => "it lies on another file system than the root",
            Self::Clash => "the file system takes it for another name",
        })
    }
}

/// Why something with files was not done.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The path is not taken. Nothing was done with it.
    #[error("{path} is refused: {why}")]
    Refused {
        /// Which, escaped where it is not text.
        path: String,
        /// Why.
        why: Refusal,
    },
    /// Somebody changed the file since it was looked at. It stands as they left it.
    #[error("{path} was changed by somebody else")]
    Changed {
        /// Which.
        path: String,
    },
    /// What is on disk is not what was announced.
    #[error("{path} is not what was announced")]
    Mismatch {
        /// Which.
        path: String,
    },
    /// More than the root's quota allows. Nothing was written.
    #[error("the quota of {max} {what} leaves no room for {wanted}")]
    Quota {
        /// `bytes` or `files`.
        what: &'static str,
        /// How many were wanted.
        wanted: u64,
        /// How many the root may have.
        max: u64,
    },
    /// No space, or none that this user may take.
    #[error("no space left for {path}")]
    Full {
        /// What was to be written.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has opened the root.
    #[error("{path} is in use by another process")]
    Busy {
        /// Which root.
        path: String,
    },
    /// Nothing is kept of that push, or something is already.
    #[error("push {push} {problem}")]
    Push {
        /// Which.
        push: PushId,
        /// What is the matter with it.
        problem: &'static str,
    },
    /// Entries must come in the order of their paths, each once.
    #[error("{path} does not come after the entry before it")]
    Order {
        /// Which.
        path: String,
    },
    /// A record on disk is not whole. It was left as it is, and so was everything that it names.
    #[error("{path} is damaged")]
    Damaged {
        /// Which.
        path: String,
    },
    /// The system refused for another reason.
    #[error("cannot use {path}")]
    Io {
        /// Which file or folder.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl TreeError {
    /// Sorts what the system said about `path`.
    pub(crate) fn from_io(path: &[u8], source: io::Error) -> Self {
        let path = shown(path);
        if let Some(why) = refusal(&source) {
            return Self::Refused { path, why };
        }
        let is_full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if is_full { Self::Full { path, source } } else { Self::Io { path, source } }
    }

    pub(crate) fn at(path: &[u8]) -> impl Fn(Errno) -> Self {
        move |error| Self::from_io(path, error.into())
    }

    pub(crate) fn at_std(path: &Path) -> impl Fn(io::Error) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        move |error| Self::from_io(path.as_os_str().as_bytes(), error)
    }

    pub(crate) fn refused(path: &[u8], why: Refusal) -> Self {
        Self::Refused { path: shown(path), why }
    }

    pub(crate) fn changed(path: &[u8]) -> Self {
        Self::Changed { path: shown(path) }
    }

    pub(crate) fn damaged(path: impl fmt::Display) -> Self {
        Self::Damaged { path: path.to_string() }
    }
}

fn refusal(error: &io::Error) -> Option<Refusal> {
    match Errno::from_io_error(error)? {
        Errno::LOOP => Some(Refusal::Link),
        Errno::NOTDIR => Some(Refusal::NotAFolder),
        Errno::NAMETOOLONG => Some(Refusal::NameTooLong),
        Errno::XDEV => Some(Refusal::OtherFileSystem),
        _ => None,
    }
}
