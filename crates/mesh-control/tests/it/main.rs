//! The API over a real socket: both ends against each other, and what strangers may send.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

mod config;
mod contract;
mod data;
mod documented;
mod errors;
mod fake;
mod files;
mod git;
mod harness;
mod kept;
mod limits;
mod metrics;
mod socket;
mod streams;
