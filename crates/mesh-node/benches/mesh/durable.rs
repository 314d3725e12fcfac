//! A durable message of 256 bytes: from `send` to acknowledged, which takes a commit on each side and
//! a round trip; alone, and with 64 senders whose commits share fsyncs.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mesh_node::{DeliveryOutcome, Node, PeerId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bare;
use crate::disk::Disk;
use crate::report::{Figure, Table, micros, middle, percentile};
use crate::world::{self, Mesh};

const BYTES: usize = 256;
const BLOCKS: usize = 30;
const MESSAGES_PER_BLOCK: usize = 60;
/// More pages than SQLite leaves in the log: while that grows, a commit costs the file system more.
const WARM_UP: usize = 1_100;
const SENDERS: usize = 64;
const CROWDS: usize = 7;
const MESSAGES_PER_SENDER: usize = 60;

async fn deliver(node: &Node, to: PeerId) {
    let sent = node.send(world::durable(to, BYTES)).await.unwrap();
    let reports = sent.wait(Duration::from_secs(30)).await;
    assert!(reports.iter().all(|report| report.outcome == DeliveryOutcome::Acked), "{reports:?}");
}

async fn deliveries(node: &Node, to: PeerId, count: usize) -> Vec<Duration> {
    let node = node.clone();
    let sending = tokio::spawn(async move {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            deliver(&node, to).await;
            times.push(started.elapsed());
        }
        times
    });
    sending.await.unwrap()
}

/// Messages a second that `SENDERS` tasks get acknowledged.
async fn crowd_rate(node: &Node, to: PeerId) -> f64 {
    let started = Instant::now();
    let senders = (0..SENDERS).map(|_| {
        let node = node.clone();
        tokio::spawn(async move {
            for _ in 0..MESSAGES_PER_SENDER {
                deliver(&node, to).await;
            }
        })
    });
    for sender in join_all(senders).await {
        sender.unwrap();
    }
    (SENDERS * MESSAGES_PER_SENDER) as f64 / started.elapsed().as_secs_f64()
}

type Client = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// A connection whose other end sends back what it gets.
async fn echo() -> Client {
    let (client, mut server) = bare::tls_pair().await;
    tokio::spawn(async move {
        let mut buffer = vec![0; BYTES];
        while server.read_exact(&mut buffer).await.is_ok() {
            server.write_all(&buffer).await.unwrap();
            server.flush().await.unwrap();
        }
    });
    client
}

async fn round_trips(mut client: Client, count: usize) -> (Client, Vec<Duration>) {
    let asking = tokio::spawn(async move {
        let mut buffer = vec![7; BYTES];
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            client.write_all(&buffer).await.unwrap();
            client.flush().await.unwrap();
            client.read_exact(&mut buffer).await.unwrap();
            times.push(started.elapsed());
        }
        (client, times)
    });
    asking.await.unwrap()
}

struct Bare {
    ours: Disk,
    theirs: Disk,
    client: Client,
}

impl Bare {
    /// The sum of the parts: each at its own middle, and for each message.
    async fn sum(self, count: usize) -> (Self, Duration, Vec<Duration>) {
        let (ours, here) = self.ours.commits(count).await;
        let (theirs, there) = self.theirs.commits(count).await;
        let (client, between) = round_trips(self.client, count).await;
        let sum = middle(&here) + middle(&there) + middle(&between);
        let each = here.iter().zip(&there).zip(&between).map(|((a, b), c)| *a + *b + *c);
        (Self { ours, theirs, client }, sum, each.collect())
    }
}

pub(crate) async fn measure(table: &mut Table) {
    let folder = world::folder();
    let mut bare = Bare {
        ours: Disk::create(&folder.path().join("a.db"), BYTES).await,
        theirs: Disk::create(&folder.path().join("b.db"), BYTES).await,
        client: echo().await,
    };
    let mesh = Mesh::of(2).await;
    let (sender, receiver) = (mesh.node(0), mesh.node(1).peer_id());
    bare = bare.sum(WARM_UP).await.0;
    deliveries(sender, receiver, WARM_UP).await;

    let (mut all, mut sums, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut bare_all = Vec::new();
    for _ in 0..BLOCKS {
        let (returned, sum, each) = bare.sum(MESSAGES_PER_BLOCK).await;
        bare = returned;
        bare_all.extend(each);
        let times = deliveries(sender, receiver, MESSAGES_PER_BLOCK).await;
        ratios.push(middle(&times).as_secs_f64() / sum.as_secs_f64());
        sums.push(sum);
        all.extend(times);
    }
    table.add(Figure {
        name: "durable 256 B, one in flight: median".to_owned(),
        ours: micros(middle(&all)),
        raw: micros(middle(&sums)),
        ratio: middle(&ratios),
        aim: "≤ 1.5 × (two bare commits + one TLS round trip)",
    });
    // The machine's own stalls show in the bare parts as well.
    for (name, times) in [("node's", &all), ("bare parts'", &bare_all)] {
        let slowest = percentile(times, 99);
        table.add(Figure {
            name: format!("durable 256 B, one in flight: {name} p99"),
            ours: micros(slowest),
            raw: format!("{} median", micros(middle(times))),
            ratio: slowest.as_secs_f64() / middle(times).as_secs_f64(),
            aim: "≤ 5 × the median",
        });
    }

    let (mut alone, mut crowd, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CROWDS {
        let times = deliveries(sender, receiver, MESSAGES_PER_BLOCK).await;
        let one = times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
        let many = crowd_rate(sender, receiver).await;
        ratios.push(many / one);
        alone.push(one);
        crowd.push(many);
    }
    table.add(Figure {
        name: format!("durable 256 B, {SENDERS} in flight: messages/s"),
        ours: format!("{:.0}", middle(&crowd)),
        raw: format!("{:.0} alone", middle(&alone)),
        ratio: middle(&ratios),
        aim: "≥ 8 × one in flight; 5,000/s",
    });
    mesh.stop().await;
}
