//! Dialling an address without knowing which member is there, if any.

use std::time::Duration;

use mesh_protocol::{Address, ErrorCode};
use mesh_transport::{AttemptError, DialError, TransportConfig};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::{Node, assert_passes, hello, next_pending, pair, welcome, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_member_that_answers_is_named_and_the_usual_hello_follows() {
    let (a, b) = pair();
    let mut listening = b.listen().await;
    let address = Address::from(listening.local_addr());
    let pending = within(a.transport.dial_member(&address)).await.unwrap();
    assert_eq!(pending.peer(), b.me);
    let (dialled, accepted) = within(async {
        tokio::join!(pending.hello(hello()), async {
            next_pending(&mut listening).await.welcome(welcome()).await
        })
    })
    .await;
    let (link, _) = dialled.unwrap();
    assert_eq!(link.peer(), b.me);
    assert_passes(&link, &mut accepted.unwrap().receivers()[0], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_before_it_learns_who_called() {
    let (a, stranger) = (Node::new(1), Node::new(2));
    // Only one side counts the other as a member: the dialler decides for itself.
    stranger.members.admit(a.me);
    let mut listening = stranger.listen().await;
    let address = Address::from(listening.local_addr());
    let error = within(a.transport.dial_member(&address)).await.unwrap_err();
    assert!(matches!(&error, DialError::Stranger { address: at } if *at == address), "{error:?}");
    assert_eq!(error.code(), ErrorCode::PeerUnreachable);
    assert!(!error.is_refusal());
    // Nobody came through its handshake: the next that does is somebody else.
    let friend = Node::new(3);
    stranger.members.admit(friend.me);
    friend.members.admit(stranger.me);
    let (dialled, pending) = within(async {
        tokio::join!(friend.dial(stranger.me, listening.local_addr()), async {
            let pending = next_pending(&mut listening).await;
            let peer = pending.peer();
            // Kept: a link that is dropped is over, perhaps before its other end has heard of it.
            pending.welcome(welcome()).await.map(|link| (peer, link))
        })
    })
    .await;
    dialled.unwrap();
    assert_eq!(pending.unwrap().0, friend.me);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_member_is_a_stranger() {
    let (a, b) = pair();
    let listening = b.listen().await;
    let address = Address::from(listening.local_addr());
    within(a.transport.dial_member(&address)).await.unwrap();
    a.members.remove(b.me);
    let error = within(a.transport.dial_member(&address)).await.unwrap_err();
    assert!(matches!(error, DialError::Stranger { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_take_itself_for_a_member() {
    let a = Node::new(1);
    // Even where the gatekeeper would.
    a.members.admit(a.me);
    let listening = a.listen().await;
    let address = Address::from(listening.local_addr());
    let error = within(a.transport.dial_member(&address)).await.unwrap_err();
    assert!(matches!(error, DialError::Stranger { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_know_the_caller_refuses_it() {
    let (a, b) = (Node::new(1), Node::new(2));
    a.members.admit(b.me);
    let listening = b.listen().await;
    let address = Address::from(listening.local_addr());
    let dialling = async { a.transport.dial_member(&address).await?.hello(hello()).await };
    let error = within(dialling).await.unwrap_err();
    assert!(matches!(error, DialError::NotAMember), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_listens_says_so() {
    let a = Node::new(1);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(closed.local_addr().unwrap());
    drop(closed);
    let error = within(a.transport.dial_member(&address)).await.unwrap_err();
    let DialError::NoAnswer { address: at, reason } = &error else { panic!("{error:?}") };
    assert_eq!(*at, address);
    assert!(matches!(reason, AttemptError::Connect(_)), "{reason:?}");
    assert_eq!(error.code(), ErrorCode::PeerUnreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_says_nothing_is_given_up() {
    let config =
        TransportConfig { dial_timeout: Duration::from_millis(300), ..TransportConfig::default() };
    let a = Node::with(1, config);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(silent.local_addr().unwrap());
    let error = within(a.transport.dial_member(&address)).await.unwrap_err();
    assert!(
        matches!(&error, DialError::NoAnswer { reason: AttemptError::TimedOut, .. }),
        "{error:?}"
    );
    // Nothing is left open.
    let (mut caller, _) = within(silent.accept()).await.unwrap();
    let mut said = Vec::new();
    let _reset_or_end = within(caller.read_to_end(&mut said)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_speaks_something_else_is_no_member() {
    let a = Node::new(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap();
        stream
    };
    let (dialled, _stream) =
        within(async { tokio::join!(a.transport.dial_member(&address), answering) }).await;
    let error = dialled.unwrap_err();
    assert!(
        matches!(&error, DialError::NoAnswer { reason: AttemptError::Handshake(_), .. }),
        "{error:?}"
    );
}
