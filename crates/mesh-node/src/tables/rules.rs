//! The sync engine's decisions, handed to the database that asks for them.

use std::time::Duration;

use mesh_protocol::{
    Dot, Incoming, JoinPlan, MergePlan, Readiness, RowFacts, TheirRow, TransactionHeader,
    UnixMillis, VersionVector,
};
use mesh_tables::Rules;

/// The rules with the one bound that they need.
#[derive(Debug)]
pub(crate) struct SyncRules {
    /// Furthest that the clock of another member's write may be ahead.
    pub(crate) ahead_max: Duration,
}

impl Rules for SyncRules {
    fn admit(
        &self,
        known: &VersionVector,
        dot: Dot,
        header: &TransactionHeader,
        now: UnixMillis,
    ) -> Readiness {
        mesh_sync::admit(known, dot, header, now, self.ahead_max)
    }

    fn merge(&self, row: &RowFacts, incoming: &Incoming<'_>) -> MergePlan {
        mesh_sync::merge(row, incoming)
    }

    fn join(
        &self,
        row: Option<&RowFacts>,
        known: &VersionVector,
        theirs: &TheirRow<'_>,
    ) -> JoinPlan {
        mesh_sync::join(row, known, theirs)
    }
}
