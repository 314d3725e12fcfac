//! Liveness by gossip in meshes of 100 to 1,000 members, on virtual time:
//! `cargo bench -p mesh-membership --bench swim`.
//!
//! Members and seconds can be named: `-- 100,300 600` takes two meshes and ten minutes instead of an
//! hour. Bytes are those of the gossip itself, without the frames and links that carry it.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark measures with the real clock, prints, and may fail"
)]

use std::time::{Duration, Instant};

use mesh_membership::SwimConfig;
use mesh_testkit::{NodeId, VirtualMesh};

#[path = "../tests/it/swim/world.rs"]
mod world;

use world::{Agent, offices, start, until_seen};

const SEED: u64 = 20_261_121;
const CRASHES: u64 = 5;
const STEADY: Duration = Duration::from_secs(60);

fn main() {
    let numbers: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let sizes = numbers.first().map_or("100,300,1000", String::as_str);
    let hour = numbers.get(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(3600);
    println!(
        "seed {SEED}; delays 5 to 50 ms; {CRASHES} crashes, one after the other; {hour} s quiet"
    );
    println!(
        "members | all know all, s | B/member/s at 0 / 1 / 5 % loss | crash known by all at 1 % loss, \
         s (aim 10) | false downs at 5 % loss (aim 0) | wall, s"
    );
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
    let rates = [0.0, 0.01, 0.05].map(|loss| {
        mesh.network_mut().set_conditions(offices(loss));
        mesh.run_for(STEADY / 4);
        rate(&mut mesh, size)
    });
    let before = downs(&mesh);
    mesh.run_for(quiet);
    let false_downs = downs(&mesh) - before;
    mesh.network_mut().set_conditions(offices(0.01));
    mesh.run_for(STEADY);
    let crashes: Vec<String> = (1..=CRASHES)
        .map(|crash| {
            let last = size - usize::try_from(crash).unwrap_or(0);
            mesh.kill(NodeId(last));
            let left = &everyone[..last];
            show(until_seen(&mut mesh, 300, left, left))
        })
        .collect();
    println!(
        "{size} | {} | {:.0} / {:.0} / {:.0} | {} | {false_downs} | {:.0}",
        show(joined),
        rates[0],
        rates[1],
        rates[2],
        crashes.join(" "),
        started.elapsed().as_secs_f64(),
    );
}

fn show(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1}"))
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
