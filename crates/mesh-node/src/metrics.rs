//! Figures for whoever collects them, in the text format of Prometheus and OpenMetrics.
//!
//! They are read when the page is asked for: only how long commits take is counted for the page alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_control::{DataState, MetricsServer, PeerState};
use mesh_delivery::EndedCounts;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::clock;
use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

/// Every state of the replicated tables.
const DATA_STATES: [DataState; 6] = [
    DataState::Ok,
    DataState::Snapshot,
    DataState::DiskFull,
    DataState::ReadOnly,
    DataState::Locked,
    DataState::Failed,
];

/// Names and values of one line.
type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = Family<Labels, Counter<u64, AtomicU64>>;

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// How long the database takes to commit, by what is committed.
#[derive(Debug)]
pub(crate) struct CommitTimes(Histograms);

impl Default for CommitTimes {
    fn default() -> Self {
        // From an eighth of a millisecond, faster than any disk that keeps its word, to four seconds.
        Self(Family::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_125, 2.0, 16))
        }))
    }
}

/// A queue and how full it is.
struct Queue {
    name: &'static str,
    messages: u64,
    bytes: u64,
    messages_max: u64,
    bytes_max: u64,
}

#[expect(clippy::cast_precision_loss, reason = "a figure beyond 2^53 may be off by one")]
const fn figure(number: u64) -> f64 {
    number as f64
}

fn one(name: &'static str, value: impl Into<String>) -> Labels {
    vec![(name, value.into())]
}

impl Shared {
    /// Waits for a commit to `queue` and notes how long it took.
    pub(crate) async fn timed<T>(&self, queue: &'static str, commit: impl Future<Output = T>) -> T {
        let started = clock::now().instant;
        let done = commit.await;
        let took = clock::now().instant.saturating_duration_since(started);
        self.commit_times.0.get_or_create(&one("queue", queue)).observe(took.as_secs_f64());
        done
    }

    /// Answers on the port until the node stops.
    pub(crate) fn serve_metrics(self: &Arc<Self>, server: MetricsServer) {
        tracing::info!(address = %server.address(), "metrics at /metrics");
        let shared = Arc::clone(self);
        let page = move || {
            let shared = Arc::clone(&shared);
            async move { shared.metrics_page().await }
        };
        let (tracker, shutdown) = (self.tasks.tracker().clone(), self.tasks.shutdown().clone());
        self.tasks.spawn(async move { server.run(page, &tracker, shutdown).await });
    }

