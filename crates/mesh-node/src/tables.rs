//! The replicated tables of this node: the database, what the sync engine wishes, what comes and goes over
//! links, and what other programs write.

mod apply;
mod facade;
mod feeder;
mod held;
mod members;
mod newcomer;
mod notice;
mod owners;
mod rules;
mod snapshot;
mod source;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_protocol::{Dot, Frame, OriginId, PeerId, SyncHave};
use mesh_tables::{Tables, TablesConfig, TablesOpenError};
use mesh_transport::Lane;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use self::apply::{Arrival, WAITING_BYTES_MAX};
use self::feeder::Feeder;
use self::newcomer::Newcomer;
use self::owners::Owners;
use self::rules::SyncRules;
use self::snapshot::Snapshots;
use self::source::PendingDigests;
use self::state::Trouble;
use crate::clock;
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};
use crate::tasks::Tasks;

pub(crate) use self::source::TablesSource;

/// The log is looked at no more often than this: that reads all of its index.
const TRIM_EVERY_LEAST: Duration = Duration::from_secs(1);

/// Statements of what is here that wait for room in a link's lane; more are left out, and comparing now and
/// then makes up for it.
const HAVES_WAITING_MAX: usize = 64;

/// How long to wait after the database could not take another name.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The database and what waits for it.
#[derive(Debug)]
pub(crate) struct Replication {
    pub(crate) tables: Tables,
    /// What members sent, on its way to the task that applies it.
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// Taken by that task when it starts.
    waiting: Mutex<Option<mpsc::UnboundedReceiver<Arrival>>>,
    /// Room for what waits, bytes.
    room: Arc<Semaphore>,
    feeders: Mutex<BTreeMap<PeerId, Feeder>>,
    snapshots: Snapshots,
    digests: PendingDigests,
    /// Held while tables are read through for a member.
    digesting: Semaphore,
    /// For whom that is done, or is to be: whether to answer or to mend what differs here.
    digests_wanted: Mutex<BTreeSet<(PeerId, bool)>>,
    /// Where transactions came from that are being applied, or on their way to the disk.
    sources: Mutex<Vec<(Dot, PeerId)>>,
    /// Transactions of others that were applied since the start.
    received: AtomicU64,
    /// Transactions that were sent since the start.
    sent: AtomicU64,
    /// Bounded by what was applied.
    owners: Mutex<Owners>,
    newcomer: watch::Sender<Newcomer>,
    /// Counts statements of members about what they have.
    compared: watch::Sender<u64>,
    /// Held while a backup is made: each needs as much room as the databases have.
    pub(crate) backing_up: Arc<Semaphore>,
    /// Why the database does not take writes at the moment.
    trouble: watch::Sender<Option<Trouble>>,
}

impl Replication {
    /// Opens the database.
    pub(crate) async fn open(
        path: &Path,
        config: TablesConfig,
        tasks: &Tasks,
    ) -> Result<Self, TablesOpenError> {
        let rules = Arc::new(SyncRules { ahead_max: config.clock_ahead_max });
        let tables = Tables::open(path, config, rules, fresh_origin(), tasks.tracker()).await?;
        let owners = tables.origin_owners().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whose databases the origins are is asked for anew");
            Owners::new()
        });
        let (arrivals, waiting) = mpsc::unbounded_channel();
        let (trouble, _) = watch::channel(None);
        Ok(Self {
            tables,
            arrivals,
            waiting: Mutex::new(Some(waiting)),
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            feeders: Mutex::default(),
            snapshots: Snapshots::default(),
            digests: PendingDigests::default(),
            digesting: Semaphore::new(1),
            digests_wanted: Mutex::default(),
            sources: Mutex::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            owners: Mutex::new(owners),
            newcomer: watch::channel(Newcomer::default()).0,
            compared: watch::channel(0).0,
            backing_up: Arc::new(Semaphore::new(1)),
            trouble,
        })
    }
}

impl Replication {
    /// Why the database does not take writes; none when it does.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }

