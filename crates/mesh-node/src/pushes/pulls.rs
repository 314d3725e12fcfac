//! Copying back: a member is asked for files of a root that it has opened for reading, and pushes them here.
//!
//! They come into a root of their own, which takes nothing that was not asked for; whoever asked takes them from there.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mesh_control::{PullRequest, PushState, PushTargetState, PushView};
use mesh_protocol::{
    ErrorCode, PeerId, PushId, PushMethod, PushOffer, PushProblem, PushReason, PushTotals,
    RelativePath, RootName,
};
use mesh_store::PushRow;
use mesh_transport::{IncomingStream, OpenStreamError, StreamReader};
use mesh_tree::{Kind, Source, TreeError};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::roots::{OpenRoot, RootError, Roots, is_named, problem};
use super::settings::RootSettings;
use crate::clock;
use crate::error::{NodeError, chain};
use crate::shared::{Shared, lock};
use crate::streams::StreamUse;

/// The root that takes what this node asked for. No member can push into it of its own accord.
pub(crate) const PULLED: &str = "mesh.pulled";
/// Where it is, in the data directory.
const FOLDER: &str = "pulled";
/// Pulls that are remembered: what comes later than so many others was given up long ago.
const ASKED_MAX: usize = 1024;
/// Members that are served at one time.
const SERVED_MAX: usize = 16;
/// What may be said about a pull on its stream.
const OUTCOME_BYTES_MAX: usize = 16 << 10;
/// How long a pull may wait for the one who asked.
pub(super) const TTL: Duration = Duration::from_hours(1);

/// What is copied back, here and elsewhere.
#[derive(Debug)]
pub(crate) struct Pulls {
    asked: Mutex<VecDeque<(PushId, PeerId)>>,
    serving: Arc<Semaphore>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { asked: Mutex::default(), serving: Arc::new(Semaphore::new(SERVED_MAX)) }
    }
}

impl Pulls {
    fn ask(&self, push_id: PushId, of: PeerId) {
        let mut asked = lock(&self.asked);
        if asked.len() >= ASKED_MAX {
            asked.pop_front();
        }
        asked.push_back((push_id, of));
    }

    fn forget(&self, push_id: PushId) {
        lock(&self.asked).retain(|(asked, _)| *asked != push_id);
    }

    /// Whether this node asked that member for it.
    pub(super) fn is_asked(&self, push_id: PushId, of: PeerId) -> bool {
        lock(&self.asked).contains(&(push_id, of))
    }
}

/// Nobody waits for the push any more, unless it came.
struct Waiting<'a> {
    pulls: &'a Pulls,
    push_id: PushId,
    is_here: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_here {
            self.pulls.forget(self.push_id);
        }
    }
}

/// What is kept of a pull at the one who is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pulled {
    #[serde(rename = "pulled_root")]
    root: RootName,
    #[serde(rename = "pulled_path")]
    path: String,
}

/// The last word on a pull's stream: why the push went no further before it was offered, if it did.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    reason: Option<PushReason>,
    detail: String,
}

/// The settings of the root of what is copied back.
pub(super) fn settings(name: RootName, data_dir: &Path) -> RootSettings {
    let folder = data_dir.join(FOLDER);
    // Others are told where it is, and stand in another folder.
    RootSettings::new(name, std::path::absolute(&folder).unwrap_or(folder))
}

/// Removes what nobody has taken: whoever asked is gone. Blocks.
pub(super) fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name() != ".mesh-tree") {
        if let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, "what was copied back and not taken cannot be removed");
        }
    }
}

impl Pulled {
    /// What it names, as what is pushed; none when its root is not open any more.
    pub(super) fn source(&self, roots: &Roots) -> Option<Source> {
        let path = RelativePath::parse(self.path.as_bytes()).ok()?;
        let base = std::path::absolute(&roots.settings(&self.root)?.path).ok()?;
        let place = if path.is_root() { base.clone() } else { base.join(&self.path) };
        let name = RelativePath::parse(path.components().last().unwrap_or_default()).ok()?;
        Some(Source { path: place, name, beneath: Some(base) })
    }
}

fn refusal(code: ErrorCode, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", code.as_str())
}

