//! How fast the shared configuration is: `cargo bench -p mesh-agent --bench config`.
//!
//! Three real agents on this machine, each with its files and its database on the disk. Every line prints
//! the figure, the aim, and what the disk alone takes for the same work in the same run. A missed aim is a
//! line to read, not a failure.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark reports, and gives up when the world breaks"
)]

#[path = "../agent/process.rs"]
#[expect(dead_code, reason = "another benchmark looks at more")]
mod process;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mesh_control::{ConfigImport, ConfigQuery, ConfigSet, ConfigWatchQuery};
use mesh_testkit::{Figures, Raw};
use serde_json::{Map, Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, query};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::process::Agent;

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const MIB: f64 = 1024.0 * 1024.0;
/// Saves and commands that are followed one by one.
const FOLLOWED: u32 = 200;
/// Keys of the large configuration.
const KEYS: u32 = 10_000;
/// Keys that one import brings.
const KEYS_AT_ONCE: usize = 2000;
/// Of all three agents together.
const CHANGES_PER_SECOND: u32 = 100;
/// How long they are made.
const MINUTE: u32 = 60;
/// How often a file is looked at.
const PACE: Duration = Duration::from_micros(500);

/// A folder on the disk: a file system in memory would hide what a commit costs.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn line(figure: &str, value: &str, aim: &str, bare: impl Into<Raw>) {
    FIGURES.add(figure, value, aim, bare);
}

fn against(took: Duration, what: &str, bare: Duration) -> Raw {
    Raw::new(format!("{what} {bare:.2?}"), took.as_secs_f64() / bare.as_secs_f64())
}

fn middle_and_tail(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let tail = times.len() * 99 / 100;
    (times[times.len() / 2], times[tail])
}

/// Replaces a file as a careful program does, durably.
fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("being-saved");
    let file = std::fs::File::create(&beside).unwrap();
    std::io::Write::write_all(&mut &file, bytes).unwrap();
    file.sync_all().unwrap();
    std::fs::rename(&beside, path).unwrap();
    std::fs::File::open(path.parent().unwrap()).unwrap().sync_all().unwrap();
}

struct Mesh {
    folder: TempDir,
    agents: Vec<Agent>,
    bare: SqliteConnection,
}

