//! What a link costs over the bare parts that it is made of, measured in the same run:
//! a round trip against raw TLS, throughput against one tuned HTTP/2 stream, a broadcast against
//! as many bare HTTP/2 requests, a stream of bytes against raw TLS, and urgent frames beside such streams.
//! `cargo bench -p mesh-transport`, or `-- ping bulk …` for some of them.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and starts tasks of its own"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark reports and gives up"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use mesh_crypto::NodeKey;
use mesh_protocol::{
    Address, Frame, Hello, LinkPing, Live, LiveResult, MeshId, PeerId, ProtocolVersion,
    VersionRange, Welcome,
};
use mesh_testkit::{Figures, Raw};
use mesh_transport::{Gatekeeper, Incoming, Lane, Link, Transport, TransportConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

mod bare;
mod bulk;

const PINGS: usize = 5_000;
const LIVE_BYTES: usize = 64 << 10;
const LIVES: usize = 8_000;
pub(crate) static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const LIVES_UNDER_WAY: usize = 128;
const BROADCAST_BYTES: usize = 256;
const BROADCAST_LINKS: u8 = 64;
const BROADCASTS: usize = 400;
/// Each pair of measurements is repeated, alternating, and the middle ratio counts: the machine is shared.
const ROUNDS: usize = 5;

struct Everybody;

impl Gatekeeper for Everybody {
    fn is_member(&self, _peer: &PeerId) -> bool {
        true
    }
}

fn transport(number: u8) -> (PeerId, Transport) {
    let key = NodeKey::from_secret_bytes(&Zeroizing::new([number; 32]));
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let config = TransportConfig::default();
    let transport = Transport::new(&key, Arc::new(Everybody), config, tracker, shutdown).unwrap();
    (key.peer_id(), transport)
}

async fn link(a: &Transport, b: &FarSide) -> Link {
    let hello = Hello {
        versions: VersionRange::SUPPORTED,
        mesh_id: MeshId::from_bytes([1; 32]),
        records_digest: [0; 32],
        pair_key_id: None,
    };
    let dialled = a.dial(b.peer, std::slice::from_ref(&b.address)).await.unwrap();
    dialled.hello(hello).await.unwrap().0
}

/// A peer in the far runtime that takes every link and answers all that comes.
struct FarSide {
    peer: PeerId,
    address: Address,
}

impl FarSide {
    async fn start(number: u8) -> Self {
        let starting = bare::far().spawn(async move {
            let (peer, transport) = transport(number);
            let mut listening = transport.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let address = Address::from(listening.local_addr());
            tokio::spawn(async move {
                // Kept as long as its listener.
                let _transport = transport;
                while let Some(incoming) = listening.next().await {
                    answer_all(accept(incoming).await);
                }
            });
            Self { peer, address }
        });
        starting.await.unwrap()
    }
}

async fn accept(incoming: Incoming) -> Link {
    let welcome = Welcome {
        version: ProtocolVersion::CURRENT,
        records_digest: [0; 32],
        is_pair_key_renewed: true,
    };
    match incoming {
        Incoming::Link(pending) => pending.welcome(welcome).await.unwrap(),
        Incoming::Join(_) => panic!("nobody joins here"),
    }
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap()
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap()
}

/// Answers everything on all lanes as a node would: pong, or the result of a live message.
fn answer_all(mut link: Link) {
    bulk::swallow_all(link.take_streams());
    let sender = link.sender();
    for (lane, mut receiver) in Lane::ALL.into_iter().zip(link.receivers()) {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = receiver.next().await {
                let answer = match frame {
                    Frame::Ping(ping) => Frame::Pong(ping),
                    Frame::Live(live) => {
                        Frame::LiveResult(LiveResult { request_id: live.request_id, error: None })
                    }
                    other => panic!("not expected: {other:?}"),
                };
                if sender.send(lane, &answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn link_pings(link: &mut Link) -> Vec<Duration> {
    let sender = link.sender();
    let mut receiver = link.take_receiver(Lane::Urgent);
    // In a task of its own, as a node's code is; the main thread's executor is slower.
    let pinging = tokio::spawn(async move {
        let mut times = Vec::with_capacity(PINGS);
        for nonce in 0..PINGS as u64 {
            let started = Instant::now();
            sender.try_send(Lane::Urgent, &Frame::Ping(LinkPing { nonce, sent_at: 0 })).unwrap();
            let pong = receiver.next().await.unwrap().unwrap();
            times.push(started.elapsed());
            assert_eq!(pong, Frame::Pong(LinkPing { nonce, sent_at: 0 }));
        }
        times
    });
    pinging.await.unwrap()
}

async fn tls_pings(bytes: usize) -> Vec<Duration> {
    let (mut client, mut server) = bare::tls_pair().await;
    bare::far().spawn(async move {
        let mut buffer = vec![0; bytes];
        while server.read_exact(&mut buffer).await.is_ok() {
            server.write_all(&buffer).await.unwrap();
            server.flush().await.unwrap();
        }
    });
    let pinging = tokio::spawn(async move {
        let mut buffer = vec![7; bytes];
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

async fn bench_ping() {
    let ping_bytes = Frame::Ping(LinkPing { nonce: 0, sent_at: 0 }).encode().unwrap().len();
    let (_, a) = transport(1);
    let b = FarSide::start(2).await;
    let (mut over_link, mut raw, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let tls = median(tls_pings(ping_bytes).await);
        let mut dialled = link(&a, &b).await;
        let ours = median(link_pings(&mut dialled).await);
        ratios.push(ours.as_secs_f64() / tls.as_secs_f64());
        over_link.push(ours);
        raw.push(tls);
    }
    let raw = Raw::new(format!("raw TLS {:.1?}", median(raw)), middle(ratios));
    FIGURES.add(
        &format!("ping over a link, {ping_bytes} bytes"),
        &format!("{:.1?}", median(over_link)),
        "≤ 3 x raw TLS",
        raw,
    );
}

/// Sends live messages with a bounded number under way, and returns the seconds until all are answered.
async fn link_stream(link: &mut Link) -> f64 {
    let sender = link.sender();
    let mut receiver = link.take_receiver(Lane::Normal);
    let places = Arc::new(tokio::sync::Semaphore::new(LIVES_UNDER_WAY));
    let freed = Arc::clone(&places);
    let started = Instant::now();
    let answers = tokio::spawn(async move {
        for _ in 0..LIVES {
            let answer = receiver.next().await.unwrap().unwrap();
            assert!(matches!(answer, Frame::LiveResult(LiveResult { error: None, .. })));
            freed.add_permits(1);
        }
    });
    let sending = tokio::spawn(async move {
        let mut live = Live { request_id: 0, message: vec![7; LIVE_BYTES] };
        for request_id in 0..LIVES as u64 {
            places.acquire().await.unwrap().forget();
            live.request_id = request_id;
            let frame = Frame::Live(live);
            sender.send(Lane::Normal, &frame).await.unwrap();
            let Frame::Live(back) = frame else { unreachable!() };
            live = back;
        }
    });
    sending.await.unwrap();
    answers.await.unwrap();
    started.elapsed().as_secs_f64()
}

async fn bench_stream() {
    let (_, a) = transport(1);
    let b = FarSide::start(2).await;
    let gigabytes = (LIVES * LIVE_BYTES) as f64 / 1e9;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let piece = Bytes::from(vec![7; LIVE_BYTES]);
        let bare = gigabytes / bare::stream(piece, LIVES).await;
        let mut dialled = link(&a, &b).await;
        let linked = gigabytes / link_stream(&mut dialled).await;
        ratios.push(linked / bare);
        ours.push(linked);
        theirs.push(bare);
    }
    let raw = Raw::new(format!("bare HTTP/2 stream {:.2} GB/s", middle(theirs)), middle(ratios));
    let rate = format!("{:.2} GB/s", middle(ours));
    FIGURES.add("64 KiB live messages over a link", &rate, "≥ 0.6 x bare HTTP/2", raw);
}

/// Broadcasts to all links and waits for all answers, again and again; returns each round's time.
async fn link_broadcasts(links: Vec<Link>) -> Vec<Duration> {
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let senders: Vec<_> = links.iter().map(Link::sender).collect();
    for mut link in links {
        let answered = answered.clone();
        tokio::spawn(async move {
            let [_urgent, mut normal, _bulk] = link.receivers();
            while let Some(Ok(frame)) = normal.next().await {
                let Frame::LiveResult(result) = frame else { panic!("not expected") };
                answered.send(result.request_id).unwrap();
            }
        });
    }
    let broadcasting = tokio::spawn(async move {
        let mut times = Vec::with_capacity(BROADCASTS);
        for request_id in 0..BROADCASTS as u64 {
            let started = Instant::now();
            let live = Live { request_id, message: vec![7; BROADCAST_BYTES] };
            let frame = Bytes::from(Frame::Live(live).encode().unwrap());
            for sender in &senders {
                sender.try_send_encoded(Lane::Normal, frame.clone()).unwrap();
            }
            for _ in &senders {
                assert_eq!(answers.recv().await, Some(request_id));
            }
            times.push(started.elapsed());
        }
        times
    });
    broadcasting.await.unwrap()
}

async fn bench_broadcast() {
    let (_, a) = transport(1);
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bare = {
            let requests = join_all((0..BROADCAST_LINKS).map(|_| bare::requests())).await;
            median(bare::broadcasts(requests, BROADCAST_BYTES, BROADCASTS).await)
        };
        let linked = {
            let mut links = Vec::new();
            for number in 0..BROADCAST_LINKS {
                links.push(link(&a, &FarSide::start(100 + number).await).await);
            }
            median(link_broadcasts(links).await)
        };
        ratios.push(linked.as_secs_f64() / bare.as_secs_f64());
        ours.push(linked);
        theirs.push(bare);
    }
    let raw = Raw::new(format!("bare HTTP/2 requests {:.1?}", median(theirs)), middle(ratios));
    FIGURES.add(
        &format!("{BROADCAST_BYTES} bytes over {BROADCAST_LINKS} links, all answered"),
        &format!("{:.1?}", median(ours)),
        "≤ 1.2 x bare HTTP/2",
        raw,
    );
}

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| named.is_empty() || named.iter().any(|wanted| wanted == name);
    bare::runtime().block_on(async {
        if is_wanted("ping") {
            bench_ping().await;
        }
        if is_wanted("live") {
            bench_stream().await;
        }
        if is_wanted("broadcast") {
            bench_broadcast().await;
        }
        if is_wanted("bulk") {
            bulk::bench_bulk().await;
            bulk::bench_ping_beside_streams().await;
        }
    });
}
