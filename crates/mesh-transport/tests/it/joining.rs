use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use mesh_protocol::{ErrorCode, Frame, JOIN_BODY_BYTES_MAX, RecordIds, Refused};
use mesh_transport::{
    AcceptRate, DialError, Incoming, JoinCall, JoinRoute, Listening, TransportConfig,
};

use crate::raw;
use crate::support::{Node, key, live, ping, within};

async fn next_call(listening: &mut Listening) -> JoinCall {
    match within(listening.next()).await.expect("the port is open") {
        Incoming::Join(call) => call,
        Incoming::Link(pending) => panic!("a member came instead: {pending:?}"),
    }
}

async fn ask(
    stranger: &Node,
    issuer: &Node,
    addr: SocketAddr,
    frame: Frame,
) -> Result<Frame, DialError> {
    let addresses = [addr.into()];
    within(stranger.transport.join_call(issuer.me, &addresses, JoinRoute::Join, frame)).await
}

fn code_of(answer: Result<Frame, DialError>) -> ErrorCode {
    match answer {
        Ok(Frame::Refused(Refused { code, .. })) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reaches_both_join_routes_and_is_known_by_its_key() {
    let (stranger, issuer) = (Node::new(1), Node::new(2));
    let mut listening = issuer.listen().await;
    let address = listening.local_addr().into();
    // An answer may be as large as any frame: it carries all records of the mesh.
    let large = Frame::RecordIds(RecordIds {
        ids: vec![mesh_protocol::RecordId::from_bytes([3; 32]); 32_000],
    });
    for route in [JoinRoute::Join, JoinRoute::Introduce] {
        let (answer, ()) = tokio::join!(
            stranger.transport.join_call(
                issuer.me,
                std::slice::from_ref(&address),
                route,
                live(1, 60_000)
            ),
            async {
                let call = next_call(&mut listening).await;
                assert_eq!((call.peer, call.route), (stranger.me, route));
                assert!(call.remote.ip().is_loopback());
                assert_eq!(call.frame, live(1, 60_000));
                call.answer(large.clone());
            }
        );
        assert_eq!(answer.unwrap(), large);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joiner_that_reaches_another_key_says_nothing() {
    let (stranger, issuer) = (Node::new(1), Node::new(2));
    let mut listening = issuer.listen().await;
    let addr = listening.local_addr();
    let somebody_else = key(9).peer_id();
    let addresses = [addr.into()];
    let call = stranger.transport.join_call(somebody_else, &addresses, JoinRoute::Join, ping(1));
    let error = within(call).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }), "{error}");
    // The next caller is the first one that the node hears of.
    let (answer, ()) = tokio::join!(ask(&stranger, &issuer, addr, ping(2)), async {
        let call = next_call(&mut listening).await;
        assert_eq!(call.frame, ping(2));
        call.answer(ping(3));
    });
    assert_eq!(answer.unwrap(), ping(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_strangers_at_once_are_all_answered() {
    let issuer = Node::new(2);
    let mut listening = issuer.listen().await;
    let addr = listening.local_addr();
    let asking: Vec<_> = (10..30)
        .map(|number| {
            let issuer = issuer.me;
            let stranger = Node::new(number);
            let tracker = stranger.tracker.clone();
            tracker.spawn(async move {
                stranger
                    .transport
                    .join_call(issuer, &[addr.into()], JoinRoute::Join, ping(u64::from(number)))
                    .await
            })
        })
        .collect();
    for _ in 0..20 {
        let call = next_call(&mut listening).await;
        let frame = call.frame.clone();
        call.answer(frame);
    }
    for (number, asking) in (10..30).zip(asking) {
        assert_eq!(within(asking).await.unwrap().unwrap(), ping(number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_refused() {
    let (stranger, issuer) = (Node::new(1), Node::new(2));
    let listening = issuer.listen().await;
    let answer =
        ask(&stranger, &issuer, listening.local_addr(), live(1, JOIN_BODY_BYTES_MAX + 1)).await;
    assert_eq!(code_of(answer), ErrorCode::MessageTooLarge);
    let answer = ask(&stranger, &issuer, listening.local_addr(), live(1, 1 << 20)).await;
    assert_eq!(code_of(answer), ErrorCode::MessageTooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_too_large_is_refused_before_the_body_comes() {
    let issuer = Node::new(2);
    let listening = issuer.listen().await;
    let addr = listening.local_addr();
    // Without a content length, only the frame's header tells.
    let mut requests = raw::http2(addr, &key(1), raw::JOIN).await;
    let (open, body) = raw::streamed();
    let mut header = live(1, 0).encode().unwrap();
    header.truncate(12);
    header[8..].copy_from_slice(&100_000_u32.to_le_bytes());
    open.send(Bytes::from(header)).unwrap();
    let request = raw::request("POST", "/v1/join", body);
    let response = within(requests.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 413);
    // With one, not even that.
    let mut requests = raw::http2(addr, &key(1), raw::JOIN).await;
    let (_open, body) = raw::streamed();
    let mut request = raw::request("POST", "/v1/join", body);
    request.headers_mut().insert("content-length", "99999999".parse().unwrap());
    let response = within(requests.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_find_no_other_route() {
    let issuer = Node::new(2);
    // Even somebody who is a member: this kind of connection is for joining.
    issuer.members.admit(key(1).peer_id());
    let listening = issuer.listen().await;
    let cases = [
        ("POST", "/v1/lane/0", 404),
        ("POST", "/", 404),
        ("GET", "/v1/join", 405),
        ("PUT", "/v1/introduce", 405),
    ];
    for (method, path, expected) in cases {
        let mut requests = raw::http2(listening.local_addr(), &key(1), raw::JOIN).await;
        let request = raw::request(method, path, raw::whole(Bytes::new()));
        let response = within(requests.send_request(request)).await.unwrap();
        assert_eq!(response.status(), expected, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_frame_is_refused_with_the_reason() {
    let issuer = Node::new(2);
    let listening = issuer.listen().await;
    let mut other_major = ping(1).encode().unwrap();
    other_major[4] = 2;
    let cases: [(Vec<u8>, ErrorCode); 4] = [
        (vec![0xff; 100], ErrorCode::ProtocolError),
        (Vec::new(), ErrorCode::BadRequest),
        (ping(1).encode().unwrap()[..20].to_vec(), ErrorCode::ProtocolError),
        (other_major, ErrorCode::VersionUnsupported),
    ];
    for (bytes, expected) in cases {
        let mut requests = raw::http2(listening.local_addr(), &key(1), raw::JOIN).await;
        let request = raw::request("POST", "/v1/join", raw::whole(bytes));
        let response = within(requests.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 400);
        let Frame::Refused(refused) = within(raw::frame_of(response)).await else {
            panic!("not refused");
        };
        assert_eq!(refused.code, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_a_bounded_rate() {
    let config = TransportConfig {
        // A refill takes a minute, longer than this test.
        accept_rate_per_ip: AcceptRate { per_minute: 1, burst: 3 },
        ..TransportConfig::default()
    };
    let (stranger, issuer) = (Node::new(1), Node::with(2, config));
    let mut listening = issuer.listen().await;
    for number in 0..3 {
        let addr = listening.local_addr();
        let (answer, ()) = tokio::join!(ask(&stranger, &issuer, addr, ping(number)), async {
            next_call(&mut listening).await.answer(ping(100));
        });
        assert_eq!(answer.unwrap(), ping(100));
    }
    assert_eq!(
        code_of(ask(&stranger, &issuer, listening.local_addr(), ping(4)).await),
        ErrorCode::RateLimited
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_recovers() {
    let config = TransportConfig {
        accept_rate_per_ip: AcceptRate { per_minute: 600, burst: 1 },
        ..TransportConfig::default()
    };
    let (stranger, issuer) = (Node::new(1), Node::with(2, config));
    let mut listening = issuer.listen().await;
    let addr = listening.local_addr();
    let answering = async {
        loop {
            next_call(&mut listening).await.answer(ping(100));
        }
    };
    let asking = async {
        let mut granted = 0;
        while granted < 3 {
            let route = JoinRoute::Join;
            let addresses = [addr.into()];
            let call = stranger.transport.join_call(issuer.me, &addresses, route, ping(1));
            match call.await.unwrap() {
                Frame::Refused(refused) => assert_eq!(refused.code, ErrorCode::RateLimited),
                _ => granted += 1,
            }
        }
    };
    within(async {
        tokio::select! {
            () = answering => {}
            () = asking => {}
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_answers_is_not_left_hanging() {
    let config = TransportConfig {
        join_answer_timeout: Duration::from_millis(200),
        ..TransportConfig::default()
    };
    let (stranger, issuer) = (Node::new(1), Node::with(2, config));
    let mut listening = issuer.listen().await;
    let addr = listening.local_addr();
    let (answer, ()) = tokio::join!(ask(&stranger, &issuer, addr, ping(1)), async {
        drop(next_call(&mut listening).await);
    });
    assert_eq!(code_of(answer), ErrorCode::Internal);
    let (answer, call) =
        tokio::join!(ask(&stranger, &issuer, addr, ping(1)), next_call(&mut listening));
    assert_eq!(code_of(answer), ErrorCode::TimedOut);
    call.answer(ping(2));
}
