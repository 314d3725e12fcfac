//! Watching with inotify, for no more than what is a change of the file.
//!
//! Databases may lie in the same folder and be written all the time: a watch of the folder that tells of
//! that would wake this program with every write of theirs. So the file itself is watched for being written, and
//! the folder for everything else.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};

use super::Place;

/// Room for some events with long names.
const BUFFER_BYTES: usize = 4096;

/// The watches of one file.
pub(super) struct Watcher {
    events: EventStream<[u8; BUFFER_BYTES]>,
    watched: Vec<(Place, WatchDescriptor)>,
    names: BTreeSet<OsString>,
}

impl Watcher {
    /// On the runtime that this is called on.
    pub(super) fn new() -> io::Result<Self> {
        let events = Inotify::init()?.into_event_stream([0; BUFFER_BYTES])?;
        Ok(Self { events, watched: Vec::new(), names: BTreeSet::new() })
    }

    /// Watches these places and no others, for whatever has one of these names. Tells whether there are new
    /// ones among them.
    pub(super) fn aim(&mut self, names: BTreeSet<OsString>, wanted: Vec<Place>) -> bool {
        self.names = names;
        let mut watches = self.events.watches();
        let is_gone = |(place, _): &mut (Place, WatchDescriptor)| !wanted.contains(place);
        for (_, watch) in self.watched.extract_if(.., is_gone) {
            // It fails when the place is gone, and the watch with it.
            watches.remove(watch).ok();
        }
        let mut is_other = false;
        for place in wanted {
            if self.watched.iter().any(|(watched, _)| *watched == place) {
                continue;
            }
            match watches.add(&place.path, mask(&place)) {
                Ok(watch) => {
                    self.watched.push((place, watch));
                    is_other = true;
                }
                Err(error) => {
                    let path = place.path.display();
                    tracing::debug!(%path, %error, "this cannot be watched, it is polled");
                }
            }
        }
        is_other
    }

    /// Waits until something happens. Nothing is lost when the future is dropped.
    pub(super) async fn stirred(&mut self) {
        // Events that come together are one reason to look.
        let mut is_stirred = false;
        loop {
            let next = self.events.next();
            let event = if is_stirred { next.now_or_never().flatten() } else { next.await };
            match event {
                Some(Ok(event)) => is_stirred |= self.is_ours(&event),
                Some(Err(error)) => {
                    tracing::debug!(%error, "changes of the file are only polled");
                    return std::future::pending().await;
                }
                None if is_stirred => return,
                None => return std::future::pending().await,
            }
        }
    }

    fn is_ours(&mut self, event: &EventOwned) -> bool {
        // The place is gone, and the next one of its name may have its number.
        if event.mask.contains(EventMask::IGNORED) {
            self.watched.retain(|(_, watch)| *watch != event.wd);
        }
        event.name.as_ref().is_none_or(|name| self.names.contains(name))
    }
}

fn mask(place: &Place) -> WatchMask {
    if !place.is_folder {
        return WatchMask::MODIFY;
    }
    WatchMask::ONLYDIR
        | WatchMask::ATTRIB
        | WatchMask::CLOSE_WRITE
        | WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE
        | WatchMask::MOVE_SELF
}
