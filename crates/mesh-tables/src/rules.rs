//! What the database asks the sync engine.

use std::fmt;

use mesh_protocol::{
    Dot, Incoming, JoinPlan, MergePlan, Readiness, RowFacts, TheirRow, TransactionHeader,
    UnixMillis, VersionVector,
};

/// The decisions of the sync engine, which this crate must not know. Pure: the same question has the same
/// answer.
pub trait Rules: Send + Sync + fmt::Debug {
    /// Whether a transaction can be applied by a database that has applied `known`.
    fn admit(
        &self,
        known: &VersionVector,
        dot: Dot,
        header: &TransactionHeader,
        now: UnixMillis,
    ) -> Readiness;

    /// What should become of a row when a change comes in.
    fn merge(&self, row: &RowFacts, incoming: &Incoming<'_>) -> MergePlan;

    /// What should become of a row when the state of another database comes in. `row` is none when there
    /// never was such a row here; `known` is what this database has applied.
    fn join(
        &self,
        row: Option<&RowFacts>,
        known: &VersionVector,
        theirs: &TheirRow<'_>,
    ) -> JoinPlan;
}

#[cfg(test)]
pub(crate) mod tests;
