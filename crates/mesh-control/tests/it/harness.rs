//! A server in a directory of its own, and requests by hand.

use std::path::PathBuf;
use std::time::Duration;

use mesh_control::{ControlClient, ControlServer};
use mesh_protocol::UnixMillis;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fake::FakeAgent;

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) agent: FakeAgent,
    pub(crate) shutdown: CancellationToken,
    tracker: TaskTracker,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(prepare: impl FnOnce(&mut FakeAgent)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let mut agent = FakeAgent::new(UnixMillis(1_780_000_000_000));
        prepare(&mut agent);
        let shutdown = CancellationToken::new();
        let tracker = TaskTracker::new();
        let server = ControlServer::bind(&path).await.unwrap();
        let run = {
            let (agent, shutdown, tracker) = (agent.clone(), shutdown.clone(), tracker.clone());
            async move { server.run(agent, &tracker, shutdown).await }
        };
        tracker.spawn(run);
        Self { dir, path, agent, shutdown, tracker }
    }

    pub(crate) fn client(&self) -> ControlClient {
        ControlClient::new(&self.path)
    }

    /// Ends the server and waits until every task of it has ended.
    pub(crate) async fn stop(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        within(self.tracker.wait()).await;
    }

    /// Sends `request` as it stands and reads until the server closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> String {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.path).await.unwrap();
            // The server may answer and close before it has taken everything.
            let _written = stream.write_all(request).await;
            let mut answer = Vec::new();
            let _read = stream.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        };
        within(exchange).await
    }

    /// The data of the first event that a request brings; the connection is closed then.
    pub(crate) async fn first_event(&self, method: &str, path: &str, body: &str) -> String {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let exchange = async {
            let stream = UnixStream::connect(&self.path).await.unwrap();
            let mut lines = BufStream::new(stream);
            lines.write_all(request.as_bytes()).await.unwrap();
            lines.flush().await.unwrap();
            loop {
                let mut line = String::new();
                assert!(lines.read_line(&mut line).await.unwrap() > 0, "the stream ended early");
                if let Some(data) = line.strip_prefix("data: ") {
                    return data.to_owned();
                }
            }
        };
        within(exchange).await
    }

    /// One request with a JSON answer: its status and document.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let length = body.len();
        let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        let answer = self.raw(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

/// Waits for `future`, but not for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("it happens in time")
}
