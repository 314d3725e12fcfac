//! Which acts of a removed party its removals silence.

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::UnixMillis;

use super::case::{Act, ActNo, Case, PartyNo, Status};

/// Later than every date: a removal that nothing overrides.
const FOREVER: u128 = u128::MAX;

/// Some removals of one party, prepared so that asking about an act costs a search, not a walk over
/// all of them: a hostile member can pile up thousands on either side.
#[derive(Debug)]
pub(super) struct Silence {
    /// Each of these is enough: all where one is, else those that the party signed itself.
    decisive: Reach,
    /// What each of the others that have a vote asks for.
    votes: Vec<Reach>,
    /// How many of these are enough.
    needed: usize,
}

/// Which acts some removals silence.
#[derive(Debug, Default)]
struct Reach {
    /// Per removal: acts dated before this are silenced. Sorted.
    before: Vec<u128>,
    /// Per act: how many of the removals would silence it by date but list it as standing.
    spared: BTreeMap<ActNo, usize>,
}

impl Reach {
    /// Adds a removal of which acts dated before `before` are in reach.
    fn add(&mut self, case: &Case, removal: &Act, before: u128) {
        self.before.push(before);
        for listed in &removal.references {
            if before > u128::from(case[*listed].at.0) {
                *self.spared.entry(*listed).or_default() += 1;
            }
        }
    }

    fn covers(&self, act: ActNo, at: UnixMillis) -> bool {
        let out_of_reach = self.before.partition_point(|before| *before <= u128::from(at.0));
        let in_reach = self.before.len() - out_of_reach;
        in_reach > self.spared.get(&act).copied().unwrap_or(0)
    }
}

impl Silence {
    /// What is silenced whatever becomes of the open acts.
    pub(super) fn certain(case: &Case, party: PartyNo) -> Self {
        let is_rejoin = |number: ActNo| case[number].status != Status::Void;
        Self::new(case, party, |status| status == Status::Counts, is_rejoin)
    }

    /// What is silenced if the open acts turn out for the worst.
    pub(super) fn possible(case: &Case, party: PartyNo) -> Self {
        let is_rejoin = |number: ActNo| case[number].status == Status::Counts;
        Self::new(case, party, |status| status != Status::Void, is_rejoin)
    }

    /// What is silenced unless a rejoin that is still open comes to count.
    pub(super) fn unless_rejoined(case: &Case, party: PartyNo) -> Self {
        let is_rejoin = |number: ActNo| case[number].status == Status::Counts;
        Self::new(case, party, |status| status == Status::Counts, is_rejoin)
    }

    /// What is silenced for certain when no open rejoin but those `founded` can come to count.
    pub(super) fn unless_founded(case: &Case, party: PartyNo, founded: &BTreeSet<ActNo>) -> Self {
        let is_rejoin =
            |number: ActNo| case[number].status == Status::Counts || founded.contains(&number);
        Self::new(case, party, |status| status == Status::Counts, is_rejoin)
    }

    fn new(
        case: &Case,
        party: PartyNo,
        is_removal: impl Fn(Status) -> bool,
        is_rejoin: impl Fn(ActNo) -> bool,
    ) -> Self {
        // The least date from which acts are out of the reach of each removal that is overridden. It is
        // never before the removal's own, so that a rejoin with an old date revives nothing.
        let mut ends: BTreeMap<ActNo, UnixMillis> = BTreeMap::new();
        for number in &case[party].admissions {
            let admission = &case[*number];
            if !is_rejoin(*number) {
                continue;
            }
            for removal in &admission.references {
                let end = admission.at.max(case[*removal].at);
                ends.entry(*removal).and_modify(|least| *least = end.min(*least)).or_insert(end);
            }
        }
        let mut decisive = Reach::default();
        let mut votes: BTreeMap<PartyNo, Option<Reach>> = BTreeMap::new();
        for number in &case[party].removals {
            let removal = &case[*number];
            if !is_removal(removal.status) {
                continue;
            }
            let before = ends.get(number).map_or(FOREVER, |end| u128::from(end.0));
            if !case.has_quorum || removal.signer == party {
                decisive.add(case, removal, before);
                continue;
            }
            let vote = votes
                .entry(removal.signer)
                .or_insert_with(|| case.has_vote(removal.signer, &is_removal).then(Reach::default));
            if let Some(vote) = vote {
                vote.add(case, removal, before);
            }
        }
        let mut silence = Self {
            decisive,
            votes: votes.into_values().flatten().collect(),
            needed: case[party].needed,
        };
        for reach in silence.votes.iter_mut().chain([&mut silence.decisive]) {
            reach.before.sort_unstable();
        }
        silence
    }

    /// Whether enough of the removals silence the party's act, which is dated `at`.
    pub(super) fn covers(&self, act: ActNo, at: UnixMillis) -> bool {
        let covering = || self.votes.iter().filter(|reach| reach.covers(act, at));
        self.decisive.covers(act, at) || covering().take(self.needed).count() == self.needed
    }
}
