//! An agent that answers on a real socket, and the command that asks it.

use std::path::PathBuf;
use std::time::Duration;

use assert_cmd::Command;
use mesh_control::ControlServer;
use mesh_protocol::UnixMillis;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fake::FakeAgent;

/// The moment that the fixed answers are about.
pub(crate) const FIXED: UnixMillis = UnixMillis(1_780_000_000_000);

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A machine with an agent on it.
pub(crate) struct Machine {
    pub(crate) agent: FakeAgent,
    pub(crate) socket: PathBuf,
    shutdown: CancellationToken,
    tracker: TaskTracker,
    runtime: Runtime,
    _dir: TempDir,
}

impl Machine {
    /// Its answers are about `now`.
    pub(crate) fn start(now: UnixMillis) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let agent = FakeAgent::new(now);
        let shutdown = CancellationToken::new();
        let tracker = TaskTracker::new();
        let server = runtime.block_on(ControlServer::bind(&socket)).unwrap();
        let run = {
            let (agent, shutdown, tracker) = (agent.clone(), shutdown.clone(), tracker.clone());
            async move { server.run(agent, &tracker, shutdown).await }
        };
        tracker.spawn_on(run, runtime.handle());
        Self { agent, socket, shutdown, tracker, runtime, _dir: dir }
    }

    /// Its answers are about this moment, so that relative times are stable.
    pub(crate) fn today() -> Self {
        let now = jiff::Timestamp::now().as_millisecond();
        Self::start(UnixMillis(u64::try_from(now).unwrap()))
    }

    /// Ends the agent.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.runtime.block_on(self.tracker.wait());
    }

    pub(crate) fn ctl(&self, arguments: &[&str]) -> Ended {
        self.ctl_with_input(arguments, "")
    }

    pub(crate) fn ctl_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = command();
        command.env("MESH_SOCKET", &self.socket).args(arguments);
        ended(command.write_stdin(input.to_owned()))
    }
}

/// `mesh-ctl` in an environment that has nothing of this machine.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-ctl"));
    command.env_clear().env("TZ", "UTC").timeout(Duration::from_secs(60));
    command
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().expect("it ended by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
