//! Requests, each over a connection that the caller's own future drives: no task is started.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ControlStream;
use super::kept::{Exchange, Kept, Line};
use super::sse::{SseEvent, SseParser};
use crate::{ClientError, ErrorDocument};

/// Largest answer that is taken at once.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How long the head of a stream may take.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a stream may be silent; among events the agent sends a comment every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub(super) type Connection = http1::Connection<TokioIo<UnixStream>, Full<Bytes>>;
pub(super) type Sender = http1::SendRequest<Full<Bytes>>;

/// A request before it is sent.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    body: Bytes,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: Bytes::new() }
    }

    pub(super) fn delete(path: String) -> Self {
        Self { method: Method::DELETE, path, body: Bytes::new() }
    }

    /// Without a body, and without a word about what it would be.
    pub(super) fn bare_post(path: String) -> Self {
        Self { method: Method::POST, path, body: Bytes::new() }
    }

    pub(super) fn post(path: &str, body: &impl Serialize) -> Result<Self, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| protocol("a request that has a JSON form", error))?;
        Ok(Self { method: Method::POST, path: path.to_owned(), body: body.into() })
    }

    fn into_request(self) -> Result<Request<Full<Bytes>>, ClientError> {
        Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::HOST, "mesh-agent")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(self.body))
            .map_err(|error| protocol("a request that can be sent", error))
    }
}

/// Sends `call` and reads the whole answer, over a connection that is kept if there is one.
pub(super) async fn ask<T: DeserializeOwned>(
    socket: &Path,
    kept: &Kept,
    call: Call,
    wait: Duration,
) -> Result<T, ClientError> {
    let exchange = async {
        let mut request = call.into_request()?;
        while let Some(line) = kept.take().await {
            match line.exchange(request, kept).await? {
                Exchange::Answered(status, body) => return Ok((status, body)),
                // The agent had closed it.
                Exchange::Unsent(unsent) => request = *unsent,
            }
        }
        let line = Line::new(connect(socket).await?);
        match line.exchange(request, kept).await? {
            Exchange::Answered(status, body) => Ok((status, body)),
            Exchange::Unsent(_) => Err(ClientError::Lost { source: None }),
        }
    };
    let (status, body) =
        timeout(wait, exchange).await.map_err(|_| ClientError::TimedOut { after: wait })??;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| protocol("JSON of this route", error));
    }
    Err(refusal(status, &body))
}

/// Sends `call` and reads the answer as server-sent events.
pub(super) async fn follow<T: DeserializeOwned + Send + 'static>(
    socket: &Path,
    call: Call,
) -> Result<ControlStream<T>, ClientError> {
    let (_, answer) = open(socket, call, HEAD_WAIT_MAX).await?;
    let source = EventSource { answer, parser: SseParser::default(), events: VecDeque::new() };
    Ok(Box::pin(try_unfold(source, |mut source| async move {
        match source.next().await? {
            Some(event) => Ok(Some((event.parse()?, source))),
            None => Ok(None),
        }
    })))
}

/// Sends `call` and reads the answer piece by piece, whatever is in it. Also how many bytes it will have.
pub(super) async fn download(
    socket: &Path,
    call: Call,
    head_wait_max: Duration,
) -> Result<(Option<u64>, ControlStream<Bytes>), ClientError> {
    let (bytes_total, answer) = open(socket, call, head_wait_max).await?;
    let chunks = try_unfold(answer, |mut answer| async move {
        Ok(answer.next().await?.map(|chunk| (chunk, answer)))
    });
    Ok((bytes_total, Box::pin(chunks)))
}

/// Sends `call` over a connection that speaks `wanted` once the agent has agreed.
pub(super) async fn upgrade(
    socket: &Path,
    call: Call,
    wanted: &'static str,
    wait: Duration,
) -> Result<Upgraded, ClientError> {
    let exchange = async {
        let (mut sender, connection) = connect(socket).await?;
        let mut request = call.into_request()?;
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(wanted));
        let answering = async {
            let response = sender.send_request(request).await.map_err(lost)?;
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS {
                return hyper::upgrade::on(response).await.map_err(lost);
            }
            Err(refusal(status, &read_all(response).await?))
        };
        drive(connection.with_upgrades(), answering).await
    };
    timeout(wait, exchange).await.map_err(|_| ClientError::TimedOut { after: wait })?
}

