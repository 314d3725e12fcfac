use mesh_crypto::NodeKey;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::*;

/// Ten frames of ten bytes fit. Nobody reads.
fn queue_of_a_hundred_bytes() -> (LaneQueue, LaneBody) {
    let config = TransportConfig {
        lane_queue_bytes: 100,
        lane_queue_frames: 100,
        ..TransportConfig::default()
    };
    let peer = NodeKey::from_secret_bytes(&Zeroizing::new([1; 32])).peer_id();
    let remote = "127.0.0.1:1".parse().unwrap();
    let link = LinkState::new(peer, remote, true, &CancellationToken::new());
    lane_queue(&config, &link)
}

fn ten_bytes() -> Bytes {
    Bytes::from_static(&[0; 10])
}

#[test]
fn relayed_frames_leave_half_of_a_lane_to_own_ones() {
    let (queue, _body) = queue_of_a_hundred_bytes();
    for _ in 0..5 {
        queue.try_send_relayed(ten_bytes()).unwrap();
    }
    for _ in 0..5 {
        assert!(matches!(queue.try_send_relayed(ten_bytes()), Err(TrySendError::Full)));
        queue.try_send(ten_bytes()).unwrap();
    }
    assert!(matches!(queue.try_send(ten_bytes()), Err(TrySendError::Full)));
}

#[test]
fn own_frames_that_wait_count_against_relayed_ones() {
    let (queue, _body) = queue_of_a_hundred_bytes();
    for _ in 0..4 {
        queue.try_send(ten_bytes()).unwrap();
    }
    queue.try_send_relayed(ten_bytes()).unwrap();
    assert!(matches!(queue.try_send_relayed(ten_bytes()), Err(TrySendError::Full)));
}

#[test]
fn a_relayed_frame_that_costs_more_than_half_waits_for_an_empty_lane() {
    let large = Bytes::from_static(&[0; 51]);
    let (queue, _body) = queue_of_a_hundred_bytes();
    queue.try_send_relayed(large.clone()).unwrap();
    let (queue, _body) = queue_of_a_hundred_bytes();
    queue.try_send(Bytes::from_static(&[0])).unwrap();
    assert!(matches!(queue.try_send_relayed(large.clone()), Err(TrySendError::Full)));
    queue.try_send(large).unwrap();
}

#[test]
fn a_lane_that_is_closed_refuses_relayed_frames_as_closed() {
    let (queue, body) = queue_of_a_hundred_bytes();
    drop(body);
    assert!(matches!(queue.try_send_relayed(ten_bytes()), Err(TrySendError::Closed)));
}
