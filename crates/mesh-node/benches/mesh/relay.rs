//! What a member in between costs: a ping and a durable message through it, against the same over a
//! link.

use crate::durable::deliveries;
use crate::ping::pings;
use crate::report::{Figure, micros, middle};
use crate::world::Mesh;

const BLOCKS: usize = 15;
const MESSAGES_PER_BLOCK: usize = 60;
/// More pages than SQLite leaves in the log: while that grows, a commit costs the file system more.
const WARM_UP: usize = 1_100;

pub(crate) async fn measure() {
    let mesh = Mesh::apart().await;
    measure_ping(&mesh).await;
    measure_durable(&mesh).await;
    mesh.stop().await;
}

async fn measure_ping(mesh: &Mesh) {
    let near = mesh.node(0);
    for to in ["m1", "m2"] {
        pings(near, to).await;
    }
    let (mut routed, mut direct, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let over_link = middle(&pings(near, "m1").await);
        let through = middle(&pings(near, "m2").await);
        added.push(through.as_secs_f64() / over_link.as_secs_f64() - 1.0);
        direct.push(over_link);
        routed.push(through);
    }
    Figure {
        name: "ping through another member: median".to_owned(),
        ours: micros(middle(&routed)),
        raw: format!("{} direct", micros(middle(&direct))),
        ratio: middle(&added),
        aim: "≤ 1.5 direct round trips added",
    }
    .add();
}

async fn measure_durable(mesh: &Mesh) {
    let near = mesh.node(0);
    let (between, far) = (mesh.node(1).peer_id(), mesh.node(2).peer_id());
    for to in [between, far] {
        deliveries(near, to, WARM_UP).await;
    }
    let (mut routed, mut direct, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let over_link = middle(&deliveries(near, between, MESSAGES_PER_BLOCK).await);
        let through = middle(&deliveries(near, far, MESSAGES_PER_BLOCK).await);
        ratios.push(through.as_secs_f64() / over_link.as_secs_f64());
        direct.push(over_link);
        routed.push(through);
    }
    Figure {
        name: "durable 256 B through another member: median".to_owned(),
        ours: micros(middle(&routed)),
        raw: format!("{} direct", micros(middle(&direct))),
        ratio: middle(&ratios),
        aim: "(sealed and signed on top of the hop)",
    }
    .add();
}
