//! May a transaction be applied?
//!
//! Transactions are applied in a causal order: after the one before it of its origin, and after everything
//! that its origin had applied of others. What was kept aside counts as had here: it blocks its origin no
//! further, and whoever builds upon it says so by not naming it a hole.

use std::time::Duration;

use mesh_protocol::{
    Dot, HybridClock, OriginId, Readiness, TransactionHeader, UnixMillis, VersionVector,
};

/// Says whether a database that has applied `known` can apply the transaction `dot`. Clocks may be ahead of
/// `now` by `ahead_max`.
#[must_use]
pub fn admit(
    known: &VersionVector,
    dot: Dot,
    header: &TransactionHeader,
    now: UnixMillis,
    ahead_max: Duration,
) -> Readiness {
    let before = known.upto(&dot.origin);
    if dot.sequence <= before {
        return Readiness::Duplicate;
    }
    // A database has applied its own, whatever it says of itself.
    let is_there =
        |(origin, upto): &(OriginId, u64)| *origin == dot.origin || *upto <= known.upto(origin);
    if dot.sequence - before > 1 || !header.advanced.iter().all(is_there) {
        return Readiness::Missing;
    }
    // What is out of turn must not be kept aside: a hole stands below the numbers that are had.
    match millis_ahead(header.clock, now) {
        millis if Duration::from_millis(millis) > ahead_max => Readiness::Ahead { millis },
        _ => Readiness::Apply,
    }
}

/// How far a clock is ahead of a moment.
const fn millis_ahead(clock: HybridClock, now: UnixMillis) -> u64 {
    clock.time().0.saturating_sub(now.0)
}
