//! Whose databases the origins are: noted for as long as anything of them is kept, so that whoever wrote something is
//! called by name long after it has left, or taken a new origin.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_protocol::{Frame, OriginId, OriginOwners, PeerId, SyncHave};
use mesh_transport::Lane;

use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

impl Shared {
    /// Notes what this node's own database is called, before it may take another name.
    pub(super) fn name_own_origin(self: &Arc<Self>) {
        let own = self.replication.tables.have().borrow().database;
        let is_noted = lock(&self.replication.owners).insert(own, self.me) == Some(self.me);
        if !is_noted {
            self.note_owner(own, self.me);
        }
    }

    /// A member has said whose database an origin is. What one says of another is believed as long as nothing else is
    /// known, so that nobody makes this write for ever.
    pub(super) fn name_origin(self: &Arc<Self>, from: &PeerId, have: &SyncHave) {
        if self.view().verdict.is_member(&have.member) {
            self.believe_owner(have.database, have.member, have.member == *from);
        }
    }

    fn believe_owner(self: &Arc<Self>, origin: OriginId, owner: PeerId, is_first_hand: bool) {
        if !self.has_of(&origin) {
            return;
        }
        {
            let mut owners = lock(&self.replication.owners);
            let known = owners.get(&origin);
            if known == Some(&owner) || (known.is_some() && !is_first_hand) {
                return;
            }
            owners.insert(origin, owner);
        }
        self.note_owner(origin, owner);
    }

    fn note_owner(self: &Arc<Self>, origin: OriginId, owner: PeerId) {
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let noted = shared.replication.tables.name_origin(origin, owner).await;
            shared.note_tables(&noted);
            if noted.is_err() {
                // It is heard again.
                lock(&shared.replication.owners).remove(&origin);
            }
        });
    }

    /// Whether anything of a database was applied here: what is noted is bounded by that.
    fn has_of(&self, origin: &OriginId) -> bool {
        let have = self.replication.tables.have();
        let have = have.borrow();
        have.origins.iter().any(|known| known.origin == *origin)
    }

    /// Asks a member that has said everything it has for whom this node does not know.
    pub(super) fn ask_for_owners(&self, entry: &LinkEntry) {
        let unknown: Vec<OriginId> = {
            let have = Arc::clone(&self.replication.tables.have().borrow());
            let owners = lock(&self.replication.owners);
            let origins = have.origins.iter().map(|known| known.origin);
            origins.filter(|origin| !owners.contains_key(origin)).collect()
        };
        self.send_owners(entry, OriginOwners { unknown, known: Vec::new() });
    }

    /// A member asks for owners, or names some.
    pub(crate) fn take_owners(self: &Arc<Self>, entry: &LinkEntry, said: OriginOwners) {
        let view = self.view();
        if !view.verdict.is_member(&entry.peer) {
            return;
        }
        // Those that left are who is asked for.
        let was_here =
            |peer: &PeerId| view.verdict.is_member(peer) || view.verdict.removal_of(peer).is_some();
        for (origin, owner) in said.known.into_iter().filter(|(_, owner)| was_here(owner)) {
            self.believe_owner(origin, owner, false);
        }
        let known = {
            let owners = lock(&self.replication.owners);
            let known = |origin: OriginId| Some((origin, *owners.get(&origin)?));
            said.unknown.into_iter().filter_map(known).collect()
        };
        self.send_owners(entry, OriginOwners { unknown: Vec::new(), known });
    }

    fn send_owners(&self, entry: &LinkEntry, owners: OriginOwners) {
        if owners == OriginOwners::default() {
            return;
        }
        // Who does not read asks, or is asked, again.
        entry.sender.try_send(Lane::Bulk, &Frame::OriginOwners(owners)).ok();
    }
}

/// Whose databases the origins are.
pub(super) type Owners = BTreeMap<OriginId, PeerId>;
