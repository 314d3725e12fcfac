//! The rules of the sync engine, and rules for tests in which nothing comes from others.

use std::time::Duration;

use mesh_protocol::{
    Dot, Incoming, JoinPlan, MergePlan, Readiness, RowFacts, TheirRow, TransactionHeader,
    UnixMillis, VersionVector,
};
use mesh_tables::Rules;

#[derive(Debug)]
pub(crate) struct NoRules;

impl Rules for NoRules {
    fn admit(
        &self,
        _known: &VersionVector,
        _dot: Dot,
        _header: &TransactionHeader,
        _now: UnixMillis,
    ) -> Readiness {
        unreachable!("nothing comes from others")
    }

    fn merge(&self, _row: &RowFacts, _incoming: &Incoming<'_>) -> MergePlan {
        unreachable!("nothing comes from others")
    }

    fn join(
        &self,
        _row: Option<&RowFacts>,
        _known: &VersionVector,
        _theirs: &TheirRow<'_>,
    ) -> JoinPlan {
        unreachable!("nothing comes from others")
    }
}

#[derive(Debug)]
pub(crate) struct RealRules;

impl Rules for RealRules {
    fn admit(
        &self,
        known: &VersionVector,
        dot: Dot,
        header: &TransactionHeader,
        now: UnixMillis,
    ) -> Readiness {
        mesh_sync::admit(known, dot, header, now, Duration::from_secs(60))
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
