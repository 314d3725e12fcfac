//! The command as a user meets it: its output, its exit codes, its help.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

mod bars;
mod config;
mod data;
mod demo;
mod doctor;
mod errors;
#[path = "../../../../crates/mesh-control/tests/it/fake.rs"]
mod fake;
mod files;
mod follow;
mod harness;
mod help;
mod input;
mod scan;
mod snapshots;
