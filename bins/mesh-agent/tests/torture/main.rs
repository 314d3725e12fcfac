//! Five real agents in network namespaces, under everything at once: kills, freezes, cuts, loss, full disks, wrong
//! clocks, newcomers, while clients use them. At the end all that was acknowledged is there, and nothing else.
//! Takes root and `ip`, so the feature `netns` has to be asked for.
//!
//! Start reading at `schedule.rs`: what goes wrong is drawn from a seed. `clients/` are those who work meanwhile
//! and write down what they were told (`ledger.rs`); `checks.rs` finds out of that alone what has to be true.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail, and says why"
)]

#[expect(dead_code, reason = "shared with the tests on loopback, which need more of it")]
#[path = "../it/agent.rs"]
mod agent;
#[path = "../it/tables/torture/model.rs"]
mod model;
#[path = "../it/skewed_clock.rs"]
mod skewed_clock;
#[path = "../it/tables/torture/write.rs"]
mod write;

mod checks;
mod clients;
mod disturb;
mod idle;
mod ledger;
mod quiet;
mod run;
mod schedule;
mod shrink;
mod ways;
mod world;
