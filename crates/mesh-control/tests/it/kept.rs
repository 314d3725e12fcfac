//! Connections that the client keeps, seen from an agent that is played by hand.

use mesh_control::{ClientError, ControlClient, RenameRequest};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{UnixListener, UnixStream};

use crate::harness::within;

struct Agent {
    listener: UnixListener,
    _dir: TempDir,
}

fn start() -> (Agent, ControlClient) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    (Agent { listener, _dir: dir }, ControlClient::new(path))
}

impl Agent {
    async fn accept(&self) -> BufStream<UnixStream> {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        BufStream::new(stream)
    }

    /// Takes a connection and answers one request on it.
    async fn answer_one(&self) -> BufStream<UnixStream> {
        let mut stream = self.accept().await;
        assert!(read(&mut stream).await);
        answer(&mut stream).await;
        stream
    }
}

/// Reads a request to its end; false when the client has closed.
async fn read(stream: &mut BufStream<UnixStream>) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if within(stream.read_line(&mut line)).await.unwrap() == 0 {
            return false;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    within(stream.read_exact(&mut body)).await.unwrap();
    true
}

async fn answer(stream: &mut BufStream<UnixStream>) {
    let answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    stream.write_all(answer).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let (agent, client) = start();
    let serve = async {
        let mut stream = agent.accept().await;
        for _ in 0..3 {
            assert!(read(&mut stream).await);
            answer(&mut stream).await;
        }
    };
    let ask = async {
        for asker in [client.clone(), client.clone(), client] {
            assert!(within(asker.outbox()).await.unwrap().is_empty());
        }
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_connection_that_the_agent_closed_is_replaced() {
    let (agent, client) = start();
    for _ in 0..3 {
        let (asked, _closed) = tokio::join!(within(client.outbox()), agent.answer_one());
        assert!(asked.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_the_program_was_busy_is_replaced() {
    let (agent, client) = start();
    let (asked, stream) = tokio::join!(within(client.outbox()), agent.answer_one());
    assert!(asked.unwrap().is_empty());
    let stream = stream.into_inner().into_std().unwrap();
    // Meanwhile nobody looks at sockets here.
    std::thread::spawn(move || drop(stream)).join().unwrap();
    let (asked, _stream) = tokio::join!(within(client.outbox()), agent.answer_one());
    assert!(asked.unwrap().is_empty());
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_again() {
    let (agent, client) = start();
    let (asked, mut stream) = tokio::join!(within(client.outbox()), agent.answer_one());
    assert!(asked.unwrap().is_empty());
    let request = RenameRequest { hostname: String::from("mint") };
    let write = client.rename(&request);
    let take_and_die = async move {
        assert!(read(&mut stream).await);
        drop(stream);
    };
    let (written, ()) = tokio::join!(within(write), take_and_die);
    assert!(matches!(written, Err(ClientError::Lost { .. })), "{written:?}");
    let again = futures_util::FutureExt::now_or_never(agent.listener.accept());
    assert!(again.is_none(), "nothing more came");
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let (agent, client) = start();
    let mut asked = Box::pin(client.outbox());
    let accept = async {
        let mut stream = agent.accept().await;
        assert!(read(&mut stream).await);
        stream
    };
    let mut stream = tokio::select! {
        _ = &mut asked => unreachable!("nobody answered"),
        stream = accept => stream,
    };
    drop(asked);
    assert!(!read(&mut stream).await);
}
