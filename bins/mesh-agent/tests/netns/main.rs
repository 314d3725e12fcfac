//! Real agents in network namespaces: partitions, one-way cuts, moves, pauses. Takes root and `ip`, so
//! the feature `netns` has to be asked for; `.ci/run` does where it can.
//!
//! Start reading at `world.rs`, which puts agents on a LAN. Every other file holds the tests of one
//! kind of trouble.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may fail, and says why"
)]

#[expect(dead_code, reason = "shared with the tests on loopback, which need more of it")]
#[path = "../it/agent.rs"]
mod agent;
#[expect(dead_code, reason = "shared with the tests on loopback, which need more of it")]
#[path = "../it/tables/desk.rs"]
mod desk;
#[path = "../it/search.rs"]
mod search;

mod cuts;
mod disks;
mod memory;
mod moves;
mod pauses;
mod relays;
mod splits;
mod tables;
mod world;
