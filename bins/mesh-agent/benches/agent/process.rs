//! An agent as a process, seen from outside.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use mesh_control::{ControlClient, JoinProgress, JoinRequestBody, TokenCreate};
use mesh_protocol::ErrorCode;

use crate::MIB;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mesh-agent");
/// `/proc` counts processor time in these, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The line of a table of `/proc` that starts with `name`, which counts KiB.
fn mebibytes(table: &str, name: &str) -> f64 {
    let line = table.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0 / MIB
}

pub(crate) struct Agent {
    process: Child,
    pub(crate) name: String,
    pub(crate) client: ControlClient,
    pub(crate) ready_after: Duration,
}

impl Agent {
    /// Starts an agent and waits for its ready line.
    pub(crate) fn start(folder: &Path, name: &str) -> Self {
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
        let client = ControlClient::new(socket);
        Self { process, name: name.to_owned(), client, ready_after }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap()
    }

    /// A line of `/proc/PID/status` in MiB.
    pub(crate) fn memory(&self, name: &str) -> f64 {
        mebibytes(&self.proc("status"), name)
    }

    /// Processor time since the start, user and system.
    pub(crate) fn processor_seconds(&self) -> f64 {
        let stat = self.proc("stat");
        // The program's name may hold spaces; what follows its bracket may not.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS_PER_SECOND
    }

    /// Resident memory in MiB, of which every page counts for each process that shares it by its part.
    pub(crate) fn memory_shared_out(&self) -> f64 {
        mebibytes(&self.proc("smaps_rollup"), "Pss:")
    }

    /// How many files, sockets among them, it has open.
    pub(crate) fn open_files(&self) -> f64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count() as f64
    }

    /// All agents share one address here, so the join port may ask for patience. Returns how long the
    /// attempt took that succeeded.
    pub(crate) async fn admit(&self, joiner: &Self) -> Duration {
        loop {
            let started = Instant::now();
            if self.admits(joiner).await {
                return started.elapsed();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// One attempt; false when the join port asks for patience.
    async fn admits(&self, joiner: &Self) -> bool {
        let token = self.client.token_create(&TokenCreate::default()).await.unwrap();
        let request = JoinRequestBody { token: token.token };
        let mut steps = joiner.client.join(&request).await.unwrap();
        while let Some(step) = steps.next().await {
            if let JoinProgress::Failed { error } = step.unwrap() {
                assert_eq!(error.code, ErrorCode::RateLimited, "an agent cannot join: {error:?}");
                return false;
            }
        }
        true
    }

    /// How many members it lists as active, itself among them.
    pub(crate) async fn active_members(&self) -> usize {
        self.client.status().await.unwrap().peers.active
    }

    /// With how many members it keeps a link.
    pub(crate) async fn links(&self) -> f64 {
        self.client.status().await.unwrap().routes.direct as f64
    }

    /// Ends it as `kill -9` does. Nothing is promised to anybody here, so it need not end in order.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}
