//! The acts under judgement, numbered densely, and the steps that decide them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Index, IndexMut};
use std::rc::Rc;

use mesh_protocol::{PeerId, RecordId, UnixMillis};

use super::contest::Visit;
use super::silence::Silence;
use super::{ActKind, Fact};

/// Number of a peer, in the order of peer ids. Made by [`Case::new`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartyNo(usize);

/// Number of an act, in the order of record ids. Made by [`Case::new`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ActNo(usize);

/// What is known of an act. It leaves `Open` once and never comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    Counts,
    Void,
}

/// An admission or a removal.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) id: RecordId,
    pub(super) kind: ActKind,
    pub(super) signer: PartyNo,
    pub(super) subject: PartyNo,
    pub(super) at: UnixMillis,
    /// Of a removal: the acts by its subject that it does not silence, itself included. Of an admission:
    /// the removals of its subject that it overrides.
    pub(super) references: BTreeSet<ActNo>,
    pub(super) status: Status,
    pub(super) visit: Visit,
}

/// A peer that signed an act or is the subject of one.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) id: PeerId,
    pub(super) signed: Vec<ActNo>,
    pub(super) admissions: Vec<ActNo>,
    /// The removals of it that could have a say. Where one is enough these are all; else those that it
    /// signed itself, and those by peers whom the founder admitted at some time.
    pub(super) removals: Vec<ActNo>,
    /// How many peers have to ask for its removal.
    pub(super) needed: usize,
}

/// Whether a party's acts can count at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Voice {
    None,
    Open,
    Certain,
}

/// Everything under judgement.
#[derive(Debug)]
pub(super) struct Case {
    founder: PartyNo,
    /// Whether one removal is not enough.
    pub(super) has_quorum: bool,
    parties: Vec<Party>,
    acts: Vec<Act>,
    /// Depths of the parties; forgotten when an admission comes to count.
    depths: Option<Rc<BTreeMap<PartyNo, u32>>>,
    /// Number of walks through the contests so far: marks which visits belong to the present one.
    pub(super) walks: usize,
}

impl Index<PartyNo> for Case {
    type Output = Party;

    #[expect(clippy::indexing_slicing, reason = "a number is made with its party, which stays")]
    fn index(&self, party: PartyNo) -> &Party {
        &self.parties[party.0]
    }
}

impl IndexMut<PartyNo> for Case {
    #[expect(clippy::indexing_slicing, reason = "a number is made with its party, which stays")]
    fn index_mut(&mut self, party: PartyNo) -> &mut Party {
        &mut self.parties[party.0]
    }
}

impl Index<ActNo> for Case {
    type Output = Act;

    #[expect(clippy::indexing_slicing, reason = "a number is made with its act, which stays")]
    fn index(&self, act: ActNo) -> &Act {
        &self.acts[act.0]
    }
}

impl IndexMut<ActNo> for Case {
    #[expect(clippy::indexing_slicing, reason = "a number is made with its act, which stays")]
    fn index_mut(&mut self, act: ActNo) -> &mut Act {
        &mut self.acts[act.0]
    }
}

