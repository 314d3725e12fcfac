//! Noticing that the file may have changed.
//!
//! The folder is watched, not only the file: an editor that saves by renaming, a deletion and a re-creation
//! all show there. That a folder further up was renamed tells nobody; the poll finds it. What an event says is
//! not looked at; it is a reason to look at the file, as is every [`FileConfig::poll`](crate::FileConfig::poll).

#[cfg(target_os = "linux")]
#[path = "watch/linux.rs"]
mod watcher;
#[cfg(not(target_os = "linux"))]
#[path = "watch/other.rs"]
mod watcher;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::watcher::Watcher;
use crate::file::Shared;
use crate::look::{self, Look};

/// A file that changes all the time is announced after so many looks, and every so many.
const ROUNDS_MAX: usize = 40;

/// More folders than this are not made one in the other while the watch follows.
const AIMS_MAX: usize = 64;

/// What is watched, and which one it was when it was: one of the same name may have come since.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    is_folder: bool,
    device: u64,
    inode: u64,
}

/// The watches of one file.
pub(crate) struct Eye {
    watcher: Option<Watcher>,
}

impl Eye {
    /// On the runtime that this is called on.
    pub(crate) fn open(path: &Path) -> Self {
        let watcher = Watcher::new().inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "changes of the file are only polled");
        });
        Self { watcher: watcher.ok() }
    }

    /// Watches the file and the folders that `path` lies in as they are by this time.
    pub(crate) fn aim(&mut self, path: &Path) {
        // A folder that was made before the one above it was watched has told nobody.
        for _ in 0..AIMS_MAX {
            if !self.aim_once(path) {
                return;
            }
        }
    }

    /// Tells whether anything is watched that was not before.
    fn aim_once(&mut self, path: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let paths = [Some(path.to_owned()), look::resolve(path).ok()];
        // The parts of the path and of where it leads to. Most of what happens in a folder names others.
        let names: BTreeSet<OsString> =
            paths.iter().flatten().flat_map(|path| path.iter().map(OsString::from)).collect();
        let mut wanted: Vec<Place> = Vec::new();
        for path in paths.into_iter().flatten() {
            for place in [nearest(look::folder_of(&path)), Place::of_file(&path)] {
                let is_new = |place: &Place| !wanted.iter().any(|other| place.is_same(other));
                wanted.extend(place.filter(is_new));
            }
        }
        watcher.aim(names, wanted)
    }

    /// Waits until something happens to what is watched. Nothing is lost when the future is dropped.
    async fn stirred(&mut self) {
        match &mut self.watcher {
            Some(watcher) => watcher.stirred().await,
            None => std::future::pending().await,
        }
    }
}

impl Place {
    /// None unless it is a file without links.
    fn of_file(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        metadata.is_file().then(|| Self::new(path, &metadata))
    }

    fn new(path: &Path, metadata: &fs::Metadata) -> Self {
        let (device, inode) = (metadata.dev(), metadata.ino());
        Self { path: path.to_owned(), is_folder: metadata.is_dir(), device, inode }
    }

    /// Whether it is the same by whatever name.
    fn is_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Returns the folder, or the nearest one above it that exists.
fn nearest(folder: &Path) -> Option<Place> {
    let mut folder = Some(folder);
    while let Some(candidate) = folder {
        if let Ok(metadata) = fs::metadata(candidate)
            && metadata.is_dir()
        {
            return Some(Place::new(candidate, &metadata));
        }
        folder = candidate.parent();
    }
    None
}

/// Announces changes until `gone`.
pub(crate) async fn run(shared: Arc<Shared>, mut eye: Eye, gone: CancellationToken) {
    loop {
        let round = async {
            let settled = settle(&shared).await;
            shared.announce(settled).await;
        };
        tokio::select! {
            () = gone.cancelled() => return,
            () = round => {}
        }
        // Where the file is gone the folder may be, and the next one of its name is another.
        let path = shared.path.clone();
        let aimed = shared.tracker.spawn_blocking(move || {
            eye.aim(&path);
            (eye, Look::at(&path))
        });
        // It fails when the runtime goes down.
        let Ok((aimed, look)) = aimed.await else { return };
        eye = aimed;
        if shared.is_news(&look) {
            continue;
        }
        tokio::select! {
            () = gone.cancelled() => return,
            () = eye.stirred() => {}
            () = tokio::time::sleep(shared.config.poll) => {}
        }
    }
}

/// Waits until the file has stayed the same for long enough, if it is not the one that was last looked at.
async fn settle(shared: &Arc<Shared>) -> Look {
    let mut seen = shared.look().await;
    for _ in 0..ROUNDS_MAX {
        if !shared.is_news(&seen) {
            break;
        }
        tokio::time::sleep(shared.config.settle).await;
        let again = shared.look().await;
        if again == seen {
            break;
        }
        seen = again;
    }
    seen
}
