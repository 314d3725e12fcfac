//! What every task of a node shares, and how wishes of the core become effects.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use mesh_delivery::Now;
use mesh_protocol::{Address, Frame, LinkStateVersions, LinkStates, PeerId};
use mesh_store::Store;
use mesh_transport::Transport;
use tokio::sync::{Notify, oneshot, watch};

use crate::bodies::Bodies;
use crate::clock;
use crate::config::{self, Config};
use crate::core::{Core, Wish};
use crate::data_dir::DataDir;
use crate::discover::Discovery;
use crate::events::Events;
use crate::git::GitDesk;
use crate::keyring::Keyring;
use crate::link::LinkEntry;
use crate::metrics::CommitTimes;
use crate::outgoing::Delivered;
use crate::pushes::Pushes;
use crate::relay::PendingRoutedPing;
use crate::shared_config::SharedConfig;
use crate::subscribe::LiveSubscribers;
use crate::tables::Replication;
use crate::tasks::Tasks;
use crate::unstored::MembershipGate;
use crate::view::View;

/// Takes a lock whose holder may have panicked: every holder leaves whole values behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every task of a node shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) me: PeerId,
    pub(crate) config: Config,
    pub(crate) data_dir: DataDir,
    pub(crate) started_at: Instant,
    pub(crate) listening: Vec<SocketAddr>,
    pub(crate) tasks: Tasks,
    pub(crate) store: Store,
    pub(crate) transport: Transport,
    pub(crate) events: Events,
    pub(crate) keyring: Mutex<Keyring>,
    /// Membership as the transport's gatekeeper and everybody else reads it.
    pub(crate) view: Arc<RwLock<Arc<View>>>,
    pub(crate) core: Mutex<Core>,
    /// Wakes the core's driver when its deadline may have come nearer.
    pub(crate) deadline_moved: Notify,
    pub(crate) links: Mutex<BTreeMap<PeerId, Arc<LinkEntry>>>,
    /// Counts changes of the set of links, for whoever waits for one.
    pub(crate) links_changed: watch::Sender<u64>,
    pub(crate) next_id: AtomicU64,
    /// Bodies of outbox messages that are likely to be sent soon.
    pub(crate) bodies: Mutex<Bodies>,
    /// Who waits for the end of a message of the outbox.
    pub(crate) waiters: Mutex<BTreeMap<u64, oneshot::Sender<Delivered>>>,
    pub(crate) commit_times: CommitTimes,
    /// Pings that went through others.
    pub(crate) routed_pings: Mutex<BTreeMap<u64, PendingRoutedPing>>,
    /// Id of the newest message in the inbox.
    pub(crate) inbox_head: watch::Sender<i64>,
    pub(crate) live: LiveSubscribers,
    pub(crate) discovery: Discovery,
    pub(crate) replication: Replication,
    pub(crate) shared_config: SharedConfig,
    pub(crate) git: GitDesk,
    pub(crate) pushes: Pushes,
    pub(crate) membership_gate: MembershipGate,
    /// One join or admission at a time: two newcomers cannot both get one hostname here.
    pub(crate) admission_gate: tokio::sync::Mutex<()>,
}

