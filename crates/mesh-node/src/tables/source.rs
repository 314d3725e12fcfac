//! The tables as something that is kept in step: compared by digest, repaired by ranges of rows.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use mesh_control::TableSyncView;
use mesh_protocol::{
    Frame, PeerId, SnapshotPosition, SnapshotRequest, TableDigest, TableDigests, TableId,
};
use mesh_transport::Lane;
use tokio::sync::oneshot;

use crate::clock;
use crate::error::NodeError;
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};
use crate::sync::{SyncFound, SyncSource};
use crate::tables::Replication;

/// How long a member may take to read through its tables.
const DIGEST_WAIT: Duration = Duration::from_secs(60);

/// How long changes may take to go to and fro.
const STEP_WAIT: Duration = Duration::from_secs(10);

/// Digests that this node asked for, by request.
pub(super) type PendingDigests = Mutex<BTreeMap<u64, (PeerId, oneshot::Sender<Vec<TableDigest>>)>>;

/// A table and the ranges of its rows that two databases have differently.
type Differing = Vec<(TableId, Vec<u16>)>;

/// What comparing a table with one member, or with all of them, brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Compared {
    /// Whether the two still have different rows.
    differs: bool,
    /// Rows that were wrong here and are right.
    repaired: u64,
}

/// The replicated tables.
pub(crate) struct TablesSource {
    shared: Arc<Shared>,
}

/// What both sides have differently. A table that only one of them has comes with the changes.
fn differing(ours: &[TableDigest], theirs: &[TableDigest]) -> Differing {
    let mut found = Vec::new();
    for our in ours {
        let Some(their) = theirs.iter().find(|their| their.table == our.table) else { continue };
        let pairs = our.buckets.iter().zip(&their.buckets).zip(0_u16..);
        let buckets: Vec<u16> =
            pairs.filter(|((our, their), _)| our != their).map(|(_, bucket)| bucket).collect();
        if !buckets.is_empty() {
            found.push((our.table, buckets));
        }
    }
    found
}

impl TablesSource {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Exchanges changes with one member until neither lacks any that the other had at the start.
    async fn exchange(&self, entry: &LinkEntry) -> Option<(u64, u64)> {
        let (shared, peer) = (&self.shared, entry.peer);
        let said = entry.haves_heard.load(Ordering::Relaxed);
        let moved = || {
            let Replication { received, sent, .. } = &shared.replication;
            (received.load(Ordering::Relaxed), sent.load(Ordering::Relaxed))
        };
        let before = moved();
        shared.drive(|core, now| core.tables_compare(peer, now));
        let mut compared = shared.replication.compared.subscribe();
        let is_in_step = async {
            loop {
                // What it said before may be old: its answer counts, and what follows from that.
                let has_answered = entry.haves_heard.load(Ordering::Relaxed) > said;
                if has_answered && lock(&shared.core).tables_in_step(&peer) {
                    return;
                }
                if compared.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::time::timeout(STEP_WAIT, is_in_step).await.ok()?;
        let after = moved();
        Some((after.0 - before.0, after.1 - before.1))
    }
}

impl SyncSource for TablesSource {
    fn name(&self) -> &'static str {
        "tables"
    }

    fn sync<'a>(
        &'a self,
        peers: &'a [Arc<LinkEntry>],
        force: bool,
    ) -> BoxFuture<'a, Result<SyncFound, NodeError>> {
        async move {
            let mut found = SyncFound::default();
            let mut compared = BTreeMap::new();
            for entry in peers {
                let exchanged = self.exchange(entry).await;
                let answered = exchanged.is_some();
                match exchanged {
                    Some((received, sent)) => {
                        found.compared += 1;
                        found.received += received;
                        found.sent += sent;
                    }
                    None => found.silent += 1,
                }
                if force {
                    let Some(tables) =
                        self.shared.repair_from(entry).await.unwrap_or_else(|error| {
                            // The others may do better.
                            Shared::log_failure(
                                "the tables cannot be compared with a member",
                                &error,
                            );
                            None
                        })
                    else {
                        found.compared = found.compared.saturating_sub(usize::from(answered));
                        found.silent += usize::from(answered);
                        continue;
                    };
                    found.repaired += tables.values().map(|table| table.repaired).sum::<u64>();
                    for (id, table) in tables {
                        let known: &mut Compared = compared.entry(id).or_default();
                        known.differs |= table.differs;
                        known.repaired += table.repaired;
                    }
                }
            }
            let tables = &self.shared.replication.tables;
            if force && found.compared > 0 {
                tables.forget_oddities(clock::now().wall).await?;
            }
            let names = tables.table_names().await?;
            let named = compared.into_iter().filter_map(|(id, table)| {
                Some(TableSyncView {
                    table: names.get(&id)?.clone(),
                    in_step: !table.differs,
                    rows_repaired: table.repaired,
                })
            });
            found.tables = named.collect();
            found.tables.sort_by(|one, other| one.table.cmp(&other.table));
            Ok(found)
        }
        .boxed()
    }

    /// The engine compares by itself.
    fn begin(&self, _peer: &LinkEntry) {}
}

