//! What a client may not do.

use mesh_control::RenameRequest;
use mesh_protocol::ErrorCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::harness::{Server, within};

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused() {
    let server = Server::start().await;
    let body = format!("{{\"hostname\":\"{}\"}}", "x".repeat(3 << 20));
    let (status, document) = server.ask("POST", "/v1/hostname", &body).await;
    assert_eq!(status, 413);
    assert_eq!(document["error"]["code"], "message_too_large");
    assert!(server.agent.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_still_writing_gets_the_refusal_all_the_same() {
    let server = Server::start().await;
    let request = RenameRequest { hostname: "x".repeat(4 << 20) };
    for _ in 0..20 {
        let error = within(server.client().rename(&request)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::MessageTooLarge, "{error}");
    }
    assert!(server.agent.asked().is_empty());
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let server = Server::start().await;
    let head = "POST /v1/hostname HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n";
    let request = format!("{head}Content-Length: 67108864\r\n\r\n");
    let answer = server.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("message_too_large"), "{answer}");
}

#[tokio::test]
async fn a_body_below_the_bound_is_taken() {
    let server = Server::start().await;
    let body = format!("{{\"hostname\":\"{}\"}}", "x".repeat(1 << 20));
    let (status, _) = server.ask("POST", "/v1/hostname", &body).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn what_is_not_http_ends_the_connection_and_nothing_else() {
    let server = Server::start().await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    for bytes in [b"\x16\x03\x01\x02\x00".as_slice(), b"\r\n\r\nhello\r\n\r\n", long.as_bytes()] {
        let mut stream = UnixStream::connect(&server.path).await.unwrap();
        let _written = stream.write_all(bytes).await;
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        let _read = within(stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    }
    server.client().status().await.unwrap();
}

#[tokio::test]
async fn silent_connections_beyond_the_bound_wait_until_one_ends() {
    let server = Server::start().await;
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(UnixStream::connect(&server.path).await.unwrap());
    }
    let client = server.client();
    let mut answer = std::pin::pin!(client.status());
    assert!(futures_util::poll!(answer.as_mut()).is_pending());
    silent.pop();
    within(answer).await.unwrap();
}

#[tokio::test]
async fn followers_are_bounded_and_leave_room_for_others() {
    let server = Server::start().await;
    let client = server.client();
    let mut followers = Vec::new();
    for _ in 0..128 {
        followers.push(client.events_follow(0).await.unwrap());
    }
    let error = client.events_follow(0).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::RateLimited);
    client.status().await.unwrap();
}
