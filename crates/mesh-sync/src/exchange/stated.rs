use std::collections::BTreeMap;

use mesh_protocol::{HOLES_MAX, ORIGINS_MAX, OriginHave, OriginId, SyncHave, VersionVector};

/// What a member has, as it said.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) database: OriginId,
    pub(super) revision: u64,
    pub(super) wants_changes: bool,
    /// At most [`ORIGINS_MAX`], with at most [`HOLES_MAX`] holes in all.
    origins: BTreeMap<OriginId, OriginHave>,
}

impl Stated {
    /// Adds what a member says to what it said before, or replaces it.
    pub(super) fn from(have: SyncHave, before: Option<Self>) -> Self {
        let before = before.filter(|_| !have.is_whole);
        let mut origins = before.map(|before| before.origins).unwrap_or_default();
        let mut room = HOLES_MAX - origins.values().map(|origin| origin.holes.len()).sum::<usize>();
        for said in have.origins {
            room += origins.get(&said.origin).map_or(0, |known| known.holes.len());
            if origins.len() < ORIGINS_MAX || origins.contains_key(&said.origin) {
                let kept = sound(said, room);
                room -= kept.holes.len();
                origins.insert(kept.origin, kept);
            }
        }
        let SyncHave { database, revision, wants_changes, .. } = have;
        Self { database, revision, wants_changes, origins }
    }

    pub(super) fn upto(&self, origin: &OriginId) -> u64 {
        self.origins.get(origin).map_or(0, |have| have.upto)
    }

    pub(super) fn get(&self, origin: &OriginId) -> Option<&OriginHave> {
        self.origins.get(origin)
    }

    pub(super) fn origins(&self) -> impl Iterator<Item = &OriginHave> {
        self.origins.values()
    }

    /// What it has; what it keeps aside it has not.
    pub(super) fn vector(&self) -> VersionVector {
        vector_of(self.origins.values())
    }
}

pub(super) fn vector_of<'a>(origins: impl Iterator<Item = &'a OriginHave>) -> VersionVector {
    let mut vector = VersionVector::default();
    for have in origins.filter(|have| have.upto > 0) {
        vector.set(have.origin, have.upto, have.holes.iter().copied());
    }
    vector
}

/// Makes what was said consistent. Where there are more holes than there is room for, it is taken to have
/// less: too little costs a transmission, too much a transaction.
fn sound(mut have: OriginHave, room: usize) -> OriginHave {
    have.holes.retain(|hole| (1..=have.upto).contains(hole));
    have.holes.sort_unstable();
    have.holes.dedup();
    if let Some(hole) = have.holes.get(room).copied() {
        have.upto = hole - 1;
        have.holes.truncate(room);
    }
    have.floor = have.floor.min(have.upto);
    have
}

/// The same for what this node says itself.
pub(super) fn tellable<'a>(origins: impl Iterator<Item = &'a OriginHave>) -> Vec<OriginHave> {
    let mut room = HOLES_MAX;
    let mut told = Vec::new();
    for have in origins.take(ORIGINS_MAX) {
        let have = sound(have.clone(), room);
        room -= have.holes.len();
        told.push(have);
    }
    told
}
