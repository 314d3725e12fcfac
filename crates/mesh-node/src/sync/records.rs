//! The membership records as something that is kept in step.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, StreamExt as _};
use mesh_crypto::Verifier;
use mesh_protocol::{Frame, PeerId, RecordId, RecordIds, VerifiedRecord};
use mesh_store::{PeerRow, PeerStatus, StoredRecord};
use mesh_transport::Lane;
use tokio::sync::oneshot;

use super::{SyncFound, SyncSource};
use crate::error::NodeError;
use crate::link::LinkEntry;
use crate::records::stored;
use crate::shared::{Shared, lock};

/// How long a member may take to answer a comparison.
const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// Members that are compared with at a time.
const COMPARED_AT_ONCE: usize = 32;

/// The membership records.
pub(super) struct RecordsSource {
    shared: Arc<Shared>,
}

impl RecordsSource {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn ids(&self) -> Vec<RecordId> {
        lock(&self.shared.core).membership().record_ids()
    }

    /// Exchanges what either side lacks; none when the member does not answer in time.
    ///
    /// Frames of a lane are handled one after the other. So when the pong is there, the member has
    /// answered the list before it, and its answer has been taken in here.
    async fn compare(&self, peer: &LinkEntry) -> Option<u64> {
        let before = peer.records_given.load(Ordering::Relaxed);
        let exchanged = async {
            let ids = Frame::RecordIds(RecordIds { ids: self.ids() });
            peer.sender.send(Lane::Urgent, &ids).await.ok()?;
            let (answer, pong) = oneshot::channel();
            peer.ping(Some(answer)).ok()?;
            pong.await.ok()
        };
        let _pong = tokio::time::timeout(ANSWER_WAIT, exchanged).await.ok()??;
        Some(peer.records_given.load(Ordering::Relaxed).saturating_sub(before))
    }

    /// As [`RecordsSource::compare`], with the member's name on the answer.
    async fn compare_with(&self, peer: &LinkEntry) -> (PeerId, Option<u64>) {
        (peer.peer, self.compare(peer).await)
    }

    /// Checks the records on disk one by one, and makes the database what this node believes. Returns how
    /// much of it was not so.
    async fn repair(&self) -> Result<u64, NodeError> {
        let shared = &self.shared;
        let Difference { damaged, differing, unknown } = self.compare_disk().await?;
        // What only the disk has may be right: it is judged like a record that a member sent.
        shared.insert_verified(unknown, None).await?;
        // A damaged record is missing as well, and counts once.
        let wrong = damaged.max(differing);
        if wrong > 0 {
            let mut unstored = shared.membership_gate.lock().await;
            let rows: Vec<StoredRecord> = {
                let core = lock(&shared.core);
                core.membership().records().map(|record| stored(record, None)).collect()
            };
            shared.store.rewrite_records(rows).await.map_err(NodeError::storage)?;
            shared.membership_gate.catch_up(&mut unstored);
        }
        Ok(wrong + self.repair_rows().await?)
    }

    /// Compares the records on disk with those in memory, with no change of either under way.
    async fn compare_disk(&self) -> Result<Difference, NodeError> {
        let _gate = self.shared.membership_gate.lock().await;
        let kept = self.shared.store.load_records().await.map_err(NodeError::storage)?;
        let known: BTreeSet<RecordId> = self.ids().into_iter().collect();
        let count = kept.len();
        let sound: Vec<VerifiedRecord> =
            kept.into_iter().filter_map(|signed| signed.verify(&Verifier).ok()).collect();
        let on_disk: BTreeSet<RecordId> = sound.iter().map(VerifiedRecord::id).collect();
        Ok(Difference {
            damaged: (count - sound.len()) as u64,
            differing: on_disk.symmetric_difference(&known).count() as u64,
            unknown: sound.into_iter().filter(|record| !known.contains(&record.id())).collect(),
        })
    }

    /// Writes `agent_peers` anew and counts the rows that were not as the verdict has it.
    async fn repair_rows(&self) -> Result<u64, NodeError> {
        let rows = async || self.shared.store.load_peers().await.map_err(NodeError::storage);
        let before = rows().await?;
        self.shared.sync_peer_rows().await?;
        let after = rows().await?;
        let wrong = after.iter().filter(|row| !before.iter().any(|old| says_the_same(old, row)));
        let gone = |row: &&PeerRow| !after.iter().any(|new| new.peer_id == row.peer_id);
        Ok((wrong.count() + before.iter().filter(gone).count()) as u64)
    }
}

/// How the disk differs from memory.
struct Difference {
    /// Records whose signature does not hold.
    damaged: u64,
    /// Sound records that only one of the two has.
    differing: u64,
    /// Those that only the disk has.
    unknown: Vec<VerifiedRecord>,
}

/// Whether two rows differ in nothing but what changes by the second.
fn says_the_same(old: &PeerRow, new: &PeerRow) -> bool {
    let still =
        |row: &PeerRow| PeerRow { status: PeerStatus::Inactive, last_seen_at: None, ..row.clone() };
    still(old) == still(new)
}

impl SyncSource for RecordsSource {
    fn name(&self) -> &'static str {
        "membership records"
    }

    fn sync<'a>(
        &'a self,
        peers: &'a [Arc<LinkEntry>],
        force: bool,
    ) -> BoxFuture<'a, Result<SyncFound, NodeError>> {
        async move {
            let mut found = SyncFound::default();
            if force {
                found.repaired = self.repair().await?;
            }
            let before: BTreeSet<RecordId> = self.ids().into_iter().collect();
            let asked: Vec<Arc<LinkEntry>> = peers
                .iter()
                .filter(|peer| force || !peer.is_in_step.load(Ordering::Relaxed))
                .cloned()
                .collect();
            found.in_step = peers.len() - asked.len();
            let comparisons: Vec<_> = asked.iter().map(|peer| self.compare_with(peer)).collect();
            let answers: Vec<(PeerId, Option<u64>)> =
                stream::iter(comparisons).buffer_unordered(COMPARED_AT_ONCE).collect().await;
            for (peer, answer) in answers {
                if let Some(sent) = answer {
                    found.compared += 1;
                    found.sent += sent;
                } else {
                    tracing::debug!(peer = %peer.short(), "a member did not answer a comparison");
                    found.silent += 1;
                }
            }
            let after = self.ids();
            found.received = after.iter().filter(|id| !before.contains(id)).count() as u64;
            Ok(found)
        }
        .boxed()
    }

    fn begin(&self, peer: &LinkEntry) {
        let ids = Frame::RecordIds(RecordIds { ids: self.ids() });
        // A queue without room is compared the next time.
        let _sent = peer.sender.try_send(Lane::Urgent, &ids);
    }
}
