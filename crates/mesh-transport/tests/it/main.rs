//! Transports over loopback sockets: links between members, strangers at the join port, and abuse.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a helper of a test fails the test"
)]

mod abuse;
mod dialling;
mod finding;
mod joining;
mod links;
mod raw;
mod strange_streams;
mod streams;
mod support;
