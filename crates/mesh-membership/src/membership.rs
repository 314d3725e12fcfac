//! The set of records: what gets in, what gives way, what is refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU8;
use std::sync::OnceLock;

use mesh_protocol::{MeshId, PeerId, Record, RecordId, UnixMillis, VerifiedRecord};

use crate::judge::{Fact, Judgement, judge};
use crate::verdict::Verdict;
use crate::{InsertError, ORPHANS_MAX, RECORDS_MAX, RefuseReason, SIGNER_ACTS_MAX};

/// What became of a record that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was kept; the verdict may have changed.
    New {
        /// The record that it displaced, which is to be deleted where records are stored: an older
        /// profile of the same peer, or the most junior record of a full set.
        replaced: Option<RecordId>,
    },
    /// It was there already.
    Known,
    /// The peer's profile that is there is newer.
    Outdated,
    /// It was not kept.
    Refused(RefuseReason),
}

/// The records of one mesh and what they say.
#[derive(Clone, Debug)]
pub struct Membership {
    founding: VerifiedRecord,
    founder: PeerId,
    founded_at: UnixMillis,
    remove_quorum: NonZeroU8,
    records: BTreeMap<RecordId, VerifiedRecord>,
    by_signer: BTreeMap<PeerId, BTreeSet<RecordId>>,
    profiles: BTreeMap<PeerId, (u64, RecordId)>,
    /// Peers that some chain of admissions leads to from the founding record, whether it counts or not.
    known: BTreeSet<PeerId>,
    /// Number of records whose signer is not known.
    orphans: usize,
    findings: OnceLock<Findings>,
}

/// What the records say; computed when it is asked for and forgotten with every change.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    pub(crate) judgement: Judgement,
    pub(crate) verdict: Verdict,
}

impl Membership {
    /// Starts with the record that creates the mesh.
    ///
    /// # Errors
    /// [`InsertError::NotFounding`]: the record is of another kind.
    pub fn new(founding: VerifiedRecord) -> Result<Self, InsertError> {
        let Record::Founding(content) = founding.record() else {
            return Err(InsertError::NotFounding { id: founding.id() });
        };
        let mut membership = Self {
            founder: content.founder,
            founded_at: content.founded_at,
            remove_quorum: content.remove_quorum,
            records: BTreeMap::new(),
            by_signer: BTreeMap::new(),
            profiles: BTreeMap::new(),
            known: BTreeSet::from([content.founder]),
            orphans: 0,
            findings: OnceLock::new(),
            founding: founding.clone(),
        };
        membership.put(founding);
        Ok(membership)
    }

    /// The mesh.
    #[must_use]
    pub const fn mesh_id(&self) -> MeshId {
        self.founding.mesh_id()
    }

    /// How many members have to ask for a removal before it is one.
    #[must_use]
    pub const fn remove_quorum(&self) -> NonZeroU8 {
        self.remove_quorum
    }

    /// Keeps a record, unless it is known, outdated, foreign or one too many.
    pub fn insert(&mut self, record: VerifiedRecord) -> Inserted {
        if record.mesh_id() != self.mesh_id() {
            let is_founding = matches!(record.record(), Record::Founding(_));
            let reason =
                if is_founding { RefuseReason::SecondFounding } else { RefuseReason::ForeignMesh };
            return Inserted::Refused(reason);
        }
        if self.records.contains_key(&record.id()) {
            return Inserted::Known;
        }
        if let Record::Profile(profile) = record.record()
            && let Some((revision, id)) = self.profiles.get(&profile.peer).copied()
        {
            // Two profiles of one revision: the smaller id wins, so that every node picks the same.
            let is_newer = (profile.revision, id) > (revision, record.id());
            if !is_newer {
                return Inserted::Outdated;
            }
            self.take(&id);
            self.put(record);
            return Inserted::New { replaced: Some(id) };
        }
        match self.make_room(&record) {
            Ok(replaced) => {
                self.put(record);
                Inserted::New { replaced }
            }
            Err(reason) => Inserted::Refused(reason),
        }
    }