impl Shared {
    /// The membership as it is now.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        self.shared_config.members_changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, BTreeMap<PeerId, Arc<LinkEntry>>> {
        lock(&self.links)
    }

    pub(crate) fn link(&self, peer: &PeerId) -> Option<Arc<LinkEntry>> {
        self.links().get(peer).cloned()
    }

    /// Whether this is still the member's link: what went over another one may be lost.
    pub(crate) fn is_current(&self, entry: &LinkEntry) -> bool {
        self.links().get(&entry.peer).is_some_and(|current| current.id == entry.id)
    }

    pub(crate) fn keyring(&self) -> MutexGuard<'_, Keyring> {
        lock(&self.keyring)
    }

    pub(crate) fn bodies(&self) -> MutexGuard<'_, Bodies> {
        lock(&self.bodies)
    }

    /// Where this node can be dialled. Asked of the system each time: machines move.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        config::addresses(&self.config.advertise, &self.listening)
    }

    /// Tells the core something, then does what it wishes. Nothing in here waits for a peer or a disk.
    pub(crate) fn drive<T>(self: &Arc<Self>, tell: impl FnOnce(&mut Core, Now) -> T) -> T {
        let now = clock::now();
        let (told, wishes, is_nearer) = {
            let mut core = lock(&self.core);
            let before = core.poll_timeout();
            let told = tell(&mut core, now);
            let mut wishes = Vec::new();
            while let Some(wish) = core.poll_wish() {
                wishes.push(wish);
            }
            let after = core.poll_timeout();
            let is_nearer = after.is_some_and(|after| before.is_none_or(|before| after < before));
            (told, wishes, is_nearer)
        };
        // Waking the driver wakes a thread, which costs more than a message does. A permit is kept
        // when the driver is not waiting, so no nearer deadline is missed.
        if is_nearer {
            self.deadline_moved.notify_one();
        }
        for wish in wishes {
            self.perform(wish, now);
        }
        told
    }

    fn perform(self: &Arc<Self>, wish: Wish, now: Now) {
        match wish {
            Wish::Dial { peer } => {
                let shared = Arc::clone(self);
                self.tasks.spawn(async move { shared.dial(peer).await });
            }
            Wish::Ping { peer } => self.heartbeat(&peer),
            Wish::CloseSilent { peer } => {
                if let Some(entry) = self.link(&peer) {
                    tracing::info!(peer = %peer.short(), "link is silent, closing it");
                    entry.close();
                }
            }
            Wish::CutRemoved { peer } => {
                let shared = Arc::clone(self);
                self.tasks.spawn(async move { shared.cut_removed(peer).await });
            }
            Wish::SendBatch { peer, priority, batch_id, sequences } => {
                self.send_batch(peer, priority, batch_id, sequences);
            }
            Wish::Finished { sequence, message_id, to, end, via } => {
                self.finish(sequence, message_id, to, end, via);
            }
            Wish::RetryScheduled { sequence, attempts, reason } => {
                tracing::debug!(sequence, attempts, ?reason, "delivery will be tried again");
                self.store.note_attempt(sequence, attempts, now.wall, reason);
            }
            Wish::Probe { helper, subject, nonce } => self.probe(helper, subject, nonce),
            Wish::StateChanged { peer, from, to } => self.announce_state(peer, from, to),
            Wish::Forget { peer, last_seen_at } => {
                let shared = Arc::clone(self);
                self.tasks.spawn(async move { shared.forget_member(peer, last_seen_at).await });
            }
            Wish::Publish(state) => self.publish_links(&state),
            Wish::SendLinkStates { to, states } => {
                self.tell(&to, &Frame::LinkStates(LinkStates { states }));
            }
            Wish::SendLinkStateVersions { to, versions, wants_answer } => {
                let versions = LinkStateVersions { versions, wants_answer };
                self.tell(&to, &Frame::LinkStateVersions(versions));
            }
            Wish::SendSwim { to, data } => self.send_swim(to, data),
            Wish::OfferCustody { custodian, request_id, to, sequences } => {
                let shared = Arc::clone(self);
                self.tasks.spawn(shared.offer_custody(custodian, request_id, to, sequences));
            }
            Wish::SendHeld { peer, priority, batch_id, custody_ids } => {
                let shared = Arc::clone(self);
                self.tasks.spawn(shared.send_held(peer, priority, batch_id, custody_ids));
            }
            Wish::SendReceipts { to, receipts } => self.return_receipts(to, receipts),
            Wish::SendHave { to, have } => self.send_have(to, have),
            Wish::Feed { peer } => self.wake_feeder(&peer),
            Wish::TakeSnapshot { from } => {
                let shared = Arc::clone(self);
                self.tasks.spawn(shared.take_snapshot(from));
            }
            Wish::AbandonSnapshot => {
                let shared = Arc::clone(self);
                self.tasks.spawn(shared.abandon_snapshot());
            }
            Wish::TrimLog => self.trim_log(),
            Wish::RenewOrigin { shared_upto } => self.renew_origin(shared_upto),
            Wish::HeldFinished { custody_id, message_id, to, end } => {
                self.finish_held(custody_id, message_id, to, end);
            }
        }
    }

    /// The loop that waits for the core's deadlines.
    pub(crate) async fn drive_deadlines(self: Arc<Self>) {
        loop {
            let deadline = lock(&self.core).poll_timeout();
            tokio::select! {
                () = self.deadline_moved.notified() => {}
                () = clock::sleep_until(deadline) => self.drive(|core, now| core.handle_timeout(now)),
            }
        }
    }
}
