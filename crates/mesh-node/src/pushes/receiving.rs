//! Pushes that come: who may, and the one task that each of them has.
//!
//! A push lives here from its offer until it is over, through any number of streams (`push.rs`). What blocks runs on a
//! thread of its own, one piece of work at a time (`work.rs`). What was recorded is enough to go on after a restart.

mod earlier;
mod failure;
mod fetch;
mod finisher;
mod intake;
mod line;
mod manifest;
mod offers;
mod place;
mod push;
mod rollback;
mod serve;
mod sources;
mod syncer;
mod test_command;
mod verify;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mesh_files::{Phase, ReceiverPush};
use mesh_protocol::{
    ErrorCode, PeerId, PushId, PushMessage, PushMethod, PushOffer, PushProblem, PushReason,
    RollbackOffer,
};
use mesh_store::{StoreError, StoredPush};
use mesh_transport::LinkStream;
use mesh_tree::Staging;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::channel::{PushReader, PushWriter, Received, channel};
use super::ledger::Side;
use super::roots::{problem, refuses};
use crate::error::NodeError;
use crate::shared::{Shared, lock};

use push::{Command, Push, Start};
use work::Rollback;

/// Commands that wait for a push's task.
const COMMANDS_MAX: usize = 16;
/// Pushes that are under way, or wait for somebody: more are told to come again.
const LIVE_MAX: usize = 256;
/// How many of them may be one member's.
const LIVE_OF_ONE_MAX: usize = 64;
/// Pushes that one member may begin in a minute. Each is kept for a while, also when it is refused.
const BEGUN_MAX: u32 = 240;
const BEGUN_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// How long a stream may be open before it says what it is for.
const FIRST_MESSAGE: std::time::Duration = std::time::Duration::from_secs(10);

/// The pushes that come.
#[derive(Debug)]
pub(crate) struct Receivers {
    live: Mutex<BTreeMap<PushId, Live>>,
    /// One offer at a time: the same push cannot begin twice, and what is counted stays true.
    gate: tokio::sync::Mutex<()>,
    /// Since when, and how many, each member began.
    begun: Mutex<BTreeMap<PeerId, (Instant, u32)>>,
    /// For those who wait until they may ask another target for chunks. A sender can name others without end.
    fetches: Semaphore,
}

impl Default for Receivers {
    fn default() -> Self {
        Self {
            live: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
            begun: Mutex::default(),
            fetches: Semaphore::new(fetch::WAITING_MAX),
        }
    }
}

#[derive(Debug)]
struct Live {
    offer: Arc<PushOffer>,
    commands: mpsc::Sender<Command>,
    is_receiving: Arc<AtomicBool>,
    /// What others may be served from, once all pages are there.
    staging: Arc<Mutex<Option<Staging>>>,
}

