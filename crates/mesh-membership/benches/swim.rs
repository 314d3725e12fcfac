//! Liveness by gossip in meshes of 100 to 1,000 members, on virtual time:
//! `cargo bench -p mesh-membership --bench swim`.
//!
//! Members and seconds can be named: `-- 100,300 600` takes two meshes and ten minutes instead of an
//! hour. Bytes are those of the gossip itself, without the frames and links that carry it.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a benchmark measures with the real clock, and may fail"
)]

use std::time::{Duration, Instant};

use mesh_membership::SwimConfig;
use mesh_testkit::{Figures, NodeId, VirtualMesh};

#[path = "../tests/it/swim/world.rs"]
mod world;

use world::{Agent, offices, start, until_seen};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const SEED: u64 = 20_261_121;
const CRASHES: usize = 5;
const STEADY: Duration = Duration::from_secs(60);

fn main() {
    let numbers: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let sizes = numbers.first().map_or("100,300,1000", String::as_str);
    let hour = numbers.get(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(3600);
    for size in sizes.split(',').filter_map(|size| size.parse().ok()) {
        measure(size, Duration::from_secs(hour));
    }
}

fn measure(size: usize, quiet: Duration) {
    let started = Instant::now();
    let mut mesh = start(SEED, size, 0.01, &SwimConfig::default());
    let everyone: Vec<usize> = (0..size).collect();
    let joined = until_seen(&mut mesh, 300, &everyone, &everyone);
    // What the start itself has set off is over by then.
    mesh.run_for(STEADY);
    let show = |what: &str, value: String, aim: &str| {
        FIGURES.add(&format!("{size} members: {what}"), &value, aim, "");
    };
    show("all know all, 1 % loss", seconds(joined), "");
    for (loss, what) in [
        (0.0, "sent by each, no loss"),
        (0.01, "sent by each, 1 % loss"),
        (0.05, "sent by each, 5 % loss"),
    ] {
        mesh.network_mut().set_conditions(offices(loss));
        mesh.run_for(STEADY / 4);
        show(what, format!("{:.0} B/s", rate(&mut mesh, size)), "");
    }
    let before = downs(&mesh);
    mesh.run_for(quiet);
    let false_downs = downs(&mesh) - before;
    let what = format!("believed down and alive in {} s, 5 % loss", quiet.as_secs());
    show(&what, false_downs.to_string(), "0");
    mesh.network_mut().set_conditions(offices(0.01));
    mesh.run_for(STEADY);
    for crash in 1..=CRASHES {
        let last = size - crash;
        mesh.kill(NodeId(last));
        let left = &everyone[..last];
        let known = seconds(until_seen(&mut mesh, 300, left, left));
        show(&format!("crash {crash} of {CRASHES} known by all, 1 % loss"), known, "≤ 10 s");
    }
    show("the benchmark itself", format!("{:.0} s", started.elapsed().as_secs_f64()), "");
}

fn seconds(took: Option<f64>) -> String {
    took.map_or_else(|| "never".to_owned(), |took| format!("{took:.1} s"))
}

fn downs(mesh: &VirtualMesh<Agent>) -> usize {
    mesh.nodes().map(|(_, agent)| agent.downs.len()).sum()
}

/// Bytes that each member sends per second.
#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
fn rate(mesh: &mut VirtualMesh<Agent>, size: usize) -> f64 {
    let sent = |mesh: &VirtualMesh<Agent>| -> u64 {
        (0..size).map(|number| mesh.network().traffic(NodeId(number)).bytes_sent).sum()
    };
    let before = sent(mesh);
    mesh.run_for(STEADY);
    (sent(mesh) - before) as f64 / (STEADY.as_secs_f64() * size as f64)
}
