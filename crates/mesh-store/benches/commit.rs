//! What durability costs: appends to the outbox and commits to the inbox beside bare autocommits of the
//! same size in the same run, one at a time and 64 at once. `cargo bench -p mesh-store`.
//!
//! Files go to the folder in `MESH_STORE_BENCH_DIR`, or to the system's temporary folder.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mesh_protocol::{MessageId, PeerId, UnixMillis};
use mesh_store::{NewInbox, NewOutbox, OutboxEnd, Store, StoreConfig};
use mesh_testkit::{Figures, Raw};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection};
use tokio_util::task::TaskTracker;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const BODY_BYTES: usize = 256;
const ROUNDS: usize = 9;
const PER_ROUND: usize = 300;
const IN_FLIGHT: usize = 64;

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

static NUMBER: AtomicU64 = AtomicU64::new(1);

fn next_id() -> (u64, MessageId) {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    for (byte, digit) in random.iter_mut().rev().zip(number.to_le_bytes()) {
        *byte = digit;
    }
    (number, MessageId::from_parts(UnixMillis(1_700_000_000_000 + number), &random))
}

fn outgoing() -> NewOutbox {
    NewOutbox {
        message_id: next_id().1,
        to: PeerId::from_bytes([1; 32]),
        is_broadcast: false,
        priority: 1,
        is_sealed: false,
        app_type: "bench".to_owned(),
        created_at: UnixMillis(1),
        expires_at: UnixMillis(u64::MAX),
        body: vec![7; BODY_BYTES].into(),
    }
}

fn incoming() -> NewInbox {
    let (sequence, message_id) = next_id();
    NewInbox {
        message_id,
        from: PeerId::from_bytes([1; 32]),
        stream: 7,
        sequence,
        priority: 1,
        is_broadcast: false,
        is_sealed: false,
        via: Vec::new(),
        app_type: Some("bench".to_owned()),
        payload_kind: 5,
        body: vec![7; BODY_BYTES].into(),
        timestamp: UnixMillis(1),
        received_at: UnixMillis(1),
        expires_at: UnixMillis(u64::MAX),
    }
}

/// A plain table in a plain WAL database: the floor under everything.
async fn bare(path: &Path) -> Outcome<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut conn = options.connect().await?;
    sqlx::query("CREATE TABLE bare (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        .execute(&mut conn)
        .await?;
    Ok(conn)
}

/// Notes how long `work` takes.
async fn timed(took: &mut Vec<Duration>, work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    let start = Instant::now();
    work.await?;
    took.push(start.elapsed());
    Ok(())
}

/// Runs of `work` a second with [`IN_FLIGHT`] of them under way all the time.
async fn rate<F: Future<Output = Outcome<()>>>(work: impl Fn() -> F) -> Outcome<f64> {
    let each = PER_ROUND * 16 / IN_FLIGHT;
    let start = Instant::now();
    let runners = (0..IN_FLIGHT).map(|_| async {
        for _ in 0..each {
            work().await?;
        }
        Ok(())
    });
    join_all(runners).await.into_iter().collect::<Outcome<Vec<()>>>()?;
    let count = u32::try_from(each * IN_FLIGHT)?;
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

struct Summary {
    median: f64,
    p99: f64,
}

fn summary(took: &mut [Duration]) -> Summary {
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).map_or(0.0, Duration::as_secs_f64);
    Summary { median: at(50) * 1e6, p99: at(99) * 1e6 }
}

fn report(name: &str, took: &mut [Duration], bare: &Summary) -> Summary {
    let found = summary(took);
    let micros = |micros: f64| format!("{micros:.0} µs");
    let raw =
        Raw::new(format!("bare autocommit {}", micros(bare.median)), found.median / bare.median);
    FIGURES.add(&format!("{name}: p50"), &micros(found.median), "", raw);
    let raw = Raw::new(format!("bare autocommit {}", micros(bare.p99)), found.p99 / bare.p99);
    FIGURES.add(&format!("{name}: p99"), &micros(found.p99), "", raw);
    found
}

