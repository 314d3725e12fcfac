//! What went wrong, as it is told to people: a step, a stable word, and which file.

use std::io;

use mesh_files::{ManifestError, PlanError};
use mesh_protocol::{PushProblem, PushReason, PushStep};
use mesh_tree::{Refusal, TreeError};

use crate::error::chain;
use crate::pushes::roots::refuses;

/// Why a piece of work on a push did not come to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The push ends.
    Problem(PushProblem),
    /// The stream ended, or the node stops. It goes on another time.
    Paused,
}

impl Failure {
    pub(super) fn new(step: PushStep, reason: PushReason, detail: impl Into<String>) -> Self {
        Self::Problem(refuses(step, reason, detail))
    }

    /// The sender does not keep to the protocol.
    pub(super) fn manifest(detail: &str) -> Self {
        Self::new(PushStep::Push, PushReason::ManifestInvalid, detail)
    }

    /// As it is told to somebody who waits for it.
    pub(super) fn into_problem(self) -> PushProblem {
        match self {
            Self::Problem(problem) => problem,
            Self::Paused => refuses(PushStep::Push, PushReason::Busy, "it stopped meanwhile"),
        }
    }

    pub(super) fn tree(step: PushStep, error: &TreeError) -> Self {
        let reason = match error {
            TreeError::Refused { why: Refusal::Special(_), .. } => PushReason::KindRefused,
            TreeError::Refused { why: Refusal::Clash, .. } => PushReason::NamesClash,
            TreeError::Refused { .. } => PushReason::PathRefused,
            TreeError::Mismatch { .. } => PushReason::ChecksumMismatch,
            TreeError::Quota { .. } => PushReason::QuotaExceeded,
            TreeError::Full { .. } => PushReason::DiskFull,
            TreeError::Changed { .. } => PushReason::TargetChanged,
            TreeError::Busy { .. }
            | TreeError::Push { .. }
            | TreeError::Order { .. }
            | TreeError::Damaged { .. }
            | TreeError::Io { .. } => PushReason::StorageError,
        };
        Self::new(step, reason, chain(error))
    }

    /// The manifest's own file cannot be used.
    pub(super) fn pages(step: PushStep, error: &io::Error) -> Self {
        let is_full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let reason = if is_full { PushReason::DiskFull } else { PushReason::StorageError };
        Self::new(step, reason, format!("the list of files cannot be kept: {error}"))
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::new(PushStep::Push, error.reason(), error.to_string())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::new(PushStep::Push, PushReason::ChecksumMismatch, error.to_string())
    }
}
