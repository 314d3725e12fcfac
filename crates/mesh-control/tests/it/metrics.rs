//! The port that shows figures: what it answers, and to whom.

use std::net::SocketAddr;

use mesh_control::{MetricsBindError, MetricsServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::harness::within;

struct Page {
    address: SocketAddr,
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

async fn start() -> Page {
    let server = MetricsServer::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let page = Page {
        address: server.address(),
        shutdown: CancellationToken::new(),
        tracker: TaskTracker::new(),
    };
    let render = || async { "mesh_links 3\n# EOF\n".to_owned() };
    let (tracker, shutdown) = (page.tracker.clone(), page.shutdown.clone());
    page.tracker.spawn(async move { server.run(render, &tracker, shutdown).await });
    page
}

async fn ask(address: SocketAddr, line: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    within(exchange).await
}

#[tokio::test]
async fn figures_are_shown_at_one_path_and_nothing_else_is() {
    let page = start().await;
    let answer = ask(page.address, "GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nmesh_links 3\n# EOF\n"), "{answer}");
    for (line, status) in [("POST /metrics", "405"), ("GET /", "404"), ("GET /v1/status", "404")] {
        let answer = ask(page.address, line).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    }
    page.shutdown.cancel();
    page.tracker.close();
    within(page.tracker.wait()).await;
    assert!(TcpStream::connect(page.address).await.is_err());
}

#[tokio::test]
async fn only_a_loopback_address_is_taken() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        let refused = MetricsServer::bind(address.parse().unwrap()).await.unwrap_err();
        assert!(matches!(refused, MetricsBindError::NotLoopback { .. }), "{refused:?}");
        assert!(refused.to_string().contains(address), "{refused}");
    }
    let page = start().await;
    let taken = MetricsServer::bind(page.address).await.unwrap_err();
    assert!(matches!(taken, MetricsBindError::Io { .. }), "{taken:?}");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_served_when_others_end() {
    let page = start().await;
    let mut idle = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(page.address).await.unwrap();
        // Answered once, so it is accepted and counted; then it is kept.
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut start = [0; 12];
        within(stream.read_exact(&mut start)).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        idle.push(stream);
    }
    let mut asked = page.tracker.spawn(ask(page.address, "GET /metrics"));
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut asked).await;
    assert!(early.is_err(), "the bound lets one more in");
    idle.pop();
    assert!(within(asked).await.unwrap().starts_with("HTTP/1.1 200"));
}