    async fn metrics_page(&self) -> String {
        let mut registry = Registry::with_prefix("mesh");
        self.register_node(&mut registry);
        self.register_members(&mut registry);
        self.register_links(&mut registry);
        self.register_deliveries(&mut registry);
        register_queues(&mut registry, &self.queues().await);
        self.register_tables(&mut registry).await;
        let help = "Time from asking for a commit until it is on disk, by queue";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commit_times.0.clone());
        let mut page = String::new();
        if let Err(error) = encode(&mut page, &registry) {
            tracing::warn!(%error, "the metrics cannot be written");
        }
        page
    }

    fn register_node(&self, registry: &mut Registry) {
        let build = Gauges::default();
        let labels =
            vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("peer", self.me.short())];
        build.get_or_create(&labels).set(1.0);
        registry.register("build_info", "Version of the agent", build);
        let uptime = Gauge::<f64, AtomicU64>::default();
        let since = clock::now().instant.saturating_duration_since(self.started_at);
        uptime.set(since.as_secs_f64());
        let help = "Since the agent's start";
        registry.register_with_unit("uptime", help, Unit::Seconds, uptime);
    }

    fn register_members(&self, registry: &mut Registry) {
        let view = self.view();
        let members = Gauges::default();
        for state in [PeerState::Alive, PeerState::Suspect, PeerState::Down, PeerState::Inactive] {
            let all = view.verdict.members().keys();
            let count = all.filter(|peer| self.peer_state(peer) == state).count();
            members.get_or_create(&one("state", state.as_str())).set(figure(count as u64));
        }
        registry.register("members", "Members by state, this one included", members);
        let routes = Gauges::default();
        let counts = self.route_counts();
        for (way, count) in [
            ("direct", counts.direct),
            ("relayed", counts.relayed),
            ("unreachable", counts.unreachable),
        ] {
            routes.get_or_create(&one("way", way)).set(figure(count as u64));
        }
        registry.register("routes", "Other members by the way to them", routes);
    }

    fn register_links(&self, registry: &mut Registry) {
        let links: Vec<Arc<LinkEntry>> = self.links().values().cloned().collect();
        let view = self.view();
        let count = Gauge::<f64, AtomicU64>::default();
        count.set(figure(links.len() as u64));
        registry.register("links", "Links that are up", count);
        let behind = links.iter().filter(|link| !link.is_in_step.load(Ordering::Relaxed)).count();
        let differing = Gauge::<f64, AtomicU64>::default();
        differing.set(figure(behind as u64));
        let help = "Linked members whose records differ from this agent's";
        registry.register("sync_behind", help, differing);
        let (trips, sent, received) = (Gauges::default(), Counters::default(), Counters::default());
        // A line per link, and a member has one link at the most.
        for link in &links {
            let labels = vec![("peer", link.peer.short()), ("hostname", view.label(&link.peer))];
            if let Some(trip) = link.rtt() {
                trips.get_or_create(&labels).set(trip.as_secs_f64());
            }
            let (out, into) = link.bytes();
            sent.get_or_create(&labels).inc_by(out);
            received.get_or_create(&labels).inc_by(into);
        }
        let help = "Latest round trip of each link";
        registry.register_with_unit("link_round_trip", help, Unit::Seconds, trips);
        let help = "Bytes of frames sent over each link since it came up";
        registry.register_with_unit("link_sent", help, Unit::Bytes, sent);
        let help = "Bytes of frames received over each link since it came up";
        registry.register_with_unit("link_received", help, Unit::Bytes, received);
    }

    fn register_deliveries(&self, registry: &mut Registry) {
        let (own, held) = {
            let core = lock(&self.core);
            (core.outbound().stats().ended, core.held_stats().ended)
        };
        let deliveries = Counters::default();
        for (queue, ended) in [("outbox", own), ("custody", held)] {
            let EndedCounts { acked, expired, refused } = ended;
            for (result, count) in [("acked", acked), ("expired", expired), ("refused", refused)] {
                let labels = vec![("queue", queue.to_owned()), ("result", result.to_owned())];
                deliveries.get_or_create(&labels).inc_by(count);
            }
        }
        let help = "Messages that ended since the start, once per receiver, by how";
        registry.register("deliveries", help, deliveries);
    }

    async fn register_tables(&self, registry: &mut Registry) {
        let replication = &self.replication;
        let now = clock::now().wall;
        let found = match replication.tables.stats(now).await {
            Ok(stats) => stats,
            // The state says what is wrong; figures that nobody could read are left out.
            Err(error) => {
                tracing::debug!(%error, "the replicated tables cannot be counted");
                self.register_tables_state(registry);
                return;
            }
        };
        self.register_tables_state(registry);
        let tables = Gauges::default();
        for (state, count) in [("live", found.tables), ("aside", found.tables_aside)] {
            tables.get_or_create(&one("state", state)).set(figure(count));
        }
        registry.register("tables", "Replicated tables by state", tables);
        let behind = lock(&self.core).tables_behind();
        let behind = behind.iter().filter_map(|behind| behind.we).max().unwrap_or(0);
        let mut register = |name: &str, help: &str, count: u64| {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(figure(count));
            registry.register(name, help, gauge);
        };
        register(
            "tables_behind",
            "Transactions that linked members have and this agent lacks",
            behind,
        );
        register(
            "tables_parked",
            "Transactions of others that cannot be applied yet",
            found.parked,
        );
        register("tables_conflicts", "Writes that lost and were not settled", found.conflicts);
        register("tables_unsent_rows", "Rows that are too large to travel", found.unsent);
        register("tables_log_entries", "Entries of the log of transactions", found.log_entries);
        register("tables_log_size_bytes", "Bytes of the log", found.log_bytes);
        register(
            "tables_spool_size_bytes",
            "Bytes that are parked or incomplete",
            found.spool_bytes,
        );
        register("tables_database_size_bytes", "Size of data.db", found.database_bytes);
        register("tables_wal_size_bytes", "Size of data.db-wal", found.wal_bytes);
        let ahead = Gauges::default();
        for skewed in &found.parked_ahead {
            let hostname = self.origin_name(&skewed.origin, skewed.member);
            let labels = one("hostname", hostname);
            // A member may have had several databases.
            let most = ahead.get_or_create(&labels).get();
            let seconds = Duration::from_millis(skewed.ahead_millis).as_secs_f64();
            ahead.get_or_create(&labels).set(seconds.max(most));
        }
        let help = "How far clocks are ahead of this agent's, by whose changes are parked for it";
        registry.register_with_unit("tables_clock_ahead", help, Unit::Seconds, ahead);
        let transactions = Counters::default();
        for (way, count) in replication.passed() {
            transactions.get_or_create(&one("way", way)).inc_by(count);
        }
        let help = "Transactions received and sent since the start, each sending counted";
        registry.register("tables_transactions", help, transactions);
    }

    fn register_tables_state(&self, registry: &mut Registry) {
        let in_snapshot = self.replication.tables.have().borrow().in_snapshot;
        let now = match self.replication.trouble() {
            Some(trouble) => trouble.state,
            None if in_snapshot => DataState::Snapshot,
            None => DataState::Ok,
        };
        let states = Gauges::default();
        for state in DATA_STATES {
            let is_now = u8::from(state == now);
            states.get_or_create(&one("state", state.as_str())).set(f64::from(is_now));
        }
        let help = "1 for the state that the tables are in, 0 for the others";
        registry.register("tables_state", help, states);
        if in_snapshot {
            let ratio = Gauge::<f64, AtomicU64>::default();
            ratio.set(f64::from(self.replication.snapshot_percent()) / 100.0);
            let help = "How much of a member's state has been taken in, while it is";
            registry.register("tables_snapshot_ratio", help, ratio);
        }
    }

    async fn queues(&self) -> Vec<Queue> {
        let stats = lock(&self.core).outbound().stats();
        let counts = self.store.counts().await.unwrap_or_default();
        let custody = self.custody_queue();
        vec![
            Queue {
                name: "outbox",
                messages: stats.messages as u64,
                bytes: stats.bytes,
                messages_max: stats.messages_max as u64,
                bytes_max: stats.bytes_max,
            },
            Queue {
                name: "inbox",
                messages: counts.inbox_unacked,
                bytes: counts.inbox_bytes,
                messages_max: self.config.store.inbox_messages_max,
                bytes_max: self.config.store.inbox_bytes_max,
            },
            Queue {
                name: "custody",
                messages: custody.messages,
                bytes: custody.bytes,
                messages_max: custody.messages_max,
                bytes_max: custody.bytes_max,
            },
        ]
    }
}

fn register_queues(registry: &mut Registry, queues: &[Queue]) {
    let mut register = |name: &str, help: &str, value: fn(&Queue) -> u64| {
        let family = Gauges::default();
        for queue in queues {
            family.get_or_create(&one("queue", queue.name)).set(figure(value(queue)));
        }
        registry.register(name, help, family);
    };
    register("queue_messages", "Messages in each queue", |queue| queue.messages);
    register("queue_size_bytes", "Bytes of their bodies", |queue| queue.bytes);
    register("queue_messages_max", "Most messages it may hold", |queue| queue.messages_max);
    register("queue_size_max_bytes", "Most bytes it may hold", |queue| queue.bytes_max);
}
