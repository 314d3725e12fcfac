//! What is written without anybody waiting for it: gathered in memory, the newest of each kind winning.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh_protocol::{ErrorCode, PeerId, UnixMillis};
use tokio::sync::Notify;

use crate::audit::AuditRow;
use crate::outbox::OutboxEnd;
use crate::peers::PeerStatus;

/// Most entries of each kind in one commit: it must not make the callers beside it wait for long.
const TAKEN_MAX: usize = 512;

/// Most audit rows in memory; a disk that fails for long costs the ones behind.
const AUDIT_WAITING_MAX: usize = 4096;

/// How soon something must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Only when peers were last seen.
    Heartbeat,
    /// Anything else.
    Soon,
}

/// What is known of the attempts to deliver one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) attempts: u32,
    pub(crate) next_attempt_at: UnixMillis,
    pub(crate) reason: Option<ErrorCode>,
}

/// Lazy writes of one commit.
#[derive(Debug, Default)]
pub(crate) struct LazyBatch {
    pub(crate) finished: BTreeMap<u64, OutboxEnd>,
    pub(crate) attempts: BTreeMap<u64, Attempt>,
    pub(crate) custody: BTreeSet<u64>,
    pub(crate) seen: BTreeMap<PeerId, (PeerStatus, UnixMillis)>,
    pub(crate) audit: VecDeque<AuditRow>,
}

impl LazyBatch {
    pub(crate) fn len(&self) -> usize {
        let outbox = self.finished.len() + self.attempts.len();
        outbox + self.custody.len() + self.seen.len() + self.audit.len()
    }
}

#[derive(Debug, Default)]
struct Waiting {
    // All but the audit are bounded by the rows that they are about: messages, parcels and members.
    batch: LazyBatch,
    /// A batch was taken, and its commit is not over.
    is_under_way: bool,
    audit_lost: u64,
}

/// Lazy writes that wait for a commit.
#[derive(Debug, Default)]
pub(crate) struct Lazies {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

impl Lazies {
    pub(crate) fn finish_outbox(&self, sequence: u64, end: OutboxEnd) {
        self.add(|batch| {
            batch.attempts.remove(&sequence);
            batch.finished.insert(sequence, end);
        });
    }

    pub(crate) fn finish_custody(&self, custody_id: u64) {
        self.add(|batch| {
            batch.custody.insert(custody_id);
        });
    }

    pub(crate) fn note_attempt(&self, sequence: u64, attempt: Attempt) {
        self.add(|batch| {
            if !batch.finished.contains_key(&sequence) {
                batch.attempts.insert(sequence, attempt);
            }
        });
    }

    pub(crate) fn note_peer_seen(&self, peer: PeerId, status: PeerStatus, at: UnixMillis) {
        self.add(|batch| {
            batch.seen.insert(peer, (status, at));
        });
    }

    pub(crate) fn audit(&self, row: AuditRow) {
        let mut waiting = self.lock();
        if waiting.batch.audit.len() >= AUDIT_WAITING_MAX {
            waiting.audit_lost += 1;
            return;
        }
        waiting.batch.audit.push_back(row);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Wakes the writer only when it has to set a shorter timer than it has.
    fn add(&self, add: impl FnOnce(&mut LazyBatch)) {
        let mut waiting = self.lock();
        let before = urgency(&waiting.batch);
        add(&mut waiting.batch);
        let is_more_urgent = urgency(&waiting.batch) > before;
        drop(waiting);
        if is_more_urgent {
            self.changed.notify_one();
        }
    }

    /// Takes what waits, or as much as one commit should carry.
    pub(super) fn take(&self) -> LazyBatch {
        let mut waiting = self.lock();
        if waiting.audit_lost > 0 {
            let lost = std::mem::take(&mut waiting.audit_lost);
            tracing::error!(lost, "audit rows were lost: the disk does not take them");
        }
        let from = &mut waiting.batch;
        let audit_count = from.audit.len().min(TAKEN_MAX);
        let taken = LazyBatch {
            finished: take_first(&mut from.finished),
            attempts: take_first(&mut from.attempts),
            custody: take_first_of_set(&mut from.custody),
            seen: take_first(&mut from.seen),
            audit: from.audit.drain(..audit_count).collect(),
        };
        waiting.is_under_way = taken.len() > 0;
        taken
    }

    /// The batch that was taken is committed or given up.
    pub(super) fn settle(&self) {
        self.lock().is_under_way = false;
    }

    /// Takes back a batch whose commit failed. What came meanwhile is newer and stays.
    pub(super) fn put_back(&self, batch: LazyBatch) {
        let LazyBatch { finished, attempts, custody, seen, audit } = batch;
        let mut waiting = self.lock();
        waiting.batch.custody.extend(custody);
        for (sequence, end) in finished {
            waiting.batch.attempts.remove(&sequence);
            waiting.batch.finished.entry(sequence).or_insert(end);
        }
        for (sequence, attempt) in attempts {
            if !waiting.batch.finished.contains_key(&sequence) {
                waiting.batch.attempts.entry(sequence).or_insert(attempt);
            }
        }
        for (peer, status) in seen {
            waiting.batch.seen.entry(peer).or_insert(status);
        }
        for row in audit.into_iter().rev() {
            waiting.batch.audit.push_front(row);
        }
    }

    /// Whether everything that was noted so far is committed.
    pub(crate) fn are_settled(&self) -> bool {
        let waiting = self.lock();
        waiting.batch.len() == 0 && !waiting.is_under_way
    }

    /// How soon what waits must be written; none when nothing waits.
    pub(super) fn urgency(&self) -> Option<Urgency> {
        urgency(&self.lock().batch)
    }

    /// Waits until something more urgent than before was added.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn urgency(batch: &LazyBatch) -> Option<Urgency> {
    if batch.len() == 0 {
        None
    } else if batch.len() == batch.seen.len() {
        Some(Urgency::Heartbeat)
    } else {
        Some(Urgency::Soon)
    }
}

fn take_first<K: Ord + Copy, V>(from: &mut BTreeMap<K, V>) -> BTreeMap<K, V> {
    match from.keys().nth(TAKEN_MAX).copied() {
        None => std::mem::take(from),
        Some(first_left) => {
            let left = from.split_off(&first_left);
            std::mem::replace(from, left)
        }
    }
}

fn take_first_of_set(from: &mut BTreeSet<u64>) -> BTreeSet<u64> {
    match from.iter().nth(TAKEN_MAX).copied() {
        None => std::mem::take(from),
        Some(first_left) => {
            let left = from.split_off(&first_left);
            std::mem::replace(from, left)
        }
    }
}

#[cfg(test)]
mod tests;
