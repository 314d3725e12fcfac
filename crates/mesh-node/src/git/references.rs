//! Which references a push has moved, and how that is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use mesh_protocol::{PeerId, TEXT_BYTES_MAX};
use mesh_store::GitAuditRow;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::child::git;
use crate::clock;
use crate::error::chain;
use crate::shared::Shared;

/// Largest list of references that is compared: some 300,000 of them.
const LIST_BYTES_MAX: u64 = 32 << 20;

/// How long git may take to list them.
const LIST_WAIT: Duration = Duration::from_mins(1);

/// Moved references of one push that are recorded one by one.
const RECORDED_MAX: usize = 1000;

/// Those of which each is an event; more of them become one event together.
const EVENTS_MAX: usize = 32;

/// Names of references with the objects that they name, in hexadecimal.
pub(super) type References = BTreeMap<String, String>;

/// A reference that does not name what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) reference: String,
    /// Zeros where there was none.
    pub(super) old: String,
    /// Zeros where there is none any more.
    pub(super) new: String,
}

/// The references of a repository.
///
/// # Errors
/// Git failed, took too long, or has more to say than is compared.
pub(super) async fn list(git_dir: &Path) -> io::Result<References> {
    let mut command = git(git_dir);
    command.arg("--git-dir").arg(git_dir);
    command.args(["for-each-ref", "--format=%(objectname) %(refname)"]);
    let mut child = command.stderr(std::process::Stdio::null()).kill_on_drop(true).spawn()?;
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let listing = async {
        let mut bytes = Vec::new();
        let read = output.take(LIST_BYTES_MAX).read_to_end(&mut bytes).await?;
        if read as u64 == LIST_BYTES_MAX {
            return Err(io::Error::other("the repository has too many references"));
        }
        let status = child.wait().await?;
        if !status.success() {
            return Err(io::Error::other("git does not list the repository's references"));
        }
        Ok(parse(&String::from_utf8_lossy(&bytes)))
    };
    timeout(LIST_WAIT, listing).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn parse(text: &str) -> References {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(object, name)| (name.to_owned(), object.to_owned())).collect()
}

/// What differs, by name.
pub(super) fn moved(before: &References, after: &References) -> Vec<Moved> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = names.into_iter().filter_map(|name| {
        let (old, new) = (before.get(name), after.get(name));
        let zeros = |other: Option<&String>| "0".repeat(other.map_or(40, String::len));
        (old != new).then(|| Moved {
            reference: name.clone(),
            old: old.cloned().unwrap_or_else(|| zeros(new)),
            new: new.cloned().unwrap_or_else(|| zeros(old)),
        })
    });
    differing.collect()
}

impl Shared {
    /// Records what a push has moved, and tells it as events.
    pub(super) async fn record_git_push(
        &self,
        peer: PeerId,
        hostname: &str,
        repository: &str,
        moved: &[Moved],
    ) {
        let at = clock::now().wall;
        for one in moved.iter().take(RECORDED_MAX) {
            let cut = one.reference.floor_char_boundary(TEXT_BYTES_MAX);
            let row = GitAuditRow {
                at,
                peer_id: peer,
                repository: repository.to_owned(),
                reference: one.reference.get(..cut).unwrap_or_default().to_owned(),
                old: one.old.clone(),
                new: one.new.clone(),
            };
            if let Err(error) = self.store.insert_git_audit(row).await {
                tracing::warn!(%repository, error = chain(&error), "a git push is not recorded");
                break;
            }
        }
        for one in moved.iter().take(EVENTS_MAX) {
            let detail = serde_json::json!({
                "repository": repository, "reference": one.reference, "old": one.old,
                "new": one.new, "by": hostname,
            });
            self.events.emit(at, "git_push", detail);
        }
        if let Some(more) = moved.len().checked_sub(EVENTS_MAX).filter(|more| *more > 0) {
            let detail = serde_json::json!({
                "repository": repository, "more_references": more, "by": hostname,
            });
            self.events.emit(at, "git_push", detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_came_went_or_moved_are_told_and_others_are_not() {
        let before = parse("aa refs/heads/gone\nbb refs/heads/moved\ncc refs/tags/same\n");
        let after = parse("dd refs/heads/moved\ncc refs/tags/same\nee refs/heads/a name\n");
        let told = moved(&before, &after)
            .into_iter()
            .map(|Moved { reference, old, new }| format!("{reference} {old} {new}"));
        let told: Vec<String> = told.collect();
        let expected =
            ["refs/heads/a name 00 ee", "refs/heads/gone aa 00", "refs/heads/moved bb dd"];
        assert_eq!(told, expected);
        assert_eq!(moved(&after, &after), []);
    }
}
