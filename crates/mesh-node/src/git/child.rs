//! The machine's own git as a child, without a shell and with next to nothing of this process' environment.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long git may take to remove its locks once it is told to end.
const TERMINATION_WAIT: Duration = Duration::from_secs(2);

/// What it gets of this process' environment.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Where a repository's own files are.
pub(super) async fn git_dir(path: &Path) -> io::Result<PathBuf> {
    let inside = path.join(".git");
    let is_inside = tokio::fs::metadata(&inside).await.is_ok_and(|found| found.is_dir());
    tokio::fs::canonicalize(if is_inside { &inside } else { path }).await
}

fn setting(name: &str, path: &Path) -> OsString {
    let mut setting = OsString::from(name);
    setting.push("=");
    setting.push(path);
    setting
}

/// Git, about to work in the repository at `git_dir`.
pub(super) fn git(git_dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("GIT_TERMINAL_PROMPT", "0");
    // Whoever opened the repository in this agent's settings has said that its owner is trusted.
    for path in [Some(git_dir), git_dir.parent()].into_iter().flatten() {
        command.arg("-c").arg(setting("safe.directory", path));
    }
    // What comes in is looked at, unless the repository itself says `receive.fsckObjects = false`.
    command.args(["-c", "transfer.fsckObjects=true"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A child with whatever it starts, all of which is told to end when this is dropped before.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) child: Child,
    /// None once the child has ended: its number may belong to somebody else then.
    group: Option<Pid>,
}

impl Group {
    pub(super) fn spawn(mut command: Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, group })
    }

    /// Waits until it has ended.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group = None;
        Ok(status)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ended = kill_process_group(group, signal);
        }
    }

    /// Ends it. Asked first: git removes its locks then, which nobody else would.
    pub(super) async fn terminate(&mut self) {
        self.signal(Signal::TERM);
        if timeout(TERMINATION_WAIT, self.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ended = self.wait().await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}
