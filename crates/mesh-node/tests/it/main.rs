//! Nodes embedded in a program, linked over loopback: the façade as its users see it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail, and says why"
)]

mod backups;
mod bounds;
mod configuration;
mod configuration_attacks;
mod discovery;
mod handlers;
mod large;
mod leaving;
mod live;
mod membership;
mod subscriptions;
mod support;
mod transfers;
mod unstored;
mod upkeep;
