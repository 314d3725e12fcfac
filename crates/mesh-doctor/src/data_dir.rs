use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::finding::listed;
use crate::{Check, Finding};

/// What an agent keeps in its data directory.
const FILES: [&str; 10] = [
    "node.key",
    "mesh.db",
    "mesh.db-wal",
    "mesh.db-shm",
    "mesh.db.lock",
    "data.db",
    "data.db-wal",
    "data.db-shm",
    "agent.lock",
    "control.sock",
];

/// Bits that let anybody but the owner in.
const OTHERS: u32 = 0o077;

/// A file of the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its name.
    pub name: String,
    /// Its permission bits.
    pub mode: u32,
    /// Who owns it.
    pub uid: u32,
    /// Whether this user may write it.
    pub is_writable: bool,
}

/// The data directory as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDirState {
    /// It is there.
    Present {
        /// Its permission bits.
        mode: u32,
        /// Who owns it.
        uid: u32,
        /// Whether this user may write in it.
        is_writable: bool,
        /// The agent's files in it.
        files: Vec<DataFile>,
    },
    /// It does not exist; an agent would make it.
    Missing {
        /// The nearest directory above it that exists.
        parent: PathBuf,
        /// Whether this user may write there.
        is_writable: bool,
    },
    /// Something that is no directory has its name, or that of a directory above it.
    InTheWay {
        /// What.
        path: PathBuf,
    },
    /// It cannot be looked at.
    Unreadable {
        /// What the system says.
        why: String,
    },
}

/// The nearest of `path` and the directories above it that exists.
pub(crate) fn nearest(path: &Path) -> &Path {
    let mut above = path.ancestors().filter(|above| !above.as_os_str().is_empty());
    above.find(|above| fs::symlink_metadata(above).is_ok()).unwrap_or_else(|| Path::new("."))
}

/// Asks with what rights the program runs, and whether the file system can be written at all.
fn is_writable(path: &Path, is_directory: bool) -> bool {
    let wanted = if is_directory { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    access(path, wanted).is_ok()
}

fn permission_bits(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

/// Reads the data directory at `path`. Writes nothing.
#[must_use]
pub fn read_data_dir(path: &Path) -> DataDirState {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            let parent = nearest(path).to_owned();
            if !parent.is_dir() {
                return DataDirState::InTheWay { path: parent };
            }
            return DataDirState::Missing { is_writable: is_writable(&parent, true), parent };
        }
        Err(error) => return DataDirState::Unreadable { why: error.to_string() },
    };
    if !found.is_dir() {
        return DataDirState::InTheWay { path: path.to_owned() };
    }
    let files = FILES.iter().filter_map(|name| {
        let file = path.join(name);
        let found = fs::symlink_metadata(&file).ok()?;
        // A socket that nobody serves any more is replaced, not written.
        let is_socket = found.file_type().is_socket();
        Some(DataFile {
            name: (*name).to_owned(),
            mode: permission_bits(&found),
            uid: found.uid(),
            is_writable: is_socket || is_writable(&file, false),
        })
    });
    DataDirState::Present {
        mode: permission_bits(&found),
        uid: found.uid(),
        is_writable: is_writable(path, true),
        files: files.collect(),
    }
}

/// Judges whether an agent of this user can write its data directory, and nobody else can look in.
#[must_use]
pub fn judge_permissions(path: &Path, state: &DataDirState) -> Finding {
    let shown = path.display();
    let failed = |detail: String, hint: String| Finding::failed(Check::Permissions, detail, hint);
    match state {
        DataDirState::Missing { parent, is_writable: false } => failed(
            format!(
                "the data directory {shown} does not exist, and {} is not writable",
                parent.display()
            ),
            format!(
                "make it for the agent's user: `sudo install -d -m 0700 -o USER {shown}`, or name another with --data-dir"
            ),
        ),
        DataDirState::Missing { parent: _, is_writable: true } => {
            let detail = format!(
                "the data directory {shown} does not exist; an agent makes it at its first start"
            );
            Finding::good(Check::Permissions, detail)
        }
        DataDirState::InTheWay { path } => {
            let in_the_way = path.display();
            failed(
                format!(
                    "the data directory {shown} is not writable: {in_the_way} is in the way and no directory"
                ),
                format!("move {in_the_way} away, or name another directory with --data-dir"),
            )
        }
        DataDirState::Unreadable { why } => failed(
            format!("the data directory {shown} cannot be looked at: {why}"),
            String::from("run this as the agent's user, or as root"),
        ),
        DataDirState::Present { is_writable: false, .. } => failed(
            format!("the data directory {shown} is not writable"),
            format!(
                "give it to the agent's user (`sudo chown -R USER {shown}`), and look whether its file system is mounted read-only (`findmnt -T {shown}`)"
            ),
        ),
        DataDirState::Present { mode, uid, files, is_writable: true } => {
            judge_content(path, *mode, *uid, files)
        }
    }
}

/// Judges a directory that can be written: whose the files in it are, and who else may look in.
fn judge_content(path: &Path, mode: u32, uid: u32, files: &[DataFile]) -> Finding {
    let shown = path.display();
    let failed = |detail: String, hint: String| Finding::failed(Check::Permissions, detail, hint);
    let names = |wanted: &dyn Fn(&DataFile) -> bool| -> Vec<String> {
        files.iter().filter(|file| wanted(file)).map(|file| file.name.clone()).collect()
    };
    let foreign = names(&|file| file.uid != uid);
    if !foreign.is_empty() {
        return failed(
            format!(
                "in {shown} these belong to another user than the directory: {}",
                listed(&foreign)
            ),
            format!(
                "an agent was started as another user, as root perhaps: `sudo chown -R --reference={shown} {shown}`"
            ),
        );
    }
    let unwritable = names(&|file| !file.is_writable);
    if !unwritable.is_empty() {
        return failed(
            format!("in {shown} these are not writable: {}", listed(&unwritable)),
            format!("`sudo chmod -R u+rwX {shown}`"),
        );
    }
    let open = names(&|file| file.mode & OTHERS != 0);
    if mode & OTHERS != 0 || !open.is_empty() {
        let open = if open.is_empty() { String::new() } else { format!(" ({})", listed(&open)) };
        return failed(
            format!("others than the agent's user may look into {shown}, mode {mode:o}{open}"),
            format!(
                "`chmod -R go= {shown}`; if others read node.key, remove this member from the mesh and join anew"
            ),
        );
    }
    Finding::good(Check::Permissions, format!("{shown} is writable, and by its user alone"))
}

#[cfg(test)]
mod tests;