/// What was measured, in the order of [`run`].
#[derive(Default)]
struct Measured {
    bare: Vec<Duration>,
    append: Vec<Duration>,
    cycle: Vec<Duration>,
    commit: Vec<Duration>,
    take: Vec<Duration>,
    append_rates: Vec<f64>,
    commit_rates: Vec<f64>,
}

async fn append(store: &Store) -> Outcome<()> {
    store.append_outbox(vec![outgoing()]).await?;
    Ok(())
}

/// As a sender does: every message ends, and its row has to go some time.
async fn cycle(store: &Store) -> Outcome<()> {
    for sequence in store.append_outbox(vec![outgoing()]).await? {
        store.finish_outbox(sequence, OutboxEnd::Acked);
    }
    Ok(())
}

async fn commit(store: &Store) -> Outcome<()> {
    store.commit_inbox(vec![incoming()]).await?;
    Ok(())
}

async fn take(store: &Store) -> Outcome<()> {
    let row = incoming();
    let message_id = row.message_id;
    store.commit_inbox(vec![row]).await?;
    store.ack_inbox(vec![message_id]).await?;
    Ok(())
}

async fn insert_bare(conn: &mut SqliteConnection) -> Outcome<()> {
    let insert = sqlx::query("INSERT INTO bare (body) VALUES (?)");
    insert.bind(vec![7_u8; BODY_BYTES]).execute(conn).await?;
    Ok(())
}

/// Measures everything in turns, so that a noisy neighbour on the disk hits all of it alike.
async fn round(store: &Store, conn: &mut SqliteConnection, to: &mut Measured) -> Outcome<()> {
    for _ in 0..PER_ROUND {
        timed(&mut to.bare, insert_bare(conn)).await?;
        timed(&mut to.append, append(store)).await?;
        timed(&mut to.cycle, cycle(store)).await?;
        timed(&mut to.commit, commit(store)).await?;
        timed(&mut to.take, take(store)).await?;
    }
    to.append_rates.push(rate(|| cycle(store)).await?);
    to.commit_rates.push(rate(|| commit(store)).await?);
    Ok(())
}

fn report_rate(name: &str, mut rates: Vec<f64>, one: &Summary) {
    rates.sort_unstable_by(f64::total_cmp);
    let median = rates.get(rates.len() / 2).copied().unwrap_or(0.0);
    let ratio = median / (1e6 / one.median);
    let raw = Raw::new("one in flight", ratio);
    FIGURES.add(&format!("{name}, {IN_FLIGHT} in flight"), &format!("{median:.0}/s"), "", raw);
}

async fn run(folder: &Path) -> Outcome<()> {
    let tracker = TaskTracker::new();
    let store = Store::open(&folder.join("mesh.db"), StoreConfig::default(), &tracker).await?;
    let mut conn = bare(&folder.join("bare.db")).await?;
    let mut measured = Measured::default();
    for _ in 0..ROUNDS {
        round(&store, &mut conn, &mut measured).await?;
    }
    store.close().await?;
    let floor = summary(&mut measured.bare);
    report("append_outbox", &mut measured.append, &floor);
    let cycle = report("append_outbox and finish_outbox", &mut measured.cycle, &floor);
    let commit = report("commit_inbox", &mut measured.commit, &floor);
    report("commit_inbox and ack_inbox (2 commits)", &mut measured.take, &floor);
    report_rate("append_outbox", measured.append_rates, &cycle);
    report_rate("commit_inbox", measured.commit_rates, &commit);
    Ok(())
}

fn main() -> Outcome<()> {
    let folder = match std::env::var_os("MESH_STORE_BENCH_DIR") {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    tokio::runtime::Runtime::new()?.block_on(run(folder.path()))
}
