//! A ping over the link that is there anyway, against the same bytes over bare TLS.

use std::time::{Duration, Instant};

use mesh_node::Node;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bare;
use crate::report::{Figure, micros, middle};
use crate::world::Mesh;

/// Header, nonce and clock of a ping's frame.
const FRAME_BYTES: usize = 28;
const BLOCKS: usize = 15;
const PINGS: usize = 400;

pub(crate) async fn pings(node: &Node, to: &'static str) -> Vec<Duration> {
    let node = node.clone();
    let pinging = tokio::spawn(async move {
        let mut times = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            let started = Instant::now();
            node.ping(to, None).await.unwrap();
            times.push(started.elapsed());
        }
        times
    });
    pinging.await.unwrap()
}

async fn bare_pings() -> Vec<Duration> {
    let (mut client, mut server) = bare::tls_pair().await;
    bare::far().spawn(async move {
        let mut buffer = [0; FRAME_BYTES];
        while server.read_exact(&mut buffer).await.is_ok() {
            server.write_all(&buffer).await.unwrap();
            server.flush().await.unwrap();
        }
    });
    let pinging = tokio::spawn(async move {
        let mut buffer = [7; FRAME_BYTES];
        let mut times = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            let started = Instant::now();
            client.write_all(&buffer).await.unwrap();
            client.flush().await.unwrap();
            client.read_exact(&mut buffer).await.unwrap();
            times.push(started.elapsed());
        }
        times
    });
    pinging.await.unwrap()
}

pub(crate) async fn measure() {
    let mesh = Mesh::of(2).await;
    pings(mesh.node(0), "m1").await;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let bare = middle(&bare_pings().await);
        let node = middle(&pings(mesh.node(0), "m1").await);
        ratios.push(node.as_secs_f64() / bare.as_secs_f64());
        ours.push(node);
        theirs.push(bare);
    }
    Figure {
        name: "ping over the kept link: median".to_owned(),
        ours: micros(middle(&ours)),
        raw: micros(middle(&theirs)),
        ratio: middle(&ratios),
        aim: "≤ 3 × raw TLS ping-pong",
    }
    .add();
    mesh.stop().await;
}
