//! What a file is known again by.

use std::fmt;

use mesh_protocol::FileTime;
use rustix::fs::{FileType, Stat, Timespec};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl Kind {
    /// Tells whether it is something that no push carries and none replaces.
    #[must_use]
    pub fn is_special(self) -> bool {
        match self {
            Self::File | Self::Folder | Self::Link => false,
            Self::Pipe | Self::Socket | Self::Device => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Link => "a symbolic link",
            Self::Pipe => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

/// What the file system says about a file without its being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// How many bytes it has.
    pub size: u64,
    /// The twelve bits of its mode.
    pub mode: u32,
    /// When its bytes were changed.
    pub modified: FileTime,
    /// When anything about it was changed.
    pub changed: FileTime,
    /// Its number in its file system.
    pub inode: u64,
    pub(crate) device: u64,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    pub(crate) blocks: u64,
}

impl Facts {
    pub(crate) fn of(stat: &Stat) -> Self {
        let mode = stat.st_mode as rustix::fs::RawMode;
        let kind = match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Kind::Device,
        };
        #[expect(clippy::unnecessary_cast, reason = "the types differ between systems")]
        Self {
            kind,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: mode as u32 & 0o7777,
            modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
            owner: stat.st_uid,
            group: stat.st_gid,
            blocks: stat.st_blocks as u64,
        }
    }

    /// Tells whether its owner may run it.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Tells whether this is still the same file with the same bytes and mode, moved or not.
    ///
    /// Of a folder only which one it is counts: others change what is in it.
    pub(crate) fn is_moved(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.inode == other.inode
            && (self.kind == Kind::Folder
                || (self.size == other.size
                    && self.mode == other.mode
                    && self.modified == other.modified))
    }

    /// Tells whether nothing at all was done to it.
    pub(crate) fn is_untouched(&self, other: &Self) -> bool {
        self.is_moved(other) && (self.kind == Kind::Folder || self.changed == other.changed)
    }

    pub(crate) fn is_sparse(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }
}

fn time(seconds: i64, nanos: u64) -> FileTime {
    FileTime { seconds, nanos: u32::try_from(nanos).unwrap_or(0) }
}

/// Tells whether `found` is what a file system made of `given`: some keep times less finely, none rounds up.
pub(crate) fn is_as_given(found: FileTime, given: FileTime) -> bool {
    let mut units = (0..=9).map(|digits| 10_u32.pow(digits));
    found.seconds == given.seconds
        && units.any(|unit| found.nanos == given.nanos - given.nanos % unit)
}

pub(crate) fn timespec(time: FileTime) -> Timespec {
    Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() }
}
