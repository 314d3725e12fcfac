//! Who is on the LAN at the moment.

use std::collections::BTreeMap;

use mdns_sd::ResolvedService;

use super::daemon::Announcement;
use super::{LanInterfaces, claim};
use crate::LanFound;

/// Most agents on the LAN that are remembered. When more announce themselves, the one that was heard
/// longest ago makes room: it has been handed out already.
pub const SIGHTINGS_MAX: usize = 1024;

/// What the thread reports.
#[derive(Debug)]
pub(super) enum Seen {
    /// An announcement is complete, new or changed.
    There(Box<ResolvedService>),
    /// The announcement of this name was withdrawn or ran out.
    Gone(String),
    /// News about the search itself.
    Other,
}

/// The announcements of the own mesh by their full names.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<String, Entry>,
    heard: u64,
}

#[derive(Debug)]
struct Entry {
    found: LanFound,
    heard: u64,
}

impl Book {
    /// Takes in what was seen, and returns an agent of the same mesh that is new or has moved.
    pub(super) fn enter(
        &mut self,
        seen: Seen,
        own: Announcement,
        interfaces: &LanInterfaces,
    ) -> Option<LanFound> {
        match seen {
            Seen::There(service) => self.enter_service(&service, own, interfaces),
            Seen::Gone(name) => {
                self.entries.remove(&name);
                None
            }
            Seen::Other => None,
        }
    }

    fn enter_service(
        &mut self,
        service: &ResolvedService,
        own: Announcement,
        interfaces: &LanInterfaces,
    ) -> Option<LanFound> {
        let found = claim::read(service, interfaces)
            .filter(|found| found.mesh == own.mesh && found.peer != own.peer);
        let Some(found) = found else {
            // It may have been of this mesh before.
            self.entries.remove(&service.fullname);
            return None;
        };
        self.heard += 1;
        let entry = Entry { found: found.clone(), heard: self.heard };
        let before = self.entries.insert(service.fullname.clone(), entry);
        self.make_room();
        before.is_none_or(|before| before.found != found).then_some(found)
    }

    fn make_room(&mut self) {
        if self.entries.len() <= SIGHTINGS_MAX {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.heard);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.entries.remove(&name);
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn sightings(&self) -> Vec<LanFound> {
        self.entries.values().map(|entry| entry.found.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