impl Receivers {
    /// Tells a push's task something. Gives the command back when there is no such task.
    fn post(&self, push_id: PushId, command: Command) -> Result<(), Command> {
        let live = lock(&self.live);
        let Some(push) = live.get(&push_id) else { return Err(command) };
        push.commands.try_send(command).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Ends a push's task, unless it was told something meanwhile.
    fn leave(&self, push_id: PushId, inbox: &mpsc::Receiver<Command>) -> bool {
        let mut live = lock(&self.live);
        let may = inbox.is_empty();
        if may {
            live.remove(&push_id);
        }
        may
    }

    /// Its sender has given a push up, and says so in a message.
    pub(crate) fn stop(&self, push_id: PushId, by: PeerId, why: PushProblem) {
        let is_it = |offer: &Arc<PushOffer>| offer.by == by && offer.method == PushMethod::Stream;
        if self.offer(&push_id).as_ref().is_some_and(is_it) {
            // One that ended meanwhile has nothing to stop.
            let _ended =
                self.post(push_id, Command::Stop(refuses(why.step, why.reason, why.detail)));
        }
    }

    fn offer(&self, push_id: &PushId) -> Option<Arc<PushOffer>> {
        lock(&self.live).get(push_id).map(|live| Arc::clone(&live.offer))
    }

    /// Whether this push can be taken in beside the others. Half of the places are out of reach of any one member.
    fn has_room(&self, offer: &PushOffer, incoming_max: usize) -> bool {
        let live = lock(&self.live);
        let (mut all, mut busy) = ([0_usize; 2], [0_usize; 2]);
        for (_, other) in live.iter().filter(|(id, _)| **id != offer.push_id) {
            let is_own = usize::from(other.offer.by == offer.by);
            let is_busy = usize::from(other.is_receiving.load(Ordering::Relaxed));
            all = [all[0] + 1, all[1] + is_own];
            busy = [busy[0] + is_busy, busy[1] + is_busy * is_own];
        }
        all[0] < LIVE_MAX
            && all[1] < LIVE_OF_ONE_MAX
            && busy[0] < incoming_max
            && busy[1] < incoming_max.div_ceil(2)
    }

    /// Counts a push that a member begins. Says whether it is not one too many.
    fn may_begin(&self, by: PeerId, now: Instant) -> bool {
        let mut begun = lock(&self.begun);
        begun.retain(|_, (since, _)| now.saturating_duration_since(*since) < BEGUN_WITHIN);
        let (_, count) = begun.entry(by).or_insert((now, 0));
        *count = count.saturating_add(1);
        *count <= BEGUN_MAX
    }
}

impl Shared {
    /// Takes a stream that a member opened for a push.
    pub(crate) async fn receive_push(self: Arc<Self>, peer: PeerId, stream: LinkStream) {
        let (reader, writer) = channel(stream);
        self.receive_on(peer, PushMethod::Stream, reader, writer).await;
    }

    /// The same for whatever carries the messages: a push in a message has no stream, nor has a rollback at this node itself.
    pub(crate) async fn receive_on(
        self: Arc<Self>,
        peer: PeerId,
        method: PushMethod,
        mut reader: PushReader,
        mut writer: PushWriter,
    ) {
        let first = tokio::time::timeout(FIRST_MESSAGE, reader.recv()).await;
        match first {
            Ok(Ok(Some(Received::Message(PushMessage::Offer(offer))))) => {
                if offer.method != method {
                    let detail = "the push came another way than its offer says";
                    let problem = problem(PushReason::ManifestInvalid, detail);
                    return offers::refuse(writer, problem).await;
                }
                self.take_offer(peer, offer, None, reader, writer).await;
            }
            Ok(Ok(Some(Received::Message(PushMessage::Rollback(rollback))))) => {
                self.take_rollback(peer, rollback, reader, writer).await;
            }
            Ok(Ok(Some(Received::Message(PushMessage::Fetch(fetch))))) => {
                self.serve_fetch(peer, fetch, reader, writer).await;
            }
            Ok(Err(error)) => writer.reset(&error.to_string()),
            Ok(Ok(_)) | Err(_) => writer.reset("a push begins with an offer"),
        }
    }

    async fn take_rollback(
        self: &Arc<Self>,
        peer: PeerId,
        offer: RollbackOffer,
        reader: PushReader,
        writer: PushWriter,
    ) {
        let rollback = Rollback { of: offer.of, is_forced: offer.is_forced };
        match self.offer_of(&offer).await {
            Ok(offer) => self.take_offer(peer, offer, Some(rollback), reader, writer).await,
            Err(problem) => offers::refuse(writer, problem).await,
        }
    }

