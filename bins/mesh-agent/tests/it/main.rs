//! Real agents as processes of their own, on real sockets: what the mesh promises, seen from outside.
//!
//! Start reading at `agent.rs`, the one place that starts, kills and waits. Every other file holds
//! the tests of one promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may fail, and says why"
)]

mod abuse;
mod agent;
mod config;
mod crashes;
mod doctor;
mod git;
mod insiders;
mod install;
mod joining;
mod lifecycle;
mod messages;
mod metrics;
mod moving;
#[cfg(target_os = "linux")]
mod old_and_new;
mod outsiders;
mod promises;
mod proxy;
mod pushes;
mod quorum;
mod raw;
mod relaying;
mod renaming;
mod repeating;
mod restore;
mod search;
mod secrecy;
#[cfg(target_os = "linux")]
mod skewed_clock;
mod stranger;
mod sync;
mod tables;
mod tokens;
