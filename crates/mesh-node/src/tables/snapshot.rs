//! The state of the tables, piece by piece: for members that ask for it, and from one when this node
//! cannot be served change by change.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_protocol::{ErrorCode, Frame, PeerId, SnapshotChunk, SnapshotRequest};
use mesh_tables::{TablesError, View};
use mesh_transport::Lane;
use serde_bytes::ByteBuf;
use serde_json::json;
use tokio::sync::oneshot;

use crate::clock;
use crate::error::{NodeError, chain};
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

/// Views of the state that are held open for members at a time. One more ends the oldest: whoever read
/// from that goes on in a new one.
const VIEWS_MAX: usize = 4;

/// Requests of one link that are answered at a time; more are left unanswered.
const REQUESTS_MAX: usize = 2;

/// How long a member may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A view of the state that a member reads.
#[derive(Debug)]
struct Served {
    session: u64,
    peer: PeerId,
    view: Arc<tokio::sync::Mutex<View>>,
}

/// What is served and what is asked for.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Oldest first.
    served: Mutex<Vec<Served>>,
    /// Requests that are being answered, by member.
    answering: Mutex<BTreeMap<PeerId, Arc<AtomicUsize>>>,
    /// Hundredths of a member's state that have been taken in.
    percent: AtomicU8,
    /// Requests of this node, by id.
    asked: Mutex<BTreeMap<u64, (PeerId, oneshot::Sender<SnapshotChunk>)>>,
}

impl Snapshots {
    pub(super) fn percent(&self) -> u8 {
        self.percent.load(Ordering::Relaxed)
    }

    fn note_progress(&self, (done, all): (u64, u64)) {
        let hundredths = done.saturating_mul(100).checked_div(all).unwrap_or(100).min(100);
        self.percent.store(u8::try_from(hundredths).unwrap_or(100), Ordering::Relaxed);
    }
}

/// The number of no view: nothing can be read at the moment, and whoever asked need not wait.
const NO_VIEW: u64 = 0;

fn refusal(request_id: u64) -> SnapshotChunk {
    SnapshotChunk {
        request_id,
        session: NO_VIEW,
        have: Vec::new(),
        contexts: Vec::new(),
        schema: Vec::new(),
        coverage: Vec::new(),
        from: None,
        columns: Vec::new(),
        rows: Vec::new(),
        losers: Vec::new(),
        is_table_end: false,
        next: None,
        progress: (0, 0),
    }
}

fn link_gone() -> NodeError {
    NodeError::new(ErrorCode::PeerUnreachable, "the link to the member is gone")
}