impl Mesh {
    async fn start() -> Self {
        let folder = folder();
        let names = ["baulder", "mint", "oak"];
        let agents: Vec<Agent> =
            names.iter().map(|name| Agent::start(folder.path(), name)).collect();
        for other in agents.iter().skip(1) {
            agents[0].admit(other).await;
        }
        for agent in &agents {
            while agent.active_members().await < names.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let mut bare = SqliteConnectOptions::new()
            .filename(folder.path().join("bare.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging()
            .connect()
            .await
            .unwrap();
        let table = "CREATE TABLE entries (key TEXT PRIMARY KEY, entry TEXT)";
        query(table).execute(&mut bare).await.unwrap();
        let mesh = Self { folder, agents, bare };
        mesh.in_step().await;
        mesh
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.path().join(&self.agents[number].name).join("mesh-config.json")
    }

    fn text(&self, number: usize) -> String {
        std::fs::read_to_string(self.file(number)).unwrap_or_default()
    }

    /// Waits until all agents have the same, and the same in their files.
    async fn in_step(&self) {
        loop {
            let mut seen = BTreeSet::new();
            for (number, agent) in self.agents.iter().enumerate() {
                let query = ConfigQuery::default();
                seen.insert(agent.client.config_get(&query).await.unwrap().value.to_string());
                let mut file: Value = serde_json::from_str(&self.text(number)).unwrap_or_default();
                if let Some(file) = file.as_object_mut() {
                    file.remove("$revision");
                }
                seen.insert(file.to_string());
            }
            if seen.len() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn set(&self, number: usize, key: &str, value: Value) {
        let request = ConfigSet { key: key.to_owned(), value, note: None };
        self.agents[number].client.config_set(&request).await.unwrap();
    }

    async fn import(&self, keys: std::ops::Range<u32>) {
        let keys: Vec<u32> = keys.collect();
        for some in keys.chunks(KEYS_AT_ONCE) {
            let values: Map<String, Value> =
                some.iter().map(|key| (format!("k{key}"), json!(0))).collect();
            let template = json!({ "settings": values });
            let request = ConfigImport { template, dry_run: false, note: None };
            self.agents[0].client.config_template_import(&request).await.unwrap();
        }
        self.in_step().await;
    }

    async fn bare_commit(&mut self, value: u32) -> Duration {
        let started = Instant::now();
        let sql = "INSERT INTO entries VALUES ('settings.k', ?) ON CONFLICT DO UPDATE SET entry = excluded.entry";
        query(sql).bind(value).execute(&mut self.bare).await.unwrap();
        started.elapsed()
    }

    /// A command on the first, until the two others have told it to whoever follows.
    async fn follow_commands(&mut self, keys: &str) {
        let (mut seen, mut bare) = (Vec::new(), Vec::new());
        let mut watches = Vec::new();
        for agent in self.agents.iter().skip(1) {
            let prefix = Some("settings.followed".to_owned());
            watches.push(agent.client.config_watch(&ConfigWatchQuery { prefix }).await.unwrap());
        }
        for round in 0..FOLLOWED {
            let value = json!(format!("{keys} {round}"));
            let started = Instant::now();
            self.set(0, "settings.followed", value.clone()).await;
            for watch in &mut watches {
                while watch.next().await.unwrap().unwrap().value != value {}
            }
            seen.push(started.elapsed());
            bare.push(self.bare_commit(round).await);
            // One after the other, as people do.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ((middle, tail), (bare, bare_tail)) = (middle_and_tail(seen), middle_and_tail(bare));
        let figure = format!("`config set` on both others, {keys}");
        let commit = "a commit";
        line(
            &format!("{figure}: p50"),
            &format!("{middle:.2?}"),
            "",
            against(middle, commit, bare),
        );
        line(
            &format!("{figure}: p99"),
            &format!("{tail:.2?}"),
            "≤ 20 ms",
            against(tail, commit, bare_tail),
        );
    }

    /// A save of the first one's file, until the files of the two others show it.
    async fn follow_saves(&self, keys: &str) {
        let (mut seen, mut bare) = (Vec::new(), Vec::new());
        self.set(0, "settings.saved", json!("save 0 of none")).await;
        self.in_step().await;
        let mut before = "save 0 of none".to_owned();
        for round in 1..=FOLLOWED / 4 {
            let value = format!("save {round} of {keys}");
            let text = self.text(0).replacen(&before, &value, 1);
            let bare_path = self.folder.path().join("bare.json");
            let started = Instant::now();
            replace(&bare_path, text.as_bytes());
            bare.push(started.elapsed());
            let started = Instant::now();
            replace(&self.file(0), text.as_bytes());
            for number in 1..self.agents.len() {
                while !self.text(number).contains(&value) {
                    tokio::time::sleep(PACE).await;
                }
            }
            seen.push(started.elapsed());
            before = value;
            // Past the time in which a file is not written again.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        let ((middle, tail), (bare, bare_tail)) = (middle_and_tail(seen), middle_and_tail(bare));
        let figure = format!("a save in the files of both others, {keys}");
        let what = "a file replaced";
        line(&format!("{figure}: p50"), &format!("{middle:.2?}"), "", against(middle, what, bare));
        line(
            &format!("{figure}: p99"),
            &format!("{tail:.2?}"),
            "≤ 500 ms",
            against(tail, what, bare_tail),
        );
    }

    /// Changes on all three for a minute.
    async fn storm(&self) {
        let total = CHANGES_PER_SECOND * MINUTE;
        let mut beat = interval(Duration::from_secs(1) / CHANGES_PER_SECOND);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut writes = vec![BTreeSet::new(); self.agents.len()];
        let used = |agent: &Agent| agent.processor_seconds();
        let before: f64 = self.agents.iter().map(used).sum();
        let started = Instant::now();
        let mut changes = JoinSet::new();
        for number in 0..total {
            beat.tick().await;
            for (agent, writes) in writes.iter_mut().enumerate() {
                if let Ok(metadata) = std::fs::metadata(self.file(agent)) {
                    writes.insert((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()));
                }
            }
            let client = self.agents[number as usize % self.agents.len()].client.clone();
            changes.spawn(async move {
                let key = format!("settings.k{number}");
                let request = ConfigSet { key, value: json!(number + 1), note: None };
                client.config_set(&request).await.unwrap();
            });
        }
        while let Some(done) = changes.join_next().await {
            done.unwrap();
        }
        let (took, last) = (started.elapsed(), Instant::now());
        self.in_step().await;
        let behind = last.elapsed();
        let shown: Value = serde_json::from_str(&self.text(2)).unwrap();
        let is_lost = |number: &u32| shown["settings"][format!("k{number}")] != json!(number + 1);
        let lost = (0..total).filter(is_lost).count();
        let after: f64 = self.agents.iter().map(used).sum();
        let rate = format!("{total} in {took:.1?}");
        line("changes on three agents", &rate, "100 a second", "");
        line("  in step after the last", &format!("{behind:.2?}"), "≤ 1 s", "");
        line("  changes lost", &lost.to_string(), "0", "");
        let most = writes.iter().map(BTreeSet::len).max().unwrap_or(0);
        let often = format!("{:.1} a second", most as f64 / took.as_secs_f64());
        line("  a file was written", &often, "≤ 5 a second", "");
        let share = (after - before) / took.as_secs_f64() * 100.0;
        line("  processor time of the three together", &format!("{share:.0} % of a core"), "", "");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut mesh = Mesh::start().await;
    mesh.follow_commands("few keys").await;
    mesh.follow_saves("few keys").await;
    mesh.import(0..KEYS).await;
    mesh.follow_commands("10,000 keys").await;
    mesh.follow_saves("10,000 keys").await;
    mesh.storm().await;
}
