//! What a running agent costs the machine it runs on: `cargo bench -p mesh-agent`, or with the name of
//! one group behind `--`.
//!
//! Measured on real processes from outside: how long a start takes, what an idle agent holds in memory,
//! what it takes of a core while nothing happens, how large the program is; and of fifty agents, or as
//! many as `MESH_BENCH_AGENTS` says, how soon they know each other and miss one. A missed aim is a line to read, not a failure.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark gives up when the world breaks")]

mod fifty;
mod process;
mod reach;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mesh_testkit::Figures;
use tempfile::TempDir;

use crate::process::{Agent, PROGRAM};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const STARTS: usize = 15;
const PEERS: usize = 10;
const IDLE: Duration = Duration::from_secs(20);
/// What the start and the last link leave to do is over by then.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
const MIB: f64 = 1024.0 * 1024.0;

/// A folder on the disk: a file system in memory would hide what a commit costs.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn line(figure: &str, value: String, aim: &str) {
    FIGURES.add(figure, &value, aim, "");
}

fn measure_starts() {
    let folder = folder();
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let name = format!("s{number}");
        first.push(Agent::start(folder.path(), &name).ready_after);
        next.push(Agent::start(folder.path(), &name).ready_after);
    }
    for (figure, mut times) in [("first start to ready", first), ("next start to ready", next)] {
        times.sort_unstable();
        let (middle, slowest) = (times.get(STARTS / 2).unwrap(), times.last().unwrap());
        line(&format!("{figure}: median"), format!("{middle:.0?}"), "< 300 ms");
        line(&format!("{figure}: slowest of {STARTS}"), format!("{slowest:.0?}"), "< 300 ms");
    }
}

fn show_memory(figure: &str, agent: &Agent) {
    let (resident, anonymous) = (agent.memory("VmRSS:"), agent.memory("RssAnon:"));
    line(&format!("{figure}: resident"), format!("{resident:.1} MiB"), "≤ 20 MiB");
    line(&format!("{figure}: of it not from files"), format!("{anonymous:.1} MiB"), "");
}

async fn measure_idle() {
    let folder = folder();
    let alone = Agent::start(folder.path(), "alone");
    tokio::time::sleep(SETTLED_AFTER).await;
    show_memory("idle alone", &alone);

    let mut peers = Vec::with_capacity(PEERS);
    for number in 0..PEERS {
        let peer = Agent::start(folder.path(), &format!("p{number}"));
        let _took: Duration = alone.admit(&peer).await;
        peers.push(peer);
    }
    while alone.active_members().await < PEERS + 1 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(SETTLED_AFTER).await;
    let before = alone.processor_seconds();
    let started = Instant::now();
    tokio::time::sleep(IDLE).await;
    let spent = alone.processor_seconds() - before;
    let share = 100.0 * spent / started.elapsed().as_secs_f64();
    show_memory(&format!("idle with {PEERS} peers"), &alone);
    line(&format!("idle with {PEERS} peers: of a core"), format!("{share:.2} %"), "< 0.5 %");
}

/// The program as it is released: a benchmark's build keeps symbols and line tables, a release does not.
fn measure_size() {
    let folder = folder();
    let stripped: PathBuf = folder.path().join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(PROGRAM).status();
    let (path, what) = match strip {
        Ok(status) if status.success() => (stripped.as_path(), "program, stripped"),
        Ok(_) | Err(_) => (Path::new(PROGRAM), "program with symbols (no `strip` here)"),
    };
    let megabytes = path.metadata().unwrap().len() as f64 / 1e6;
    line(what, format!("{megabytes:.1} MB"), "≤ 25 MB");
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let is_wanted = |group: &str| wanted.is_empty() || wanted.iter().any(|name| name == group);
    if is_wanted("size") {
        measure_size();
    }
    if is_wanted("starts") {
        measure_starts();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if is_wanted("idle") {
        runtime.block_on(measure_idle());
    }
    if is_wanted("fifty") {
        runtime.block_on(fifty::measure());
    }
}
