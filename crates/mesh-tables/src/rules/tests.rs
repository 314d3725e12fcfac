//! Rules for tests in which nothing comes from others.

use mesh_protocol::{
    Dot, Incoming, JoinPlan, MergePlan, Readiness, RowFacts, TheirRow, TransactionHeader,
    UnixMillis, VersionVector,
};

use super::Rules;

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
