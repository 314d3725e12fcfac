use std::path::PathBuf;

use mesh_protocol::{PeerId, PushId, PushMethod, PushReason, PushStep, RootName, UnixMillis};
use serde::{Deserialize, Serialize};

use super::path_json;

/// Pushes files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRequest {
    /// Files and folders of this machine, as absolute paths. Each arrives under its own name; what lies in a
    /// folder whose path ends with `/` arrives without the folder.
    #[serde(with = "path_json::list")]
    pub paths: Vec<PathBuf>,
    /// To whom: hostnames, peer ids, or the first eight or more digits of them.
    #[serde(default)]
    pub to: Vec<String>,
    /// To every other member, instead of `to`.
    #[serde(default)]
    pub all: bool,
    /// The receivers' root; `default` without one.
    #[serde(default)]
    pub root: Option<RootName>,
    /// Where beneath the root, `/` between names; the root itself without one.
    #[serde(default, with = "path_json::option")]
    pub dest: Option<PathBuf>,
    /// The name that the only path has there, instead of its own.
    #[serde(default, with = "path_json::option")]
    pub rename: Option<PathBuf>,
    /// The test, as the receivers' root names it.
    #[serde(default)]
    pub test: Option<String>,
    /// What for, for people.
    #[serde(default)]
    pub message: Option<String>,
    /// How it travels; as a stream without a word.
    #[serde(default)]
    pub method: Option<PushMethodName>,
    /// Most bytes per second that are sent.
    #[serde(default)]
    pub limit_bytes_per_second: Option<u64>,
    /// How long it may wait for targets, seconds; seven days without a word.
    #[serde(default)]
    pub ttl_s: Option<u64>,
    /// Pushes also what `.gitignore` and `.meshignore` leave out.
    #[serde(default)]
    pub no_ignore: bool,
}

/// Copies files of another member to this agent, as a push from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// From whom: a hostname, a peer id, or the first eight or more digits of it.
    pub from: String,
    /// The root there; `default` without one.
    #[serde(default)]
    pub root: Option<RootName>,
    /// Where in it, `/` between names; everything in the root without it.
    #[serde(default)]
    pub path: Option<String>,
}

/// How files travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushMethodName {
    /// As chunks on a stream of the link.
    Stream,
    /// Inside one durable message, of at most 256 KiB.
    Message,
}

impl From<PushMethod> for PushMethodName {
    fn from(method: PushMethod) -> Self {
        match method {
            PushMethod::Stream => Self::Stream,
            PushMethod::Message => Self::Message,
        }
    }
}

/// A push, as this agent knows it: its own, or one that it is a target of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushView {
    /// Which.
    pub push_id: PushId,
    /// Who pushes: a hostname, or the peer id of one that is no member any more.
    pub by: String,
    /// The same one's identity.
    pub by_peer_id: PeerId,
    /// Whether that is this agent.
    pub is_own: bool,
    /// When it was made, by the sender's clock.
    pub at: UnixMillis,
    /// When it is worth nothing any more.
    pub expires_at: UnixMillis,
    /// Which root.
    pub root: String,
    /// Where beneath it; escaped where it is not text.
    pub dest: String,
    /// What for.
    pub message: String,
    /// How it travels.
    pub method: PushMethodName,
    /// The test, if one was asked for.
    pub test: Option<String>,
    /// The push that this one takes back, if it is a rollback.
    pub rollback_of: Option<PushId>,
    /// How far it is as a whole.
    pub state: PushState,
    /// Files alone.
    pub files: u64,
    /// Their bytes.
    pub bytes_total: u64,
    /// Bytes of chunks and pages that this agent has sent, or received when it is a target.
    pub bytes_sent: u64,
    /// Why it went no further anywhere: preparing failed, or it was cancelled.
    pub error: Option<PushErrorView>,
    /// What became of it at each target; at a target that one alone.
    pub targets: Vec<PushTargetView>,
}

/// How far a push is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushState {
    /// Reading, hashing and scanning.
    Preparing,
    /// On its way, or waiting for somebody.
    Running,
    /// Over everywhere.
    Ended,
}

