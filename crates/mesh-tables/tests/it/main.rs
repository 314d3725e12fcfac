//! Tests of the replicated tables on real files.

mod apply;
mod peer;
mod backup;
mod digest;
mod feed;
mod member;
mod capture;
mod conflicts;
mod convergence;
mod parked;
mod no_rules;
mod schema;
mod setup;
mod query;
mod snapshot;
