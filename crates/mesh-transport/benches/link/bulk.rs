//! What a stream of bytes costs over raw TLS, and what it costs the urgent lane.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mesh_protocol::{Frame, LinkPing, Live};
use mesh_testkit::Raw;
use mesh_transport::{Lane, Link, StreamReceiver, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{FIGURES, FarSide, ROUNDS, bare, link, median, middle, transport};

const PIECE_BYTES: usize = 256 << 10;
const BULK_BYTES: usize = 1 << 30;
const PINGS_BESIDE: u64 = 400;

/// Takes every stream, reads it to its end and then says one word.
pub(crate) fn swallow_all(mut streams: StreamReceiver) {
    tokio::spawn(async move {
        while let Some(arrived) = streams.next().await {
            let mut stream = arrived.accept();
            tokio::spawn(async move {
                while let Some(Ok(_)) = stream.recv().await {}
                let _gone = stream.send(Bytes::from_static(b"!")).await;
                stream.finish();
            });
        }
    });
}

async fn raw_tls() -> f64 {
    let (mut client, mut server) = bare::tls_pair().await;
    bare::far().spawn(async move {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut left = BULK_BYTES;
        while left > 0 {
            left -= server.read(&mut buffer).await.unwrap();
        }
        server.write_all(b"!").await.unwrap();
        server.flush().await.unwrap();
    });
    let sending = tokio::spawn(async move {
        let piece = vec![7; PIECE_BYTES];
        let started = Instant::now();
        for _ in 0..BULK_BYTES / PIECE_BYTES {
            client.write_all(&piece).await.unwrap();
        }
        client.flush().await.unwrap();
        client.read_u8().await.unwrap();
        started.elapsed().as_secs_f64()
    });
    sending.await.unwrap()
}

async fn stream(link: &Link) -> f64 {
    let mut stream = link.sender().open_stream(Bytes::from_static(b"bench")).await.unwrap();
    let sending = tokio::spawn(async move {
        let piece = Bytes::from(vec![7; PIECE_BYTES]);
        let started = Instant::now();
        for _ in 0..BULK_BYTES / PIECE_BYTES {
            stream.send(piece.clone()).await.unwrap();
        }
        stream.finish();
        assert_eq!(stream.recv().await.unwrap().unwrap(), "!");
        started.elapsed().as_secs_f64()
    });
    sending.await.unwrap()
}

pub(crate) async fn bench_bulk() {
    let (_, a) = transport(1);
    let b = FarSide::start(2).await;
    let gigabytes = BULK_BYTES as f64 / 1e9;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let raw = gigabytes / raw_tls().await;
        let streamed = gigabytes / stream(&link(&a, &b).await).await;
        ratios.push(streamed / raw);
        ours.push(streamed);
        theirs.push(raw);
    }
    let raw = Raw::new(format!("raw TLS {:.2} GB/s", middle(theirs)), middle(ratios));
    let rate = format!("{:.2} GB/s", middle(ours));
    FIGURES.add("1 GiB on a stream, pieces of 256 KiB", &rate, "≥ 0.8 x raw TLS", raw);
}

/// What keeps the link busy while it is pinged.
#[derive(Clone, Copy)]
enum Load {
    TwoStreams,
    BulkLane,
}

/// Each ping's time, ascending, and the load in GB/s.
async fn pings_beside(a: &Transport, b: &FarSide, load: Load) -> (Vec<Duration>, f64) {
    let mut dialled = link(a, b).await;
    let [mut urgent, _normal, mut bulk] = dialled.receivers();
    match load {
        Load::TwoStreams => {
            for _ in 0..2 {
                let head = Bytes::from_static(b"bench");
                let mut stream = dialled.sender().open_stream(head).await.unwrap();
                tokio::spawn(async move {
                    let piece = Bytes::from(vec![7; PIECE_BYTES]);
                    while stream.send(piece.clone()).await.is_ok() {}
                });
            }
        }
        Load::BulkLane => {
            let sender = dialled.sender();
            tokio::spawn(async move {
                let live = Frame::Live(Live { request_id: 0, message: vec![7; PIECE_BYTES] });
                let frame = Bytes::from(live.encode().unwrap());
                while sender.send_encoded(Lane::Bulk, frame.clone()).await.is_ok() {}
            });
        }
    }
    let answers = tokio::spawn(async move { while let Some(Ok(_)) = bulk.next().await {} });
    let sender = dialled.sender();
    let (before, started) = (dialled.bytes_sent(), Instant::now());
    let pinging = tokio::spawn(async move {
        let mut times = Vec::new();
        for nonce in 0..PINGS_BESIDE {
            let started = Instant::now();
            sender.try_send(Lane::Urgent, &Frame::Ping(LinkPing { nonce, sent_at: 0 })).unwrap();
            urgent.next().await.unwrap().unwrap();
            times.push(started.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Its end would be the link's.
        (times, urgent)
    });
    let (mut times, _urgent) = pinging.await.unwrap();
    let rate = (dialled.bytes_sent() - before) as f64 / started.elapsed().as_secs_f64() / 1e9;
    dialled.close();
    answers.await.unwrap();
    times.sort_unstable();
    (times, rate)
}

pub(crate) async fn bench_ping_beside_streams() {
    let (_, a) = transport(1);
    let b = FarSide::start(2).await;
    let late = |times: &[Duration]| times.get(times.len() * 99 / 100).copied().unwrap();
    let (mut middles, mut slowest, mut rates, mut ratios) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let (by_lane, _) = pings_beside(&a, &b, Load::BulkLane).await;
        let (by_streams, rate) = pings_beside(&a, &b, Load::TwoStreams).await;
        ratios.push(late(&by_streams).as_secs_f64() / late(&by_lane).as_secs_f64());
        slowest.push(late(&by_streams));
        middles.push(median(by_streams));
        rates.push(rate);
    }
    let streams = format!("two streams carry {:.2} GB/s", middle(rates));
    let middles = format!("{:.1?}", median(middles));
    FIGURES.add("ping beside two busy streams: p50", &middles, "", streams.as_str());
    let raw = Raw::new("beside a full bulk lane", middle(ratios));
    let slowest = format!("{:.1?}", median(slowest));
    FIGURES.add(
        "ping beside two busy streams: p99",
        &slowest,
        "≤ 2 x beside a full bulk lane",
        raw,
    );
}
