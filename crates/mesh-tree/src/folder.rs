//! An open folder, and the only ways from it to what lies beneath: no symbolic link is ever followed, and
//! no name leads up, away or to another file system, whatever others do to the tree meanwhile.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::path::split;
use crate::{Facts, Kind};

/// The kernel takes paths below 4,096 bytes; a deeper one is walked in pieces.
const PIECE_BYTES_MAX: usize = 4_000;

/// Neither a pipe nor a terminal makes an open wait, and no program that is started inherits it.
const SAFE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const AS_FOLDER: OFlags = SAFE.union(OFlags::RDONLY).union(OFlags::DIRECTORY);

/// Owner-only, for what nobody else has to see.
pub(crate) const PRIVATE: u32 = 0o700;

#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Folder {
    /// Opens a folder that the configuration or the user names: links on the way there are theirs.
    pub(crate) fn top(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(Self)
    }

    pub(crate) fn again(&self) -> Result<Self, Errno> {
        Ok(Self(rustix::io::fcntl_dupfd_cloexec(&self.0, 0)?))
    }

    /// Opens a folder beneath; `path` may have any number of names, each of them checked before.
    pub(crate) fn folder(&self, path: &[u8]) -> Result<Self, Errno> {
        self.beneath(path, AS_FOLDER, Mode::empty()).map(Self)
    }

    /// Opens the folder of a path; none stands for this one.
    pub(crate) fn parent(&self, path: Option<&[u8]>) -> Result<Self, Errno> {
        path.map_or_else(|| self.again(), |path| self.folder(path))
    }

    /// Opens what must be a regular file, for reading; says what else stands there.
    pub(crate) fn file(&self, path: &[u8]) -> Result<Result<(File, Facts), Kind>, Errno> {
        let (folder, name) = split(path);
        let opened;
        let folder = match folder {
            Some(path) => {
                opened = self.folder(path)?;
                &opened
            }
            None => self,
        };
        // Opening alone does something to some devices, so it is looked at first.
        let seen = folder.facts(name)?;
        if seen.kind != Kind::File {
            return Ok(Err(seen.kind));
        }
        let (file, facts) = folder.seen_file(name)?;
        Ok(if facts.kind == Kind::File { Ok((file, facts)) } else { Err(facts.kind) })
    }

    /// Opens what was a regular file when it was looked at; says what stands there.
    pub(crate) fn seen_file(&self, path: &[u8]) -> Result<(File, Facts), Errno> {
        let file = self.beneath(path, SAFE | OFlags::RDONLY, Mode::empty())?;
        let facts = Facts::of(&rustix::fs::fstat(&file)?);
        Ok((file.into(), facts))
    }

    /// Opens or creates a file of ours for reading and writing.
    pub(crate) fn own_file(&self, name: &[u8], flags: OFlags) -> Result<File, Errno> {
        // A mode without a file to create is an error to some kernels.
        let is_made = flags.contains(OFlags::CREATE);
        let mode = if is_made { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        self.beneath(name, SAFE | OFlags::RDWR | flags, mode).map(File::from)
    }

    /// Makes a file of ours, of at most that mode.
    pub(crate) fn new_file(&self, name: &[u8], mode: u32) -> Result<File, Errno> {
        let flags = SAFE | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(mode as rustix::fs::RawMode);
        self.beneath(name, flags, mode).map(File::from)
    }

    pub(crate) fn make(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode as rustix::fs::RawMode))
    }

    /// Opens a folder of ours, and makes it first when it is not there.
    pub(crate) fn own_folder(&self, name: &[u8]) -> Result<Self, Errno> {
        match self.make(name, PRIVATE) {
            Ok(()) | Err(Errno::EXIST) => self.folder(name),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn facts(&self, name: &[u8]) -> Result<Facts, Errno> {
        Ok(Facts::of(&rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Returns what stands at `name`; none when nothing does.
    pub(crate) fn look(&self, name: &[u8]) -> Result<Option<Facts>, Errno> {
        match self.facts(name) {
            Ok(facts) => Ok(Some(facts)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn has(&self, name: &[u8]) -> Result<bool, Errno> {
        Ok(self.look(name)?.is_some())
    }

    pub(crate) fn own_facts(&self) -> Result<Facts, Errno> {
        Ok(Facts::of(&rustix::fs::fstat(&self.0)?))
    }

    /// Goes through the names in it, in no order, but for `.` and `..`.
    pub(crate) fn names(&self) -> Result<impl Iterator<Item = Result<Vec<u8>, Errno>>, Errno> {
        let entries = rustix::fs::Dir::read_from(&self.0)?;
        Ok(entries.filter_map(|entry| {
            let is_dots = |name: &CStr| matches!(name.to_bytes(), b"." | b"..");
            match entry {
                Ok(entry) if is_dots(entry.file_name()) => None,
                entry => Some(entry.map(|entry| entry.file_name().to_bytes().to_vec())),
            }
        }))
    }

    pub(crate) fn is_empty(&self) -> Result<bool, Errno> {
        Ok(self.names()?.next().transpose()?.is_none())
    }

    pub(crate) fn rename(&self, from: &[u8], to: &Self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::renameat(&self.0, from, &to.0, name)
    }

    /// Moves, unless something stands at `name` already.
    pub(crate) fn rename_new(&self, from: &[u8], to: &Self, name: &[u8]) -> Result<(), Errno> {
        match rustix::fs::renameat_with(&self.0, from, &to.0, name, RenameFlags::NOREPLACE) {
            // The file system knows no such step: looking first is all there is.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                if to.has(name)? {
                    return Err(Errno::EXIST);
                }
                self.rename(from, to, name)
            }
            done => done,
        }
    }

    /// Lets two names change places; both must exist. None when the file system cannot.
    pub(crate) fn exchange(
        &self,
        from: &[u8],
        to: &Self,
        name: &[u8],
    ) -> Result<Option<()>, Errno> {
        match rustix::fs::renameat_with(&self.0, from, &to.0, name, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(Some(())),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::empty())
    }

    pub(crate) fn sync(&self) -> Result<(), Errno> {
        rustix::fs::fsync(&self.0)
    }

    /// Makes everything on the file system survive a loss of power: for many files a fraction of what
    /// syncing each of them takes.
    pub(crate) fn sync_all(&self) -> Result<(), Errno> {
        #[cfg(target_os = "linux")]
        return rustix::fs::syncfs(&self.0);
        #[cfg(not(target_os = "linux"))]
        {
            rustix::fs::sync();
            rustix::fs::fsync(&self.0)
        }
    }

    /// Removes what stands at `name`, with all that is in it, however deep. Nothing there is no error.
    ///
    /// Two folders are open at a time: what lies deeper is moved up here first.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let mut number = 0_u64;
        let mut left = vec![name.to_vec()];
        while let Some(name) = left.pop() {
            match self.unlink(&name) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(error) => return Err(error),
            }
            let folder = self.folder(&name)?;
            rustix::fs::fchmod(&folder, Mode::RWXU)?;
            // Moving out of it while it is read could leave names out; so it is read until it is empty.
            while !folder.is_empty()? {
                for inner in folder.names()?.collect::<Result<Vec<_>, _>>()? {
                    if folder.facts(&inner)?.kind != Kind::Folder {
                        folder.unlink(&inner)?;
                        continue;
                    }
                    let mut moved = format!("removed-{number}").into_bytes();
                    while self.has(&moved)? {
                        number += 1;
                        moved = format!("removed-{number}").into_bytes();
                    }
                    folder.rename(&inner, self, &moved)?;
                    left.push(moved);
                }
            }
            rustix::fs::unlinkat(&self.0, name.as_slice(), AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }

    fn beneath(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let mut rest = path;
        let mut at: Option<OwnedFd> = None;
        while rest.len() > PIECE_BYTES_MAX {
            let cut = rest.iter().take(PIECE_BYTES_MAX).rposition(|byte| *byte == b'/');
            let cut = cut.ok_or(Errno::NAMETOOLONG)?;
            let (piece, behind) = rest.split_at_checked(cut).ok_or(Errno::NAMETOOLONG)?;
            let from = at.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
            at = Some(open_beneath(from, piece, AS_FOLDER, Mode::empty())?);
            rest = behind.strip_prefix(b"/").unwrap_or(behind);
        }
        let from = at.as_ref().map_or(self.0.as_fd(), AsFd::as_fd);
        open_beneath(from, rest, flags, mode)
    }
}

/// The folder that was looked into last, which stays open. What becomes of it meanwhile is not noticed.
#[derive(Debug, Default)]
pub(crate) struct Nearest(Option<(Vec<u8>, Folder)>);

impl Nearest {
    /// As [`Folder::parent`] of `top`, which is the same one each time.
    pub(crate) fn parent(&mut self, top: &Folder, path: Option<&[u8]>) -> Result<&Folder, Errno> {
        let wanted = path.unwrap_or_default();
        let open = match self.0.take().filter(|(open, _)| open == wanted) {
            Some(open) => open,
            None => (wanted.to_vec(), top.parent(path)?),
        };
        Ok(&self.0.insert(open).1)
    }

    pub(crate) fn leave(&mut self) {
        self.0 = None;
    }
}

/// Reads where the symbolic link at `name` leads.
pub(crate) fn link_target(folder: &Folder, name: &[u8]) -> Result<Vec<u8>, Errno> {
    Ok(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes())
}

#[cfg(target_os = "linux")]
fn open_beneath(
    from: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let confined = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    // `NO_SYMLINKS` says it too, and tells a link from what is merely no folder.
    let whole = flags.difference(OFlags::NOFOLLOW);
    match rustix::fs::openat2(from, path, whole, mode, confined) {
        // An old kernel, or a filter of system calls that does not know it.
        Err(Errno::NOSYS | Errno::PERM) => open_by_steps(from, path, flags, mode),
        opened => opened,
    }
}

#[cfg(not(target_os = "linux"))]
use open_by_steps as open_beneath;

/// Opens name by name, none of which may be a symbolic link or lead to another file system.
fn open_by_steps(
    from: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let device = rustix::fs::fstat(from)?.st_dev;
    let (folders, name) = split(path);
    let mut at: Option<OwnedFd> = None;
    for step in folders.into_iter().flat_map(|folders| folders.split(|byte| *byte == b'/')) {
        at = Some(step_to(at.as_ref().map_or(from, AsFd::as_fd), step, AS_FOLDER, Mode::empty())?);
    }
    let opened = step_to(at.as_ref().map_or(from, AsFd::as_fd), name, flags, mode)?;
    // Mounted folders lead back only to where they are mounted, so the last one tells of all.
    if rustix::fs::fstat(&opened)?.st_dev == device { Ok(opened) } else { Err(Errno::XDEV) }
}

fn step_to(from: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Err(Errno::XDEV);
    }
    let is_link = || {
        rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| Facts::of(&stat).kind == Kind::Link)
    };
    match rustix::fs::openat(from, name, flags, mode) {
        // What systems say of a link that was not to be followed differs.
        Err(Errno::NOTDIR | Errno::MLINK) if is_link() => Err(Errno::LOOP),
        opened => opened,
    }
}

/// Opens a folder by its path as it is from here: of a user's own choosing.
pub(crate) fn lstat(path: &Path) -> io::Result<Facts> {
    Ok(Facts::of(&rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?))
}
