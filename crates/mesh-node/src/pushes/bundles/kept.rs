//! A push in one message, kept as a file until it is over: what goes out is a snapshot that outlives its sources, and
//! what came is not lost when it has left the inbox. Every call blocks.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mesh_files::BUNDLE_BYTES_MAX;
use mesh_protocol::PushId;

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// This node pushes it.
    Sent,
    /// This node is a target.
    Received,
}

impl Kept {
    const fn ending(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }

    fn path(self, data_dir: &Path, push_id: PushId) -> PathBuf {
        data_dir.join("pushes").join(format!("{push_id}.{}", self.ending()))
    }

    /// Keeps it: whole or not at all, and over a loss of power once this returns.
    pub(crate) fn save(self, data_dir: &Path, push_id: PushId, bundle: &[u8]) -> io::Result<()> {
        let path = self.path(data_dir, push_id);
        let folder = data_dir.join("pushes");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let partial = folder.join(format!("{push_id}.{}.partial", self.ending()));
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(bundle)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)?;
        File::open(folder)?.sync_all()
    }

    /// Reads it.
    ///
    /// # Errors
    /// `NotFound` when it is not kept, or not any more.
    pub(crate) fn load(self, data_dir: &Path, push_id: PushId) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(data_dir, push_id))?;
        let mut bundle = Vec::new();
        file.take(BUNDLE_BYTES_MAX as u64 + 1).read_to_end(&mut bundle)?;
        Ok(bundle)
    }

    /// Forgets it. Nothing happens when it is not there.
    pub(crate) fn remove(self, data_dir: &Path, push_id: PushId) -> io::Result<()> {
        match std::fs::remove_file(self.path(data_dir, push_id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// The pushes of which there is one.
    pub(crate) fn list(self, data_dir: &Path) -> io::Result<Vec<PushId>> {
        let entries = match std::fs::read_dir(data_dir.join("pushes")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.split_once('.'));
            let push_id = name.filter(|(_, ending)| *ending == self.ending());
            found.extend(push_id.and_then(|(push_id, _)| push_id.parse::<PushId>().ok()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_bundle_is_kept_for_its_owner_alone_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = [1, 2].map(|byte| PushId::from_bytes([byte; 16]));
        assert!(Kept::Received.list(dir.path()).unwrap().is_empty());
        Kept::Received.save(dir.path(), one, b"first").unwrap();
        Kept::Received.save(dir.path(), one, b"came").unwrap();
        Kept::Sent.save(dir.path(), other, b"goes").unwrap();
        assert_eq!(Kept::Received.list(dir.path()).unwrap(), [one]);
        assert_eq!(Kept::Received.load(dir.path(), one).unwrap(), b"came");
        assert_eq!(Kept::Sent.load(dir.path(), other).unwrap(), b"goes");
        let path = Kept::Received.path(dir.path(), one);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        Kept::Received.remove(dir.path(), one).unwrap();
        Kept::Received.remove(dir.path(), one).unwrap();
        assert!(Kept::Received.list(dir.path()).unwrap().is_empty());
        let gone = Kept::Received.load(dir.path(), one).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