/// Sends `call` and reads the head of the answer.
async fn open(
    socket: &Path,
    call: Call,
    head_wait_max: Duration,
) -> Result<(Option<u64>, Answer), ClientError> {
    let exchange = async {
        let (mut sender, connection) = connect(socket).await?;
        let mut connection = Driven(Some(Box::pin(connection)));
        let request = call.into_request()?;
        let mut response = pin!(sender.send_request(request));
        let response = poll_fn(|context| {
            connection.poll(context);
            response.as_mut().poll(context)
        });
        let response = response.await.map_err(lost)?;
        Ok::<_, ClientError>((connection, response))
    };
    let (connection, response) = timeout(head_wait_max, exchange)
        .await
        .map_err(|_| ClientError::TimedOut { after: head_wait_max })??;
    if !response.status().is_success() {
        let status = response.status();
        let body = match connection.0 {
            Some(connection) => drive(connection, read_all(response)).await?,
            None => read_all(response).await?,
        };
        return Err(refusal(status, &body));
    }
    let body = response.into_body();
    Ok((body.size_hint().exact(), Answer { connection, body }))
}

/// A connection that is polled on the way by whoever waits for its answer.
struct Driven(Option<Pin<Box<Connection>>>);

impl Driven {
    fn poll(&mut self, context: &mut Context<'_>) {
        let ended = match &mut self.0 {
            Some(connection) => connection.as_mut().poll(context).is_ready(),
            None => false,
        };
        // How it ended is seen by the request or the body, which were told already.
        if ended {
            self.0 = None;
        }
    }
}

/// An answer under way.
struct Answer {
    connection: Driven,
    body: Incoming,
}

impl Answer {
    async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        timeout(SILENCE_MAX, poll_fn(|context| self.poll_chunk(context)))
            .await
            .map_err(|_| ClientError::TimedOut { after: SILENCE_MAX })?
            .transpose()
            .map_err(lost)
    }

    fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        self.connection.poll(context);
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())))
    }
}

/// A stream of events under way.
struct EventSource {
    answer: Answer,
    parser: SseParser,
    events: VecDeque<SseEvent>,
}

impl EventSource {
    async fn next(&mut self) -> Result<Option<SseEvent>, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.answer.next().await? {
                Some(chunk) => self.events.extend(self.parser.feed(&chunk)?),
                None => return Ok(None),
            }
        }
    }
}

impl SseEvent {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        if self.name == "error" {
            let document: ErrorDocument = serde_json::from_str(&self.data)
                .map_err(|error| protocol("an error in JSON", error))?;
            return Err(document.error.into());
        }
        serde_json::from_str(&self.data).map_err(|error| protocol("JSON of this route", error))
    }
}

async fn connect(socket: &Path) -> Result<(Sender, Connection), ClientError> {
    let path = socket.to_owned();
    let stream = UnixStream::connect(socket).await.map_err(|source| {
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        if absent.contains(&source.kind()) {
            ClientError::NotRunning { path }
        } else {
            ClientError::Unreachable { path, source }
        }
    })?;
    http1::handshake(TokioIo::new(stream)).await.map_err(lost)
}

/// Drives `connection` until `answer` is there.
async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        answered = answer.as_mut() => return answered,
        // What the connection had read is still there, and so is its error: the answer brings both.
        _ended = connection => {}
    }
    answer.await
}

pub(super) async fn read_all(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|source| {
        if source.is::<LengthLimitError>() {
            return ClientError::Protocol {
                what: "the answer is too large; ask for less at a time",
                source: Some(source),
            };
        }
        ClientError::Lost { source: Some(source) }
    })
}

fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    match serde_json::from_slice::<ErrorDocument>(body) {
        Ok(document) => document.error.into(),
        Err(error) => {
            tracing::debug!(%status, "the agent refused without saying why");
            protocol("an error in JSON", error)
        }
    }
}

pub(super) fn lost(error: hyper::Error) -> ClientError {
    ClientError::Lost { source: Some(Box::new(error)) }
}

pub(super) fn protocol(
    what: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ClientError {
    ClientError::Protocol { what, source: Some(Box::new(source)) }
}

/// Percent-encodes everything that is not unreserved (RFC 3986 §2.3).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
