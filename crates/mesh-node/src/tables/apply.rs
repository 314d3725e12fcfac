//! What members send is applied here, by one task: everything that waits goes into one commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_protocol::{PeerId, SyncParts, TransactionPart};
use mesh_tables::{Applied, IncomingPart, TablesError};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::held::Held;
use crate::clock;
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

/// Bytes that may wait to be applied; what comes beyond stays in the flow control of its sender.
pub(super) const WAITING_BYTES_MAX: usize = 16 << 20;

/// Bytes that go into one commit: a hundred times what makes the commit itself cheap, and little memory.
const COMMIT_BYTES_MAX: usize = 1 << 20;

/// How long to wait before a full disk is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Parts of transactions that a member sent.
#[derive(Debug)]
pub(super) struct Arrival {
    from: PeerId,
    parts: Vec<Vec<u8>>,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

impl Shared {
    /// Takes parts of transactions in; waits while too much of that waits already.
    pub(crate) async fn take_parts(self: &Arc<Self>, entry: &LinkEntry, frame: SyncParts) {
        if !self.view().verdict.is_member(&entry.peer) {
            return;
        }
        let parts: Vec<Vec<u8>> = frame.parts.into_iter().map(|part| part.into_vec()).collect();
        let bytes = parts.iter().map(Vec::len).sum::<usize>().clamp(1, WAITING_BYTES_MAX);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.replication.room).acquire_many_owned(permits).await;
        let Ok(room) = room else { return };
        let arrival = Arrival { from: entry.peer, parts, bytes, _room: room };
        let _stopping = self.replication.arrivals.send(arrival);
    }

    /// The loop that applies.
    pub(super) async fn apply_arrivals(
        self: Arc<Self>,
        mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    ) {
        let mut held = Held::default();
        loop {
            let first = tokio::select! {
                first = arrivals.recv() => match first {
                    Some(first) => first,
                    None => return,
                },
                () = clock::sleep_until(held.until()), if held.until().is_some() => {
                    self.ask_again(&held.give_up());
                    continue;
                }
            };
            let mut bytes = first.bytes;
            let mut batch = vec![first];
            while bytes < COMMIT_BYTES_MAX
                && let Ok(more) = arrivals.try_recv()
            {
                bytes += more.bytes;
                batch.push(more);
            }
            self.apply_batch(batch, &mut held).await;
        }
    }

    async fn apply_batch(self: &Arc<Self>, batch: Vec<Arrival>, held: &mut Held) {
        // What is held is tried too, and lost with the rest when the database refuses.
        let senders: BTreeSet<PeerId> =
            batch.iter().map(|arrival| arrival.from).chain(held.senders()).collect();
        let mut incoming = Vec::new();
        // Held until the commit: what waits is bounded by what is not applied yet.
        let mut rooms = Vec::with_capacity(batch.len());
        for Arrival { from, parts, _room, .. } in batch {
            rooms.push(_room);
            incoming.extend(parts.into_iter().map(|body| IncomingPart { body, member: from }));
        }
        if let Err(error) = self.apply_with_held(incoming, held).await {
            self.tables_failed("changes of members", &error);
            // Nothing of it was taken. Asked for anew when there may be room again.
            tokio::time::sleep(RETRY_AFTER).await;
            self.ask_again(&senders);
        }
    }

    /// Applies what came, and then what is held as long as anything of it has become possible by that.
    async fn apply_with_held(
        self: &Arc<Self>,
        incoming: Vec<IncomingPart>,
        held: &mut Held,
    ) -> Result<(), TablesError> {
        let mut tried = Arc::new(incoming);
        loop {
            let senders: BTreeSet<PeerId> = tried.iter().map(|part| part.member).collect();
            let applied = self.apply_once(Arc::clone(&tried)).await?;
            self.after_apply(&applied);
            if !applied.missing.is_empty() {
                let have = self.replication.tables.committed();
                // While a snapshot is taken in, what comes is of no use.
                if have.in_snapshot
                    || !held.keep(&tried, &applied.missing, &have, clock::now().instant)
                {
                    self.ask_again(&senders);
                }
            }
            if applied.applied.is_empty() || held.is_empty() {
                return Ok(());
            }
            tried = Arc::new(held.take());
        }
    }

    async fn apply_once(
        self: &Arc<Self>,
        incoming: Arc<Vec<IncomingPart>>,
    ) -> Result<Applied, TablesError> {
        let sources = incoming.iter().filter_map(|part| {
            let (dot, _) = TransactionPart::peek(&part.body)?;
            Some((dot, part.member))
        });
        // Before the commit: whoever tells the engine of it has to know where it came from.
        lock(&self.replication.sources).extend(sources);
        let applied = self.replication.tables.apply(incoming, clock::now().wall).await;
        // What was taken is told of when it is on the disk. Of the rest nothing is to be told.
        let have = self.replication.tables.committed();
        lock(&self.replication.sources).retain(|(dot, _)| have.has(dot));
        applied
    }

    fn after_apply(&self, applied: &Applied) {
        let now = clock::now().wall;
        for parked in &applied.parked {
            let origin = self.origin_label(&parked.dot.origin);
            tracing::warn!(
                origin,
                sequence = parked.dot.sequence,
                reason = parked.reason.as_str(),
                detail = parked.detail,
                "a transaction is kept aside"
            );
            self.events.emit(now, "transaction_parked", json!({ "origin": origin, "sequence": parked.dot.sequence, "reason": parked.reason.as_str(), "detail": parked.detail }));
        }
        for peer in &applied.malformed {
            tracing::warn!(peer = %peer.short(), "a member sent what is no transaction");
        }
        if let Some(first) = applied.refused.first() {
            let origin = self.origin_label(&first.origin);
            tracing::warn!(
                origin,
                sequence = first.sequence,
                refused = applied.refused.len(),
                "no room to keep more transactions aside"
            );
        }
        let count = applied.applied.len() as u64;
        self.replication.received.fetch_add(count, Ordering::Relaxed);
    }

    fn ask_again(self: &Arc<Self>, senders: &BTreeSet<PeerId>) {
        self.drive(|core, now| {
            for sender in senders {
                core.tables_missing(*sender, now);
            }
        });
    }
}
