//! Files that steer what is pushed. Whoever may write beside what is pushed may have put anything there: a pipe on
//! which reading waits for ever, a device that never ends.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::folder::{Folder, lstat};
use crate::local::LocalFile;
use crate::path::native;
use crate::{Facts, Kind, Refusal, TreeError};

/// More than anybody writes by hand.
const BYTES_MAX: u64 = 1 << 20;

/// The names of files that leave out what lies beside and beneath them.
const NAMES: [&str; 2] = [".gitignore", OWN_NAME];

/// The one of them that is not git's.
pub(crate) const OWN_NAME: &str = ".meshignore";

/// Reads the regular file `name` in a folder, of at most 1 MiB; none when there is none.
///
/// # Errors
/// [`TreeError::Refused`] when something else stands there, or it is larger; else the system's. Never waits for
/// whoever would write into a pipe.
pub fn read_rules(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, TreeError> {
    let path = folder.join(name);
    let path = path.as_os_str().as_bytes();
    let at = TreeError::at(path);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let top = match Folder::top(folder) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(at(error)),
    };
    let Some(facts) = top.look(name.as_bytes()).map_err(&at)? else { return Ok(None) };
    check(path, &facts)?;
    let file = LocalFile::open_called(&top, name.as_bytes(), path)?;
    let mut bytes = Vec::new();
    // One byte more tells that it grew.
    let read = file.file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| TreeError::from_io(path, error))?;
    if read as u64 > BYTES_MAX { Err(too_large(path)) } else { Ok(Some(bytes)) }
}

/// Fails unless the rules of a folder that is walked over can be read. Links are not followed there.
pub(crate) fn check_folder(folder: &Path) -> Result<(), TreeError> {
    for name in NAMES {
        let path = folder.join(name);
        // What cannot be looked at cannot be read either.
        if let Ok(facts) = lstat(&path) {
            check(path.as_os_str().as_bytes(), &facts)?;
        }
    }
    check_excludes(folder)
}

/// Fails unless the rules of all folders above `folder` can be read. A link to a file is as good as one there:
/// nothing of it is pushed.
pub(crate) fn check_above(folder: &Path) -> Result<(), TreeError> {
    // What is not there has nothing above it that would be read.
    let Ok(folder) = folder.canonicalize() else { return Ok(()) };
    for above in folder.ancestors().skip(1) {
        for name in NAMES {
            check_followed(&above.join(name))?;
        }
        check_excludes(above)?;
    }
    Ok(())
}

/// Checks `.git/info/exclude` and what names it where `.git` is a file, as in a second work tree.
fn check_excludes(folder: &Path) -> Result<(), TreeError> {
    let git = folder.join(".git");
    let Ok(facts) = stat(&git) else { return Ok(()) };
    match facts.kind {
        Kind::Folder => check_followed(&git.join("info/exclude")),
        Kind::File => {
            check(git.as_os_str().as_bytes(), &facts)?;
            let Some(line) = first_line(folder, ".git")? else { return Ok(()) };
            let Some(own) = line.strip_prefix(b"gitdir: ").map(native) else { return Ok(()) };
            let Some(common) = first_line(own, "commondir")? else { return Ok(()) };
            let is_relative = common.starts_with(b".");
            let common = native(&common);
            let common = if is_relative { own.join(common) } else { PathBuf::from(common) };
            check_followed(&common.join("info/exclude"))
        }
        // Nobody opens it.
        Kind::Link | Kind::Pipe | Kind::Socket | Kind::Device => Ok(()),
    }
}

fn first_line(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, TreeError> {
    let text = read_rules(folder, name)?;
    Ok(text.map(|text| {
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line).to_vec()
    }))
}

fn check_followed(path: &Path) -> Result<(), TreeError> {
    stat(path).map_or(Ok(()), |facts| check(path.as_os_str().as_bytes(), &facts))
}

fn check(path: &[u8], facts: &Facts) -> Result<(), TreeError> {
    match facts.kind {
        Kind::File if facts.size <= BYTES_MAX => Ok(()),
        Kind::File => Err(too_large(path)),
        Kind::Link | Kind::Folder | Kind::Pipe | Kind::Socket | Kind::Device => {
            Err(TreeError::refused(path, Refusal::Special(facts.kind)))
        }
    }
}

fn too_large(path: &[u8]) -> TreeError {
    TreeError::refused(path, Refusal::TooLarge { bytes_max: BYTES_MAX })
}

fn stat(path: &Path) -> Result<Facts, Errno> {
    rustix::fs::stat(path).map(|stat| Facts::of(&stat))
}
