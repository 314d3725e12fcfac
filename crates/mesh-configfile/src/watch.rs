//! Noticing that the file may have changed.
//!
//! The folder is watched, not the file: an editor that saves by renaming, a deletion and a re-creation
//! all show there. That a folder further up was renamed tells nobody; the poll finds it. What an event says is not looked at; it is a reason to look at the file, as
//! is every [`FileConfig::poll`](crate::FileConfig::poll).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use notify::event::{AccessKind, AccessMode, RemoveKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::file::{Shared, lock};
use crate::look::{self, Look};

/// A file that changes all the time is announced after so many looks, and every so many.
const ROUNDS_MAX: usize = 40;

/// More folders than this are not made one in the other while the watch follows.
const AIMS_MAX: usize = 64;

/// Which folder is watched, and which one it was when it was: one of the same name may have come since.
#[derive(Debug, PartialEq, Eq)]
struct Watched {
    folder: PathBuf,
    device: u64,
    inode: u64,
}

/// The watches of one file.
pub(crate) struct Eye {
    watcher: Option<RecommendedWatcher>,
    watched: Vec<Watched>,
    /// The parts of the path and of where it leads to. Most of what happens in a folder names others.
    names: Names,
    /// A folder was removed, and its watch with it. The next one of its name may have its number, too.
    is_lost: Arc<AtomicBool>,
    stirred: Arc<Notify>,
}

type Names = Arc<Mutex<BTreeSet<OsString>>>;

impl Eye {
    pub(crate) fn open(path: &Path) -> Self {
        let stirred = Arc::new(Notify::new());
        let names = Names::default();
        let is_lost = Arc::new(AtomicBool::new(false));
        let handler = handler(Arc::clone(&names), Arc::clone(&is_lost), Arc::clone(&stirred));
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "changes of the file are only polled");
            })
            .ok();
        Self { watcher, watched: Vec::new(), names, is_lost, stirred }
    }

    /// Watches the folders that `path` lies in as they are by this time.
    pub(crate) fn aim(&mut self, path: &Path) {
        // A folder that was made before the one above it was watched has told nobody.
        for _ in 0..AIMS_MAX {
            if !self.aim_once(path) {
                return;
            }
        }
    }

    /// Tells whether other folders are watched than before.
    fn aim_once(&mut self, path: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let paths = [Some(path.to_owned()), look::resolve(path).ok()];
        *lock(&self.names) =
            paths.iter().flatten().flat_map(|path| path.iter().map(OsString::from)).collect();
        let mut wanted: Vec<Watched> = Vec::new();
        for path in paths.into_iter().flatten() {
            if let Some(folder) = nearest(look::folder_of(&path))
                && !wanted.contains(&folder)
            {
                wanted.push(folder);
            }
        }
        let is_lost = self.is_lost.swap(false, Ordering::AcqRel);
        let (kept, gone): (Vec<_>, Vec<_>) =
            self.watched.drain(..).partition(|watched| !is_lost && wanted.contains(watched));
        self.watched = kept;
        for gone in gone {
            // It fails when the folder is gone, and the watch with it.
            watcher.unwatch(&gone.folder).ok();
        }
        let mut is_other = false;
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder.folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.push(folder);
                    is_other = true;
                }
                Err(error) => {
                    let folder = folder.folder.display();
                    tracing::debug!(%folder, %error, "a folder cannot be watched, it is polled");
                }
            }
        }
        is_other
    }
}

/// Returns the folder, or the nearest one above it that exists.
fn nearest(folder: &Path) -> Option<Watched> {
    let mut folder = Some(folder);
    while let Some(candidate) = folder {
        if let Ok(metadata) = fs::metadata(candidate)
            && metadata.is_dir()
        {
            let (device, inode) = (metadata.dev(), metadata.ino());
            return Some(Watched { folder: candidate.to_owned(), device, inode });
        }
        folder = candidate.parent();
    }
    None
}

/// Tells of events that name a part of the path, by whatever way the file system spells the rest.
fn handler(
    names: Names,
    is_lost: Arc<AtomicBool>,
    stirred: Arc<Notify>,
) -> impl Fn(notify::Result<Event>) + Send + 'static {
    move |event| {
        let is_removal = matches!(
            &event,
            Ok(Event { kind: EventKind::Remove(kind), .. }) if *kind != RemoveKind::File
        );
        let is_ours = match event {
            Ok(event) => {
                is_change(event.kind) && (event.need_rescan() || is_named(&event, &lock(&names)))
            }
            // Events may be missing.
            Err(_) => true,
        };
        if is_ours {
            if is_removal {
                is_lost.store(true, Ordering::Release);
            }
            stirred.notify_one();
        }
    }
}

/// Reading is no change; it would wake whoever reads.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

fn is_named(event: &Event, names: &BTreeSet<OsString>) -> bool {
    event.paths.is_empty()
        || event.paths.iter().any(|path| path.file_name().is_none_or(|name| names.contains(name)))
}

/// Announces changes until `gone`.
pub(crate) async fn run(shared: Arc<Shared>, mut eye: Eye, gone: CancellationToken) {
    let stirred = Arc::clone(&eye.stirred);
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
            () = stirred.notified() => {}
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
