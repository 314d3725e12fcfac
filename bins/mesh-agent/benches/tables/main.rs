//! How fast the replicated tables are: `cargo bench -p mesh-agent --bench tables`.
//!
//! Three real agents on this machine, each with a database on the disk. Every line prints the figure, the
//! aim, and what SQLite alone takes for the same work in the same run. Agents and SQLite share the
//! machine's cores, as they would not on three machines. A missed aim is a line to read, not a failure.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark reports, and gives up when the world breaks")]

mod bare;
#[path = "../agent/process.rs"]
#[expect(dead_code, reason = "the other benchmark looks at more")]
mod process;
mod shapes;

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mesh_control::{
    ChangeOperation, SqlJson, SqlStatement, TableCreate, TransactionRequest, WatchQuery,
};
use mesh_protocol::SqlValue;
use mesh_testkit::{Figures, Raw};
use tempfile::TempDir;

use crate::bare::{Bare, Reader};
use crate::process::Agent;
use crate::shapes::{COLUMNS, INSERT, TABLE};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const MIB: f64 = 1024.0 * 1024.0;
/// Inserts that are followed one by one.
const FOLLOWED: i64 = 500;
/// One-row transactions of one client.
const SINGLES: i64 = 1000;
/// Rows that a member misses while it is away.
const MISSED: i64 = 10_000;
/// What the start and the last link leave to do is over by then.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Members trim their logs more often than this.
const TRIMMED_AFTER: Duration = Duration::from_secs(90);
/// What a member keeps of its log for watchers.
const LOG_BYTES_KEPT: u64 = 2 << 20;

/// A folder on the disk: a file system in memory would hide what a commit costs.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn line(figure: &str, value: &str, aim: &str, bare: impl Into<Raw>) {
    FIGURES.add(figure, value, aim, bare);
}

/// A figure beside what SQLite alone takes.
fn against(took: Duration, bare: Duration) -> Raw {
    Raw::new(format!("bare {bare:.2?}"), took.as_secs_f64() / bare.as_secs_f64())
}

fn middle_and_tail(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let tail = times.len() * 99 / 100;
    (*times.get(times.len() / 2).unwrap(), *times.get(tail).unwrap())
}

struct Mesh {
    folder: TempDir,
    agents: Vec<Agent>,
    readers: Vec<Reader>,
    bare: Bare,
    next: i64,
}

