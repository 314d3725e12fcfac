//! Streams with peers that are older, or do as they like.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use mesh_protocol::Frame;
use mesh_transport::{Lane, Link, Listening, OpenStreamError, StreamError, StreamReceiver};

use crate::raw;
use crate::support::{Node, assert_passes, hello, key, link, next_pending, ping, welcome, within};

/// A link whose dialler speaks HTTP/2 by hand. It opens no reverse request.
struct RawLink {
    b: Node,
    listening: Listening,
    requests: raw::Requests,
    at_b: Link,
    streams: StreamReceiver,
    _held: Box<dyn std::any::Any>,
}

impl RawLink {
    async fn new() -> Self {
        let b = Node::new(2);
        b.members.admit(key(1).peer_id());
        let mut listening = b.listen().await;
        let mut requests = raw::http2(listening.local_addr(), &key(1), raw::LINK).await;
        let hello = Frame::Hello(hello()).encode().unwrap();
        let dialling = async {
            let (lane, response) = raw::open_lane(&mut requests, 0, hello).await;
            let mut body = response.into_body();
            let _welcome = body.frame().await.unwrap().unwrap();
            let normal = raw::open_lane(&mut requests, 1, Bytes::new()).await;
            let bulk = raw::open_lane(&mut requests, 2, Bytes::new()).await;
            (lane, normal, bulk, body)
        };
        let (lanes, accepted) = within(async {
            tokio::join!(dialling, async {
                next_pending(&mut listening).await.welcome(welcome()).await
            })
        })
        .await;
        let mut at_b = accepted.unwrap();
        let held = Box::new((lanes, at_b.receivers()));
        let streams = at_b.take_streams();
        Self { b, listening, requests, at_b, streams, _held: held }
    }

    /// A request for a stream whose head says nothing.
    fn opening(body: raw::Body) -> http::Request<raw::Body> {
        let mut request = raw::request("POST", "/v1/stream", body);
        request.headers_mut().insert("mesh-head", http::HeaderValue::from_static(""));
        request
    }