/// What is known of one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushTargetView {
    /// Its hostname, or its peer id when it is no member any more.
    pub hostname: String,
    /// Its identity.
    pub peer_id: PeerId,
    /// How far it has come.
    pub state: PushTargetState,
    /// Since when.
    pub since: UnixMillis,
    /// Why it failed.
    pub error: Option<PushErrorView>,
    /// Where it was put, on the target's machine; escaped where it is not text.
    pub location: Option<String>,
    /// How many old versions were moved aside.
    pub replaced: Option<u64>,
    /// What its test said, if there was one and it passed.
    pub test: Option<PushTestView>,
    /// Bytes of files that are verified there, as far as is known; grows to `bytes_total`.
    pub bytes_done: u64,
}

/// How far a push has come at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushTargetState {
    /// Nothing has happened.
    Pending,
    /// It is not reached.
    Waiting,
    /// Somebody has to approve.
    WaitingForApproval,
    /// Bytes are travelling.
    Receiving,
    /// It has everything, and checks it.
    Verifying,
    /// It found everything right, and puts it in place.
    Placing,
    /// It is in place.
    Confirmed,
    /// It ended without having been put in place.
    Failed,
    /// What was there before is back.
    RolledBack,
}

impl PushTargetState {
    /// Whether the push itself is over at this target.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Failed | Self::RolledBack)
    }
}

/// Why a push ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushErrorView {
    /// During which step.
    pub step: PushStep,
    /// The stable word.
    pub reason: PushReason,
    /// Which file, which rule.
    pub detail: String,
    /// What the test said, if it was the test.
    pub test: Option<PushTestView>,
}

/// What a test did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushTestView {
    /// Its name in the root's list.
    pub command: String,
    /// The code that it returned.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it was ended, because it took longer than it may.
    pub is_timed_out: bool,
    /// How long it ran.
    pub ms: u64,
    /// What it printed; bytes that are no text are replaced.
    pub output: String,
    /// Whether it printed more.
    pub is_cut: bool,
}

/// One line of a push's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushEventView {
    /// When, by this agent's clock.
    pub at: UnixMillis,
    /// During which step.
    pub step: PushStep,
    /// What, as a stable word: `prepared`, `announced`, `waiting`, `accepted`, `staged`, `verified`,
    /// `confirmed`, `failed`, `ended`, `rolled_back`.
    pub what: String,
    /// At which target; none when it is about all.
    pub hostname: Option<String>,
    /// For people.
    pub detail: String,
}

/// A push with its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushDetail {
    /// What it is, and what became of it.
    #[serde(flatten)]
    pub push: PushView,
    /// Its history, oldest first.
    pub events: Vec<PushEventView>,
}

/// Which pushes to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushesQuery {
    /// How many of the newest.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// Decides upon a push that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushDecision {
    /// Which; the first eight or more digits do.
    pub push_id: String,
    /// Why not; approved without it.
    #[serde(default)]
    pub deny: Option<String>,
}

/// Gives up a push of this agent, wherever it has not been put in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushCancel {
    /// Which; the first eight or more digits do.
    pub push_id: String,
}

/// Brings back what was there before a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRequest {
    /// Which push; the first eight or more digits do.
    pub push_id: String,
    /// Where; at all its targets when empty.
    #[serde(default)]
    pub to: Vec<String>,
    /// Also where files were changed since: these are kept as they are now in the rollback's own backup.
    #[serde(default)]
    pub force: bool,
    /// What for, for people.
    #[serde(default)]
    pub message: Option<String>,
}

/// A root of this agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootView {
    /// Its name.
    pub name: RootName,
    /// Where.
    #[serde(with = "path_json")]
    pub path: PathBuf,
    /// Hostnames of those who may push to it; `*` is everybody.
    pub allow_from: Vec<String>,
    /// Tests that may be asked for.
    pub test_commands: Vec<String>,
    /// Whether one has to be.
    pub require_test: bool,
    /// Whether a second member has to approve.
    pub approve: bool,
    /// Why it cannot be used at the moment.
    pub problem: Option<String>,
}