impl Mesh {
    async fn start() -> Self {
        let folder = folder();
        let names = ["baulder", "mint", "oak"];
        let agents: Vec<Agent> =
            names.iter().map(|name| Agent::start(folder.path(), name)).collect();
        let first = agents.first().unwrap();
        for other in agents.iter().skip(1) {
            first.admit(other).await;
        }
        for agent in &agents {
            while agent.active_members().await < names.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let create = TableCreate { sql: TABLE.to_owned() };
        first.client.table_create(&create).await.unwrap();
        let mut readers = Vec::new();
        for agent in &agents {
            let path = folder.path().join(&agent.name).join("data.db");
            readers.push(Reader::open(&path).await);
        }
        for reader in &mut readers {
            reader.has_table().await;
        }
        let bare = Bare::open(&folder.path().join("bare.db"), true).await;
        Self { folder, agents, readers, bare, next: 1 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name).join("data.db")
    }

    fn writer(&self) -> &Agent {
        self.agents.first().unwrap()
    }

    /// The next `count` keys.
    fn keys(&mut self, count: i64) -> std::ops::Range<i64> {
        let keys = self.next..self.next + count;
        self.next += count;
        keys
    }

    fn statement(key: i64) -> SqlStatement {
        let params = shapes::row(key).into_iter().map(SqlJson::from).collect();
        SqlStatement { sql: INSERT.to_owned(), params }
    }

    async fn insert(&self, keys: std::ops::Range<i64>) {
        let statements = keys.map(Self::statement).collect();
        self.writer().client.transaction(&TransactionRequest { statements }).await.unwrap();
    }

    async fn both_others_have(&mut self, key: i64) {
        for reader in self.readers.iter_mut().skip(1) {
            reader.wait_for(key).await;
        }
    }

    async fn follow_single_inserts(&mut self) {
        let (mut seen, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..FOLLOWED {
            let key = self.keys(1).start;
            let started = Instant::now();
            self.writer().client.sql(&Self::statement(key)).await.unwrap();
            self.both_others_have(key).await;
            seen.push(started.elapsed());
            let started = Instant::now();
            self.bare.insert(key..key + 1).await;
            bare.push(started.elapsed());
        }
        let ((middle, tail), (bare, bare_tail)) = (middle_and_tail(seen), middle_and_tail(bare));
        let figure = "one insert visible on both other members";
        line(&format!("{figure}: p50"), &format!("{middle:.2?}"), "≤ 4 ms", against(middle, bare));
        line(
            &format!("{figure}: p99"),
            &format!("{tail:.2?}"),
            "≤ 15 ms",
            against(tail, bare_tail),
        );
    }

    async fn follow_events(&mut self) {
        let watcher = self.agents.get(1).unwrap().client.clone();
        let query = WatchQuery { table: "bench".to_owned(), from: None };
        let mut changes = watcher.watch(&query).await.unwrap();
        // The stream begins with what is committed after it stands.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut times = Vec::new();
        for _ in 0..FOLLOWED {
            let key = self.keys(1).start;
            let started = Instant::now();
            self.writer().client.sql(&Self::statement(key)).await.unwrap();
            let change = changes.next().await.unwrap().unwrap();
            times.push(started.elapsed());
            assert_eq!(change.operation, ChangeOperation::Insert);
            assert_eq!(change.key.0.first().unwrap().1.0, SqlValue::Integer(key));
        }
        let (middle, tail) = middle_and_tail(times);
        line("change event on another member: p50", &format!("{middle:.2?}"), "", "");
        line("change event on another member: p99", &format!("{tail:.2?}"), "≤ 50 ms", "");
    }

    async fn count_singles(&mut self) {
        let keys = self.keys(SINGLES);
        let started = Instant::now();
        for key in keys.clone() {
            self.writer().client.sql(&Self::statement(key)).await.unwrap();
        }
        let took = started.elapsed();
        self.both_others_have(keys.end - 1).await;
        let everywhere = started.elapsed();
        let started = Instant::now();
        for key in keys {
            self.bare.insert(key..key + 1).await;
        }
        let bare = started.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        let rate = SINGLES as f64 / took.as_secs_f64();
        let figure = "1,000 one-row transactions, one client";
        line(figure, &format!("{rate:.0}/s"), "≥ 1,500/s", against(took, bare));
        line("  until both other members have the last", &format!("{everywhere:.2?}"), "", "");
    }

    async fn bulk(&mut self, transactions: i64, rows: i64, figure: &str, aim: &str) {
        let started = Instant::now();
        let mut last = 0;
        for _ in 0..transactions {
            let keys = self.keys(rows);
            last = keys.end - 1;
            self.insert(keys).await;
        }
        let committed = started.elapsed();
        self.both_others_have(last).await;
        let took = started.elapsed();
        let started = Instant::now();
        for number in (0..transactions).rev() {
            let end = last + 1 - number * rows;
            self.bare.insert(end - rows..end).await;
        }
        let bare = started.elapsed();
        line(figure, &format!("{took:.2?}"), aim, against(took, bare));
        line("  until committed where they were written", &format!("{committed:.2?}"), "", "");
    }

    async fn return_of_a_member(&mut self) {
        let mut oak = self.agents.pop().unwrap();
        self.readers.pop();
        oak.kill();
        drop(oak);
        let mut last = 0;
        for _ in 0..10 {
            let keys = self.keys(MISSED / 10);
            last = keys.end - 1;
            self.insert(keys).await;
        }
        let mut reader = Reader::open(&self.path("oak")).await;
        let started = Instant::now();
        let oak = Agent::start(self.folder.path(), "oak");
        let ready = started.elapsed();
        reader.wait_for(last).await;
        let took = started.elapsed();
        line("a member returns after missing 10,000 rows", &format!("{took:.2?}"), "≤ 1.5 s", "");
        line("  of it until its process is ready", &format!("{ready:.2?}"), "", "");
        self.agents.push(oak);
        self.readers.push(reader);
    }

    async fn measure_memory(&self) {
        tokio::time::sleep(SETTLED_AFTER).await;
        for agent in &self.agents {
            let figure = format!("memory afterwards, idle: {}", agent.name);
            line(&figure, &format!("{:.1} MiB", agent.memory("VmRSS:")), "≤ 30 MiB", "");
        }
    }

    async fn add_a_column(&mut self) {
        let before = self.writer().client.status().await.unwrap().data.log_bytes;
        let started = Instant::now();
        let sql = "ALTER TABLE bench ADD COLUMN extra TEXT DEFAULT 'none'".to_owned();
        self.writer().client.sql(&SqlStatement { sql, params: Vec::new() }).await.unwrap();
        for reader in self.readers.iter_mut().skip(1) {
            reader.wait_for_column("extra").await;
        }
        let took = started.elapsed();
        let after = self.writer().client.status().await.unwrap().data.log_bytes;
        let rows = self.next - 1;
        let figure = format!("a column added to {rows} rows, on all members");
        let grown = after.saturating_sub(before);
        line(
            &figure,
            &format!("{took:.2?}"),
            "sends no rows",
            format!("{grown} bytes in all").as_str(),
        );
    }
}

/// What the bookkeeping takes of the disk, and of the time of an insert.
async fn measure_bookkeeping() {
    const ROWS: i64 = 100_000;
    let folder = folder();
    let agent = Agent::start(folder.path(), "mint");
    agent.client.table_create(&TableCreate { sql: TABLE.to_owned() }).await.unwrap();
    let mut bare = Bare::open(&folder.path().join("bare.db"), true).await;
    let started = Instant::now();
    bare.insert(1..ROWS + 1).await;
    let plain = started.elapsed();
    let path = folder.path().join("mint").join("data.db");
    let empty = Reader::open(&path).await.bytes_used().await;
    let mut captured = Bare::open(&path, false).await;
    let started = Instant::now();
    captured.insert(1..ROWS + 1).await;
    let through = started.elapsed();
    let ratio = through.as_secs_f64() / plain.as_secs_f64();
    line(
        "100,000 rows inserted through triggers",
        &format!("{ratio:.2} x"),
        "≤ 3.5 x",
        Raw::new(format!("{through:.2?} to {plain:.2?}"), ratio),
    );
    // Sealed, and nobody else needs it: the log shrinks to what is kept for watchers.
    let deadline = Instant::now() + TRIMMED_AFTER;
    tokio::time::sleep(SETTLED_AFTER).await;
    while agent.client.status().await.unwrap().data.log_bytes > LOG_BYTES_KEPT
        && Instant::now() < deadline
    {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut reader = Reader::open(&path).await;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a file")]
    let [with, without] =
        [reader.bytes_used().await - empty, bare.bytes_used().await].map(|bytes| bytes as f64);
    line(
        &format!("on disk: {ROWS} rows x {COLUMNS} columns, with bookkeeping"),
        &format!("{:.2} x", with / without),
        "≤ 1.9 x",
        Raw::new(format!("{:.1} to {:.1} MiB", with / MIB, without / MIB), with / without),
    );
}

fn selected(name: &str) -> bool {
    let names: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    names.is_empty() || names.iter().any(|wanted| name.contains(wanted.as_str()))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if selected("bookkeeping") {
            measure_bookkeeping().await;
        }
        if !selected("mesh") {
            return;
        }
        let mut mesh = Mesh::start().await;
        mesh.follow_single_inserts().await;
        mesh.follow_events().await;
        mesh.count_singles().await;
        mesh.bulk(1, 1000, "1,000 rows in one transaction, on all members", "≤ 0.15 s").await;
        mesh.bulk(20, 1000, "20,000 rows in 20 transactions, on all members", "≤ 3 s").await;
        mesh.bulk(1, 50_000, "50,000 rows in one transaction, on all members", "≤ 4 s").await;
        mesh.return_of_a_member().await;
        mesh.add_a_column().await;
        mesh.measure_memory().await;
    });
}
