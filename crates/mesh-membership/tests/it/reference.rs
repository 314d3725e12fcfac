//! The rule once more, as slowly and literally as it can be written: what counts for certain and what
//! may count are recomputed from nothing until they stand still, and contests are found by trying every way.

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{PeerId, Record, RecordId, VerifiedRecord};

#[derive(Clone, Copy)]
struct Act<'a> {
    id: RecordId,
    is_admission: bool,
    signer: PeerId,
    subject: PeerId,
    at: u64,
    references: &'a [RecordId],
}

type Set = BTreeSet<RecordId>;

struct Rule<'a> {
    founder: PeerId,
    quorum: usize,
    acts: BTreeMap<RecordId, Act<'a>>,
}

impl<'a> Rule<'a> {
    fn all(&self) -> impl Iterator<Item = &Act<'a>> {
        self.acts.values()
    }

    fn in_set(&self, set: &Set) -> Vec<Act<'a>> {
        self.all().filter(|act| set.contains(&act.id)).copied().collect()
    }

    /// The founder and whom it admitted, if the admissions in `taken` are those that count.
    fn electors(&self, taken: &Set) -> BTreeSet<PeerId> {
        let admissions = self.in_set(taken).into_iter().filter(|act| act.is_admission);
        let by_founder = admissions.filter(|act| act.signer == self.founder);
        by_founder.map(|act| act.subject).chain([self.founder]).collect()
    }

    /// How many have to ask for the removal of `subject`.
    fn needed(&self, subject: PeerId) -> usize {
        let ever = self.electors(&self.acts.keys().copied().collect());
        let others = ever.iter().filter(|elector| **elector != subject).count();
        self.quorum.min(others).max(1)
    }

    /// Whether `removals`, of one subject, are enough when those in `taken` count.
    fn are_enough(&self, subject: PeerId, removals: &[Act<'_>], taken: &Set) -> bool {
        let electors = self.electors(taken);
        let mut votes: BTreeSet<PeerId> = removals.iter().map(|removal| removal.signer).collect();
        if votes.contains(&subject) || self.quorum == 1 && !votes.is_empty() {
            return true;
        }
        votes.retain(|voter| electors.contains(voter));
        votes.len() >= self.needed(subject)
    }

    /// Whether `act` is silenced when exactly `removals` count and exactly `rejoins` may bring back.
    fn is_silenced(&self, act: &Act<'_>, removals: &Set, rejoins: &Set) -> bool {
        let mut silencing = self.in_set(removals);
        silencing.retain(|removal| {
            let concerns = !removal.is_admission && removal.subject == act.signer;
            let is_forgiven = self.in_set(rejoins).iter().any(|rejoin| {
                rejoin.is_admission
                    && rejoin.subject == act.signer
                    && rejoin.references.contains(&removal.id)
                    && act.at >= rejoin.at.max(removal.at)
            });
            concerns
                && removal.id != act.id
                && !removal.references.contains(&act.id)
                && !is_forgiven
        });
        self.are_enough(act.signer, &silencing, removals)
    }

    /// The least set in which each act has a signer with a voice and is not silenced when exactly
    /// `removals` count. Rejoins lift removals as they get into the set.
    fn grow(&self, pinned: &Set, removals: &Set) -> Set {
        let mut grown = Set::new();
        loop {
            let with_voice = self.with_voice(&grown);
            let next: Set = self
                .all()
                .filter(|act| with_voice.contains(&act.signer))
                .filter(|act| pinned.contains(&act.id) || !self.is_silenced(act, removals, &grown))
                .map(|act| act.id)
                .collect();
            if next == grown {
                return grown;
            }
            grown = next;
        }
    }

    fn with_voice(&self, counting: &Set) -> BTreeSet<PeerId> {
        let admitted = self.in_set(counting).into_iter().filter(|act| act.is_admission);
        admitted.map(|act| act.subject).chain([self.founder]).collect()
    }

    fn depths(&self, counting: &Set) -> BTreeMap<PeerId, u32> {
        let mut depths = BTreeMap::from([(self.founder, 0)]);
        for depth in 0..u32::try_from(self.acts.len()).unwrap() {
            for act in self.in_set(counting) {
                if act.is_admission && depths.get(&act.signer) == Some(&depth) {
                    depths.entry(act.subject).or_insert(depth + 1);
                }
            }
        }
        depths
    }

    fn awaits(&self, act: &Act<'_>, open: &Set) -> Set {
        let ever = self.electors(&self.acts.keys().copied().collect());
        let about = || self.all().filter(|other| other.subject == act.signer);
        let admissions = about().filter(|other| other.is_admission);
        let removals = || {
            about().filter(|other| {
                let is_listed = other.references.contains(&act.id) || other.id == act.id;
                let may_matter = self.quorum == 1
                    || other.signer == other.subject
                    || ever.contains(&other.signer);
                !other.is_admission && !is_listed && may_matter
            })
        };
        let voters: BTreeSet<PeerId> = removals()
            .filter(|removal| self.quorum > 1 && removal.signer != removal.subject)
            .map(|removal| removal.signer)
            .collect();
        let votes = self.all().filter(|other| {
            other.is_admission && other.signer == self.founder && voters.contains(&other.subject)
        });
        let awaited = admissions.chain(removals()).chain(votes).map(|other| other.id);
        awaited.filter(|id| open.contains(id)).collect()
    }

    fn reach(&self, from: RecordId, open: &Set) -> Set {
        let mut reached = self.awaits(&self.acts[&from], open);
        loop {
            let further: Set =
                reached.iter().flat_map(|id| self.awaits(&self.acts[id], open)).collect();
            if further.is_subset(&reached) {
                return reached;
            }
            reached.extend(further);
        }
    }

    fn winners(&self, certain: &Set, open: &Set) -> Set {
        let depths = self.depths(certain);
        let mut winners = Set::new();
        for id in open {
            let mut contest = self.reach(*id, open);
            let waits_for_nothing_else =
                contest.iter().all(|other| self.reach(*other, open).contains(id));
            if !waits_for_nothing_else {
                continue;
            }
            contest.insert(*id);
            let candidates: Vec<&Act<'_>> = contest
                .iter()
                .map(|id| &self.acts[id])
                .filter(|act| depths.contains_key(&act.signer))
                .filter(|act| !self.is_silenced(act, certain, certain))
                .collect();
            let rank = |act: &Act<'_>| (depths[&act.signer], act.signer, !act.is_admission);
            let best =
                candidates.iter().map(|act| rank(act)).min().expect("a contest has a winner");
            winners.extend(candidates.iter().filter(|act| rank(act) == best).map(|act| act.id));
        }
        winners
    }

    fn counting(&self) -> Set {
        let mut pinned = Set::new();
        loop {
            let mut certain = Set::new();
            let mut possible: Set = self.acts.keys().copied().collect();
            loop {
                let next_possible = self.grow(&pinned, &certain);
                let next_certain = self.grow(&pinned, &next_possible);
                if (&next_certain, &next_possible) == (&certain, &possible) {
                    break;
                }
                (certain, possible) = (next_certain, next_possible);
            }
            let open: Set = possible.difference(&certain).copied().collect();
            if open.is_empty() {
                return certain;
            }
            pinned.extend(self.winners(&certain, &open));
        }
    }
}

