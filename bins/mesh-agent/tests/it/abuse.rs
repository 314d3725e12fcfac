//! What is too large, too slow, too much or not the protocol at all hurts nobody.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all, select_all};
use mesh_control::{DeliveryState, SendRequest};
use mesh_protocol::{ErrorCode, Frame, LinkPing, MESSAGE_BYTES_MAX};
use mesh_transport::JoinRoute;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::agent::{Agent, PATIENCE, eventually, linked, mesh, text_message, within};
use crate::raw;
use crate::stranger::{Stranger, key};

/// Largest part of the address space of a process that was in memory at one time, in KiB.
pub(crate) fn memory_peak_kib(agent: &Agent) -> u64 {
    let path = format!("/proc/{}/status", agent.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn a_message_of_64_mib_is_refused_before_it_is_buffered() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let is_linux = cfg!(target_os = "linux");
    let before = if is_linux { memory_peak_kib(&one) } else { 0 };

    let huge = text_message("two", &"x".repeat(64 << 20));
    let error = within(one.client().send(&huge)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge, "{error}");
    if is_linux {
        let grown = memory_peak_kib(&one) - before;
        assert!(grown < 16 << 10, "the agent took {grown} KiB more");
    }
    // Small enough for the socket, too large for the mesh.
    let large = text_message("two", &"x".repeat(MESSAGE_BYTES_MAX));
    let error = one.client().send(&large).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge, "{error}");
    assert_eq!(one.status().await.outbox.messages, 0);
    // Just fits.
    let text = "x".repeat(MESSAGE_BYTES_MAX - 1024);
    one.send_acked("two", &text).await;
    assert!(two.texts().await == [text]);
}

/// Two members, one of which is abused, and whoever abuses it.
struct Scene {
    one: Agent,
    two: Agent,
    /// Go on for as long as their connection lives.
    abusers: Vec<BoxFuture<'static, &'static str>>,
    passed: usize,
}

impl Scene {
    fn add(&mut self, who: &'static str, abuser: impl Future<Output = ()> + Send + 'static) {
        self.abusers.push(abuser.map(move |()| who).boxed());
    }

    /// A message passes within a second in both directions, while the abuse goes on.
    async fn assert_members_are_fine(&mut self, meanwhile: &str) {
        self.passed += 1;
        let passing = async {
            for (from, to) in [(&self.one, &self.two), (&self.two, &self.one)] {
                let text = format!("message {}", self.passed);
                let request =
                    SendRequest { wait_seconds: Some(5), ..text_message(to.name(), &text) };
                let sent = timeout(Duration::from_secs(1), from.client().send(&request)).await;
                let reply = sent.unwrap_or_else(|_| panic!("too slow, meanwhile {meanwhile}"));
                let state = reply.unwrap().deliveries[0].state;
                assert_eq!(state, DeliveryState::Acked, "meanwhile {meanwhile}");
            }
        };
        tokio::select! {
            () = passing => {}
            () = go_on(&mut self.abusers) => {}
        }
    }
}

/// Drives the abusers; those that are done are dropped. Never ends.
async fn go_on(abusers: &mut Vec<BoxFuture<'static, &'static str>>) {
    while !abusers.is_empty() {
        let (_who, place, _) = select_all(abusers.iter_mut()).await;
        drop(abusers.remove(place));
    }
    std::future::pending().await
}

/// A frame that announces a body of 4 GiB.
fn endless_frame() -> Vec<u8> {
    let mut frame = Frame::Ping(LinkPing { nonce: 1, sent_at: 1 }).encode().unwrap();
    frame[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    frame
}

#[tokio::test]
async fn slow_silent_and_senseless_connections_hurt_nobody_and_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let addr = one.address();
    let mut scene = Scene { one, two, abusers: Vec::new(), passed: 0 };
    scene.assert_members_are_fine("nothing happens").await;

    for _ in 0..5 {
        let silent = TcpStream::connect(addr).await.unwrap();
        scene.add("silent", async { drop(raw::read_to_close(silent).await) });
    }
    scene.assert_members_are_fine("connections are idle").await;

    let mut half = TcpStream::connect(addr).await.unwrap();
    half.write_all(raw::HALF_A_CLIENT_HELLO).await.unwrap();
    scene.add("half a hello", async { drop(raw::read_to_close(half).await) });
    let loris = TcpStream::connect(addr).await.unwrap();
    scene.add("slow TLS", async move { raw::drip(loris, raw::HALF_A_CLIENT_HELLO).await });
    scene.assert_members_are_fine("a client says its TLS hello a byte at a time").await;

    let stranger = key(9);
    let idle = raw::tls(addr, Some(&stranger), raw::JOIN).await.unwrap();
    scene.add("idle TLS", async { drop(raw::read_to_close(idle).await) });
    let loris = raw::tls(addr, Some(&stranger), raw::JOIN).await.unwrap();
    let request = [raw::http2_preface(), raw::http2_post("/v1/join")].concat();
    scene.add("slow HTTP/2", async move { raw::drip(loris, &request).await });
    scene.assert_members_are_fine("a client says its HTTP/2 a byte at a time").await;

    let half = raw::begin_post(addr, &stranger, "/v1/join", b"MESH\x01").await;
    scene.add("half a frame", raw::read_until(half, "timed_out"));
    let (reader, writer) =
        tokio::io::split(raw::begin_post(addr, &stranger, "/v1/introduce", b"M").await);
    let nothing = raw::http2_data(b"");
    scene.add("slow frame", async move {
        tokio::select! {
            () = raw::drip(writer, &nothing) => {}
            () = raw::read_until(reader, "timed_out") => {}
        }
    });
    scene.assert_members_are_fine("half a frame waits for its other half").await;

    let endless = raw::begin_post(addr, &stranger, "/v1/join", &endless_frame()).await;
    scene.add("4 GiB", raw::read_until(endless, "message_too_large"));
    scene.assert_members_are_fine("a frame of 4 GiB is announced").await;

    for seed in 0..10 {
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let _reset = tcp.write_all(&raw::noise(seed, 4096)).await;
        scene.add("noise", async { drop(raw::read_to_close(tcp).await) });
    }
    let mut tls = raw::tls(addr, Some(&stranger), raw::JOIN).await.unwrap();
    tls.write_all(&raw::noise(99, 4096)).await.unwrap();
    scene.add("noise in TLS", async { drop(raw::read_to_close(tls).await) });
    scene.assert_members_are_fine("bytes without a meaning arrive").await;

    // Every one of them is shown the door, by a deadline of its own.
    within(join_all(scene.abusers.drain(..))).await;
    scene.assert_members_are_fine("all is over").await;
}

