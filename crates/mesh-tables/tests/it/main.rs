//! Tests of the replicated tables on real files.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod ahead;
mod apply;
mod backup;
mod builtin;
mod capture;
mod conflicts;
mod convergence;
mod definitions;
mod digest;
mod feed;
mod hostile;
mod limit;
mod member;

mod parked;
mod peer;
mod query;
mod rules;
mod schema;
mod setup;
mod snapshot;
mod trim;
