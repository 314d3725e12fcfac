//! A service of git at work for a member.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_protocol::{GitEnd, GitPiece, GitPieces, GitService, PeerId};
use mesh_transport::{LinkStream, StreamError, StreamReader, StreamSender};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use tokio::time::{sleep, timeout};

use super::RepositorySettings;
use super::child::{Group, git, git_dir};
use super::references::{self, References};
use crate::shared::Shared;

const BUFFER_BYTES: usize = 64 << 10;

/// So much of what a service complains travels.
const COMPLAINT_BYTES_MAX: usize = 32 << 10;

/// How long nothing may pass between git here and git there. Hooks may keep one of them busy.
const SILENCE_MAX: Duration = Duration::from_mins(30);

/// How long a push waits until the one before it is over.
const TURN_WAIT: Duration = Duration::from_mins(10);

/// How long git may take to end, and its last words to come, once it has said everything.
const END_WAIT: Duration = Duration::from_secs(10);

/// The code of an end that is no exit.
const NO_CODE: u8 = 255;

/// A service that was asked for.
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: PeerId,
    pub(super) hostname: String,
    pub(super) settings: RepositorySettings,
    pub(super) service: GitService,
    pub(super) pushing: Arc<Mutex<()>>,
}

/// What a push began with, while no other one may begin.
struct Turn {
    before: References,
    _alone: OwnedMutexGuard<()>,
}

/// Why a service is over.
enum Over {
    /// It has said everything.
    Said,
    /// Nobody listens any more.
    Lost,
    /// It cannot be let go on.
    Stopped(String),
}

fn failed(reason: impl Into<String>) -> GitEnd {
    GitEnd { code: NO_CODE, reason: reason.into() }
}

impl Service {
    pub(super) async fn run(self, stream: LinkStream) {
        let (mut sender, reader) = stream.into_split();
        let end = match self.serve(&mut sender, reader).await {
            Ok(end) => end,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                failed("git or the repository is not there on this machine")
            }
            Err(error) => failed(format!("git cannot work in this repository: {error}")),
        };
        let GitEnd { code, reason } = &end;
        let (repository, service) = (&self.settings.name, self.service.as_str());
        tracing::info!(peer = %self.peer.short(), %repository, service, code, reason, "git is done");
        if say(&mut sender, &GitPiece::End(end)).await.is_ok() {
            sender.finish();
        }
    }

    async fn serve(&self, sender: &mut StreamSender, reader: StreamReader) -> io::Result<GitEnd> {
        let git_dir = git_dir(&self.settings.path).await?;
        let mut group = Group::spawn(self.command(&git_dir))?;
        let child = &mut group.child;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut turn = None;
        let moves = Notify::new();
        let over = tokio::select! {
            over = speak(sender, stdout, stderr, &moves) => over,
            over = self.feed(reader, stdin, &git_dir, &mut turn, &moves) => over,
            () = silence(&moves) => Over::Stopped(String::from("nothing was heard for too long")),
            () = self.shared.tasks.shutdown().cancelled() => {
                Over::Stopped(String::from("the agent is stopping"))
            }
        };
        let end = match over {
            Over::Said => match timeout(END_WAIT, group.wait()).await {
                Ok(status) => end_of(status?),
                Err(_) => {
                    group.terminate().await;
                    failed("git did not end")
                }
            },
            Over::Lost => {
                group.terminate().await;
                failed("the stream broke off")
            }
            Over::Stopped(reason) => {
                group.terminate().await;
                failed(reason)
            }
        };
        if let Some(turn) = turn {
            self.record(&git_dir, &turn).await;
        }
        Ok(end)
    }

    fn command(&self, git_dir: &Path) -> tokio::process::Command {
        let mut command = git(git_dir);
        match self.service {
            GitService::UploadPack => command.args(["upload-pack", "--strict"]),
            GitService::ReceivePack => command.arg("receive-pack"),
        };
        // For hooks and reflogs: who this is.
        let peer = self.peer.to_string();
        command
            .arg(git_dir)
            .env("GIT_COMMITTER_NAME", &self.hostname)
            .env("GIT_COMMITTER_EMAIL", format!("{peer}@mesh"))
            .env("MESH_HOSTNAME", &self.hostname)
            .env("MESH_PEER_ID", peer)
            .stdin(Stdio::piped());
        command
    }

    /// Hands on what comes. Returns when the service has to be ended.
    async fn feed(
        &self,
        mut reader: StreamReader,
        stdin: ChildStdin,
        git_dir: &Path,
        turn: &mut Option<Turn>,
        moves: &Notify,
    ) -> Over {
        let mut stdin = Some(stdin);
        let mut pieces = GitPieces::default();
        loop {
            let piece = match pieces.next() {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    let bytes = match reader.recv().await {
                        Some(Ok(bytes)) => bytes,
                        // Whoever has said everything may end its direction: what the service says goes on.
                        None if stdin.is_none() => return std::future::pending().await,
                        // Without an end before it, the end of the direction is no end: whoever asked is gone.
                        None | Some(Err(_)) => return Over::Lost,
                    };
                    moves.notify_one();
                    pieces.feed(&bytes);
                    continue;
                }
                Err(error) => return Over::Stopped(error.to_string()),
            };
            if turn.is_none() && self.service == GitService::ReceivePack {
                match self.take_turn(git_dir).await {
                    Ok(taken) => *turn = Some(taken),
                    Err(reason) => return Over::Stopped(reason),
                }
            }
            match (piece, &mut stdin) {
                // A service that reads no more is about to say why.
                (GitPiece::Output(bytes), Some(open)) => {
                    if open.write_all(&bytes).await.is_err() {
                        stdin = None;
                    }
                }
                (GitPiece::End(_), _) => stdin = None,
                (GitPiece::Output(_) | GitPiece::Complaint(_), _) => {}
            }
        }
    }

    /// Waits until no other push is under way, and looks at the references. Not before the first bytes of a push: git
    /// there may think for long about what it was told.
    async fn take_turn(&self, git_dir: &Path) -> Result<Turn, String> {
        let alone = timeout(TURN_WAIT, Arc::clone(&self.pushing).lock_owned())
            .await
            .map_err(|_| String::from("another push into this repository does not end"))?;
        let before = references::list(git_dir)
            .await
            .map_err(|error| format!("the push could not be recorded: {error}"))?;
        Ok(Turn { before, _alone: alone })
    }

    async fn record(&self, git_dir: &Path, turn: &Turn) {
        let repository = self.settings.name.as_str();
        match references::list(git_dir).await {
            Ok(after) => {
                let moved = references::moved(&turn.before, &after);
                let (shared, hostname) = (&self.shared, &self.hostname);
                shared.record_git_push(self.peer, hostname, repository, &moved).await;
            }
            Err(error) => tracing::warn!(%repository, %error, "a git push is not recorded"),
        }
    }
}

