//! The store against real files: what is promised for each table, the bounds, and what a crash leaves.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod backup;
mod crash;
mod custody;
mod floors;
mod health;
mod inbox;
mod keys;
mod lazy;
mod opening;
mod outbox;
mod peers;
mod pushes;
mod records;
mod support;
mod tokens;