    /// Another member's link to the same node, which nothing of all this may touch.
    async fn assert_others_are_fine(&mut self) {
        let other = Node::new(3);
        other.members.admit(self.b.me);
        self.b.members.admit(other.me);
        let (from, mut to) = link(&other, &self.b, &mut self.listening).await;
        let mut into = to.receivers();
        assert_passes(&from, &mut into[0], 1).await;
        let (sender, mut arriving) = (from.sender(), to.take_streams());
        let accepting = async { arriving.next().await.unwrap().accept() };
        let (opened, _accepted) =
            within(async { tokio::join!(sender.open_stream(Bytes::new()), accepting) }).await;
        opened.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_dialler_is_told_apart_and_the_link_lives_on() {
    let scene = RawLink::new().await;
    for _ in 0..3 {
        let error = within(scene.at_b.sender().open_stream(Bytes::new())).await.unwrap_err();
        assert_eq!(error, OpenStreamError::Unsupported);
    }
    assert!(!scene.at_b.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_acceptor_is_told_apart_and_the_link_lives_on() {
    let a = Node::new(1);
    a.members.admit(key(2).peer_id());
    let welcome = Bytes::from(Frame::Welcome(welcome()).encode().unwrap());
    let addr = raw::old_acceptor(&key(2), welcome).await;
    let (mut at_a, _) = a.dial(key(2).peer_id(), addr).await.unwrap();
    let [mut urgent, _normal, _bulk] = at_a.receivers();
    // Once before the reverse request is answered, perhaps; with a head that an older agent finds too large.
    for _ in 0..30 {
        let head = Bytes::from(vec![7; 4096]);
        let error = within(at_a.sender().open_stream(head)).await.unwrap_err();
        assert_eq!(error, OpenStreamError::Unsupported);
    }
    within(at_a.sender().send(Lane::Urgent, &ping(5))).await.unwrap();
    assert_eq!(within(urgent.next()).await.unwrap().unwrap(), ping(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_without_its_last_word_is_not_whole() {
    let mut scene = RawLink::new().await;
    let (sender, body) = raw::streamed();
    let opening = scene.requests.send_request(RawLink::opening(body));
    let (response, mut stream) = within(async {
        tokio::join!(opening, async { scene.streams.next().await.unwrap().accept() })
    })
    .await;
    assert_eq!(response.unwrap().status(), 200);
    sender.send(Bytes::from_static(b"half")).unwrap();
    assert_eq!(within(stream.recv()).await.unwrap().unwrap(), "half");
    drop(sender);
    assert_eq!(within(stream.recv()).await.unwrap(), Err(StreamError::Broken));
    assert!(within(stream.recv()).await.is_none());
    assert_eq!(within(stream.send(Bytes::from_static(b"x"))).await, Err(StreamError::Broken));
    assert!(!scene.at_b.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_streams_that_make_no_sense_are_turned_away() {
    let mut scene = RawLink::new().await;
    let long = "A".repeat(4 * 4097_usize.div_ceil(3));
    for head in [None, Some("no base64!"), Some(long.as_str())] {
        let mut request = raw::request("POST", "/v1/stream", raw::whole(Bytes::new()));
        if let Some(head) = head {
            request.headers_mut().insert("mesh-head", head.parse().unwrap());
        }
        let response = within(scene.requests.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 400, "{head:?}");
    }
    // Far beyond what the head of any request may be.
    let mut request = raw::request("POST", "/v1/stream", raw::whole(Bytes::new()));
    request.headers_mut().insert("mesh-head", "A".repeat(12 << 10).parse().unwrap());
    let response = within(scene.requests.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 431);
    let request = raw::request("GET", "/v1/stream", raw::whole(Bytes::new()));
    assert_eq!(within(scene.requests.send_request(request)).await.unwrap().status(), 405);
    assert!(!scene.at_b.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_for_links_that_are_up() {
    let b = Node::new(2);
    b.members.admit(key(1).peer_id());
    let mut listening = b.listen().await;
    let mut requests = raw::http2(listening.local_addr(), &key(1), raw::LINK).await;
    let hello = Frame::Hello(hello()).encode().unwrap();
    let (_open, _response) = within(raw::open_lane(&mut requests, 0, hello)).await;
    let _pending = next_pending(&mut listening).await;
    for path in ["/v1/stream", "/v1/reverse"] {
        let request = raw::request("POST", path, raw::whole(Bytes::new()));
        assert_eq!(within(requests.send_request(request)).await.unwrap().status(), 409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_reverse_requests_wait_than_are_of_use() {
    let mut scene = RawLink::new().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let (sender, body) = raw::streamed();
        held.push((sender, scene.requests.send_request(raw::request("POST", "/v1/reverse", body))));
    }
    let (_sender, body) = raw::streamed();
    let request = raw::request("POST", "/v1/reverse", body);
    assert_eq!(within(scene.requests.send_request(request)).await.unwrap().status(), 409);
    // Whoever leaves them open and answers none with its first byte is refused in time, as any other.
    let sender = scene.at_b.sender();
    let opening = scene.b.tracker.spawn(async move { sender.open_stream(Bytes::new()).await });
    let (body, response) = held.remove(0);
    let response = within(response).await.unwrap();
    assert_eq!(response.status(), 200);
    body.send(Bytes::from_static(b"\x07not accepted")).unwrap();
    let refused = within(opening).await.unwrap().unwrap_err();
    assert!(matches!(refused, OpenStreamError::Refused { .. }), "{refused}");
    assert!(!scene.at_b.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_resets_what_it_opens_without_end_harms_its_own_link_at_most() {
    let mut scene = RawLink::new().await;
    for _ in 0..3000 {
        let (_sender, body) = raw::streamed();
        let opening = scene.requests.send_request(RawLink::opening(body));
        // Dropped while it is on its way: a reset right behind the request.
        let _given_up = tokio::time::timeout(std::time::Duration::from_micros(50), opening).await;
    }
    scene.assert_others_are_fine().await;
    // What nobody wants any more is not handed out, and the rest is bounded.
    if !scene.at_b.is_closed() {
        let waiting = async {
            let mut arrived = 0;
            while let Ok(Some(_)) =
                tokio::time::timeout(std::time::Duration::from_millis(100), scene.streams.next())
                    .await
            {
                arrived += 1;
            }
            arrived
        };
        assert!(within(waiting).await <= 8);
    }
}
