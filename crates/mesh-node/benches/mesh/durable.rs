//! A durable message of 256 bytes: from `send` to acknowledged, which takes a commit on each side and
//! a round trip; alone, and with 64 senders whose commits share fsyncs.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mesh_node::{DeliveryOutcome, Node, PeerId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bare;
use crate::disk::Disk;
use crate::report::{Figure, micros, middle, percentile};
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

pub(crate) async fn deliveries(node: &Node, to: PeerId, count: usize) -> Vec<Duration> {
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

/// A connection whose other end sends back what it gets, and commits it first when it has a disk.
async fn echo(mut disk: Option<Disk>) -> Client {
    let (client, mut server) = bare::tls_pair().await;
    bare::far().spawn(async move {
        let mut buffer = vec![0; BYTES];
        while server.read_exact(&mut buffer).await.is_ok() {
            if let Some(disk) = &mut disk {
                disk.commit().await;
            }
            server.write_all(&buffer).await.unwrap();
            server.flush().await.unwrap();
        }
    });
    client
}

/// A side of a connection that may commit before it asks.
struct Asker {
    disk: Option<Disk>,
    client: Client,
}

impl Asker {
    async fn round_trips(mut self, count: usize) -> (Self, Vec<Duration>) {
        let asking = tokio::spawn(async move {
            let mut buffer = vec![7; BYTES];
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let started = Instant::now();
                if let Some(disk) = &mut self.disk {
                    disk.commit().await;
                }
                self.client.write_all(&buffer).await.unwrap();
                self.client.flush().await.unwrap();
                self.client.read_exact(&mut buffer).await.unwrap();
                times.push(started.elapsed());
            }
            (self, times)
        });
        asking.await.unwrap()
    }
}

/// What a durable message is made of.
struct Bare {
    here: Disk,
    there: Disk,
    between: Asker,
    /// The same parts, one after the other.
    in_turn: Asker,
}

struct BareTimes {
    /// Each part at its own middle.
    sum: Duration,
    in_turn: Vec<Duration>,
}

impl Bare {
    async fn new(folder: &Path) -> Self {
        let disk = async |name: &str| Disk::create(&folder.join(name), BYTES).await;
        Self {
            here: disk("a.db").await,
            there: disk("b.db").await,
            between: Asker { disk: None, client: echo(None).await },
            in_turn: Asker {
                disk: Some(disk("c.db").await),
                client: echo(Some(disk("d.db").await)).await,
            },
        }
    }

    async fn measure(self, count: usize) -> (Self, BareTimes) {
        let (here, ours) = self.here.commits(count).await;
        let (there, theirs) = self.there.commits(count).await;
        let (between, trips) = self.between.round_trips(count).await;
        let (in_turn, all) = self.in_turn.round_trips(count).await;
        let sum = middle(&ours) + middle(&theirs) + middle(&trips);
        (Self { here, there, between, in_turn }, BareTimes { sum, in_turn: all })
    }
}

pub(crate) async fn measure_alone() {
    let folder = world::folder();
    let mesh = Mesh::of(2).await;
    let (sender, receiver) = (mesh.node(0), mesh.node(1).peer_id());
    let mut bare = Bare::new(folder.path()).await.measure(WARM_UP).await.0;
    deliveries(sender, receiver, WARM_UP).await;

    let (mut all, mut sums, mut in_turn) = (Vec::new(), Vec::new(), Vec::new());
    let (mut over_sum, mut over_in_turn) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let (returned, times) = bare.measure(MESSAGES_PER_BLOCK).await;
        bare = returned;
        let node = deliveries(sender, receiver, MESSAGES_PER_BLOCK).await;
        let typical = middle(&node).as_secs_f64();
        over_sum.push(typical / times.sum.as_secs_f64());
        over_in_turn.push(typical / middle(&times.in_turn).as_secs_f64());
        all.extend(node);
        sums.push(times.sum);
        in_turn.extend(times.in_turn);
    }
    Figure {
        name: "durable 256 B, one in flight: median".to_owned(),
        ours: micros(middle(&all)),
        raw: micros(middle(&in_turn)),
        ratio: middle(&over_in_turn),
        aim: "≤ 1.5 × (bare commit, TLS there, bare commit, TLS back)",
    }
    .add();
    // No program comes near this one: whoever waits for the other side's disk finds the own one, and
    // the own thread, asleep.
    Figure {
        name: "  over the sum of the parts, each in a loop of its own".to_owned(),
        ours: micros(middle(&all)),
        raw: micros(middle(&sums)),
        ratio: middle(&over_sum),
        aim: "(what waiting for each other costs is left out)",
    }
    .add();
    let figures = [
        ("durable 256 B, one in flight: p99", &all, "≤ 5 × the median"),
        ("  the same of the bare parts in turn", &in_turn, "(the machine's own stalls)"),
    ];
    for (name, times, aim) in figures {
        let slowest = percentile(times, 99);
        Figure {
            name: name.to_owned(),
            ours: micros(slowest),
            raw: format!("{} median", micros(middle(times))),
            ratio: slowest.as_secs_f64() / middle(times).as_secs_f64(),
            aim,
        }
        .add();
    }
    mesh.stop().await;
}

pub(crate) async fn measure_crowd() {
    let mesh = Mesh::of(2).await;
    let (sender, receiver) = (mesh.node(0), mesh.node(1).peer_id());
    deliveries(sender, receiver, WARM_UP).await;
    let (mut alone, mut crowd, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CROWDS {
        let times = deliveries(sender, receiver, MESSAGES_PER_BLOCK).await;
        let one = times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
        let many = crowd_rate(sender, receiver).await;
        ratios.push(many / one);
        alone.push(one);
        crowd.push(many);
    }
    Figure {
        name: format!("durable 256 B, {SENDERS} in flight: messages/s"),
        ours: format!("{:.0}", middle(&crowd)),
        raw: format!("{:.0} alone", middle(&alone)),
        ratio: middle(&ratios),
        aim: "≥ 8 × one in flight; 5,000/s",
    }
    .add();
    mesh.stop().await;
}