impl Shared {
    /// Compares the tables with a member's by digest, takes over what is right there and wrong here, and
    /// has the member do the same. Says of each table how many rows were wrong here; none when the member
    /// does not answer.
    async fn repair_from(
        self: &Arc<Self>,
        entry: &Arc<LinkEntry>,
    ) -> Result<Option<BTreeMap<TableId, Compared>>, NodeError> {
        let request_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, theirs) = oneshot::channel();
        {
            let mut pending = lock(&self.replication.digests);
            pending.retain(|_, (_, answer)| !answer.is_closed());
            pending.insert(request_id, (entry.peer, answer));
        }
        let ask = Frame::TableDigests(TableDigests { request_id, tables: None });
        let _closed = entry.sender.send(Lane::Bulk, &ask).await;
        let ours = self.replication.tables.digests().await?;
        let theirs = tokio::time::timeout(DIGEST_WAIT, theirs).await;
        lock(&self.replication.digests).remove(&request_id);
        let Ok(Ok(theirs)) = theirs else { return Ok(None) };
        let on_both = ours.iter().filter(|our| theirs.iter().any(|their| their.table == our.table));
        let mut compared: BTreeMap<TableId, Compared> =
            on_both.map(|our| (our.table, Compared::default())).collect();
        for (table, buckets) in differing(&ours, &theirs) {
            let repaired = self.repair_ranges(entry, vec![(table, buckets)]).await?;
            compared.entry(table).or_default().repaired = repaired;
        }
        // What is wrong there is for the member to mend: it compares with what is here now.
        let ours = self.replication.tables.digests().await?;
        let still = differing(&ours, &theirs);
        for (table, _) in &still {
            compared.entry(*table).or_default().differs = true;
        }
        if !still.is_empty() {
            let tell = Frame::TableDigests(TableDigests { request_id: 0, tables: Some(ours) });
            let _closed = entry.sender.send(Lane::Bulk, &tell).await;
        }
        Ok(Some(compared))
    }

    async fn repair_ranges(
        self: &Arc<Self>,
        entry: &LinkEntry,
        differing: Differing,
    ) -> Result<u64, NodeError> {
        let mut repaired = 0;
        for (table, buckets) in differing {
            let mut session = 0;
            let mut position = Some(SnapshotPosition::start_of(table));
            while let Some(next) = position.take() {
                let request = SnapshotRequest {
                    request_id: 0,
                    session,
                    position: Some(next),
                    buckets: buckets.clone(),
                };
                let asked = self.ask_for_piece(entry, request).await?;
                let chunk = self.await_piece(entry, asked).await?;
                session = chunk.session;
                position = chunk.next.clone().filter(|next| next.table == table);
                let result = self
                    .replication
                    .tables
                    .repair_chunk(entry.peer, &buckets, chunk, clock::now().wall)
                    .await;
                self.note_tables(&result);
                repaired += result?;
            }
        }
        Ok(repaired)
    }

    /// A member asks for digests, answers with them, or has found that it differs.
    pub(crate) fn take_digests(self: &Arc<Self>, entry: &Arc<LinkEntry>, digests: TableDigests) {
        let TableDigests { request_id, tables } = digests;
        match tables {
            Some(theirs) if request_id != 0 => {
                let mut pending = lock(&self.replication.digests);
                if pending.get(&request_id).is_some_and(|(peer, _)| *peer == entry.peer)
                    && let Some((_, answer)) = pending.remove(&request_id)
                {
                    let _gone = answer.send(theirs);
                }
            }
            theirs => {
                if !self.view().verdict.is_member(&entry.peer) {
                    return;
                }
                let wanted = (entry.peer, theirs.is_none());
                if !lock(&self.replication.digests_wanted).insert(wanted) {
                    return;
                }
                let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
                self.tasks.spawn(async move {
                    // Reading through all tables is work: one member at a time has it done.
                    let turn = shared.replication.digesting.acquire().await;
                    shared.answer_digests(&entry, request_id, theirs).await;
                    drop(turn);
                    lock(&shared.replication.digests_wanted).remove(&wanted);
                });
            }
        }
    }

    async fn answer_digests(
        self: &Arc<Self>,
        entry: &Arc<LinkEntry>,
        request_id: u64,
        theirs: Option<Vec<TableDigest>>,
    ) {
        let ours = match self.replication.tables.digests().await {
            Ok(ours) => ours,
            Err(error) => return self.tables_failed("digests", &error),
        };
        match theirs {
            None => {
                let answer = Frame::TableDigests(TableDigests { request_id, tables: Some(ours) });
                let _closed = entry.sender.send(Lane::Bulk, &answer).await;
            }
            Some(theirs) => {
                let repaired = self.repair_ranges(entry, differing(&ours, &theirs)).await;
                match repaired {
                    Ok(0) => {}
                    Ok(rows) => {
                        tracing::warn!(rows, "rows that differed from a member's were put right")
                    }
                    Err(error) => Self::log_failure("rows cannot be put right", &error),
                }
            }
        }
    }
}
