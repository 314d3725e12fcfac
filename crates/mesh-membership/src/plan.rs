//! What a record that is about to be signed should say.

use std::collections::BTreeSet;

use mesh_protocol::{PeerId, RECORD_REFERENCES_MAX, Record, RecordId, UnixMillis};

use crate::Membership;
use crate::judge::{ActKind, Fact, Pending};

/// What a removal should say, and what it would bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalPlan {
    /// The subject's acts that stand: its admissions and removals that count, without removals of the
    /// remover. At most as many as a record can hold, admissions of present members first.
    pub standing: Vec<RecordId>,
    /// Members that would fall with the subject, because the list cannot hold their admissions. To keep
    /// them the remover signs an admission for each *before* the removal.
    pub lost: Vec<PeerId>,
    /// Whether the removal would have effect: false when the remover does not belong, or when a removal
    /// that the subject signed against the remover prevails.
    pub is_effective: bool,
    /// Whether the remover has a say; false where one removal is not enough and the founder did not admit
    /// the remover.
    pub has_vote: bool,
    /// What is there without effect: who would have asked for the removal then, the remover among them if
    /// its word counts, and how many it takes.
    pub pending: Option<Pending>,
    /// Whether the subject is senior to the remover: whoever has its key can contest the removal, so a
    /// stolen key is better removed from a more senior machine.
    pub is_contestable: bool,
}

impl Membership {
    /// What `remover` should sign to remove `subject` without removing those it admitted.
    #[must_use]
    pub fn plan_removal(&self, subject: &PeerId, remover: &PeerId) -> RemovalPlan {
        let findings = self.findings();
        let (judgement, verdict) = (&findings.judgement, &findings.verdict);
        let mut standing: Vec<(bool, RecordId)> = self
            .signed_by(subject)
            .filter(|record| judgement.counting.contains(&record.id()))
            .filter_map(Fact::of)
            .filter(|fact| match fact.kind {
                ActKind::Admission => true,
                // A vote of the subject that has led to nothing must not lead to anything later.
                ActKind::Removal => {
                    fact.subject != *remover && !judgement.pending.contains_key(&fact.subject)
                }
            })
            .map(|fact| {
                let is_needed = fact.kind == ActKind::Admission && verdict.is_member(&fact.subject);
                (!is_needed, fact.id)
            })
            .collect();
        standing.sort_unstable();
        let standing: Vec<RecordId> =
            standing.into_iter().map(|(_, id)| id).take(RECORD_REFERENCES_MAX).collect();
        // The removal does not exist yet. Its id decides nothing but ties among the remover's own acts.
        let removal = Fact {
            id: RecordId::from_bytes([0xff; RecordId::LEN]),
            kind: ActKind::Removal,
            signer: *remover,
            subject: *subject,
            at: UnixMillis(u64::MAX),
            references: &standing,
        };
        let after = self.judge_with(Some(removal));
        let before = judgement.places.keys().filter(|peer| *peer != subject);
        let lost = before.filter(|peer| !after.places.contains_key(peer)).copied().collect();
        RemovalPlan {
            lost,
            is_effective: !after.places.contains_key(subject),
            has_vote: judgement.has_vote(remover),
            pending: after.pending.get(subject).cloned(),
            is_contestable: judgement.is_senior(subject, remover),
            standing,
        }
    }

    /// The removals of `subject` that an admission must override to let it back in: those that count,
    /// then the others, at most as many as a record can hold.
    #[must_use]
    pub fn plan_admission(&self, subject: &PeerId) -> Vec<RecordId> {
        let counting = &self.findings().judgement.counting;
        let mut removals: Vec<(bool, RecordId)> = self
            .records()
            .filter(|record| {
                matches!(record.record(), Record::Removal(removal) if removal.subject == *subject)
            })
            .map(|record| (!counting.contains(&record.id()), record.id()))
            .collect();
        removals.sort_unstable();
        removals.into_iter().map(|(_, id)| id).take(RECORD_REFERENCES_MAX).collect()
    }

    /// The date that an admission or removal by `signer` should bear at `now`. A signer that was removed
    /// and came back is believed from its return on; with a clock that is behind, what it signs would
    /// otherwise be taken for one of its old records.
    #[must_use]
    pub fn date_for(&self, signer: &PeerId, now: UnixMillis) -> UnixMillis {
        let counting = &self.findings().judgement.counting;
        let facts = || self.records().filter_map(Fact::of).filter(|fact| fact.subject == *signer);
        let overridden: BTreeSet<RecordId> = facts()
            .filter(|fact| fact.kind == ActKind::Admission && counting.contains(&fact.id))
            .flat_map(|fact| fact.references.iter().copied())
            .collect();
        let is_return = |fact: &Fact<'_>| match fact.kind {
            ActKind::Admission => counting.contains(&fact.id) && !fact.references.is_empty(),
            ActKind::Removal => overridden.contains(&fact.id) && counting.contains(&fact.id),
        };
        facts().filter(is_return).map(|fact| fact.at).fold(now, UnixMillis::max)
    }
}
