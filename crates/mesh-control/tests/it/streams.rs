//! Server-sent events over a real connection.

use std::os::unix::fs::PermissionsExt as _;

use futures_util::StreamExt as _;
use mesh_control::{ClientError, ControlClient, InboxQuery};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use crate::harness::{Server, within};

#[tokio::test]
async fn shutdown_ends_followers_without_an_error() {
    let server = Server::start().await;
    let mut events = server.client().events_follow(1).await.unwrap();
    within(events.next()).await.unwrap().unwrap();
    server.stop().await;
    assert!(within(events.next()).await.is_none());
}

#[tokio::test]
async fn a_stream_says_its_type_and_carries_an_event_per_item() {
    let server = Server::start().await;
    let answer = server.raw(b"POST /v1/join HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{\"token\":\"t\"}").await;
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    assert_eq!(answer.matches("data: {\"kind\":\"step\"").count(), 6, "{answer}");
    assert_eq!(answer.matches("data: {\"kind\":\"done\"").count(), 1, "{answer}");
}

/// Answers one connection with `pieces`, each in a write of its own, and closes.
fn answering(pieces: Vec<&'static [u8]>) -> (tempfile::TempDir, ControlClient, impl Future) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let serve = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
            // Lets the other end see this piece alone.
            tokio::task::yield_now().await;
        }
    };
    (dir, ControlClient::new(path), serve)
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

#[tokio::test]
async fn events_may_come_in_any_pieces() {
    let pieces = vec![
        HEAD,
        b": keep".as_slice(),
        b"-alive\n\nda",
        b"ta: {\"at\":1,\r",
        b"\ndata: \"kind\":\"x",
        b"\"}\r\n\r",
        b"\n",
        b"data: {\"at\":2,\"kind\":\"y\",\"n\":7}\n\ndata: {\"at\":3",
    ];
    let (_dir, client, serve) = answering(pieces);
    let read = async {
        let events = client.events_follow(0).await.unwrap();
        events.map(Result::unwrap).collect::<Vec<_>>().await
    };
    let (events, _) = within(futures_util::future::join(read, serve)).await;
    let kinds: Vec<_> = events.iter().map(|event| (event.at.0, event.kind.as_str())).collect();
    assert_eq!(kinds, [(1, "x"), (2, "y")]);
}

#[tokio::test]
async fn an_agent_that_dies_half_way_is_an_error() {
    let pieces = vec![
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(),
        b"1f\r\ndata: {\"at\":1,\"kind\":\"x\"}\n\nda",
    ];
    let (_dir, client, serve) = answering(pieces);
    let read = async {
        let events = client.events_follow(0).await.unwrap();
        events.collect::<Vec<_>>().await
    };
    let (events, _) = within(futures_util::future::join(read, serve)).await;
    assert!(matches!(events.last(), Some(Err(ClientError::Lost { .. }))), "{events:?}");
}

type Expected = fn(&ClientError) -> bool;

#[tokio::test]
async fn an_answer_that_is_none_of_ours_is_not_taken_for_one() {
    let cases: [(&[u8], Expected); 4] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", |error| {
            matches!(error, ClientError::Protocol { .. })
        }),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", |error| {
            matches!(error, ClientError::Protocol { .. })
        }),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{", |error| {
            matches!(error, ClientError::Lost { .. })
        }),
        (b"", |error| matches!(error, ClientError::Lost { .. })),
    ];
    for (answer, is_expected) in cases {
        let (_dir, client, serve) = answering(vec![answer]);
        let (status, _) = within(futures_util::future::join(client.status(), serve)).await;
        let error = status.unwrap_err();
        assert!(is_expected(&error), "{error:?}");
    }
}

#[tokio::test]
async fn followers_do_not_disturb_each_other() {
    let server = Server::start().await;
    let query = InboxQuery { limit: Some(3), ..InboxQuery::default() };
    let mut followers = Vec::new();
    for _ in 0..3 {
        followers.push(server.client().inbox_follow(&query).await.unwrap());
    }
    for follower in followers {
        assert_eq!(within(follower.count()).await, 3);
    }
}

#[tokio::test]
async fn a_socket_that_may_not_be_opened_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = ControlClient::new(file.join("s")).status().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}
