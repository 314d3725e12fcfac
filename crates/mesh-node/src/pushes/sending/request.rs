//! What is asked for, made into what is done.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use mesh_control::{PushMethodName, PushRequest};
use mesh_protocol::{
    ErrorCode, PUSH_TARGETS_MAX, PathError, PeerId, PushId, PushMethod, PushOffer, PushTotals,
    RelativePath, RootName, TEXT_BYTES_MAX, UnixMillis,
};
use mesh_secrets::Scanner;
use mesh_store::PushRow;
use mesh_tree::{Source, Walk, WalkConfig};

use crate::clock;
use crate::error::{NodeError, chain};
use crate::shared::Shared;

/// No push waits longer for its targets.
const TTL_MAX: Duration = Duration::from_hours(30 * 24);
/// What the store keeps of a request.
const REQUEST_BYTES_MAX: usize = 1 << 20;
const DEFAULT_ROOT: &str = "default";

fn refused(message: impl Into<String>) -> NodeError {
    NodeError::new(ErrorCode::BadRequest, message)
}

fn path_refused(what: &str, error: PathError) -> NodeError {
    let message = format!("{what} is refused: {error}; nothing was done");
    NodeError::new(ErrorCode::PathRefused, message)
}

/// The sources that a request names.
pub(super) fn sources_of(request: &PushRequest) -> Result<Vec<Source>, NodeError> {
    if request.paths.is_empty() {
        return Err(refused("a push needs at least one file or folder; nothing was done"));
    }
    let rename = request.rename.as_deref().map(name_of).transpose()?;
    if rename.is_some() && request.paths.len() > 1 {
        return Err(refused("only a single path can have another name there; nothing was done"));
    }
    let source = |path: &std::path::PathBuf| {
        if !path.is_absolute() {
            return Err(refused("the agent needs absolute paths; nothing was done"));
        }
        let is_content = path.as_os_str().as_bytes().ends_with(b"/");
        let name = match (&rename, path.file_name()) {
            (Some(name), _) => name.clone(),
            (None, _) if is_content => RelativePath::ROOT,
            (None, Some(name)) => name_of(Path::new(name))?,
            (None, None) => return Err(refused("a path has no name to arrive under")),
        };
        Ok(Source { path: path.clone(), name, beneath: None })
    };
    let sources: Vec<Source> = request.paths.iter().map(source).collect::<Result<_, _>>()?;
    // Says which two have one place, before anything is read.
    Walk::new(sources.clone(), WalkConfig::default())
        .map_err(|error| refused(format!("{}; nothing was done", chain(&error))))?;
    Ok(sources)
}

fn name_of(name: &Path) -> Result<RelativePath, NodeError> {
    let name = RelativePath::parse(name.as_os_str().as_bytes());
    let name = name.map_err(|error| path_refused("the name", error))?;
    if name.depth() == 1 { Ok(name) } else { Err(refused("a name is one part of a path")) }
}

fn destination_of(request: &PushRequest) -> Result<RelativePath, NodeError> {
    let bytes = request.dest.as_ref().map_or(&b""[..], |dest| dest.as_os_str().as_bytes());
    let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
    RelativePath::parse(bytes).map_err(|error| path_refused("the destination", error))
}

/// A fresh id. Random from its first digit on: people type the first ones, and those of the time are the same for a minute.
pub(in crate::pushes) fn push_id() -> PushId {
    use rand::Rng as _;
    let mut random = [0; 16];
    clock::rng().fill_bytes(&mut random);
    PushId::from_bytes(random)
}

impl Shared {
    /// The row of a push that is asked for.
    pub(super) fn row_of(&self, request: &PushRequest) -> Result<PushRow, NodeError> {
        let view = self.view();
        view.check_member()?;
        let _sources = sources_of(request)?;
        let now = clock::now().wall;
        let ttl = request.ttl_s.map_or(self.config.pushes.ttl, Duration::from_secs);
        if ttl.is_zero() || ttl > TTL_MAX {
            return Err(refused("a push waits for its targets 1 second to 30 days"));
        }
        let method = match request.method {
            None | Some(PushMethodName::Stream) => PushMethod::Stream,
            Some(PushMethodName::Message) => PushMethod::Message,
        };
        let message = request.message.clone().unwrap_or_default();
        check_text("the message", &message, now)?;
        if let Some(test) = &request.test {
            check_text("the test", test, now)?;
        }
        let bytes = serde_json::to_vec(request).map_err(|error| refused(error.to_string()))?;
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(refused("a request has at most 1 MiB; nothing was done"));
        }
        let root = match &request.root {
            Some(root) => root.clone(),
            None => default_root()?,
        };
        let push_id = push_id();
        let offer = PushOffer {
            push_id,
            by: self.me,
            targets: self.targets_of(request, now)?,
            root,
            destination: destination_of(request)?,
            message,
            method,
            totals: PushTotals::default(),
            manifest: [0; 32],
            test: request.test.clone(),
            made_at: now,
            expires_at: now.plus(ttl),
        };
        Ok(PushRow {
            push_id,
            is_sender: true,
            by: self.me,
            rollback_of: None,
            offer,
            request: bytes,
            made_at: now,
            is_open: true,
            wire_bytes: 0,
        })
    }

    fn targets_of(&self, request: &PushRequest, now: UnixMillis) -> Result<Vec<PeerId>, NodeError> {
        let view = self.view();
        let mut targets = if request.all {
            view.others().map(|member| member.peer_id).collect()
        } else {
            let resolved = request.to.iter().map(|name| view.resolve(name, now).map(|to| to.peer));
            resolved.collect::<Result<Vec<_>, _>>()?
        };
        targets.sort_unstable();
        targets.dedup();
        if targets.contains(&self.me) {
            return Err(refused("an agent does not push to itself; nothing was done"));
        }
        if targets.is_empty() {
            let hint = "name members, or add one to the mesh; `mesh-ctl peers` lists them";
            let message = "there is nobody to push to; nothing was done";
            return Err(NodeError::new(ErrorCode::UnknownPeer, message).with_hint(hint));
        }
        if targets.len() > PUSH_TARGETS_MAX {
            return Err(refused(format!("a push has at most {PUSH_TARGETS_MAX} targets")));
        }
        Ok(targets)
    }
}

pub(in crate::pushes) fn default_root() -> Result<RootName, NodeError> {
    DEFAULT_ROOT.parse().map_err(|error| refused(format!("{error}")))
}

/// What everybody is told has a bound, and no secret in it.
pub(super) fn check_text(what: &str, text: &str, now: UnixMillis) -> Result<(), NodeError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(refused(format!("{what} has at most {TEXT_BYTES_MAX} bytes")));
    }
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    let findings = Scanner::default().scan_text(what, text.as_bytes(), seconds);
    match findings {
        Ok(findings) if findings.is_empty() => Ok(()),
        Ok(findings) => {
            let found = findings.first().map(ToString::to_string).unwrap_or_default();
            let message = format!("{found}; nothing was done");
            Err(NodeError::new(ErrorCode::SecretFound, message))
        }
        Err(error) => {
            let message = format!("{what} was not judged: {error}; nothing was done");
            Err(NodeError::new(ErrorCode::SecretFound, message))
        }
    }
}

#[cfg(test)]
mod tests;
