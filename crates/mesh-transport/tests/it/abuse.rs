use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use mesh_protocol::Frame;
use mesh_transport::{LaneReceiver, Link, Listening, TransportConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::raw;
use crate::support::{Node, assert_passes, hello, key, link, live, pair_with, within};

/// Short enough that a test can wait for them, long enough for an honest handshake on a busy machine.
fn impatient() -> TransportConfig {
    TransportConfig {
        handshake_timeout: Duration::from_millis(1500),
        header_timeout: Duration::from_millis(500),
        join_body_timeout: Duration::from_millis(500),
        ..TransportConfig::default()
    }
}

/// Two linked members; the second one's port is abused meanwhile.
struct Scene {
    a: Node,
    b: Node,
    listening: Listening,
    at_a: Link,
    _at_b: Link,
    into_b: LaneReceiver,
    _lanes: [LaneReceiver; 2],
    passed: u64,
}

impl Scene {
    async fn set(config: TransportConfig) -> Self {
        let (a, b) = pair_with(config);
        let mut listening = b.listen().await;
        let (at_a, mut at_b) = link(&a, &b, &mut listening).await;
        let [into_b, normal, bulk] = at_b.receivers();
        let lanes = [normal, bulk];
        Self { a, b, listening, at_a, _at_b: at_b, into_b, _lanes: lanes, passed: 0 }
    }

    fn addr(&self) -> SocketAddr {
        self.listening.local_addr()
    }

    async fn assert_members_are_fine(&mut self) {
        self.passed += 1;
        let passing = assert_passes(&self.at_a, &mut self.into_b, self.passed);
        tokio::time::timeout(Duration::from_secs(1), passing).await.expect("within a second");
    }
}

/// Waits until the other side has closed.
async fn assert_closed(mut tcp: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    let _reset_or_end = within(tcp.read_to_end(&mut rest)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_connections_are_closed_in_time() {
    let mut scene = Scene::set(impatient()).await;
    let silent = TcpStream::connect(scene.addr()).await.unwrap();
    let mut half_a_hello = TcpStream::connect(scene.addr()).await.unwrap();
    half_a_hello.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
    let mut loris = TcpStream::connect(scene.addr()).await.unwrap();
    scene.assert_members_are_fine().await;
    // One byte at a time never ends by itself: the deadline is for the whole handshake.
    let dripping = async {
        while loris.write_all(&[22]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(dripping).await;
    assert_closed(silent).await;
    assert_closed(half_a_hello).await;
    scene.assert_members_are_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_are_closed() {
    let mut scene = Scene::set(impatient()).await;
    for seed in 0..20_u64 {
        let mut tcp = TcpStream::connect(scene.addr()).await.unwrap();
        let mut state = seed;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(5000)
        .collect();
        let _reset = tcp.write_all(&noise).await;
        assert_closed(tcp).await;
    }
    scene.assert_members_are_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_clients_of_the_wrong_kind_get_nothing() {
    let mut scene = Scene::set(impatient()).await;
    let member = key(1);
    let configs = [
        raw::config(None, &[raw::LINK]),
        raw::config(None, &[raw::JOIN]),
        raw::config(Some(&member), &[b"h2"]),
        raw::config(Some(&member), &[]),
    ];
    for config in configs {
        // The client may believe that it is connected; the first read tells.
        if let Ok(tls) = within(raw::tls(scene.addr(), config)).await {
            let mut tls = tls;
            let mut byte = [0];
            let read = within(tls.read(&mut byte)).await;
            assert!(!matches!(read, Ok(1)), "the server went on");
        }
    }
    scene.assert_members_are_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stalls_after_the_handshake_is_closed() {
    let mut scene = Scene::set(impatient()).await;
    // No HTTP/2 at all, and random bytes where HTTP/2 is expected.
    let silent = raw::tls(scene.addr(), raw::config(Some(&key(1)), &[raw::LINK])).await.unwrap();
    let mut noisy = raw::tls(scene.addr(), raw::config(Some(&key(1)), &[raw::LINK])).await.unwrap();
    noisy.write_all(&[0xaa; 4000]).await.unwrap();
    // Lane 0 with half a frame in it.
    let mut requests = raw::http2(scene.addr(), &key(1), raw::LINK).await;
    let half = Frame::Hello(hello()).encode().unwrap()[..20].to_vec();
    let (half_open, response) = within(raw::open_lane(&mut requests, 0, half)).await;
    assert_closed(silent).await;
    assert_closed(noisy).await;
    let ended = within(http_body_util::BodyExt::collect(response.into_body())).await;
    assert!(ended.is_err() || ended.unwrap().to_bytes().is_empty());
    drop(half_open);
    scene.assert_members_are_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_of_4_gib_is_refused_unread() {
    let mut scene = Scene::set(impatient()).await;
    let mut requests = raw::http2(scene.addr(), &key(1), raw::LINK).await;
    let mut bytes = Frame::Hello(hello()).encode().unwrap();
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let (_open, response) = within(raw::open_lane(&mut requests, 0, bytes)).await;
    let Frame::Refused(refused) = within(raw::frame_of(response)).await else {
        panic!("not refused");
    };
    assert_eq!(refused.code, mesh_protocol::ErrorCode::MessageTooLarge);
    scene.assert_members_are_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_stall_at_the_join_port_are_closed() {
    let mut scene = Scene::set(impatient()).await;
    let silent = raw::tls(scene.addr(), raw::config(Some(&key(9)), &[raw::JOIN])).await.unwrap();
    let mut requests = raw::http2(scene.addr(), &key(9), raw::JOIN).await;
    let (open, body) = raw::streamed();
    open.send(Bytes::from_static(b"MESH")).unwrap();
    let response =
        within(requests.send_request(raw::request("POST", "/v1/join", body))).await.unwrap();
    assert_eq!(response.status(), 408);
    assert_closed(silent).await;
    scene.assert_members_are_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_hurt_nobody() {
    // Nobody is let go during the test: the limits alone must do it.
    let mut scene = Scene::set(TransportConfig {
        handshake_timeout: Duration::from_secs(60),
        ..TransportConfig::default()
    })
    .await;
    let mut held = Vec::new();
    for number in 0..1000 {
        held.push(TcpStream::connect(scene.addr()).await.unwrap());
        if number % 100 == 0 {
            scene.assert_members_are_fine().await;
        }
    }
    // The first 32 are held, the rest were closed at once.
    let (kept, refused) = held.split_at_mut(32);
    for tcp in refused {
        assert_closed(tcp).await;
    }
    for tcp in kept.iter() {
        let mut byte = [0];
        let read = tcp.try_read(&mut byte);
        assert!(
            matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{read:?}"
        );
    }
    scene.assert_members_are_fine().await;

    // Another address still has its places.
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut elsewhere = elsewhere.connect(scene.addr()).await.unwrap();
    elsewhere.write_all(&[0; 100]).await.unwrap();
    let mut alert = Vec::new();
    within(elsewhere.read_to_end(&mut alert)).await.ok();
    assert_eq!(alert.first(), Some(&21), "the server answered with a TLS alert");

    // And when they are gone, everybody has.
    drop(held);
    let addr = scene.addr();
    let (a, b) = (&scene.a, &scene.b);
    let dialling = async {
        loop {
            if let Ok(dialled) = a.dial(b.me, addr).await {
                return dialled;
            }
        }
    };
    let listening = &mut scene.listening;
    let accepting = async {
        crate::support::next_pending(listening).await.welcome(crate::support::welcome()).await
    };
    let (_dialled, accepted) = within(async { tokio::join!(dialling, accepting) }).await;
    accepted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_read_is_not_flooded() {
    let mut scene = Scene::set(TransportConfig::default()).await;
    let sender = scene.at_a.sender();
    let flooding = scene.a.tracker.spawn(async move {
        let frame = Bytes::from(live(0, 1 << 20).encode().unwrap());
        while sender.send_encoded(mesh_transport::Lane::Bulk, frame.clone()).await.is_ok() {}
    });
    let window = u64::from(TransportConfig::default().stream_window_bytes);
    let buffers = u64::from(TransportConfig::default().lane_queue_bytes) + (16 << 20);
    for _ in 0..50 {
        scene.assert_members_are_fine().await;
    }
    assert!(scene.at_a.bytes_sent() < window + buffers, "{} bytes", scene.at_a.bytes_sent());
    assert!(!flooding.is_finished());
    scene.at_a.close();
    within(flooding).await.unwrap();
}
