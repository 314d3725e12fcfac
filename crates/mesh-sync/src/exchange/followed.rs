use mesh_protocol::{PeerId, VersionVector};

use super::Exchange;
use super::stated::vector_of;

/// What a member said that it has, as far as all of that is here too.
///
/// A deletion may be forgotten when every member has applied it and whatever they wrote before they did has
/// come: a write that knows nothing of the deletion and comes later would bring the row back here alone.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The latest statement whose content is here.
    vector: VersionVector,
    /// The next one, which is not all here yet. Later ones wait for it: under steady writes the latest
    /// never is.
    waiting: Option<VersionVector>,
}

impl Followed {
    /// What is waited for may never come: a member that begins anew has said what it has now.
    pub(super) fn give_up(&mut self) {
        self.waiting = None;
    }
}

impl Exchange {
    /// A member has said something new.
    pub(super) fn follow(&mut self, member: PeerId) {
        let Some(stated) = self.known.get(&member) else { return };
        let followed = self.followed.entry(member).or_default();
        followed.waiting.get_or_insert_with(|| stated.vector());
        self.catch_up();
    }

    /// Something was applied here, or is waited for.
    pub(super) fn catch_up(&mut self) {
        let Some(own) = &self.own else { return };
        if self.followed.values().all(|followed| followed.waiting.is_none()) {
            return;
        }
        let own = vector_of(own.origins.values());
        for followed in self.followed.values_mut() {
            if let Some(vector) = followed.waiting.take_if(|waiting| own.covers(waiting)) {
                followed.vector = vector;
            }
        }
    }

    /// What every member has, this one included, and had when everything that they have was here. Empty as
    /// long as one of them has not been heard of.
    #[must_use]
    pub fn passed_by_all(&self) -> VersionVector {
        let Some(own) = &self.own else { return VersionVector::default() };
        let mut passed = vector_of(own.origins.values());
        for member in &self.members {
            match self.followed.get(member) {
                Some(followed) => passed.meet(&followed.vector),
                None => return VersionVector::default(),
            }
        }
        passed
    }
}