impl Case {
    pub(super) fn new<'a>(
        founder: PeerId,
        remove_quorum: usize,
        facts: impl IntoIterator<Item = Fact<'a>>,
    ) -> Self {
        let facts: BTreeMap<RecordId, Fact<'a>> =
            facts.into_iter().map(|fact| (fact.id, fact)).collect();
        let mut party_numbers = BTreeMap::from([(founder, PartyNo(0))]);
        for fact in facts.values() {
            party_numbers.insert(fact.signer, PartyNo(0));
            party_numbers.insert(fact.subject, PartyNo(0));
        }
        for (index, number) in party_numbers.values_mut().enumerate() {
            *number = PartyNo(index);
        }
        let act_numbers: BTreeMap<RecordId, ActNo> =
            facts.keys().enumerate().map(|(index, id)| (*id, ActNo(index))).collect();
        let electors = electors(founder, facts.values());
        let new_party = |id: &PeerId| {
            let others = electors.len() - usize::from(electors.contains(id));
            let needed = remove_quorum.min(others).max(1);
            let (signed, admissions, removals) = (Vec::new(), Vec::new(), Vec::new());
            Party { id: *id, signed, admissions, removals, needed }
        };
        // Every peer looked up was inserted above; the founder stands in for what cannot happen.
        let founder = party_numbers.get(&founder).copied().unwrap_or(PartyNo(0));
        let number_of = |peer: &PeerId| party_numbers.get(peer).copied().unwrap_or(founder);
        let has_quorum = remove_quorum > 1;
        let mut case = Self {
            founder,
            has_quorum,
            parties: party_numbers.keys().map(new_party).collect(),
            acts: Vec::with_capacity(facts.len()),
            depths: None,
            walks: 0,
        };
        for fact in facts.values() {
            let act = Act {
                id: fact.id,
                kind: fact.kind,
                signer: number_of(&fact.signer),
                subject: number_of(&fact.subject),
                at: fact.at,
                references: BTreeSet::new(),
                status: Status::Open,
                visit: Visit::default(),
            };
            let number = ActNo(case.acts.len());
            case[act.signer].signed.push(number);
            match act.kind {
                ActKind::Admission => case[act.subject].admissions.push(number),
                ActKind::Removal => {
                    let is_own = fact.signer == fact.subject;
                    if !has_quorum || is_own || electors.contains(&fact.signer) {
                        case[act.subject].removals.push(number);
                    }
                }
            }
            case.acts.push(act);
        }
        case.link_references(&facts, &act_numbers);
        case
    }

    /// Resolves references, leaving out those that mean nothing: to unknown records, to acts of others.
    fn link_references(
        &mut self,
        facts: &BTreeMap<RecordId, Fact<'_>>,
        act_numbers: &BTreeMap<RecordId, ActNo>,
    ) {
        for (fact, number) in facts.values().zip((0..).map(ActNo)) {
            let (kind, signer, subject) = {
                let act = &self[number];
                (act.kind, act.signer, act.subject)
            };
            let is_meant = |reference: &ActNo| match kind {
                ActKind::Removal => self[*reference].signer == subject,
                ActKind::Admission => {
                    let other = &self[*reference];
                    other.kind == ActKind::Removal && other.subject == subject
                }
            };
            let known = fact.references.iter().filter_map(|id| act_numbers.get(id).copied());
            let mut references: BTreeSet<ActNo> = known.filter(is_meant).collect();
            if kind == ActKind::Removal && signer == subject {
                references.insert(number);
            }
            self[number].references = references;
        }
    }

    pub(super) const fn founder(&self) -> PartyNo {
        self.founder
    }

    pub(super) fn acts(&self) -> impl Iterator<Item = &Act> {
        self.acts.iter()
    }

    pub(super) fn party_numbers(&self) -> impl Iterator<Item = PartyNo> + use<> {
        (0..self.parties.len()).map(PartyNo)
    }

    /// Those of `acts` that count.
    pub(super) fn counting<'a>(
        &'a self,
        acts: &'a [ActNo],
    ) -> impl Iterator<Item = (ActNo, &'a Act)> {
        let known = acts.iter().map(|number| (*number, &self[*number]));
        known.filter(|(_, act)| act.status == Status::Counts)
    }

    /// The admissions of `party` by the founder: whoever has one that counts has a vote on removals.
    pub(super) fn franchise(&self, party: PartyNo) -> impl Iterator<Item = ActNo> {
        let admissions = self[party].admissions.iter().copied();
        admissions.filter(|number| self[*number].signer == self.founder)
    }

    /// Whether `party` has a vote on removals, going by the admissions that `is_taken` takes for good.
    pub(super) fn has_vote(&self, party: PartyNo, is_taken: impl Fn(Status) -> bool) -> bool {
        party == self.founder || self.franchise(party).any(|number| is_taken(self[number].status))
    }

    /// Who asks for the removal of `party` and was not answered by `overridden`; none when the party
    /// itself does, or when that many are enough anyway.
    pub(super) fn votes(
        &self,
        party: PartyNo,
        overridden: &BTreeSet<ActNo>,
    ) -> Option<BTreeSet<PartyNo>> {
        let mut votes = BTreeSet::new();
        for (number, removal) in self.counting(&self[party].removals) {
            if overridden.contains(&number) {
                continue;
            }
            if removal.signer == party {
                return None;
            }
            if !self.has_quorum || self.has_vote(removal.signer, |status| status == Status::Counts)
            {
                votes.insert(removal.signer);
            }
        }
        (votes.len() < self[party].needed).then_some(votes)
    }

    /// Decides every act.
    pub(super) fn settle(&mut self) {
        self.deduce(self.party_numbers().collect());
        // Sets whose acts wait for nothing outside but what sets further up have decided by then.
        let mut sets: Vec<Vec<ActNo>> = vec![(0..self.acts.len()).map(ActNo).collect()];
        while let Some(mut set) = sets.pop() {
            set.retain(|number| self[*number].status == Status::Open);
            if set.is_empty() {
                continue;
            }
            let mut decisions = self.unfounded(&set);
            if decisions.is_empty() {
                let contests = self.contests(&set);
                if contests.len() > 1 {
                    sets.extend(contests.into_iter().rev());
                    continue;
                }
                decisions = self.winners(&set);
            }
            if decisions.is_empty() {
                // A contest has a winner. If it had none, nothing of it may count, and nothing of it may
                // stay open: what waits for it would never be decided.
                decisions = set.iter().map(|number| (*number, Status::Void)).collect();
            }
            let touched = self.apply(&mut decisions);
            self.deduce(touched);
            sets.push(set);
        }
    }

    /// Decides what must be so whatever becomes of the open acts.
    fn deduce(&mut self, touched: BTreeSet<PartyNo>) {
        let mut decisions = Vec::new();
        let mut queue: VecDeque<PartyNo> = touched.iter().copied().collect();
        let mut waiting = touched;
        while let Some(party) = queue.pop_front() {
            waiting.remove(&party);
            self.deduce_acts_of(party, &mut decisions);
            for subject in self.apply(&mut decisions) {
                if waiting.insert(subject) {
                    queue.push_back(subject);
                }
            }
        }
    }

    fn deduce_acts_of(&self, party: PartyNo, decisions: &mut Vec<(ActNo, Status)>) {
        let is_open = |number: &ActNo| self[*number].status == Status::Open;
        let open: Vec<ActNo> = self[party].signed.iter().copied().filter(is_open).collect();
        if open.is_empty() {
            return;
        }
        let voice = self.voice(party);
        let certain = Silence::certain(self, party);
        let possible = Silence::possible(self, party);
        for number in open {
            let at = self[number].at;
            if voice == Voice::None || certain.covers(number, at) {
                decisions.push((number, Status::Void));
            } else if voice == Voice::Certain && !possible.covers(number, at) {
                decisions.push((number, Status::Counts));
            }
        }
    }

    fn voice(&self, party: PartyNo) -> Voice {
        let admissions = &self[party].admissions;
        let has = |status| admissions.iter().any(|number| self[*number].status == status);
        if party == self.founder || has(Status::Counts) {
            Voice::Certain
        } else if has(Status::Open) {
            Voice::Open
        } else {
            Voice::None
        }
    }

    /// Voids those of the open acts that could count by their own doing only: of parties that a circle of
    /// admissions leads to, or that their own acts would bring back.
    fn unfounded(&self, open: &[ActNo]) -> Vec<(ActNo, Status)> {
        // Both take an admission that is open.
        if open.iter().all(|number| self[*number].kind == ActKind::Removal) {
            return Vec::new();
        }
        let mut by_signer: BTreeMap<PartyNo, Vec<ActNo>> = BTreeMap::new();
        for number in open {
            by_signer.entry(self[*number].signer).or_default().push(*number);
        }
        let has_voice = |party: &PartyNo| self.voice(*party) == Voice::Certain;
        let mut queue: VecDeque<PartyNo> = by_signer.keys().copied().filter(has_voice).collect();
        let mut founded: BTreeSet<ActNo> = BTreeSet::new();
        while let Some(party) = queue.pop_front() {
            let silence = Silence::unless_founded(self, party, &founded);
            for number in by_signer.get(&party).into_iter().flatten() {
                let act = &self[*number];
                let is_founded = !silence.covers(*number, act.at) && founded.insert(*number);
                if is_founded && act.kind == ActKind::Admission {
                    queue.push_back(act.subject);
                }
            }
        }
        let unfounded = open.iter().filter(|number| !founded.contains(number));
        unfounded.map(|number| (*number, Status::Void)).collect()
    }

    /// Writes decisions down. Returns the parties whose acts may now be decided as well.
    fn apply(&mut self, decisions: &mut Vec<(ActNo, Status)>) -> BTreeSet<PartyNo> {
        let mut touched = BTreeSet::new();
        for (number, status) in decisions.drain(..) {
            let act = &mut self[number];
            act.status = status;
            let (kind, signer, subject) = (act.kind, act.signer, act.subject);
            touched.insert(subject);
            if kind == ActKind::Admission && status == Status::Counts {
                self.depths = None;
            }
            if kind == ActKind::Admission && self.has_quorum && signer == self.founder {
                let asked = self[subject].signed.iter().map(|number| &self[*number]);
                let removals = asked.filter(|act| act.kind == ActKind::Removal);
                touched.extend(removals.map(|removal| removal.subject));
            }
        }
        touched
    }

    /// Least number of admissions that count from the founding record to each party with a voice.
    pub(super) fn depths(&mut self) -> Rc<BTreeMap<PartyNo, u32>> {
        let depths = self.depths.take().unwrap_or_else(|| Rc::new(self.measure_depths()));
        Rc::clone(self.depths.insert(depths))
    }

    fn measure_depths(&self) -> BTreeMap<PartyNo, u32> {
        let mut depths = BTreeMap::from([(self.founder, 0)]);
        let mut queue = VecDeque::from([(self.founder, 0_u32)]);
        while let Some((party, depth)) = queue.pop_front() {
            for (_, act) in self.counting(&self[party].signed) {
                if act.kind == ActKind::Admission && !depths.contains_key(&act.subject) {
                    depths.insert(act.subject, depth.saturating_add(1));
                    queue.push_back((act.subject, depth.saturating_add(1)));
                }
            }
        }
        depths
    }

    /// For each party with a voice the latest date on its way from the founding record, of the way on
    /// which that is least: nobody gains by dating an admission before the sponsor's own.
    pub(super) fn since(&self, founded_at: UnixMillis) -> BTreeMap<PartyNo, UnixMillis> {
        let mut since = BTreeMap::new();
        let mut queue = BTreeSet::from([(founded_at, self.founder)]);
        while let Some((at, party)) = queue.pop_first() {
            if since.contains_key(&party) {
                continue;
            }
            since.insert(party, at);
            for (_, act) in self.counting(&self[party].signed) {
                if act.kind == ActKind::Admission && !since.contains_key(&act.subject) {
                    queue.insert((at.max(act.at), act.subject));
                }
            }
        }
        since
    }
}

/// Who could ever have a vote on removals: the founder, and whom it admitted. Whether those admissions
/// count is asked later; a removal of somebody must not make the next one easier.
fn electors<'a>(founder: PeerId, facts: impl Iterator<Item = &'a Fact<'a>>) -> BTreeSet<PeerId> {
    let by_founder = facts.filter(|fact| fact.kind == ActKind::Admission && fact.signer == founder);
    by_founder.map(|fact| fact.subject).chain([founder]).collect()
}