    /// Transactions that came and went since the start.
    pub(crate) fn passed(&self) -> [(&'static str, u64); 2] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("received", count(&self.received)), ("sent", count(&self.sent))]
    }

    /// How much of a member's state has been taken in.
    pub(crate) fn snapshot_percent(&self) -> u8 {
        self.snapshots.percent()
    }
}

/// Names a database that is new, or anew.
fn fresh_origin() -> OriginId {
    use rand::Rng as _;
    let mut bytes = [0; OriginId::LEN];
    clock::rng().fill_bytes(&mut bytes);
    OriginId::from_bytes(bytes)
}

impl Shared {
    /// Starts everything that keeps the tables in step.
    pub(crate) fn start_replication(self: &Arc<Self>) {
        if self.is_still_new() {
            self.begin_as_newcomer();
        }
        self.newcomer_has();
        self.tell_have();
        self.name_own_origin();
        if let Some(waiting) = lock(&self.replication.waiting).take() {
            let shared = Arc::clone(self);
            self.tasks.spawn(async move { shared.apply_arrivals(waiting).await });
        }
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.follow_commits().await });
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.notice_writers().await });
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.retry_parked().await });
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.try_tables().await });
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.keep_log_bounded().await });
        let shared = Arc::clone(self);
        self.tasks.spawn(async move { shared.keep_members_shown().await });
    }

    /// Tells the engine of every commit: it decides who hears of it.
    async fn follow_commits(self: Arc<Self>) {
        let mut have = self.replication.tables.have();
        while have.changed().await.is_ok() {
            self.newcomer_has();
            self.tell_have();
        }
    }

    fn tell_have(self: &Arc<Self>) {
        self.drive(|core, now| {
            // Read under the core's lock: of two callers neither can tell an older state after a newer one.
            let have = Arc::clone(&self.replication.tables.have().borrow());
            let mut sources = lock(&self.replication.sources);
            let is_there = |source: &mut (Dot, PeerId)| have.has(&source.0);
            let committed: Vec<(Dot, PeerId)> = sources.extract_if(.., is_there).collect();
            core.tables_have(&have, &committed, now);
        });
    }

    /// Says what a member has.
    pub(crate) fn send_have(self: &Arc<Self>, to: PeerId, have: SyncHave) {
        let Some(entry) = self.link(&to) else { return };
        let frame = Frame::SyncHave(have);
        // In the lane of the changes, so that what it says is behind what was sent before.
        if entry.sender.try_send(Lane::Bulk, &frame).is_ok() {
            return;
        }
        if entry.haves_waiting.fetch_add(1, Ordering::Relaxed) >= HAVES_WAITING_MAX {
            entry.haves_waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::debug!(peer = %to.short(), "a member does not read, so it is not told what is here");
            return;
        }
        self.tasks.spawn(async move {
            let _closed = entry.sender.send(Lane::Bulk, &frame).await;
            entry.haves_waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// A member says what it, or another one, has.
    pub(crate) fn take_have(self: &Arc<Self>, entry: &LinkEntry, have: SyncHave) {
        if self.view().verdict.is_member(&entry.peer) {
            self.name_origin(&entry.peer, &have);
            if have.is_whole && have.member == entry.peer {
                self.newcomer_heard(&have);
                self.newcomer_has();
                self.ask_for_owners(entry);
            }
            self.drive(|core, now| core.have_received(entry.peer, have, now));
            entry.haves_heard.fetch_add(1, Ordering::Relaxed);
            self.replication.compared.send_modify(|count| *count += 1);
        }
    }

    /// Every member has passed more than before: what was kept for them may go.
    pub(crate) fn trim_log(self: &Arc<Self>) {
        let passed = lock(&self.core).tables_passed_by_all();
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let tables = &shared.replication.tables;
            if let Err(error) = tables.trim(&passed, clock::now().wall).await {
                shared.tables_failed("the log", &error);
            }
        });
    }

    /// The loop that keeps the log within its bounds while a member is away: nobody passes anything then.
    async fn keep_log_bounded(self: Arc<Self>) {
        let every = self.config.exchange.compare_every.max(TRIM_EVERY_LEAST);
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        let _at_once = ticks.tick().await;
        let have = self.replication.tables.have();
        let mut head = have.borrow().log_head;
        loop {
            let _tick = ticks.tick().await;
            let newest = have.borrow().log_head;
            if std::mem::replace(&mut head, newest) != newest {
                self.trim_log();
            }
        }
    }

    /// Others have more of this database than it has itself: it is a copy, or was put back to an earlier
    /// state. It goes on under another name.
    pub(crate) fn renew_origin(self: &Arc<Self>, shared_upto: u64) {
        tracing::warn!(
            shared_upto,
            "the replicated tables were put back to an earlier state or copied; they go on as another origin"
        );
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            let tables = &shared.replication.tables;
            // Nothing is sent to anybody before this is done, and it is wished for once.
            while let Err(error) = tables.renew_origin(shared_upto, fresh_origin()).await {
                shared.tables_failed("the origin", &error);
                tokio::time::sleep(RENEW_AGAIN_AFTER).await;
            }
            shared.events.emit(
                clock::now().wall,
                "tables_origin_renewed",
                serde_json::json!({ "shared_upto": shared_upto }),
            );
        });
    }

    /// The name of the member that an origin is noted for, or is known to be of, else the database.
    pub(crate) fn origin_name(&self, origin: &OriginId, noted: Option<PeerId>) -> String {
        noted.map_or_else(|| self.origin_label(origin), |member| self.view().label(&member))
    }

    /// A member's name where its database is known, else the database.
    pub(crate) fn origin_label(&self, origin: &OriginId) -> String {
        let member = lock(&self.core).member_of_origin(origin);
        member.map_or_else(|| origin.to_string(), |member| self.view().label(&member))
    }
}
