//! How fast pushes are: `cargo bench -p mesh-agent --bench files`.
//!
//! Two real agents on this machine, and `scp` and `rsync` over an sshd of this run beside them, where they are
//! installed. Every line prints the figure, the aim, and what the others take for the same work in the same run. A
//! missed aim is a line to read, not a failure. `MESH_BENCH_MIB` sets the size of the large file, `MESH_BENCH_PART` names
//! the only part to be measured: `large`, `small` or `interrupted`.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports, and gives up when the world breaks"
)]

mod cpu;
mod floor;
#[path = "../agent/process.rs"]
#[expect(dead_code, reason = "another benchmark looks at more")]
mod process;
mod ssh;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mesh_control::{PushRequest, PushState, PushTargetState, PushView};
use mesh_testkit::Figures;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

use crate::process::Agent;
use crate::ssh::{Ssh, Took};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const MIB: f64 = 1024.0 * 1024.0;
const LARGE_MIB: usize = 1024;
const SMALL_FILES: usize = 10_000;
const SMALL_BYTES: usize = 4096;
const PIECE: usize = 1 << 20;
/// How far an interrupted push comes.
const INTERRUPTED_AT: f64 = 0.6;

/// A folder on the disk: a file system in memory would hide what a write costs.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn line(figure: &str, value: &str, aim: &str, others: &str) {
    FIGURES.add(figure, value, aim, others);
}

/// Bytes that nothing makes smaller, the same ones each time.
fn fill(path: &Path, bytes: usize, seed: u64) {
    let mut file = File::create(path).unwrap();
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let mut piece = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        random.fill_bytes(&mut piece);
        let part = piece.get(..left.min(PIECE)).unwrap();
        file.write_all(part).unwrap();
        left -= part.len();
    }
    file.sync_all().unwrap();
}

/// One MiB of others in the middle.
fn change(path: &Path, seed: u64) {
    let mut file = File::options().write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    file.seek(SeekFrom::Start(middle)).unwrap();
    let mut piece = vec![0; PIECE];
    rand::rngs::SmallRng::seed_from_u64(seed).fill_bytes(&mut piece);
    file.write_all(&piece).unwrap();
}

