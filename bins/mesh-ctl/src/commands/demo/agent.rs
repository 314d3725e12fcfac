//! One agent as a process of its own.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use mesh_control::{ControlClient, StatusView};
use tokio::process::{Child, Command};

use super::wait::eventually;

/// Lines of a log that are shown when something failed.
const TAIL_LINES: usize = 15;

/// An agent of the demo.
pub(super) struct Agent {
    program: PathBuf,
    directory: PathBuf,
    name: &'static str,
    child: Option<Child>,
    pub(super) client: ControlClient,
}

impl Agent {
    pub(super) fn new(program: &Path, directory: &Path, name: &'static str) -> Self {
        let directory = directory.join(name);
        let client = ControlClient::new(directory.join("control.sock"));
        Self { program: program.to_owned(), directory, name, child: None, client }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Starts the process; its log goes on where an earlier one's ended.
    ///
    /// The port is a new one each time: a port that was free for a moment may be anybody's, and
    /// that the others find an agent whose address changed is part of what is shown.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.program);
        // Settings of an agent on this machine must not reach into the demo.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MESH_") {
                command.env_remove(name);
            }
        }
        let child = command
            .env_remove("NOTIFY_SOCKET")
            .arg("--data-dir")
            .arg(&self.directory)
            .arg("--socket")
            .arg(self.client.path())
            .args(["--hostname", self.name, "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demo, which ends its agents in its own time.
            .process_group(0)
            // Also when the demo itself ends in a way that nobody thought of.
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the agent answers.
    pub(super) async fn ready(&mut self) -> anyhow::Result<StatusView> {
        let Self { child, client, name, .. } = self;
        eventually(&format!("{name} answers"), async || {
            let ended = match child.as_mut() {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if let Some(status) = ended {
                bail!("{name} ended at its start: {status}");
            }
            Ok(client.status().await.ok())
        })
        .await
    }

    /// Ends the process as `kill -9` does: it cannot store or say anything any more.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// The end of the log.
    pub(super) fn log_tail(&self) -> Vec<String> {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let skipped = lines.len().saturating_sub(TAIL_LINES);
        lines.into_iter().skip(skipped).map(str::to_owned).collect()
    }

    /// The file of the shared configuration.
    pub(super) fn config_file(&self) -> PathBuf {
        self.directory.join("mesh-config.json")
    }

    /// Where pushes to the root `default` go.
    pub(super) fn inbox_files(&self) -> PathBuf {
        self.directory.join("inbox-files")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("agent.log")
    }
}
