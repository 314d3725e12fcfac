//! Live messages of 64 KiB, several under way, against one bare tuned HTTP/2 stream.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use mesh_node::{DeliveryOutcome, Filter, Node, PeerId, Target};

use crate::bare;
use crate::report::{Figure, middle};
use crate::world::{self, Mesh};

const BYTES: usize = 64 << 10;
const BLOCKS: usize = 9;
const SENDERS: usize = 32;
const MESSAGES_PER_SENDER: usize = 100;
const MESSAGES: usize = SENDERS * MESSAGES_PER_SENDER;

/// Seconds until all messages are acknowledged.
async fn stream(node: &Node, to: PeerId) -> f64 {
    let started = Instant::now();
    let senders = (0..SENDERS).map(|_| {
        let node = node.clone();
        tokio::spawn(async move {
            let piece = vec![7; BYTES];
            for sequence in 0..MESSAGES_PER_SENDER as u64 {
                let payload = world::media(sequence, piece.clone());
                let sent = node.send(world::live(Target::Peer(to), payload)).await.unwrap();
                let reports = sent.wait(Duration::from_secs(5)).await;
                let is_acked = |outcome| outcome == DeliveryOutcome::Acked;
                assert!(reports.iter().all(|r| is_acked(r.outcome)), "{reports:?}");
            }
        })
    });
    for sender in join_all(senders).await {
        sender.unwrap();
    }
    started.elapsed().as_secs_f64()
}

pub(crate) async fn measure() {
    let mesh = Mesh::of(2).await;
    let (sender, receiver) = (mesh.node(0), mesh.node(1).peer_id());
    let mut inbox = mesh.node(1).subscribe(Filter::Everything);
    bare::far().spawn(async move { while inbox.next().await.is_some() {} });
    stream(sender, receiver).await;

    let gigabytes = (MESSAGES * BYTES) as f64 / 1e9;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let piece = Bytes::from(vec![7; BYTES]);
        let bare = gigabytes / bare::stream(piece, MESSAGES).await;
        let node = gigabytes / stream(sender, receiver).await;
        ratios.push(node / bare);
        ours.push(node);
        theirs.push(bare);
    }
    Figure {
        name: "live 64 KiB messages: throughput".to_owned(),
        ours: format!("{:.2} GB/s", middle(&ours)),
        raw: format!("{:.2} GB/s", middle(&theirs)),
        ratio: middle(&ratios),
        aim: "≥ 0.6 × one bare tuned HTTP/2 stream",
    }
    .add();
    mesh.stop().await;
}