/// Who belongs, by the rule.
pub(crate) fn members(founder: PeerId, quorum: u8, records: &[VerifiedRecord]) -> BTreeSet<PeerId> {
    let acts = records.iter().filter_map(|record| match record.record() {
        Record::Founding(_) | Record::Profile(_) => None,
        Record::Admission(admission) => Some(Act {
            id: record.id(),
            is_admission: true,
            signer: admission.sponsor,
            subject: admission.subject,
            at: admission.admitted_at.0,
            references: &admission.overrides,
        }),
        Record::Removal(removal) => Some(Act {
            id: record.id(),
            is_admission: false,
            signer: removal.remover,
            subject: removal.subject,
            at: removal.removed_at.0,
            references: &removal.standing,
        }),
    });
    let acts = acts.map(|act| (act.id, act)).collect();
    let rule = Rule { founder, quorum: usize::from(quorum), acts };
    let taken = rule.counting();
    let counting = rule.in_set(&taken);
    let mut peers: BTreeSet<PeerId> = rule.all().map(|act| act.subject).collect();
    peers.insert(founder);
    peers.retain(|peer| {
        let of_peer = || counting.iter().filter(|act| act.subject == *peer);
        let is_out = |overridden: &[RecordId]| {
            let mut removals: Vec<Act<'_>> =
                of_peer().filter(|act| !act.is_admission).copied().collect();
            removals.retain(|removal| !overridden.contains(&removal.id));
            rule.are_enough(*peer, &removals, &taken)
        };
        let is_effective = |admission: &&Act<'_>| !is_out(admission.references);
        let is_founder = *peer == founder && !is_out(&[]);
        is_founder || of_peer().filter(|act| act.is_admission).any(|act| is_effective(&act))
    });
    peers
}
