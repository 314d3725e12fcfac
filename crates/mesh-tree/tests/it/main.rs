//! Roots against real files, people who interfere, and processes that are killed.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod backups;
mod commits;
mod confinement;
mod kills;
mod rules;
mod staging;
mod support;
mod views;
mod walking;