impl Shared {
    /// Asks a member for what is at a path of one of its roots, and waits until its push is here, or is not going to be.
    pub(crate) async fn pull(
        self: &Arc<Self>,
        request: PullRequest,
    ) -> Result<PushView, NodeError> {
        let view = self.view();
        view.check_member()?;
        let peer = view.resolve(&request.from, clock::now().wall)?.peer;
        let label = view.label(&peer);
        if peer == self.me {
            let message = format!("{label} is this agent itself; nothing was copied");
            return Err(NodeError::new(ErrorCode::BadRequest, message));
        }
        let path = request.path.unwrap_or_default();
        let path = path.trim_matches('/');
        RelativePath::parse(path.as_bytes()).map_err(|error| {
            let message = format!("the path is refused: {error}; nothing was copied");
            NodeError::new(ErrorCode::PathRefused, message)
        })?;
        let root = match request.root {
            Some(root) => root,
            None => super::sending::default_root()?,
        };
        let push_id = super::sending::push_id();
        let mut waiting = Waiting { pulls: &self.pushes.pulls, push_id, is_here: false };
        self.pushes.pulls.ask(push_id, peer);
        let what = StreamUse::Pull { push_id, root, path: path.to_owned() };
        let stream =
            self.open_stream(&peer, &what).await.map_err(|error| unopened(error, &label))?;
        let (mut sender, reader) = stream.into_split();
        sender.finish();
        let outcome = read_outcome(reader).await.ok_or_else(|| {
            let message = format!("{label} went away before it sent anything; nothing was copied");
            NodeError::new(ErrorCode::PeerUnreachable, message)
        })?;
        if let Some(reason) = outcome.reason {
            let code = if reason == PushReason::SecretFound {
                ErrorCode::SecretFound
            } else if matches!(reason, PushReason::PathRefused | PushReason::KindRefused) {
                ErrorCode::PathRefused
            } else {
                ErrorCode::StorageError
            };
            let message =
                format!("{label} does not send it: {}; nothing was copied", outcome.detail);
            return Err(NodeError::new(code, message));
        }
        let push = self.push_of(push_id).await?;
        waiting.is_here = true;
        Ok(push)
    }

    /// Takes a member's wish for files of this node.
    pub(crate) async fn serve_pull(
        self: Arc<Self>,
        peer: PeerId,
        pulled: (PushId, RootName, String),
        stream: IncomingStream,
    ) {
        let (push_id, root, path) = pulled;
        let place = match self.admit_pull(peer, push_id, root, path).await {
            Ok(place) => place,
            Err(reason) => return stream.refuse(&reason),
        };
        let mut stream = stream.accept();
        let outcome = self.pull_outcome(push_id).await;
        // A structure of plain words always has a form in JSON.
        let outcome = serde_json::to_vec(&outcome).unwrap_or_default();
        if stream.send(outcome.into()).await.is_ok() {
            stream.finish();
        }
        drop(place);
    }

    async fn admit_pull(
        self: &Arc<Self>,
        peer: PeerId,
        push_id: PushId,
        root: RootName,
        path: String,
    ) -> Result<OwnedSemaphorePermit, String> {
        let serving = Arc::clone(&self.pushes.pulls.serving).try_acquire_owned();
        let place = serving
            .map_err(|_| refusal(ErrorCode::RateLimited, "too many copy from there at once"))?;
        let parsed = RelativePath::parse(path.as_bytes())
            .map_err(|error| refusal(ErrorCode::PathRefused, error))?;
        let settings = self.pushes.roots.settings(&root);
        let view = self.view();
        let hostname = view.verdict.member(&peer).map(|member| &member.hostname);
        // A root that is not open to somebody is none to them.
        let is_open = settings.is_some_and(|one| is_named(&one.allow_read, &peer, hostname));
        if !is_open {
            let why = format!("no root {root} is open there to be read by this member");
            return Err(refusal(ErrorCode::UnknownRoot, why));
        }
        let (shared, name) = (Arc::clone(self), root.clone());
        let looking =
            tokio::task::spawn_blocking(move || look(&shared.pushes.roots.open(&name), &parsed));
        looking.await.map_err(|error| refusal(ErrorCode::Internal, error))??;
        let pulled = Pulled { root, path };
        let row = self.pulled_row(push_id, peer, &pulled);
        let row = row.map_err(|error| refusal(ErrorCode::Internal, error))?;
        // Nothing of another push, of whomever, may be touched under its name.
        let known = self.store.load_push(push_id).await;
        let known = known.map_err(|error| refusal(error.code(), chain(&error)))?;
        let started = if known.is_empty() {
            let started = self.start_pulled(row, &pulled).await;
            started.map_err(|error| refusal(error.code, error.message))?
        } else {
            false
        };
        if !started {
            return Err(refusal(ErrorCode::BadRequest, "another push has this id"));
        }
        tracing::info!(%push_id, peer = %peer.short(), "a member copies files from here");
        Ok(place)
    }

