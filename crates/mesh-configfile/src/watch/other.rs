//! Watching with what the system has for it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use notify::event::{AccessKind, AccessMode, RemoveKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::Place;
use crate::file::lock;

type Names = Arc<Mutex<BTreeSet<OsString>>>;

/// The watches of one file.
pub(super) struct Watcher {
    watcher: RecommendedWatcher,
    watched: Vec<Place>,
    names: Names,
    /// A folder was removed, and its watch with it. The next one of its name may have its number, too.
    is_lost: Arc<AtomicBool>,
    stirred: Arc<Notify>,
}

impl Watcher {
    pub(super) fn new() -> io::Result<Self> {
        let stirred = Arc::new(Notify::new());
        let names = Names::default();
        let is_lost = Arc::new(AtomicBool::new(false));
        let handler = handler(Arc::clone(&names), Arc::clone(&is_lost), Arc::clone(&stirred));
        let watcher = notify::recommended_watcher(handler).map_err(io::Error::other)?;
        Ok(Self { watcher, watched: Vec::new(), names, is_lost, stirred })
    }

    /// Watches these folders and no others, for whatever has one of these names. Tells whether there are new
    /// ones among them.
    pub(super) fn aim(&mut self, names: BTreeSet<OsString>, wanted: Vec<Place>) -> bool {
        *lock(&self.names) = names;
        let is_lost = self.is_lost.swap(false, Ordering::AcqRel);
        let is_gone = |place: &mut Place| is_lost || !wanted.contains(place);
        for gone in self.watched.extract_if(.., is_gone) {
            // It fails when the folder is gone, and the watch with it.
            self.watcher.unwatch(&gone.path).ok();
        }
        let mut is_other = false;
        for folder in wanted.into_iter().filter(|place| place.is_folder) {
            if self.watched.contains(&folder) {
                continue;
            }
            match self.watcher.watch(&folder.path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.push(folder);
                    is_other = true;
                }
                Err(error) => {
                    let path = folder.path.display();
                    tracing::debug!(%path, %error, "this cannot be watched, it is polled");
                }
            }
        }
        is_other
    }

    /// Waits until something happens. Nothing is lost when the future is dropped.
    pub(super) async fn stirred(&mut self) {
        self.stirred.notified().await;
    }
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