impl Shared {
    /// Answers a request for a piece of the state, in a task of its own.
    pub(crate) fn serve_snapshot(
        self: &Arc<Self>,
        entry: &Arc<LinkEntry>,
        request: SnapshotRequest,
    ) {
        if !self.view().verdict.is_member(&entry.peer) {
            return;
        }
        let answering = {
            let mut answering = lock(&self.replication.snapshots.answering);
            answering.retain(|_, count| count.load(Ordering::Relaxed) > 0);
            Arc::clone(answering.entry(entry.peer).or_default())
        };
        if answering.fetch_add(1, Ordering::Relaxed) >= REQUESTS_MAX {
            answering.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
        self.tasks.spawn(async move {
            shared.answer_snapshot(&entry, &request).await;
            answering.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn answer_snapshot(self: &Arc<Self>, entry: &LinkEntry, request: &SnapshotRequest) {
        let chunk = match self.read_piece(entry.peer, request).await {
            Ok(chunk) => chunk,
            Err(error) => {
                self.tables_failed("a snapshot for a member", &error);
                refusal(request.request_id)
            }
        };
        if chunk.next.is_none() {
            self.end_view(chunk.session);
        }
        match chunk.encode() {
            Ok(bytes) => {
                let frame = Frame::SnapshotChunk(ByteBuf::from(bytes));
                let _closed = entry.sender.send(Lane::Bulk, &frame).await;
            }
            Err(error) => tracing::error!(%error, "a piece of a snapshot cannot be encoded"),
        }
    }

    /// The piece from the view that the member reads. One that ends meanwhile is followed by another one:
    /// whoever asked would wait for nothing.
    async fn read_piece(
        self: &Arc<Self>,
        peer: PeerId,
        request: &SnapshotRequest,
    ) -> Result<SnapshotChunk, TablesError> {
        let view = self.served_view(peer, request.session).await?;
        let chunk = view.lock().await.chunk(request).await;
        match chunk {
            Err(TablesError::Unknown { .. }) => {
                let view = self.served_view(peer, 0).await?;
                view.lock().await.chunk(request).await
            }
            chunk => chunk,
        }
    }

    /// The view that a member reads, or a new one.
    async fn served_view(
        self: &Arc<Self>,
        peer: PeerId,
        session: u64,
    ) -> Result<Arc<tokio::sync::Mutex<View>>, TablesError> {
        let is_its = |served: &&Served| served.session == session && served.peer == peer;
        let known = lock(&self.replication.snapshots.served)
            .iter()
            .find(is_its)
            .map(|served| Arc::clone(&served.view));
        if let Some(view) = known
            && !view.lock().await.is_over()
        {
            return Ok(view);
        }
        // Drawn at random: a member that asks for a view of an earlier start must not be given another one.
        let session = clock::random_u64().max(1);
        let view = self.replication.tables.open_view(session).await?;
        let view = Arc::new(tokio::sync::Mutex::new(view));
        {
            let mut served = lock(&self.replication.snapshots.served);
            if served.len() >= VIEWS_MAX {
                served.remove(0);
            }
            served.push(Served { session, peer, view: Arc::clone(&view) });
        }
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::time::sleep(shared.replication.tables.config().snapshot_view_max).await;
            shared.end_view(session);
        });
        Ok(view)
    }

    fn end_view(&self, session: u64) {
        lock(&self.replication.snapshots.served).retain(|served| served.session != session);
    }

    /// Takes an answer in. What nobody asked for is dropped.
    pub(crate) fn take_snapshot_chunk(&self, entry: &LinkEntry, bytes: &[u8]) {
        let chunk = match SnapshotChunk::decode(bytes) {
            Ok(chunk) => chunk,
            Err(error) => {
                tracing::warn!(peer = %entry.peer.short(), %error, "a member sent a malformed piece of a snapshot");
                return;
            }
        };
        let mut asked = lock(&self.replication.snapshots.asked);
        if asked.get(&chunk.request_id).is_some_and(|(peer, _)| *peer == entry.peer)
            && let Some((_, answer)) = asked.remove(&chunk.request_id)
        {
            let _gone = answer.send(chunk);
        }
    }

    /// Asks a member for a piece of its state.
    pub(super) async fn ask_for_piece(
        &self,
        entry: &LinkEntry,
        request: SnapshotRequest,
    ) -> Result<oneshot::Receiver<SnapshotChunk>, NodeError> {
        let request_id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, chunk) = oneshot::channel();
        {
            let mut asked = lock(&self.replication.snapshots.asked);
            asked.retain(|_, (_, answer)| !answer.is_closed());
            asked.insert(request_id, (entry.peer, answer));
        }
        let frame = Frame::SnapshotRequest(SnapshotRequest { request_id, ..request });
        entry.sender.send(Lane::Bulk, &frame).await.map_err(|_| link_gone())?;
        Ok(chunk)
    }

    /// Waits for an answer, as long as the link stands.
    pub(super) async fn await_piece(
        &self,
        entry: &LinkEntry,
        chunk: oneshot::Receiver<SnapshotChunk>,
    ) -> Result<SnapshotChunk, NodeError> {
        let failed = |why| NodeError::new(ErrorCode::PeerUnreachable, why);
        let answer = tokio::select! {
            answer = tokio::time::timeout(ANSWER_WAIT, chunk) => answer.ok().and_then(Result::ok),
            () = entry.closed() => return Err(link_gone()),
        };
        match answer {
            None => Err(failed("the member does not send the snapshot on")),
            Some(chunk) if chunk.session == NO_VIEW => {
                Err(failed("the member cannot give its tables at the moment"))
            }
            Some(chunk) => Ok(chunk),
        }
    }

    /// Takes the state over from a member, then tells the engine how it went.
    pub(crate) async fn take_snapshot(self: Arc<Self>, from: PeerId) {
        // Without a link the engine knows already that nothing comes of it.
        let Some(entry) = self.link(&from) else { return };
        let label = self.view().label(&from);
        tracing::info!(from = label, "taking the state of the tables from a member");
        let started = clock::now();
        let taken = self.try_snapshot(&entry).await;
        let now = clock::now();
        match &taken {
            Ok(rows) => {
                let took = now.instant.saturating_duration_since(started.instant);
                tracing::info!(from = label, rows, ?took, "the state of the tables is taken over");
                self.events.emit(now.wall, "snapshot_taken", json!({ "from": label, "rows": rows, "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }));
            }
            Err(error) => {
                tracing::warn!(
                    from = label,
                    error = chain(error),
                    "the state of the tables could not be taken over whole; it goes on later"
                );
                let paused = self.replication.tables.pause_snapshot(from).await;
                self.note_tables(&paused);
            }
        }
        self.drive(|core, now| {
            // With another link another attempt has begun, and this is not its end.
            if self.is_current(&entry) {
                core.tables_snapshot_ended(from, taken.is_ok(), now);
            }
        });
    }

    /// Ends the taking of a state that nobody can give to its end.
    pub(crate) async fn abandon_snapshot(self: Arc<Self>) {
        let now = clock::now().wall;
        match self.replication.tables.abandon_snapshot(now).await {
            Ok(()) => {
                tracing::warn!(
                    "every member takes the state of the tables from another one, and nobody has all of it; this one goes on with what it has"
                );
                self.events.emit(now, "snapshot_abandoned", json!({}));
            }
            Err(error) => self.tables_failed("the end of a snapshot", &error),
        }
    }

    async fn try_snapshot(self: &Arc<Self>, entry: &LinkEntry) -> Result<u64, NodeError> {
        let tables = &self.replication.tables;
        let from = entry.peer;
        let mut rows = 0;
        let request = tables.begin_snapshot(from).await?;
        let mut asked = self.ask_for_piece(entry, request).await?;
        loop {
            let chunk = self.await_piece(entry, asked).await?;
            // The member reads the next piece while this one is written.
            let ahead = match &chunk.next {
                None => None,
                Some(position) => {
                    let position = Some(position.clone());
                    let request = SnapshotRequest {
                        request_id: 0,
                        session: chunk.session,
                        position,
                        buckets: Vec::new(),
                    };
                    Some(self.ask_for_piece(entry, request).await?)
                }
            };
            self.replication.snapshots.note_progress(chunk.progress);
            let taken = tables.take_chunk(from, chunk, clock::now().wall).await;
            self.note_tables(&taken);
            rows += taken?.rows;
            match ahead {
                Some(ahead) => asked = ahead,
                None => return Ok(rows),
            }
        }
    }
}