/// One MiB more, near the start.
fn insert(path: &Path, seed: u64) {
    let beside = path.with_extension("longer");
    let (mut from, mut to) = (File::open(path).unwrap(), File::create(&beside).unwrap());
    let mut start = vec![0; 100_000];
    from.read_exact(&mut start).unwrap();
    to.write_all(&start).unwrap();
    let mut piece = vec![0; PIECE];
    rand::rngs::SmallRng::seed_from_u64(seed).fill_bytes(&mut piece);
    to.write_all(&piece).unwrap();
    std::io::copy(&mut from, &mut to).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Writes what others left in memory: a push, which syncs, would pay for those who do not.
fn settle() {
    assert!(Command::new("sync").status().unwrap().success());
}

fn request(path: &Path) -> PushRequest {
    PushRequest { paths: vec![path.to_owned()], all: true, ..PushRequest::default() }
}

/// What a push took, how it ended, and what each step of it took.
async fn push(from: &Agent, to: &Agent, path: &Path) -> (Took, PushView, String) {
    settle();
    let processor = || from.processor_seconds() + to.processor_seconds();
    let before = processor();
    let mut steps = Steps::begin();
    let begun = from.client.push(&request(path)).await.unwrap();
    let ended = follow(from, &begun, |push| {
        steps.see(push);
        false
    })
    .await;
    let took = Took { time: steps.started.elapsed(), processor_seconds: processor() - before };
    let target = ended.targets.first().unwrap();
    assert_eq!(target.state, PushTargetState::Confirmed, "{:?} {:?}", ended.error, target.error);
    (took, ended, steps.told(took.time))
}

/// When the only target of a push was first seen in a state, in the order of states.
struct Steps {
    started: Instant,
    begun: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn begin() -> Self {
        Self { started: Instant::now(), begun: vec![("prepared in", Duration::ZERO)] }
    }

    fn see(&mut self, push: &PushView) {
        let step = match push.targets.first().map(|target| target.state) {
            Some(PushTargetState::Receiving) => "received in",
            Some(PushTargetState::Verifying) => "verified in",
            Some(PushTargetState::Placing) => "placed in",
            _ => return,
        };
        if self.begun.last().is_some_and(|(last, _)| *last != step) {
            self.begun.push((step, self.started.elapsed()));
        }
    }

    fn told(&self, took: Duration) -> String {
        let ends = self.begun.iter().skip(1).map(|(_, at)| *at).chain([took]);
        let steps = self.begun.iter().zip(ends);
        let told = steps.map(|((step, at), end)| format!("{step} {:.2?}", end.saturating_sub(*at)));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Follows a push to its end, or as far as `until` wants.
async fn follow(
    agent: &Agent,
    push: &PushView,
    mut until: impl FnMut(&PushView) -> bool,
) -> PushView {
    let mut news = agent.client.push_follow(&push.push_id.to_string()).await.unwrap();
    loop {
        let push = news.next().await.unwrap().unwrap();
        if until(&push) || push.state == PushState::Ended {
            return push;
        }
    }
}

fn ratio(took: Duration, other: Duration) -> f64 {
    took.as_secs_f64() / other.as_secs_f64()
}

fn rate(bytes: f64, took: Duration) -> String {
    format!("{:.0} MB/s", bytes / 1e6 / took.as_secs_f64())
}

struct World {
    folder: TempDir,
    from: Agent,
    to: Agent,
    ssh: Option<Ssh>,
}

impl World {
    async fn start() -> Self {
        let folder = folder();
        let from = Agent::start(folder.path(), "baulder");
        let to = Agent::start(folder.path(), "mint");
        from.admit(&to).await;
        while from.active_members().await < 2 || to.active_members().await < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ssh = Ssh::start(folder.path());
        fs::create_dir(folder.path().join("copied")).unwrap();
        Self { folder, from, to, ssh }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn copied(&self, name: &str) -> PathBuf {
        self.path("copied").join(name)
    }

    async fn large(&self) {
        let mib = std::env::var("MESH_BENCH_MIB").ok().and_then(|mib| mib.parse().ok());
        let bytes = mib.unwrap_or(LARGE_MIB) * PIECE;
        let path = self.path("large");
        fill(&path, bytes, 1);
        let floor = floor::copy(&path, &self.copied("floor"));
        let scp = self.ssh.as_ref().map(|ssh| ssh.scp(&path, &self.copied("large")));
        if let Some(ssh) = &self.ssh {
            // Where rsync finds the version before.
            ssh.rsyncs(&path, &self.copied("large"));
        }
        let (took, ended, steps) = push(&self.from, &self.to, &path).await;
        let bytes = ended.bytes_total as f64;
        let name = format!("a file of {:.0} MiB, new there", bytes / MIB);
        let others = scp.map_or_else(String::new, |scp| {
            let ratio = scp.time.as_secs_f64() / took.time.as_secs_f64();
            format!("scp {}, {ratio:.2} x", rate(bytes, scp.time))
        });
        line(&name, &rate(bytes, took.time), "≥ 1.6 x scp", &others);
        let others = format!("floor {:.2?}, {:.2} x", floor.time, ratio(took.time, floor.time));
        line("  time", &format!("{:.2?}", took.time), "≤ 1.2 x floor", &others);
        line("  steps", "", "", &steps);
        let seconds = |took: Took| format!("{:.2} s", took.processor_seconds);
        let mut others = format!("floor {}", seconds(floor));
        if let Some(scp) = scp {
            let ratio = took.processor_seconds / scp.processor_seconds;
            others.push_str(&format!(", scp {}, {ratio:.2} x", seconds(scp)));
        }
        line("  processor time of both sides", &seconds(took), "≤ 0.5 x scp", &others);
        change(&path, 2);
        self.again("  1 MiB of it changed", &path).await;
        insert(&path, 3);
        self.again("  1 MiB inserted near its start", &path).await;
    }

    async fn again(&self, figure: &str, path: &Path) {
        let rsyncs = self.ssh.as_ref().map(|ssh| ssh.rsyncs(path, &self.copied("large")));
        let floor = floor::change(path, &self.copied("floor"), &self.copied("floor-again"));
        let (took, ended, steps) = push(&self.from, &self.to, path).await;
        let wire = ended.bytes_sent as f64 / MIB;
        line(figure, &format!("{wire:.2} MiB"), "≤ 3 MiB on the wire", "");
        let others = rsyncs.map_or_else(String::new, |rsyncs| rsyncs.beside(took));
        line("    time", &format!("{:.2?}", took.time), "≤ 0.75 x rsync", &others);
        line("    steps", "", "", &steps);
        let others = rsyncs.map_or_else(String::new, |rsyncs| rsyncs.beside(floor));
        line("    floor: digests, a synced copy", &format!("{:.2?}", floor.time), "", &others);
    }

    async fn small(&self) {
        let path = self.path("small");
        for number in 0..SMALL_FILES {
            let folder = path.join(format!("d{:02}", number / 100));
            fs::create_dir_all(&folder).unwrap();
            fill(&folder.join(format!("f{number:05}")), SMALL_BYTES, 1000 + number as u64);
        }
        for is_again in [false, true] {
            let (figure, aim, limit) = if is_again {
                ("  again, unchanged", "≤ 0.4 x rsync", "≤ 400 KB on the wire")
            } else {
                ("10,000 files of 4 KiB, new there", "≤ 0.7 x rsync", "")
            };
            let rsyncs = self.ssh.as_ref().map(|ssh| ssh.rsyncs(&path, &self.copied("small")));
            let (took, ended, steps) = push(&self.from, &self.to, &path).await;
            let others = rsyncs.map_or_else(String::new, |rsyncs| rsyncs.beside(took));
            line(figure, &format!("{:.2?}", took.time), aim, &others);
            line("    bytes", &format!("{:.0} KB", ended.bytes_sent as f64 / 1e3), limit, "");
            line("    steps", "", "", &steps);
            if is_again {
                let floor = floor::unchanged(&path);
                let others = rsyncs.map_or_else(String::new, |rsyncs| rsyncs.beside(floor));
                line(
                    "    floor: digests on both sides",
                    &format!("{:.2?}", floor.time),
                    "",
                    &others,
                );
            }
        }
    }

    /// Both sides die half-way; what is counted is what travels afterwards.
    async fn interrupted(&mut self) {
        let path = self.path("interrupted");
        let bytes = LARGE_MIB / 4 * PIECE;
        fill(&path, bytes, 9);
        let begun = self.from.client.push(&request(&path)).await.unwrap();
        let enough = bytes as f64 * INTERRUPTED_AT;
        let seen = follow(&self.from, &begun, |push| {
            push.targets.iter().any(|target| target.bytes_done as f64 >= enough)
        })
        .await;
        let done: u64 = seen.targets.iter().map(|target| target.bytes_done).sum();
        self.to.kill();
        self.to = Agent::start(self.folder.path(), "mint");
        let ended = follow(&self.from, &begun, |_| false).await;
        let more = ended.bytes_sent.saturating_sub(seen.bytes_sent) as f64 / bytes as f64;
        let at = done as f64 / bytes as f64;
        let figure = format!("killed at {:.0} %, bytes on the wire afterwards", at * 100.0);
        line(&figure, &format!("{:.0} %", more * 100.0), "≤ 45 %", "");
    }

    fn memory(&self) {
        for agent in [&self.from, &self.to] {
            let most = agent.memory("VmHWM");
            line(
                &format!("most memory: {}", agent.name),
                &format!("{most:.1} MiB"),
                "≤ 64 MiB",
                "",
            );
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut world = World::start().await;
    if world.ssh.is_none() {
        println!("scp, rsync and sshd are not all installed: nothing to compare with");
    }
    let only = std::env::var("MESH_BENCH_PART").ok();
    let is_wanted = |part| only.as_deref().is_none_or(|only| only == part);
    if is_wanted("large") {
        world.large().await;
    }
    if is_wanted("small") {
        world.small().await;
    }
    // The receiver's figure begins anew when it is killed.
    world.memory();
    if is_wanted("interrupted") {
        world.interrupted().await;
        world.memory();
    }
}