    /// Who belongs, by the records at hand.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.findings().verdict
    }

    /// Every record, sorted by id.
    pub fn records(&self) -> impl Iterator<Item = &VerifiedRecord> {
        self.records.values()
    }

    /// The id of every record, sorted.
    #[must_use]
    pub fn record_ids(&self) -> Vec<RecordId> {
        self.records.keys().copied().collect()
    }

    pub(crate) fn findings(&self) -> &Findings {
        self.findings.get_or_init(|| {
            let judgement = self.judge_with(None);
            let profiles = self.profiles.values().filter_map(|(_, id)| self.records.get(id));
            let verdict = Verdict::new(&judgement, profiles, |id| self.records.get(id));
            Findings { judgement, verdict }
        })
    }

    /// What the records would say if there were one more.
    pub(crate) fn judge_with(&self, extra: Option<Fact<'_>>) -> Judgement {
        let facts = self.records.values().filter_map(Fact::of);
        let remove_quorum = usize::from(self.remove_quorum.get());
        judge(self.founder, self.founded_at, remove_quorum, facts.chain(extra))
    }

    pub(crate) const fn founding(&self) -> &VerifiedRecord {
        &self.founding
    }

    pub(crate) fn profile_of(&self, peer: &PeerId) -> Option<&VerifiedRecord> {
        self.profiles.get(peer).and_then(|(_, id)| self.records.get(id))
    }

    pub(crate) fn signed_by(&self, peer: &PeerId) -> impl Iterator<Item = &VerifiedRecord> {
        let ids = self.by_signer.get(peer).into_iter().flatten();
        ids.filter_map(|id| self.records.get(id))
    }

    /// Least number of admissions from the founding record to each known peer, whether they count or not.
    pub(crate) fn levels(&self) -> BTreeMap<PeerId, u32> {
        let mut levels = BTreeMap::from([(self.founder, 0)]);
        let mut queue = VecDeque::from([(self.founder, 0_u32)]);
        while let Some((peer, level)) = queue.pop_front() {
            for subject in self.admitted_by(&peer) {
                levels.entry(subject).or_insert_with(|| {
                    queue.push_back((subject, level.saturating_add(1)));
                    level.saturating_add(1)
                });
            }
        }
        levels
    }

    fn admitted_by(&self, sponsor: &PeerId) -> impl Iterator<Item = PeerId> {
        self.signed_by(sponsor).filter_map(|record| match record.record() {
            Record::Admission(admission) => Some(admission.subject),
            Record::Founding(_) | Record::Profile(_) | Record::Removal(_) => None,
        })
    }

    /// Checks the bounds. In a full set the most junior record gives way to a removal, and is returned.
    fn make_room(&mut self, record: &VerifiedRecord) -> Result<Option<RecordId>, RefuseReason> {
        let signer = record.record().signer();
        let is_act = Fact::of(record).is_some();
        let acts_of_signer = self.by_signer.get(&signer).map_or(0, BTreeSet::len);
        if is_act && acts_of_signer >= SIGNER_ACTS_MAX {
            // Founding record and profile are not acts: count exactly where it matters.
            let acts = self.signed_by(&signer).filter_map(Fact::of).count();
            if acts >= SIGNER_ACTS_MAX {
                return Err(RefuseReason::SignerFull);
            }
        }
        let is_known = self.known.contains(&signer);
        if !is_known && self.orphans >= ORPHANS_MAX {
            return Err(RefuseReason::OrphansFull);
        }
        if self.records.len() < RECORDS_MAX {
            return Ok(None);
        }
        let is_removal = matches!(record.record(), Record::Removal(_));
        let victim = if is_removal && is_known { self.most_junior(&signer) } else { None };
        let Some(victim) = victim else { return Err(RefuseReason::RecordsFull) };
        self.take(&victim);
        Ok(Some(victim))
    }

    /// The record, signed by a junior of `remover` or an unknown peer, that is missed least.
    fn most_junior(&self, remover: &PeerId) -> Option<RecordId> {
        let levels = self.levels();
        let level = |peer: &PeerId| levels.get(peer).copied().unwrap_or(u32::MAX);
        let (victim_level, victim) = self
            .records
            .values()
            .map(|record| (level(&record.record().signer()), record.id()))
            .max()?;
        (victim_level > level(remover)).then_some(victim)
    }

    fn put(&mut self, record: VerifiedRecord) {
        self.findings.take();
        let (id, signer) = (record.id(), record.record().signer());
        let mut newly_known = None;
        match record.record() {
            Record::Founding(_) | Record::Removal(_) => {}
            Record::Profile(profile) => {
                self.profiles.insert(profile.peer, (profile.revision, id));
            }
            Record::Admission(admission) => newly_known = Some(admission.subject),
        }
        self.by_signer.entry(signer).or_default().insert(id);
        self.records.insert(id, record);
        if !self.known.contains(&signer) {
            self.orphans += 1;
        } else if let Some(subject) = newly_known {
            self.make_known(subject);
        }
    }

    /// Follows the admissions that waited for `peer` to become known.
    fn make_known(&mut self, peer: PeerId) {
        let mut queue = VecDeque::from([peer]);
        while let Some(peer) = queue.pop_front() {
            if self.known.insert(peer) {
                let records = self.by_signer.get(&peer).map_or(0, BTreeSet::len);
                self.orphans = self.orphans.saturating_sub(records);
                queue.extend(self.admitted_by(&peer).collect::<Vec<_>>());
            }
        }
    }

    fn take(&mut self, id: &RecordId) {
        let Some(record) = self.records.remove(id) else { return };
        self.findings.take();
        let signer = record.record().signer();
        if let Some(ids) = self.by_signer.get_mut(&signer) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_signer.remove(&signer);
            }
        }
        match record.record() {
            Record::Founding(_) | Record::Removal(_) => {}
            Record::Profile(profile) => {
                self.profiles.remove(&profile.peer);
            }
            Record::Admission(_) => self.known = self.levels().into_keys().collect(),
        }
        let orphans = self.by_signer.iter().filter(|(signer, _)| !self.known.contains(signer));
        self.orphans = orphans.map(|(_, ids)| ids.len()).sum();
    }
}

#[cfg(test)]
mod tests;
