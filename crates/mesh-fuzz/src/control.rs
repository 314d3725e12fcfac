//! Requests on the control socket, through the server that the agent runs: whatever is asked is answered, with a
//! status that blames whoever asked and, where it says so, with JSON.

#[path = "../../mesh-control/tests/it/fake.rs"]
#[expect(dead_code, unused_imports, reason = "tests ask it for more")]
mod fake;

use std::cell::RefCell;
use std::time::Duration;

use mesh_control::ControlServer;
use mesh_protocol::UnixMillis;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::fake::FakeAgent;

/// The fake agent remembers what it was asked, so it does not live for ever.
const REQUESTS_MAX: u32 = 1_000;
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

struct Server {
    runtime: Runtime,
    dir: TempDir,
    shutdown: CancellationToken,
    requests: u32,
}

impl Server {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let bound = runtime.block_on(ControlServer::bind(&dir.path().join("s"))).unwrap();
        let (agent, tracker) = (FakeAgent::new(UnixMillis(1_780_000_000_000)), TaskTracker::new());
        let stopped = shutdown.clone();
        let run = async move { bound.run(agent, &tracker, stopped).await };
        drop(TaskTracker::new().spawn_on(run, runtime.handle()));
        Self { runtime, dir, shutdown, requests: 0 }
    }

    /// The answer; of one that follows something, the head.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let exchange = async {
            let mut stream = UnixStream::connect(self.dir.path().join("s")).await.unwrap();
            // The server may answer and close before it has taken everything.
            let _written = stream.write_all(request).await;
            let mut answer = Vec::new();
            loop {
                let read = stream.read_buf(&mut answer).await.unwrap_or(0);
                let head = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0);
                if read == 0 || answer[..head].windows(17).any(|part| part == b"text/event-stream")
                {
                    return answer;
                }
            }
        };
        let answer = self.runtime.block_on(async { timeout(ANSWER_WAIT_MAX, exchange).await });
        answer.expect("an answer comes in time")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// The first line is method and path, the rest is the body.
pub(crate) fn control(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(line);
    let body = body.get(1..).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else { return };
    let Some((method, path)) = head.split_once(' ') else { return };
    let is_sound = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    if !["GET", "POST", "PUT", "DELETE"].contains(&method) || !is_sound {
        return;
    }
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let answer = SERVER.with_borrow_mut(|server| {
        if server.as_ref().is_some_and(|server| server.requests >= REQUESTS_MAX) {
            *server = None;
        }
        let server = server.get_or_insert_with(Server::start);
        server.requests += 1;
        server.ask(&[head.as_bytes(), body].concat())
    });
    check(&answer);
}

fn check(answer: &[u8]) {
    let shown = String::from_utf8_lossy(answer);
    let (head, body) = shown.split_once("\r\n\r\n").expect("an answer has a head");
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    // The fake agent does what it is asked to.
    assert!((200..500).contains(&status), "{head}");
    let is_json = head.to_ascii_lowercase().contains("content-type: application/json");
    let document = is_json.then(|| serde_json::from_str::<Value>(body).expect("it says JSON"));
    if status >= 400
        && let Some(document) = document
    {
        assert!(document["error"]["code"].is_string(), "{document}");
    }
}