    /// Goes on with a push after a restart.
    pub(crate) fn resume_receiving(self: &Arc<Self>, stored: StoredPush) {
        let StoredPush { row, events } = stored;
        let rollback =
            row.rollback_of.map(|of| Rollback { of, is_forced: is_forced(&row.request) });
        let push_id = row.push_id;
        let known = ReceiverPush::new(self.me, row.offer.expires_at, &events);
        let phase = known.state().phase;
        // Of one that failed the rest has to be removed first; its task does that.
        if phase.is_final() && phase != Phase::Failed {
            // The node stopped between the last event and this.
            let shared = Arc::clone(self);
            self.tasks.spawn(async move {
                let _stopping = shared.close_push(push_id, Side::Target).await;
            });
        }
        self.start_receiving(Arc::new(row.offer), rollback, &events);
    }

    /// Removes what is staged of pushes that are over: a node that stopped, or a database that was replaced, left it.
    /// Nothing begins meanwhile.
    pub(crate) async fn discard_forgotten(self: &Arc<Self>) -> Result<(), StoreError> {
        let _alone = self.pushes.receivers.gate.lock().await;
        let open = self.store.load_open_pushes().await?.into_iter();
        let open = open.filter(|stored| !stored.row.is_sender).map(|stored| stored.row.push_id);
        let (shared, open) = (Arc::clone(self), open.collect());
        let discarding =
            tokio::task::spawn_blocking(move || shared.pushes.roots.discard_except(&open));
        // What is left does no harm but to take room, and the next start tries again.
        let _joined = discarding.await;
        Ok(())
    }

    /// Starts the task of a push.
    fn start_receiving(
        self: &Arc<Self>,
        offer: Arc<PushOffer>,
        rollback: Option<Rollback>,
        events: &[mesh_protocol::PushEvent],
    ) {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let is_receiving = Arc::new(AtomicBool::new(false));
        let staging = Arc::new(Mutex::new(None));
        let live = Live {
            offer: Arc::clone(&offer),
            commands,
            is_receiving: Arc::clone(&is_receiving),
            staging: Arc::clone(&staging),
        };
        lock(&self.pushes.receivers.live).insert(offer.push_id, live);
        let start = Start { offer, rollback, is_receiving, staging };
        let push = Push::new(Arc::clone(self), start, events, inbox);
        self.tasks.spawn(push.run());
    }

    /// Says yes, or no with a reason, to a push that waits for it.
    pub(crate) async fn decide_push(
        self: &Arc<Self>,
        push_id: PushId,
        by: PeerId,
        deny: Option<String>,
    ) -> Result<(), NodeError> {
        let waits_not = || {
            let text = format!("the push {push_id} does not wait for approval; nothing was done");
            NodeError::new(ErrorCode::UnknownPush, text)
                .with_hint("`mesh-ctl pushes` lists what waits")
        };
        let receivers = &self.pushes.receivers;
        let offer = receivers.offer(&push_id).ok_or_else(waits_not)?;
        if offer.by == by {
            let text = "whoever pushes does not approve it; nothing was done";
            return Err(NodeError::new(ErrorCode::BadRequest, text));
        }
        let is_gone = deny.is_none() && !self.view().verdict.is_member(&offer.by);
        let denied = deny.map(|why| problem(PushReason::ApprovalDenied, why));
        let gone = || problem(PushReason::NotAMember, "who pushes is no member any more");
        let denied = denied.or_else(|| is_gone.then(gone));
        let (done, decided) = oneshot::channel();
        let command = Command::Decide { denied, done };
        receivers.post(push_id, command).map_err(|_| waits_not())?;
        match decided.await {
            Ok(Phase::WaitingForApproval) if is_gone => {
                let text = "who pushes is no member any more; the push was refused";
                Err(NodeError::new(ErrorCode::NotAMember, text))
            }
            Ok(Phase::WaitingForApproval) => Ok(()),
            Ok(_) => Err(waits_not()),
            Err(_) => Err(NodeError::stopping()),
        }
    }
}

/// What a target keeps of a rollback's offer beside what other offers have.
fn is_forced(request: &[u8]) -> bool {
    request == FORCED
}

const FORCED: &[u8] = b"forced";

#[cfg(test)]
mod tests;
