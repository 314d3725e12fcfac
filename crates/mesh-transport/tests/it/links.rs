use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mesh_protocol::{DecodeError, ErrorCode, FRAME_BODY_BYTES_MAX, Frame, MeshId, Refused};
use mesh_transport::{DialError, Lane, SendError, TransportConfig, TrySendError};

use crate::raw;
use crate::support::{
    Node, assert_passes, hello, key, link, live, next_pending, pair, pair_with, ping, welcome,
    within,
};

#[tokio::test(flavor = "multi_thread")]
async fn members_link_and_frames_go_both_ways_on_every_lane() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (mut at_a, mut at_b) = link(&a, &b, &mut listening).await;
    assert_eq!((at_a.peer(), at_b.peer()), (b.me, a.me));
    assert!(at_a.is_dialled() && !at_b.is_dialled());
    assert_eq!(at_a.remote(), listening.local_addr());
    let (mut into_a, mut into_b) = (at_a.receivers(), at_b.receivers());
    for (index, lane) in Lane::ALL.into_iter().enumerate() {
        // The largest message, small ones around it, and what does not fit one HTTP/2 frame.
        for (number, bytes) in [0, 1, 300, 70_000, 1 << 20, 5].into_iter().enumerate() {
            let frame = live(number as u64, bytes);
            within(at_a.sender().send(lane, &frame)).await.unwrap();
            assert_eq!(within(into_b[index].next()).await.unwrap().unwrap(), frame);
            within(at_b.sender().send(lane, &frame)).await.unwrap();
            assert_eq!(within(into_a[index].next()).await.unwrap().unwrap(), frame);
        }
    }
    assert!(at_a.bytes_sent() > 3 << 20 && at_a.bytes_received() > 3 << 20);
    assert_eq!(at_a.bytes_sent(), at_b.bytes_received());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hello_and_the_welcome_arrive_as_they_were_said() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let addr = listening.local_addr();
    let (dialled, accepted) = tokio::join!(a.dial(b.me, addr), async {
        let pending = next_pending(&mut listening).await;
        assert_eq!((pending.peer(), pending.hello()), (a.me, &hello()));
        pending.welcome(welcome()).await
    });
    assert_eq!(dialled.unwrap().1, welcome());
    accepted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_backlog_does_not_hold_up_an_urgent_frame() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (mut at_a, mut at_b) = link(&a, &b, &mut listening).await;
    let (mut into_a, mut into_b) = (at_a.receivers(), at_b.receivers());
    let bulk = live(0, 1 << 20);
    // Nobody reads the bulk lane, so it fills up to its last buffer, on both sides.
    let sender = at_a.sender();
    let stuck = a.tracker.spawn(async move {
        let mut sent = 0_u64;
        for _ in 0..200 {
            sender.send(Lane::Bulk, &bulk).await.unwrap();
            sent += 1;
        }
        sent
    });
    for nonce in 0..100 {
        assert_passes(&at_a, &mut into_b[0], nonce).await;
        assert_passes(&at_b, &mut into_a[0], nonce).await;
    }
    assert!(!stuck.is_finished(), "200 MiB cannot have gone anywhere");
    for _ in 0..200 {
        within(into_b[2].next()).await.unwrap().unwrap();
    }
    assert_eq!(within(stuck).await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_says_so_and_the_others_go_on() {
    let config = TransportConfig { lane_queue_frames: 4, ..TransportConfig::default() };
    let (a, b) = pair_with(config);
    let mut listening = b.listen().await;
    let (at_a, mut at_b) = link(&a, &b, &mut listening).await;
    let mut into_b = at_b.receivers();
    let sender = at_a.sender();
    let bulk = Bytes::from(live(0, 1 << 20).encode().unwrap());
    let mut queued = 0;
    // What is under way is bounded by windows and buffers, what waits by the queue.
    let full = loop {
        match sender.try_send_encoded(Lane::Bulk, bulk.clone()) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 100, "the lane has no bound");
    };
    assert!(matches!(full, TrySendError::Full), "{full}");
    assert_passes(&at_a, &mut into_b[0], 1).await;
    for _ in 0..queued {
        within(into_b[2].next()).await.unwrap().unwrap();
    }
    within(sender.send_encoded(Lane::Bulk, bulk)).await.unwrap();
    within(into_b[2].next()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn own_frames_find_room_in_a_lane_that_relayed_ones_have_filled() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, mut at_b) = link(&a, &b, &mut listening).await;
    let [_urgent, _normal, mut bulk] = at_b.receivers();
    let (sender, relayed) = (at_a.sender(), live(0, 1 << 20));
    let mut queued = 0;
    let full = loop {
        match sender.try_send_relayed(Lane::Bulk, &relayed) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 100, "the lane has no bound");
    };
    assert!(matches!(full, TrySendError::Full), "{full}");
    // Half of the places of the lane.
    for nonce in 0..128 {
        sender.try_send(Lane::Bulk, &ping(nonce)).unwrap();
    }
    for _ in 0..queued {
        assert_eq!(within(bulk.next()).await.unwrap().unwrap(), relayed);
    }
    for nonce in 0..128 {
        assert_eq!(within(bulk.next()).await.unwrap().unwrap(), ping(nonce));
    }
    sender.try_send_relayed(Lane::Bulk, &relayed).unwrap();
    at_a.close();
    let closed = sender.try_send_relayed(Lane::Bulk, &relayed).unwrap_err();
    assert!(matches!(closed, TrySendError::Closed), "{closed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pair_secret_is_the_same_on_both_sides_and_new_on_every_link() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, at_b) = link(&a, &b, &mut listening).await;
    assert_eq!(at_a.pair_secret(), at_b.pair_secret());
    assert_ne!(*at_a.pair_secret(), [0; 32]);
    let (again_a, again_b) = link(&a, &b, &mut listening).await;
    assert_eq!(again_a.pair_secret(), again_b.pair_secret());
    assert_ne!(at_a.pair_secret(), again_a.pair_secret());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pair_secret_is_bound_to_the_mesh_that_hello_named() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let addr = listening.local_addr().into();
    let other = mesh_protocol::Hello { mesh_id: MeshId::from_bytes([8; 32]), ..hello() };
    let (dialled, accepted) =
        tokio::join!(async { a.transport.dial(b.me, &[addr]).await?.hello(other).await }, async {
            next_pending(&mut listening).await.welcome(welcome()).await
        },);
    assert_eq!(dialled.unwrap().0.pair_secret(), accepted.unwrap().pair_secret());
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_link_is_seen_by_both() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    for closed_by_dialler in [true, false] {
        let (mut at_a, mut at_b) = link(&a, &b, &mut listening).await;
        let (mut into_a, mut into_b) = (at_a.receivers(), at_b.receivers());
        if closed_by_dialler {
            at_a.close()
        } else {
            at_b.close()
        }
        within(at_a.closed()).await;
        within(at_b.closed()).await;
        assert!(at_a.is_closed() && at_b.is_closed());
        for receiver in into_a.iter_mut().chain(&mut into_b) {
            assert!(within(receiver.next()).await.is_none());
        }
        for sender in [at_a.sender(), at_b.sender()] {
            assert!(matches!(
                within(sender.send(Lane::Bulk, &ping(1))).await,
                Err(SendError::Closed)
            ));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_waits_for_room_hears_of_the_end() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, _at_b) = link(&a, &b, &mut listening).await;
    let sender = at_a.sender();
    let bulk = Bytes::from(live(0, 1 << 20).encode().unwrap());
    let waiting = a.tracker.spawn(async move {
        loop {
            if let Err(error) = sender.send_encoded(Lane::Bulk, bulk.clone()).await {
                return error;
            }
        }
    });
    at_a.close();
    assert!(matches!(within(waiting).await.unwrap(), SendError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_receiver_ends_the_link() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, mut at_b) = link(&a, &b, &mut listening).await;
    let [_urgent, normal, _bulk] = at_b.receivers();
    assert!(!at_b.is_closed());
    drop(normal);
    within(at_b.closed()).await;
    within(at_a.closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_taken_is_replaced_by_one_that_is_over() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, mut at_b) = link(&a, &b, &mut listening).await;
    let mut first = at_b.receivers();
    for mut second in at_b.receivers() {
        assert!(within(second.next()).await.is_none());
    }
    assert_passes(&at_a, &mut first[0], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_read_loses_nothing() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, mut at_b) = link(&a, &b, &mut listening).await;
    let mut into_b = at_b.take_receiver(Lane::Normal);
    let sender = at_a.sender();
    let sending = a.tracker.spawn(async move {
        for request_id in 0..50 {
            sender.send(Lane::Normal, &live(request_id, 200_000)).await.unwrap();
        }
    });
    let cancelled = AtomicU64::new(0);
    for request_id in 0..50 {
        // The other branch wins whenever only a part of the frame is there.
        let frame = within(async {
            loop {
                tokio::select! {
                    biased;
                    next = into_b.next() => return next,
                    () = tokio::task::yield_now() => cancelled.fetch_add(1, Ordering::Relaxed),
                };
            }
        })
        .await;
        assert_eq!(frame.unwrap().unwrap(), live(request_id, 200_000));
    }
    within(sending).await.unwrap();
    assert!(cancelled.into_inner() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_the_dialler_with_its_code() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let addr = listening.local_addr();
    let refused =
        Refused { code: ErrorCode::VersionUnsupported, message: "no version in common".into() };
    let (dialled, ()) = tokio::join!(a.dial(b.me, addr), async {
        next_pending(&mut listening).await.refuse(refused).await;
    });
    let error = dialled.unwrap_err();
    assert!(error.is_refusal());
    assert_eq!(error.code(), ErrorCode::VersionUnsupported);
    assert_eq!(error.to_string(), "refused (version_unsupported): no version in common");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_of_another_major_version_is_refused() {
    let b = Node::new(2);
    b.members.admit(key(1).peer_id());
    let listening = b.listen().await;
    let mut requests = raw::http2(listening.local_addr(), &key(1), raw::LINK).await;
    let mut bytes = Frame::Hello(hello()).encode().unwrap();
    bytes[4] = 9;
    let (_open, response) = within(raw::open_lane(&mut requests, 0, bytes)).await;
    let Frame::Refused(refused) = within(raw::frame_of(response)).await else {
        panic!("not refused");
    };
    assert_eq!(refused.code, ErrorCode::VersionUnsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_before_hello_is_refused() {
    let b = Node::new(2);
    b.members.admit(key(1).peer_id());
    let listening = b.listen().await;
    let mut requests = raw::http2(listening.local_addr(), &key(1), raw::LINK).await;
    let bytes = ping(1).encode().unwrap();
    let (_open, response) = within(raw::open_lane(&mut requests, 0, bytes)).await;
    let Frame::Refused(refused) = within(raw::frame_of(response)).await else {
        panic!("not refused");
    };
    assert_eq!(refused.code, ErrorCode::ProtocolError);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_kind_from_the_future_is_skipped_and_a_broken_frame_ends_the_link() {
    let b = Node::new(2);
    b.members.admit(key(1).peer_id());
    let mut listening = b.listen().await;
    let mut requests = raw::http2(listening.local_addr(), &key(1), raw::LINK).await;
    let hello = Frame::Hello(hello()).encode().unwrap();
    let raw_dialler = async {
        let (lane, _response) = raw::open_lane(&mut requests, 0, hello).await;
        // Opened before Welcome they would be refused; the answer's first frame is waited for.
        let mut body = _response.into_body();
        let _welcome = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        let (normal, _) = raw::open_lane(&mut requests, 1, Bytes::new()).await;
        let (bulk, _) = raw::open_lane(&mut requests, 2, Bytes::new()).await;
        (lane, normal, bulk, body)
    };
    let ((lane, _normal, _bulk, _body), accepted) = within(async {
        tokio::join!(raw_dialler, async {
            next_pending(&mut listening).await.welcome(welcome()).await
        })
    })
    .await;
    let mut link = accepted.unwrap();
    let [mut urgent, mut normal, mut bulk] = link.receivers();
    let mut strange = live(1, 100).encode().unwrap();
    strange[6..8].copy_from_slice(&4711_u16.to_le_bytes());
    lane.send(Bytes::from(strange)).unwrap();
    lane.send(Bytes::from(ping(5).encode().unwrap())).unwrap();
    assert_eq!(within(urgent.next()).await.unwrap().unwrap(), ping(5));

    let mut huge = ping(6).encode().unwrap();
    huge[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    lane.send(Bytes::from(huge)).unwrap();
    let error = within(urgent.next()).await.unwrap().unwrap_err();
    let expected = u64::from(u32::MAX);
    assert_eq!(error, DecodeError::TooLarge { bytes: expected, bytes_max: FRAME_BODY_BYTES_MAX });
    within(link.closed()).await;
    assert!(within(urgent.next()).await.is_none());
    assert!(within(normal.next()).await.is_none());
    assert!(within(bulk.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_open_once_in_order_and_there_is_nothing_else() {
    let b = Node::new(2);
    b.members.admit(key(1).peer_id());
    let mut listening = b.listen().await;
    let mut requests = raw::http2(listening.local_addr(), &key(1), raw::LINK).await;
    let mut status = async |method: &str, path: &str| {
        let request = raw::request(method, path, raw::whole(Bytes::new()));
        within(requests.send_request(request)).await.unwrap().status().as_u16()
    };
    assert_eq!(status("POST", "/v1/lane/3").await, 404);
    assert_eq!(status("POST", "/v1/join").await, 404);
    assert_eq!(status("GET", "/v1/lane/0").await, 405);
    assert_eq!(status("POST", "/v1/lane/1").await, 409, "there was no hello yet");
    let hello = Frame::Hello(hello()).encode().unwrap();
    let (_open, response) = within(raw::open_lane(&mut requests, 0, hello)).await;
    assert_eq!(response.status(), 200);
    let _pending = next_pending(&mut listening).await;
    let again = raw::request("POST", "/v1/lane/0", raw::whole(Bytes::new()));
    assert_eq!(within(requests.send_request(again)).await.unwrap().status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_ends_links_and_tasks() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, at_b) = link(&a, &b, &mut listening).await;
    b.shutdown.cancel();
    b.tracker.close();
    within(b.tracker.wait()).await;
    within(at_b.closed()).await;
    within(at_a.closed()).await;
    assert!(within(listening.next()).await.is_none());
    a.shutdown.cancel();
    a.tracker.close();
    within(a.tracker.wait()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_port_leaves_the_links() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let addr = listening.local_addr();
    let (at_a, mut at_b) = link(&a, &b, &mut listening).await;
    drop(listening);
    let refused = within(async {
        loop {
            // The port closes when its task has noticed.
            if let Err(error @ DialError::Unreachable { .. }) = a.dial(b.me, addr).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(refused.code(), ErrorCode::PeerUnreachable);
    assert_passes(&at_a, &mut at_b.receivers()[0], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_links_answer_one_broadcast() {
    let hub = Node::new(1);
    let spokes: Vec<Node> = (2..18).map(Node::new).collect();
    let mut links = Vec::new();
    let mut listenings = Vec::new();
    for spoke in &spokes {
        hub.members.admit(spoke.me);
        spoke.members.admit(hub.me);
        let mut listening = spoke.listen().await;
        links.push(link(&hub, spoke, &mut listening).await);
        listenings.push(listening);
    }
    let frame = Bytes::from(ping(9).encode().unwrap());
    let heard = Arc::new(AtomicU64::new(0));
    for (at_hub, at_spoke) in &mut links {
        at_hub.sender().send_encoded(Lane::Urgent, frame.clone()).await.unwrap();
        assert_eq!(at_spoke.sender().peer(), hub.me);
        let mut receiver = at_spoke.take_receiver(Lane::Urgent);
        assert_eq!(within(receiver.next()).await.unwrap().unwrap(), ping(9));
        heard.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(heard.load(Ordering::Relaxed), 16);
}