    fn pulled_row(
        &self,
        push_id: PushId,
        to: PeerId,
        pulled: &Pulled,
    ) -> Result<PushRow, Box<dyn std::error::Error>> {
        let now = clock::now().wall;
        let offer = PushOffer {
            push_id,
            by: self.me,
            targets: vec![to],
            root: PULLED.parse()?,
            destination: RelativePath::parse(push_id.to_string().as_bytes())?,
            message: "copied by the one who gets it".to_owned(),
            method: PushMethod::Stream,
            totals: PushTotals::default(),
            manifest: [0; 32],
            test: None,
            made_at: now,
            expires_at: now.plus(TTL),
        };
        Ok(PushRow {
            push_id,
            is_sender: true,
            by: self.me,
            rollback_of: None,
            offer,
            request: serde_json::to_vec(pulled)?,
            made_at: now,
            is_open: true,
            wire_bytes: 0,
        })
    }

    /// Why an offer is not what this node asked for; none when it is.
    pub(super) fn unasked(&self, offer: &PushOffer, is_rollback: bool) -> Option<PushProblem> {
        if is_rollback {
            let is_own = offer.by == self.me;
            let detail = "what was copied back is nobody else's";
            return (!is_own).then(|| problem(PushReason::SenderNotAllowed, detail));
        }
        if !self.pushes.pulls.is_asked(offer.push_id, offer.by) {
            let detail = "nobody here asked for this";
            return Some(problem(PushReason::SenderNotAllowed, detail));
        }
        let is_apart = offer.destination.to_string() == offer.push_id.to_string();
        let detail = "what is asked for comes into a folder of its own";
        (!is_apart).then(|| problem(PushReason::PathRefused, detail))
    }

    /// Waits until the push has arrived there, or has ended.
    async fn pull_outcome(&self, push_id: PushId) -> Outcome {
        let mut recorded = self.follow_pushes();
        loop {
            recorded.mark_unchanged();
            let push = match self.push_of(push_id).await {
                Ok(push) => push,
                Err(error) => {
                    return Outcome {
                        reason: Some(PushReason::StorageError),
                        detail: error.message,
                    };
                }
            };
            let target = push.targets.first();
            let error = push.error.as_ref().or_else(|| target.and_then(|one| one.error.as_ref()));
            if let Some(error) = error {
                let detail = error.detail.clone();
                return Outcome { reason: Some(error.reason), detail };
            }
            let is_away =
                |state| matches!(state, PushTargetState::Pending | PushTargetState::Waiting);
            let is_there = target.is_some_and(|one| !is_away(one.state));
            if is_there || push.state == PushState::Ended || recorded.changed().await.is_err() {
                return Outcome { reason: None, detail: String::new() };
            }
        }
    }
}

/// Whether there is something to be copied.
fn look(open: &Result<OpenRoot, RootError>, path: &RelativePath) -> Result<(), String> {
    let open = open.as_ref().map_err(|error| refusal(ErrorCode::UnknownRoot, chain(error)))?;
    if path.is_root() {
        return Ok(());
    }
    match open.root.look(path) {
        Ok(Some(facts)) if matches!(facts.kind, Kind::File | Kind::Folder) => Ok(()),
        Ok(Some(facts)) => Err(refusal(ErrorCode::PathRefused, format!("it is {}", facts.kind))),
        Ok(None) => Err(refusal(ErrorCode::NotFound, "there is nothing of that name")),
        Err(error @ TreeError::Io { .. }) => Err(refusal(ErrorCode::StorageError, chain(&error))),
        Err(error) => Err(refusal(ErrorCode::PathRefused, chain(&error))),
    }
}

async fn read_outcome(mut reader: StreamReader) -> Option<Outcome> {
    let mut said = Vec::new();
    while let Some(bytes) = reader.recv().await {
        let bytes: Bytes = bytes.ok()?;
        said.extend_from_slice(&bytes);
        if said.len() > OUTCOME_BYTES_MAX {
            return None;
        }
    }
    serde_json::from_slice(&said).ok()
}

/// Says why a member was not asked, or said no.
fn unopened(error: OpenStreamError, label: &str) -> NodeError {
    if let OpenStreamError::Refused { reason } = &error {
        let known = [
            ErrorCode::UnknownRoot,
            ErrorCode::PathRefused,
            ErrorCode::NotFound,
            ErrorCode::RateLimited,
            ErrorCode::StorageError,
        ];
        let (word, why) = reason.split_once(": ").unwrap_or(("", reason));
        let code = known.into_iter().find(|code| code.as_str() == word);
        let message = format!("{label} says no: {why}; nothing was copied");
        let error = NodeError::new(code.unwrap_or(ErrorCode::BadRequest), message);
        return if code == Some(ErrorCode::UnknownRoot) {
            error.with_hint(
                "its operator opens a root with `allow_read` in the agent's configuration",
            )
        } else {
            error
        };
    }
    let message = format!("{label} cannot be asked: {}; nothing was copied", chain(&error));
    NodeError::new(ErrorCode::PeerUnreachable, message)
        .with_hint("files are copied over a link; `mesh-ctl peers` shows who is linked")
}