#[tokio::test]
async fn a_frame_of_4_gib_and_noise_are_answered_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path(), "agent").await;
    let stranger = key(9);
    for (body, word) in
        [(endless_frame(), "message_too_large"), (raw::noise(5, 300), "protocol_error")]
    {
        let tls = raw::begin_post(agent.address(), &stranger, "/v1/join", &body).await;
        raw::read_until(tls, word).await;
    }
    // On the members' protocol nobody but a member gets as far as a frame.
    for (key, alpn) in [
        (Some(&stranger), raw::LINK),
        (None, raw::LINK),
        (None, raw::JOIN),
        (Some(&stranger), b"h2".as_slice()),
    ] {
        // A TLS 1.3 client may believe that it is connected until it reads.
        if let Ok(mut tls) = raw::tls(agent.address(), key, alpn).await {
            let _reset = tls.write_all(&raw::http2_preface()).await;
            assert_eq!(raw::read_to_close(tls).await, b"", "the server went on");
        }
    }
    agent.send_acked("agent", "fine").await;
}

#[tokio::test]
async fn a_thousand_connections_leave_members_alone_and_the_door_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let addr = one.address();
    let mut scene = Scene { one, two, abusers: Vec::new(), passed: 0 };
    let mut held = Vec::new();
    for number in 0..1000_u32 {
        // From several addresses where the system has them, so that the bound of one is not all.
        let socket = TcpSocket::new_v4().unwrap();
        if cfg!(target_os = "linux") {
            let from = format!("127.0.0.{}:0", 1 + number % 5);
            socket.bind(from.parse().unwrap()).unwrap();
        }
        held.push(within(socket.connect(addr)).await.unwrap());
        if number % 100 == 99 {
            scene.assert_members_are_fine("connections are opened").await;
        }
    }
    scene.assert_members_are_fine("a thousand connections are open").await;
    // Nobody closes them but the agent.
    within(join_all(held.into_iter().map(raw::read_to_close))).await;
    scene.assert_members_are_fine("all of them are closed").await;

    let late = Agent::start(dir.path(), "late").await;
    let token = scene.one.token().await;
    late.join(&token).await.unwrap();
    linked(&[&scene.one, &scene.two, &late]).await;
}

#[tokio::test]
async fn a_flood_of_join_requests_is_slowed_down_and_members_do_not_notice() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    let stranger = Stranger::new(key(9));
    let to = (one.peer_id(), one.address());
    let flood = async {
        let mut limited = 0;
        // In waves, each below the number of connections that one address may have.
        for _ in 0..6 {
            let answers = join_all((0..16).map(|nonce| {
                stranger.ask(to, JoinRoute::Join, Frame::Ping(LinkPing { nonce, sent_at: 0 }))
            }));
            for answer in answers.await {
                let Frame::Refused(refused) = answer.unwrap() else { panic!("not refused") };
                limited += usize::from(refused.code == ErrorCode::RateLimited);
            }
        }
        limited
    };
    let (limited, ()) = tokio::join!(flood, async {
        for number in 0..10 {
            two.send_acked("one", &format!("message {number}")).await;
        }
    });
    assert!(limited > 40, "{limited} of 96 were turned away");
    // An honest joiner from the same address gets in when the flood has ebbed.
    let late = Agent::start(dir.path(), "late").await;
    let token = one.token().await;
    eventually(PATIENCE, "a joiner gets through", async || late.join(&token).await.ok()).await;
}
