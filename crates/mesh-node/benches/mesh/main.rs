//! What the whole of a node costs over the bare parts that it is made of, measured in the same run on
//! real sockets and real files: `cargo bench -p mesh-node`, or with the name of one group behind `--`.
//!
//! The machine may be shared, so bare parts and node take turns in short blocks, and the ratio shown is
//! the middle one of all blocks. A missed aim is a line to read, not a failure.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and starts tasks of its own"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark reports, and gives up when the world breaks"
)]

mod broadcast;
mod disk;
mod durable;
mod live;
mod ping;
mod relay;
mod report;
mod world;

// The same bare parts that the transport is measured against, so that both tell of the same limit.
#[path = "../../../mesh-transport/benches/link/bare.rs"]
mod bare;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let is_wanted = |group: &str| wanted.is_empty() || wanted.iter().any(|name| name == group);
    bare::runtime().block_on(async {
        if is_wanted("durable") {
            durable::measure_alone().await;
        }
        if is_wanted("crowd") {
            durable::measure_crowd().await;
        }
        if is_wanted("ping") {
            ping::measure().await;
        }
        if is_wanted("live") {
            live::measure().await;
        }
        if is_wanted("broadcast") {
            broadcast::measure().await;
        }
        if is_wanted("relay") {
            relay::measure().await;
        }
    });
}
