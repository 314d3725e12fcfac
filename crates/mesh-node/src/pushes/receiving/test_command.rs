//! The test that a push asks for: a program of the root's list, with bounds on its time and on what it says.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mesh_protocol::{PushId, TEST_OUTPUT_BYTES_MAX, TestEnd, TestOutcome};
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::clock;

/// What stands for a file in a command.
const FILE: &str = "{file}";
/// Where programs are looked for when the agent itself was not told.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// How long after its end a test's last words are waited for: something that it started may hold them open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs a test, once or for one file after the other. All of it together has one limit of time and of output.
#[derive(Debug)]
pub(super) struct TestRunner {
    command: String,
    words: Option<Vec<String>>,
    folder: PathBuf,
    push_id: PushId,
    started: Instant,
    limit: Duration,
    output: Vec<u8>,
    is_cut: bool,
    shutdown: CancellationToken,
}

impl TestRunner {
    /// A test that runs in `folder`.
    pub(super) fn new(
        command: &str,
        folder: &Path,
        push_id: PushId,
        limit: Duration,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            command: command.to_owned(),
            words: shlex::split(command).filter(|words| !words.is_empty()),
            folder: folder.to_owned(),
            push_id,
            started: clock::now().instant,
            limit,
            output: Vec::new(),
            is_cut: false,
            shutdown,
        }
    }

    /// Whether it is run for each file.
    pub(super) fn wants_files(&self) -> bool {
        self.words.iter().flatten().any(|word| word.contains(FILE))
    }

    /// Runs it, with `file` where a file is wanted. None when the node stops: nothing was found out.
    pub(super) async fn run(&mut self, file: &Path) -> Option<TestEnd> {
        let (child, mut words) = match self.start(file) {
            Ok(started) => started,
            Err(error) => {
                self.hear(error.to_string().as_bytes());
                return Some(TestEnd::NotStarted);
            }
        };
        let mut group = Group::of(child);
        let deadline = self.started + self.limit;
        let shutdown = self.shutdown.clone();
        let mut is_silent = false;
        let ended = {
            let waiting = async {
                let mut piece = [0; 4096];
                loop {
                    tokio::select! {
                        ended = group.child.wait() => return ended,
                        read = words.read(&mut piece), if !is_silent => match read {
                            Ok(0) | Err(_) => is_silent = true,
                            Ok(read) => self.hear(piece.get(..read).unwrap_or_default()),
                        },
                    }
                }
            };
            tokio::select! {
                ended = waiting => Some(ended),
                () = clock::sleep_until(Some(deadline)) => None,
                () = shutdown.cancelled() => return None,
            }
        };
        // Whatever it started ends with it, so nothing holds its output or works on what was staged.
        group.kill();
        if !is_silent {
            let _still_held = tokio::time::timeout(LAST_WORDS, self.hear_all(&mut words)).await;
        }
        match ended {
            None => {
                let _reaped = group.child.wait().await;
                Some(TestEnd::TimedOut)
            }
            Some(Ok(status)) => Some(end_of(status)),
            Some(Err(error)) => {
                self.hear(error.to_string().as_bytes());
                Some(TestEnd::NotStarted)
            }
        }
    }

    fn start(&self, file: &Path) -> io::Result<(Child, pipe::Receiver)> {
        let words = self.words.iter().flatten().map(|word| with_file(word, file));
        let mut words = words.collect::<Vec<_>>().into_iter();
        let Some(program) = words.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command has no words"));
        };
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
            .env("MESH_PUSH_ID", self.push_id.to_string())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        for name in ["HOME", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let child = command.spawn()?;
        Ok((child, pipe::Receiver::from_owned_fd(reader.into())?))
    }

    async fn hear_all(&mut self, words: &mut pipe::Receiver) {
        let mut piece = [0; 4096];
        while let Ok(read) = words.read(&mut piece).await {
            if read == 0 {
                return;
            }
            self.hear(piece.get(..read).unwrap_or_default());
        }
    }

    fn hear(&mut self, said: &[u8]) {
        let room = TEST_OUTPUT_BYTES_MAX - self.output.len();
        let (kept, rest) = said.split_at(said.len().min(room));
        self.output.extend_from_slice(kept);
        self.is_cut |= !rest.is_empty();
    }

    /// What came of it.
    pub(super) fn outcome(self, end: TestEnd) -> TestOutcome {
        let took = clock::now().instant.saturating_duration_since(self.started);
        TestOutcome {
            command: self.command,
            end,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            output: self.output,
            is_cut: self.is_cut,
        }
    }
}

/// A child that leads a process group, which ends with this.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self { child, leader }
    }

    fn kill(&mut self) {
        if let Some(leader) = self.leader.take() {
            // Nobody is left in most cases.
            let _gone = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn with_file(word: &str, file: &Path) -> OsString {
    let file = file.as_os_str().as_bytes();
    let parts: Vec<&[u8]> = word.split(FILE).map(str::as_bytes).collect();
    OsString::from_vec(parts.join(file))
}

fn end_of(status: ExitStatus) -> TestEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => TestEnd::Exit(code),
        (None, signal) => TestEnd::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
