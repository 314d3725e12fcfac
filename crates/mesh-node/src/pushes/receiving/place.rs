//! CONFIRM: what is staged and right is put in place, all of it or nothing.

use std::os::unix::ffi::OsStrExt as _;

use mesh_protocol::{Confirmation, LinkEntry, PATH_BYTES_MAX, PushId, PushReason, PushStep};
use mesh_tree::{Plan, Root, Staging, TreeError};

use super::failure::Failure;
use super::manifest::{Entry, each_entry, looks_same};
use super::work::Task;
use crate::clock;
use crate::error::chain;
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::roots::OpenRoot;

const STEP: PushStep = PushStep::Confirm;

fn failed(error: TreeError) -> Failure {
    Failure::tree(STEP, &error)
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    i64::try_from(clock::now().wall.0 / 1000).unwrap_or(i64::MAX)
}

/// Puts what is staged in place. When that was done and the word of it was lost, only says so.
pub(super) fn place(task: &Task) -> Result<Confirmation, Failure> {
    let open = task.root(STEP)?;
    let push_id = task.offer.push_id;
    if let Some(staging) = unplaced(&open.root, push_id)? {
        task.check_member(STEP)?;
        let pages = ManifestFile::open(&task.data_dir(), push_id);
        let pages = pages.map_err(|error| Failure::pages(STEP, &error))?;
        let mut plan = Plan::begin(&staging, now()).map_err(failed)?;
        let mut root = open.root.reader();
        each_entry(&pages, &task.offer, STEP, |entry| {
            match entry {
                Entry::Folder(folder) => plan.folder(&folder),
                Entry::Link(link) if is_same_link(&open.root, &link) => Ok(()),
                Entry::Link(link) => plan.link(&link),
                Entry::File(number, file, _) if staging.is_finished(number) => {
                    plan.file(number, &file)
                }
                // It stood there, compared with what was announced.
                Entry::File(_, file, _) => match looks_same(&mut root, &file) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(TreeError::Changed { path: file.path.to_string() }),
                    Err(error) => Err(error),
                },
            }
            .map_err(failed)
        })?;
        plan.finish().and_then(|planned| planned.commit(&mut |_| {})).map_err(failed)?;
    }
    confirm(task, &open)
}

/// What cannot be looked at is not the same, and what is the matter with it is said where it is replaced.
fn is_same_link(root: &Root, link: &LinkEntry) -> bool {
    matches!(root.link(&link.path), Ok(Some(target)) if target == link.target)
}

/// What is staged for a push; none when it was put in place before.
fn unplaced(root: &Root, push_id: PushId) -> Result<Option<Staging>, Failure> {
    match Staging::open(root, push_id) {
        Ok(staging) => Ok(Some(staging)),
        Err(TreeError::Push { .. }) if is_placed(root, push_id)? => Ok(None),
        // What was interrupted may be undone by now.
        Err(TreeError::Push { .. }) => {
            root.recover().map_err(failed)?;
            if is_placed(root, push_id)? {
                return Ok(None);
            }
            Staging::open(root, push_id).map(Some).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether a push was put in place before.
pub(super) fn is_placed(root: &Root, push_id: PushId) -> Result<bool, Failure> {
    let backups = root.backups().map_err(failed)?;
    Ok(backups.iter().any(|backup| backup.push == push_id))
}

/// Says where it is, and forgets old backups.
pub(super) fn confirm(task: &Task, open: &OpenRoot) -> Result<Confirmation, Failure> {
    let push_id = task.offer.push_id;
    // It is in place, which no count of what it replaced makes undone.
    let replaced = match open.root.backup_usage(push_id) {
        Ok(usage) => usage.files,
        Err(error) => {
            tracing::warn!(%push_id, error = %chain(&error), "what a push replaced cannot be counted");
            0
        }
    };
    let path = std::ffi::OsStr::from_bytes(task.offer.destination.as_bytes());
    let location = open.settings.path.join(path);
    let mut location = location.as_os_str().as_bytes().to_vec();
    if location.ends_with(b"/") && location.len() > 1 {
        location.pop();
    }
    location.truncate(PATH_BYTES_MAX);
    match open.root.prune(&open.settings.keep, now(), push_id) {
        Ok(pruned) if pruned.is_empty() => {}
        Ok(pruned) => tracing::debug!(count = pruned.len(), "old backups of a root are gone"),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "old backups of a root cannot be removed");
        }
    }
    Ok(Confirmation { location, replaced, at: clock::now().wall })
}

/// Removes what is staged, and the list of it.
pub(super) fn discard(task: &Task) -> Result<(), Failure> {
    discard_staged(task)?;
    if task.shares_pages {
        return Ok(());
    }
    let removed = ManifestFile::remove(&task.data_dir(), task.offer.push_id);
    removed.map_err(|error| Failure::pages(STEP, &error))
}

fn discard_staged(task: &Task) -> Result<(), Failure> {
    let open = match task.root(STEP) {
        Ok(open) => open,
        // Without its root there is nothing, or nothing that can be reached.
        Err(Failure::Problem(problem)) if problem.reason == PushReason::RootUnknown => {
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    Staging::discard(&open.root, task.offer.push_id).map_err(failed)
}
