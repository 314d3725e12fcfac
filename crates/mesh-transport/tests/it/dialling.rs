use std::time::Duration;

use mesh_protocol::{Address, ErrorCode};
use mesh_transport::{AttemptError, DialError, ListenError, TransportConfig};
use rustls::HandshakeKind;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::raw;
use crate::support::{Node, assert_passes, hello, key, link, next_pending, pair, welcome, within};

async fn closed_port() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_at_the_address_is_found_out_before_anything_is_said() {
    let (a, b) = pair();
    let listening = b.listen().await;
    let somebody_else = key(9).peer_id();
    let error = a.dial(somebody_else, listening.local_addr()).await.unwrap_err();
    let DialError::Unreachable { peer, failures } = &error else { panic!("{error}") };
    assert_eq!(*peer, somebody_else);
    assert!(matches!(failures[..], [ref one] if matches!(one.reason, AttemptError::WrongKey)));
    assert!(!error.is_refusal());
    assert!(error.to_string().contains("another peer answers there"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_right_address_among_wrong_ones_is_enough() {
    let (a, b) = pair();
    let stranger = Node::new(3);
    let strange_port = stranger.listen().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut listening = b.listen().await;
    let addresses = [
        closed_port().await,
        silent.local_addr().unwrap().into(),
        strange_port.local_addr().into(),
        listening.local_addr().into(),
    ];
    let (dialled, accepted) = within(async {
        tokio::join!(
            async { a.transport.dial(b.me, &addresses).await?.hello(hello()).await },
            async { next_pending(&mut listening).await.welcome(welcome()).await }
        )
    })
    .await;
    assert_passes(&dialled.unwrap().0, &mut accepted.unwrap().receivers()[0], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_losers_of_the_race_are_closed() {
    let (a, b) = pair();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listening = b.listen().await;
    let addresses = [silent.local_addr().unwrap().into(), listening.local_addr().into()];
    let pending = within(a.transport.dial(b.me, &addresses)).await.unwrap();
    assert_eq!(pending.peer(), b.me);
    let (mut loser, _) = within(silent.accept()).await.unwrap();
    let mut client_hello = Vec::new();
    // The end of the stream comes although nobody here closes anything.
    let _reset_or_end = within(loser.read_to_end(&mut client_hello)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failed_address_is_named_with_its_reason() {
    let config =
        TransportConfig { dial_timeout: Duration::from_millis(300), ..TransportConfig::default() };
    let a = Node::with(1, config);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [closed_port().await, silent.local_addr().unwrap().into()];
    let error = within(a.transport.dial(key(2).peer_id(), &addresses)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PeerUnreachable);
    let text = error.to_string();
    for address in &addresses {
        assert!(text.contains(&address.to_string()), "{text}");
    }
    assert!(text.contains("no answer in time"), "{text}");
    let none = within(a.transport.dial(key(2).peer_id(), &[])).await.unwrap_err();
    assert!(matches!(none, DialError::NoAddress { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_resolved() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let address: Address = format!("localhost:{}", listening.local_addr().port()).parse().unwrap();
    let (dialled, accepted) = within(async {
        tokio::join!(
            async { a.transport.dial(b.me, &[address]).await?.hello(hello()).await },
            async { next_pending(&mut listening).await.welcome(welcome()).await }
        )
    })
    .await;
    dialled.unwrap();
    accepted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_no_member_is_refused_in_the_handshake() {
    let (a, b) = (Node::new(1), Node::new(2));
    let listening = b.listen().await;
    // The refusal races with what the dialler sends meanwhile; it must not matter who is first.
    for _ in 0..20 {
        let error = a.dial(b.me, listening.local_addr()).await.unwrap_err();
        assert!(matches!(error, DialError::NotAMember), "{error:?}");
        assert!(error.is_refusal());
        assert_eq!(error.code(), ErrorCode::NotAMember);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_cannot_come_back() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let (at_a, at_b) = link(&a, &b, &mut listening).await;
    b.members.remove(a.me);
    at_b.close();
    within(at_a.closed()).await;
    for _ in 0..3 {
        let error = a.dial(b.me, listening.local_addr()).await.unwrap_err();
        assert!(matches!(error, DialError::NotAMember), "{error:?}");
    }
    b.members.admit(a.me);
    link(&a, &b, &mut listening).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_resumption_and_the_key_exchange_is_hybrid() {
    let (a, b) = pair();
    let listening = b.listen().await;
    let addr = listening.local_addr();
    // The same settings twice: a ticket from the first connection would be used by the second.
    let config = raw::config(Some(&key(1)), &[raw::LINK]);
    assert_eq!(key(1).peer_id(), a.me);
    for _ in 0..2 {
        let mut tls = within(raw::tls(addr, config.clone())).await.unwrap();
        let session = tls.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        // The server's first bytes are HTTP/2 settings; tickets would have come before them.
        let mut first = [0; 9];
        within(tls.read_exact(&mut first)).await.unwrap();
        assert_eq!(first[3], 4, "not a SETTINGS frame");
        assert_eq!(tls.get_ref().1.tls13_tickets_received(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_says_so() {
    let (a, b) = pair();
    let listening = b.listen().await;
    let addr = listening.local_addr();
    let error = a.transport.listen(addr).await.unwrap_err();
    assert!(matches!(error, ListenError::PortTaken { .. }), "{error}");
    let elsewhere = a.transport.listen("192.0.2.1:0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(elsewhere, ListenError::AddressUnavailable { .. }), "{elsewhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_holds_a_bounded_number_of_links() {
    let (a, _) = pair();
    let config = TransportConfig { links_per_peer_max: 2, ..TransportConfig::default() };
    let b = Node::with(2, config);
    b.members.admit(a.me);
    let mut listening = b.listen().await;
    let first = link(&a, &b, &mut listening).await;
    let _second = link(&a, &b, &mut listening).await;
    let error = a.dial(b.me, listening.local_addr()).await.unwrap_err();
    assert!(matches!(error, DialError::Closed(_)), "{error:?}");
    drop(first);
    // The place is free when the connection's task has ended.
    let addr = listening.local_addr();
    let dialling = async {
        loop {
            if let Ok(dialled) = a.dial(b.me, addr).await {
                return dialled;
            }
        }
    };
    let accepting = async { next_pending(&mut listening).await.welcome(welcome()).await };
    let (_dialled, accepted) = within(async { tokio::join!(dialling, accepting) }).await;
    accepted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_hello_is_given_up() {
    let config = TransportConfig {
        handshake_timeout: Duration::from_millis(300),
        ..TransportConfig::default()
    };
    let a = Node::with(1, config);
    let b = Node::new(2);
    b.members.admit(a.me);
    let mut listening = b.listen().await;
    let addr = listening.local_addr();
    let (dialled, pending) = tokio::join!(a.dial(b.me, addr), next_pending(&mut listening));
    assert!(matches!(dialled, Err(DialError::TimedOut)));
    let late = within(pending.welcome(welcome())).await;
    assert!(late.is_err(), "the dialler is gone");
}
