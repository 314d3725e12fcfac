//! What a running agent costs the machine it runs on: `cargo bench -p mesh-agent`.
//!
//! Measured on real processes from outside: how long a start takes, what an idle agent holds in memory,
//! what it takes of a core while nothing happens, how large the program is.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reports, and gives up when the world breaks"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mesh_control::{ControlClient, JoinProgress, JoinRequestBody, MemberStatus, TokenCreate};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_mesh-agent");
const STARTS: usize = 15;
const PEERS: usize = 10;
const IDLE: Duration = Duration::from_secs(20);
/// What the start and the last link leave to do is over by then.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
const MIB: f64 = 1024.0 * 1024.0;
/// `/proc` counts processor time in these, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

struct Agent {
    process: Child,
    client: ControlClient,
    ready_after: Duration,
}

impl Agent {
    /// Starts an agent and waits for its ready line.
    fn start(folder: &Path, name: &str) -> Self {
        let data_dir = folder.join(name);
        let socket = data_dir.join("control.sock");
        let started = Instant::now();
        let mut process = Command::new(PROGRAM)
            .args(["--hostname", name, "--listen", "127.0.0.1:0", "--log-level", "warn"])
            .arg("--data-dir")
            .arg(&data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ready ") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the agent ended before it was ready");
        }
        let ready_after = started.elapsed();
        // A full pipe would hold the agent up.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, client: ControlClient::new(socket), ready_after }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap()
    }

    /// A line of `/proc/PID/status` in MiB.
    fn memory(&self, name: &str) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024.0 / MIB
    }

    /// Processor time since the start, user and system.
    fn processor_seconds(&self) -> f64 {
        let stat = self.proc("stat");
        // The program's name may hold spaces; what follows its bracket may not.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS_PER_SECOND
    }

    async fn admit(&self, joiner: &Self) {
        let token = self.client.token_create(&TokenCreate::default()).await.unwrap();
        let request = JoinRequestBody { token: token.token };
        let mut steps = joiner.client.join(&request).await.unwrap();
        while let Some(step) = steps.next().await {
            if let JoinProgress::Failed { error } = step.unwrap() {
                println!("a join failed: {error:?}");
            }
        }
    }

    async fn is_linked_to(&self, count: usize) -> bool {
        let peers = self.client.peers().await.unwrap();
        peers.iter().filter(|peer| !peer.is_self && peer.status == MemberStatus::Active).count()
            == count
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Nothing is promised to anybody here, so it need not end in order.
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A folder on the disk: a file system in memory would hide what a commit costs.
fn folder() -> TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn line(figure: &str, value: String, aim: &str) {
    println!("{figure:<52} {value:>14}  {aim}");
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
        alone.admit(&peer).await;
        peers.push(peer);
    }
    while !alone.is_linked_to(PEERS).await {
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
    println!("{:<52} {:>14}  aim", "figure", "agent");
    measure_size();
    measure_starts();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure_idle());
}
