//! Which records to show to others, and in which order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesh_protocol::{
    PeerId, RECORDS_PER_FRAME_MAX, Record, RecordId, SignedRecord, VerifiedRecord,
};

use crate::Membership;

/// Admissions and removals of each peer.
type BySubject<'a> = BTreeMap<PeerId, Vec<&'a VerifiedRecord>>;

impl Membership {
    /// The records that a side with `their_ids` lacks, sponsors before those they admitted, so that a
    /// receiver that takes them in one by one knows each signer.
    #[must_use]
    pub fn missing_from(&self, their_ids: &[RecordId]) -> Vec<SignedRecord> {
        let theirs: BTreeSet<&RecordId> = their_ids.iter().collect();
        let levels = self.levels();
        let mut missing: Vec<_> = self
            .records()
            .filter(|record| !theirs.contains(&record.id()))
            .map(|record| {
                let level = levels.get(&record.record().signer()).copied().unwrap_or(u32::MAX);
                let kind = match record.record() {
                    Record::Founding(_) => 0,
                    Record::Admission(_) => 1,
                    Record::Removal(_) => 2,
                    Record::Profile(_) => 3,
                };
                (level, kind, record)
            })
            .collect();
        missing.sort_unstable_by_key(|(level, kind, record)| (*level, *kind, record.id()));
        missing.into_iter().map(|(_, _, record)| record.signed().clone()).collect()
    }

    /// The records from which a stranger can see that `peer` belongs: the founding record, the chain of
    /// admissions to the peer, the peer's profile, and everything that bears upon these (removals of
    /// peers on the way, what made those void, overridden removals), as far as one frame holds it. The
    /// founding record comes first, then the chain from the founder on, the profile last.
    #[must_use]
    pub fn proof_of(&self, peer: &PeerId) -> Vec<SignedRecord> {
        let by_subject = self.acts_by_subject();
        let profile = self.profile_of(peer);
        let acts_max = RECORDS_PER_FRAME_MAX - 1 - usize::from(profile.is_some());
        let mut acts = self.chain_to(peer, &by_subject);
        acts.truncate(acts_max);
        // Whoever knows of few that have a vote would take fewer votes for enough.
        acts.extend(self.electorate());
        let mut listed = BTreeSet::new();
        acts.retain(|record| listed.insert(record.id()));
        acts.truncate(acts_max);
        let mut seen: BTreeSet<RecordId> = acts.iter().map(|record| record.id()).collect();
        let mut parties = BTreeSet::from([*peer]);
        let mut queue = VecDeque::from([*peer]);
        while let Some(party) = queue.pop_front() {
            for record in by_subject.get(&party).into_iter().flatten() {
                if acts.len() < acts_max && seen.insert(record.id()) {
                    acts.push(record);
                }
                let signer = record.record().signer();
                if parties.len() < RECORDS_PER_FRAME_MAX && parties.insert(signer) {
                    queue.push_back(signer);
                }
            }
        }
        let all = [self.founding()].into_iter().chain(acts).chain(profile);
        all.map(|record| record.signed().clone()).collect()
    }

    /// What a removed peer is told: as many of its removals as show it that it is out, one by each that
    /// asked for it, and nothing else of the mesh.
    #[must_use]
    pub fn removals_to_show(&self, peer: &PeerId, count_max: usize) -> Vec<SignedRecord> {
        let judgement = &self.findings().judgement;
        let by_subject = self.acts_by_subject();
        let acts = || by_subject.get(peer).into_iter().flatten();
        let overridden: BTreeSet<RecordId> = acts()
            .filter(|record| judgement.counting.contains(&record.id()))
            .filter_map(|record| match record.record() {
                Record::Admission(admission) => Some(&admission.overrides),
                Record::Founding(_) | Record::Profile(_) | Record::Removal(_) => None,
            })
            .flatten()
            .copied()
            .collect();
        let mut removals: Vec<_> = acts()
            .filter(|record| matches!(record.record(), Record::Removal(_)))
            .map(|record| {
                let id = record.id();
                let is_spent = !judgement.counting.contains(&id) || overridden.contains(&id);
                (is_spent, !judgement.has_vote(&record.record().signer()), record)
            })
            .collect();
        removals.sort_by_key(|(is_spent, has_none, record)| (*is_spent, *has_none, record.id()));
        let mut signers = BTreeSet::new();
        removals.retain(|(.., record)| signers.insert(record.record().signer()));
        removals.iter().take(count_max).map(|(.., record)| record.signed().clone()).collect()
    }

    /// Admissions by the founder of one peer more than it takes for a removal, as far as there are so many.
    fn electorate(&self) -> Vec<&VerifiedRecord> {
        let quorum = usize::from(self.remove_quorum().get());
        if quorum == 1 {
            return Vec::new();
        }
        let mut subjects = BTreeSet::new();
        let founder = self.founding().record().signer();
        let admissions = self.signed_by(&founder).filter(|record| match record.record() {
            Record::Admission(admission) => subjects.insert(admission.subject),
            Record::Founding(_) | Record::Profile(_) | Record::Removal(_) => false,
        });
        admissions.take(quorum + 1).collect()
    }

    fn acts_by_subject(&self) -> BySubject<'_> {
        let mut by_subject = BySubject::new();
        for record in self.records() {
            match record.record() {
                Record::Founding(_) | Record::Profile(_) => {}
                Record::Admission(_) | Record::Removal(_) => {
                    by_subject.entry(record.record().subject()).or_default().push(record);
                }
            }
        }
        by_subject
    }

    /// Admissions that count, from one by the founder to one of `peer`.
    fn chain_to<'a>(&self, peer: &PeerId, by_subject: &BySubject<'a>) -> Vec<&'a VerifiedRecord> {
        let judgement = &self.findings().judgement;
        let mut chain = Vec::new();
        let mut next = *peer;
        // The depth of the sponsor shrinks with each step, so this ends at the founder.
        let mut depth = u32::MAX;
        loop {
            let is_first = chain.is_empty();
            let step = by_subject
                .get(&next)
                .into_iter()
                .flatten()
                .filter(|record| judgement.counting.contains(&record.id()))
                .filter_map(|record| match record.record() {
                    Record::Admission(admission) => Some((admission, *record)),
                    Record::Founding(_) | Record::Profile(_) | Record::Removal(_) => None,
                })
                .filter(|(_, record)| !is_first || judgement.effective.contains(&record.id()))
                .filter_map(|(admission, record)| {
                    let sponsor_depth = judgement.depths.get(&admission.sponsor)?;
                    Some((*sponsor_depth, record.id(), admission.sponsor, record))
                })
                .filter(|(sponsor_depth, ..)| *sponsor_depth < depth)
                .min_by_key(|(sponsor_depth, id, ..)| (*sponsor_depth, *id));
            let Some((sponsor_depth, _, sponsor, record)) = step else { break };
            chain.push(record);
            next = sponsor;
            depth = sponsor_depth;
        }
        chain.reverse();
        chain
    }
}
