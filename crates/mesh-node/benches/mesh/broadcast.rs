//! A live broadcast of 256 bytes to 64 members until the last has acknowledged it, against as many
//! requests issued at once over bare HTTP/2 links.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mesh_node::{DeliveryOutcome, Filter, Node};

use crate::bare;
use crate::report::{Figure, micros, middle};
use crate::world::{self, Mesh};

const BYTES: usize = 256;
const MEMBERS: usize = 64;
const BLOCKS: usize = 9;
const BROADCASTS: usize = 100;

async fn broadcasts(node: &Node) -> Vec<Duration> {
    let node = node.clone();
    let sending = tokio::spawn(async move {
        let mut times = Vec::with_capacity(BROADCASTS);
        for _ in 0..BROADCASTS {
            let message = world::live_document(BYTES);
            let started = Instant::now();
            let sent = node.send(message).await.unwrap();
            let reports = sent.wait(Duration::from_secs(5)).await;
            times.push(started.elapsed());
            assert_eq!(reports.len(), MEMBERS);
            let is_acked = |outcome| outcome == DeliveryOutcome::Acked;
            assert!(reports.iter().all(|r| is_acked(r.outcome)), "{reports:?}");
        }
        times
    });
    sending.await.unwrap()
}

pub(crate) async fn measure() {
    let started = Instant::now();
    let mesh = Mesh::of(MEMBERS + 1).await;
    println!("{} members are linked after {:.1?}", MEMBERS + 1, started.elapsed());
    for node in mesh.nodes.iter().skip(1) {
        let mut inbox = node.subscribe(Filter::Everything);
        bare::far().spawn(async move { while inbox.next().await.is_some() {} });
    }
    broadcasts(mesh.node(0)).await;

    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let connections = join_all((0..MEMBERS).map(|_| bare::requests())).await;
        let bare = middle(&bare::broadcasts(connections, BYTES, BROADCASTS).await);
        let node = middle(&broadcasts(mesh.node(0)).await);
        ratios.push(node.as_secs_f64() / bare.as_secs_f64());
        ours.push(node);
        theirs.push(bare);
    }
    Figure {
        name: format!("live broadcast of 256 B to {MEMBERS}, all acknowledged"),
        ours: micros(middle(&ours)),
        raw: micros(middle(&theirs)),
        ratio: middle(&ratios),
        aim: "≤ 1.2 × as many bare HTTP/2 requests at once",
    }
    .add();
    mesh.stop().await;
}