async fn say(sender: &mut StreamSender, piece: &GitPiece) -> Result<(), StreamError> {
    let mut bytes = Vec::new();
    piece.encode(&mut bytes);
    sender.send(Bytes::from(bytes)).await
}

/// Hands on what the service says, until it has said everything.
async fn speak(
    sender: &mut StreamSender,
    mut stdout: ChildStdout,
    mut stderr: ChildStderr,
    moves: &Notify,
) -> Over {
    let (mut output, mut words) = (vec![0; BUFFER_BYTES], vec![0; 4096]);
    let mut words_left = COMPLAINT_BYTES_MAX;
    let (mut has_output, mut has_words) = (true, true);
    while has_output || has_words {
        let piece = tokio::select! {
            read = stdout.read(&mut output), if has_output => {
                let bytes = read.unwrap_or(0);
                has_output = bytes > 0;
                GitPiece::Output(output.get(..bytes).unwrap_or_default().to_vec())
            }
            read = stderr.read(&mut words), if has_words => {
                let bytes = read.unwrap_or(0);
                has_words = bytes > 0;
                let told = bytes.min(words_left);
                words_left -= told;
                GitPiece::Complaint(words.get(..told).unwrap_or_default().to_vec())
            }
            // A child of a hook may keep this open for ever.
            () = sleep(END_WAIT), if !has_output => return Over::Said,
        };
        moves.notify_one();
        if !is_empty(&piece) && say(sender, &piece).await.is_err() {
            return Over::Lost;
        }
    }
    Over::Said
}

const fn is_empty(piece: &GitPiece) -> bool {
    match piece {
        GitPiece::Output(bytes) | GitPiece::Complaint(bytes) => bytes.is_empty(),
        GitPiece::End(_) => false,
    }
}

async fn silence(moves: &Notify) {
    while timeout(SILENCE_MAX, moves.notified()).await.is_ok() {}
}

fn end_of(status: ExitStatus) -> GitEnd {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match (code, status.signal()) {
        (Some(code), _) => GitEnd { code, reason: String::new() },
        (None, Some(signal)) => failed(format!("git was ended by signal {signal}")),
        (None, None) => failed("git ended in a way that is not known"),
    }
}
