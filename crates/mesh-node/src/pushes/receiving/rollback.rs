//! What a push replaced comes back: a push of its own, of which nothing travels.

use mesh_protocol::{Confirmation, PushReason, PushStep, Verification};
use mesh_tree::TreeError;

use super::failure::Failure;
use super::place::{confirm, is_placed, now};
use super::work::{Rollback, Task};

/// Says how much would come back.
pub(super) fn verify(task: &Task, rollback: Rollback) -> Result<Verification, Failure> {
    let step = PushStep::Verify;
    let open = task.root(step)?;
    let usage = open.root.backup_usage(rollback.of).map_err(|error| nothing_kept(step, &error))?;
    Ok(Verification { files: usage.files, bytes: usage.bytes, test: None })
}

/// Brings it back, unless somebody changed something since.
pub(super) fn place(task: &Task, rollback: Rollback) -> Result<Confirmation, Failure> {
    let step = PushStep::Confirm;
    let open = task.root(step)?;
    let push_id = task.offer.push_id;
    if !is_placed(&open.root, push_id)? {
        task.check_member(step)?;
        let planned = open.root.plan_rollback(rollback.of, push_id, now(), rollback.is_forced);
        planned
            .and_then(|planned| planned.commit(&mut |_| {}))
            .map_err(|error| nothing_kept(step, &error))?;
    }
    confirm(task, &open)
}

fn nothing_kept(step: PushStep, error: &TreeError) -> Failure {
    match error {
        TreeError::Changed { path } => {
            let detail = format!("{path} was changed since; force it to take that back, too");
            Failure::new(step, PushReason::TargetChanged, detail)
        }
        TreeError::Push { .. } => {
            let detail = "nothing is kept here of what was there before that push";
            Failure::new(step, PushReason::NothingKept, detail)
        }
        TreeError::Refused { .. }
        | TreeError::Mismatch { .. }
        | TreeError::Quota { .. }
        | TreeError::Full { .. }
        | TreeError::Busy { .. }
        | TreeError::Order { .. }
        | TreeError::Damaged { .. }
        | TreeError::Io { .. } => Failure::tree(step, error),
    }
}
