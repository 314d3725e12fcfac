//! How many streams there may be, and what those that are slow, silent or many leave to others.

use std::time::Duration;

use bytes::Bytes;
use mesh_transport::{Lane, OpenStreamError, TransportConfig};

use super::{PIECE, Pair, drain, fill, piece};
use crate::support::{Node, within};

#[tokio::test(flavor = "multi_thread")]
async fn each_side_may_open_so_many_streams_and_no_more() {
    let mut pair =
        Pair::with(TransportConfig { streams_max: 3, ..TransportConfig::default() }).await;
    for _ in 0..2 {
        let mut open = Vec::new();
        for is_by_dialler in [true, false] {
            for _ in 0..3 {
                open.push(pair.open(is_by_dialler).await);
            }
        }
        for from in [&pair.at_a, &pair.at_b] {
            let error = within(from.sender().open_stream(Bytes::new())).await.unwrap_err();
            assert_eq!(error, OpenStreamError::TooMany);
        }
        for (near, far) in &mut open {
            within(near.send(piece(PIECE))).await.unwrap();
            near.finish();
            far.finish();
        }
        for (near, far) in &mut open {
            assert_eq!(drain(far).await, Ok(PIECE as u64));
            assert_eq!(drain(near).await, Ok(0));
        }
    }
    pair.assert_lanes_pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_opens_more_than_this_side_allows_is_refused() {
    let patient = TransportConfig { streams_max: 6, ..TransportConfig::default() };
    let strict = TransportConfig { streams_max: 2, ..TransportConfig::default() };
    for is_by_dialler in [true, false] {
        let (dialler, acceptor) =
            if is_by_dialler { (&patient, &strict) } else { (&strict, &patient) };
        let (a, b) = (Node::with(1, dialler.clone()), Node::with(2, acceptor.clone()));
        a.members.admit(b.me);
        b.members.admit(a.me);
        let mut pair = Pair::of(a, b).await;
        let mut held = vec![pair.open(is_by_dialler).await, pair.open(is_by_dialler).await];
        let sender = if is_by_dialler { pair.at_a.sender() } else { pair.at_b.sender() };
        for _ in 0..50 {
            let error = within(sender.open_stream(Bytes::new())).await.unwrap_err();
            assert_eq!(error, OpenStreamError::TooMany);
        }
        pair.assert_lanes_pass().await;
        let (mut near, mut far) = held.pop().unwrap();
        near.finish();
        far.finish();
        assert_eq!((drain(&mut far).await, drain(&mut near).await), (Ok(0), Ok(0)));
        let _again = pair.open(is_by_dialler).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_reads_stall_neither_others_nor_the_lanes() {
    let config = TransportConfig { streams_max: 4, ..TransportConfig::default() };
    let windows = u64::from(config.stream_window_bytes);
    let buffers = (config.stream_queue_bytes + config.send_buffer_bytes + 2 * PIECE) as u64;
    let mut pair = Pair::with(config).await;
    // Both directions of all streams but one, and the bulk lanes, until nothing moves in them.
    let mut filling = Vec::new();
    for is_by_dialler in [true, true, true, false, false, false, false] {
        let (near, far) = pair.open(is_by_dialler).await;
        filling.push(pair.a.tracker.spawn(fill(near)));
        filling.push(pair.a.tracker.spawn(fill(far)));
    }
    let mut stuck = Vec::new();
    for filled in filling {
        stuck.push(within(filled).await.unwrap());
    }
    for link in [&pair.at_a, &pair.at_b] {
        while link.sender().try_send(Lane::Bulk, &crate::support::live(0, 1 << 20)).is_ok() {}
        assert!(link.bytes_sent() < 8 * (windows + buffers), "each is bounded");
    }
    pair.assert_lanes_pass().await;
    let (mut near, mut far) = pair.open(true).await;
    let reading = pair.a.tracker.spawn(async move { drain(&mut far).await });
    for _ in 0..200 {
        within(near.send(piece(PIECE))).await.unwrap();
    }
    near.finish();
    assert_eq!(within(reading).await.unwrap(), Ok(200 * PIECE as u64));
    pair.assert_lanes_pass().await;
    // Given up, they are places again.
    drop((stuck, near));
    let sender = pair.at_a.sender();
    let mut arriving = pair.streams_b;
    let accepting = pair.a.tracker.spawn(async move {
        let mut held = Vec::new();
        while let Some(arrived) = arriving.next().await {
            held.push(arrived.accept());
        }
    });
    let mut held = Vec::new();
    within(async {
        while held.len() < 4 {
            match sender.open_stream(Bytes::new()).await {
                Ok(stream) => held.push(stream),
                Err(error) => assert_eq!(error, OpenStreamError::TooMany),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    pair.at_a.close();
    within(accepting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn urgent_frames_overtake_streams_that_saturate_the_link() {
    let mut pair = Pair::new().await;
    let mut running = Vec::new();
    for is_by_dialler in [true, false] {
        let (mut near, mut far) = pair.open(is_by_dialler).await;
        running.push(
            pair.a.tracker.spawn(async move { while near.send(piece(PIECE)).await.is_ok() {} }),
        );
        running
            .push(pair.a.tracker.spawn(async move { while let Some(Ok(_)) = far.recv().await {} }));
    }
    let (mut sent, mut late) = (pair.at_a.bytes_sent(), 0);
    for _ in 0..300 {
        let in_time =
            tokio::time::timeout(Duration::from_millis(500), pair.assert_lanes_pass()).await;
        if in_time.is_err() {
            late += 1;
        }
    }
    sent = pair.at_a.bytes_sent() - sent;
    assert!(late <= 3, "{late} of 300 were late");
    assert!(sent > 16 << 20, "the link was idle: {sent} bytes");
    pair.at_a.close();
    for ended in running {
        within(ended).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_the_link_fairly() {
    let mut pair = Pair::new().await;
    let mut reading = Vec::new();
    // Both in one direction.
    for _ in 0..2 {
        let (mut near, mut far) = pair.open(true).await;
        pair.a.tracker.spawn(async move {
            let pieces = piece(PIECE);
            while near.send(pieces.clone()).await.is_ok() {}
        });
        let read = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        reading.push(std::sync::Arc::clone(&read));
        pair.b.tracker.spawn(async move {
            while let Some(Ok(bytes)) = far.recv().await {
                read.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
            }
        });
    }
    let counts = || -> Vec<u64> {
        reading.iter().map(|read| read.load(std::sync::atomic::Ordering::Relaxed)).collect()
    };
    within(async {
        while counts().iter().sum::<u64>() < 256 << 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (least, sum) = (counts().into_iter().min().unwrap(), counts().into_iter().sum::<u64>());
    assert!(least * 10 > sum * 3, "{least} of {sum} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_opens_streams_and_never_sends_holds_its_places_and_nothing_else() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let mut silent = Vec::new();
        for _ in 0..8 {
            silent.push(pair.open(is_by_dialler).await);
        }
        pair.assert_lanes_pass().await;
        let (mut near, mut far) = pair.open(!is_by_dialler).await;
        within(near.send(piece(PIECE))).await.unwrap();
        near.finish();
        assert_eq!(drain(&mut far).await, Ok(PIECE as u64));
        // Whoever has waited long enough gives one up, and its place is free on both sides.
        let (near, far) = silent.pop().unwrap();
        far.reset("too slow");
        drop(near);
        let sender = if is_by_dialler { pair.at_a.sender() } else { pair.at_b.sender() };
        let arriving = if is_by_dialler { &mut pair.streams_b } else { &mut pair.streams_a };
        let accepting = async { arriving.next().await.unwrap().accept() };
        let opening = async {
            loop {
                match sender.open_stream(Bytes::new()).await {
                    Ok(stream) => return stream,
                    Err(error) => assert_eq!(error, OpenStreamError::TooMany),
                }
                tokio::task::yield_now().await;
            }
        };
        let _both = within(async { tokio::join!(opening, accepting) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_taken_in_time_is_given_up_on_both_sides() {
    let config = TransportConfig {
        stream_open_timeout: Duration::from_millis(100),
        ..TransportConfig::default()
    };
    let mut pair = Pair::with(config).await;
    for is_by_dialler in [true, false] {
        let sender = if is_by_dialler { pair.at_a.sender() } else { pair.at_b.sender() };
        let error = within(sender.open_stream(Bytes::from_static(b"lost"))).await.unwrap_err();
        assert_eq!(error, OpenStreamError::TimedOut);
    }
    // Neither shows up afterwards, or it says at once that it is over.
    for is_by_dialler in [true, false] {
        let sender = if is_by_dialler { pair.at_a.sender() } else { pair.at_b.sender() };
        let arriving = if is_by_dialler { &mut pair.streams_b } else { &mut pair.streams_a };
        let accepting = async {
            loop {
                let arrived = arriving.next().await.unwrap();
                if arrived.head() == "found" {
                    return arrived.accept();
                }
                let mut lost = arrived.accept();
                assert!(lost.recv().await.unwrap().is_err());
            }
        };
        let opening = async {
            loop {
                match sender.open_stream(Bytes::from_static(b"found")).await {
                    Ok(stream) => return stream,
                    Err(error) => assert_eq!(error, OpenStreamError::TimedOut),
                }
            }
        };
        let _both = within(async { tokio::join!(opening, accepting) }).await;
    }
    pair.assert_lanes_pass().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_in_a_loop_cost_no_link() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let sender = if is_by_dialler { pair.at_a.sender() } else { pair.at_b.sender() };
        let arriving = if is_by_dialler { &mut pair.streams_b } else { &mut pair.streams_a };
        let opening = async {
            let mut reset = 0;
            while reset < 2000 {
                // Some are given up while they are being opened, some with bytes on their way.
                let opening = sender.open_stream(Bytes::new());
                match tokio::time::timeout(Duration::from_micros(reset % 500), opening).await {
                    Ok(Ok(mut stream)) => {
                        let _reset = stream.send(piece(PIECE)).await;
                        stream.reset("again");
                    }
                    Ok(Err(error)) => assert_ne!(error, OpenStreamError::Closed),
                    Err(_elapsed) => {}
                }
                reset += 1;
            }
        };
        let accepting = async {
            let mut held = std::collections::VecDeque::new();
            while let Some(arrived) = arriving.next().await {
                held.push_back(arrived.accept());
                if held.len() > 4 {
                    held.pop_front();
                }
            }
        };
        tokio::select! {
            () = within(opening) => {}
            () = accepting => {}
        }
        assert!(!pair.at_a.is_closed());
        pair.assert_lanes_pass().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_at_a_time_to_nobody_costs_no_link() {
    let mut pair = Pair::new().await;
    for is_by_dialler in [true, false] {
        let (mut near, mut far) = pair.open(is_by_dialler).await;
        for _ in 0..20_000 {
            within(near.send(Bytes::from_static(b"x"))).await.unwrap();
        }
        near.finish();
        pair.assert_lanes_pass().await;
        assert_eq!(drain(&mut far).await, Ok(20_000));
    }
}
