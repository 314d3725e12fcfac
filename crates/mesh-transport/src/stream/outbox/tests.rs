use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use mesh_protocol::PeerId;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{COST_MIN, Ending, Shared, StreamBody, outbox};
use crate::link::LinkState;
use crate::{StreamError, TransportConfig};

fn new() -> (Arc<Shared>, StreamBody, Arc<Semaphore>) {
    let config = TransportConfig {
        stream_queue_bytes: 64 << 10,
        http_frame_bytes: 32 << 10,
        ..TransportConfig::default()
    };
    let remote = "127.0.0.1:1".parse().unwrap();
    let link = LinkState::new(PeerId::from_bytes([1; 32]), remote, true, &CancellationToken::new());
    let places = Arc::new(Semaphore::new(1));
    let place = Arc::clone(&places).try_acquire_owned().unwrap();
    let (shared, body) = outbox(&config, &link, Some(place));
    (shared, body, places)
}

fn room(shared: &Shared, bytes: usize) -> Poll<Result<(), StreamError>> {
    shared.poll_room(bytes, &mut Context::from_waker(Waker::noop()))
}

fn next_bytes(shared: &Shared) -> Option<usize> {
    Some(shared.next()?.into_data().unwrap().len())
}

#[test]
fn the_buffer_is_bounded_in_bytes_and_in_pieces() {
    let (shared, _body, _) = new();
    shared.push(Bytes::from(vec![0; 60 << 10]));
    assert_eq!(room(&shared, 4 << 10), Poll::Ready(Ok(())));
    assert_eq!(room(&shared, (4 << 10) + 1), Poll::Pending);

    let (shared, _body, _) = new();
    let mut pieces = 0;
    while room(&shared, 1).is_ready() {
        shared.push(Bytes::from_static(b"x"));
        pieces += 1;
    }
    assert_eq!(pieces, (64 << 10) / COST_MIN);
}

#[test]
fn an_empty_buffer_takes_any_piece_and_frees_its_room_by_frames() {
    let (shared, _body, _) = new();
    assert_eq!(room(&shared, 1 << 20), Poll::Ready(Ok(())));
    shared.push(Bytes::from(vec![0; 100 << 10]));
    let mut sizes = Vec::new();
    while let Some(bytes) = next_bytes(&shared) {
        sizes.push(bytes);
        assert_eq!(room(&shared, 28 << 10).is_ready(), sizes.len() > 1, "after {sizes:?}");
    }
    assert_eq!(sizes, [32 << 10, 32 << 10, 32 << 10, 4 << 10]);
}

#[test]
fn small_pieces_that_wait_travel_together_and_large_ones_uncopied() {
    let (shared, _body, _) = new();
    let large = Bytes::from(vec![1; 20 << 10]);
    for _ in 0..100 {
        shared.push(Bytes::from(vec![0; 100]));
    }
    shared.push(large.clone());
    shared.push(Bytes::new());
    assert_eq!(next_bytes(&shared), Some(100 * 100));
    let sent = shared.next().unwrap().into_data().unwrap();
    assert_eq!(sent.as_ptr(), large.as_ptr());
    assert!(shared.next().is_none(), "an empty frame says nothing and counts against the link");
}

#[test]
fn what_was_sent_before_the_end_goes_first_and_a_reset_does_not_wait_for_it() {
    let (shared, _body, _) = new();
    shared.push(Bytes::from_static(b"last"));
    shared.end(Ending::Finished);
    shared.end(Ending::Reset("too late".to_owned()));
    assert_eq!(next_bytes(&shared), Some(4));
    let trailers = shared.next().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["mesh-end"], "finished");

    let (shared, _body, _) = new();
    shared.push(Bytes::from_static(b"lost"));
    shared.end(Ending::Reset("why".to_owned()));
    let trailers = shared.next().unwrap().into_trailers().unwrap();
    assert_eq!(
        (&trailers["mesh-end"], &trailers["mesh-reason"]),
        (&"reset".parse().unwrap(), &"why".parse().unwrap())
    );
    assert_eq!(room(&shared, 1), Poll::Ready(Err(StreamError::EndedHere)));
}

#[test]
fn the_place_is_free_when_both_directions_are_over() {
    let (shared, _body, places) = new();
    shared.end(Ending::Finished);
    let _trailers = shared.next();
    assert_eq!(places.available_permits(), 0);
    assert_eq!(shared.incoming_ended(Ending::Finished), Ending::Finished);
    assert_eq!(places.available_permits(), 1, "though its handles are still held");

    let (shared, body, places) = new();
    let reset = Ending::Reset("no".to_owned());
    assert_eq!(shared.incoming_ended(reset.clone()), reset);
    let failure = StreamError::Reset { reason: "no".to_owned() };
    assert_eq!(room(&shared, 1), Poll::Ready(Err(failure)));
    assert_eq!(places.available_permits(), 0);
    drop(body);
    assert_eq!(places.available_permits(), 1);
}
