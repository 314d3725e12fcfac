use std::collections::BTreeMap;

use mesh_protocol::{HOLES_MAX, ORIGINS_MAX, OriginHave, OriginId, SyncHave, VersionVector};

/// After how long a member's unchanged words are passed on once more; revisions are milliseconds. Members
/// say what they have twice a minute, and every one of these words going over every link would cost each
/// member the square of their number.
const TELL_AGAIN_MILLIS: u64 = 3_600_000;

/// What a member has, as it said.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    pub(super) database: OriginId,
    pub(super) revision: u64,
    /// The first revision that said all of this, as far as is known here: later ones repeat it.
    pub(super) since: u64,
    pub(super) wants_changes: bool,
    /// At most [`ORIGINS_MAX`], with at most [`HOLES_MAX`] holes in all.
    origins: BTreeMap<OriginId, OriginHave>,
}

impl Stated {
    /// Adds what a member says to what it said before, or replaces it.
    pub(super) fn from(have: SyncHave, before: Option<&Self>) -> Self {
        let kept = before.filter(|_| !have.is_whole);
        let mut origins = kept.map(|kept| kept.origins.clone()).unwrap_or_default();
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
        let mut stated = Self { database, revision, since: revision, wants_changes, origins };
        if let Some(before) = before.filter(|before| before.says_the_same_as(&stated)) {
            stated.since = before.since;
        }
        stated
    }

    fn says_the_same_as(&self, other: &Self) -> bool {
        let terms = |stated: &Self| (stated.database, stated.wants_changes);
        terms(self) == terms(other) && self.origins == other.origins
    }

    /// Whether someone who has heard an earlier revision of this can do without this one. Once in a while
    /// it is told again all the same: words between the two may have been lost.
    pub(super) fn is_told_by(&self, revision: u64) -> bool {
        let told_again = revision.saturating_add(TELL_AGAIN_MILLIS);
        revision >= self.revision || revision >= self.since && told_again > self.revision
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
