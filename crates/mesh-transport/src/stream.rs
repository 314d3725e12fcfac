//! Byte streams beside the lanes: bulk that is no frames, both ways, each with bounds of its own.
//!
//! A direction of a stream ends with trailers that say how. One that ends without them broke off, so
//! that what came is never taken for the whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use hyper::rt::Executor as _;

use crate::StreamError;
use crate::driver::Spawner;
use outbox::{Ending, Shared};

pub(crate) mod hub;
pub(crate) mod incoming;
mod io;
pub(crate) mod outbox;
mod text;

/// How long a stream that this side has given up is read on, so that the other side can end it as well.
/// Cut off at once, bytes that are still on their way would belong to no stream that HTTP/2 knows.
const DRAIN_GRACE: Duration = Duration::from_secs(3);

/// A stream that breaks off may be the first that shows of a link's end.
const CAUSE_WAIT: Duration = Duration::from_millis(100);

/// Bytes both ways over a link, in order and with back-pressure, beside its lanes and other streams.
///
/// Each side ends its own direction with [`finish`](Self::finish). Dropped before that, or
/// [`reset`](Self::reset), the stream is over for both sides.
#[derive(Debug)]
pub struct LinkStream {
    send: StreamSender,
    recv: StreamReader,
}

impl LinkStream {
    pub(crate) fn new(send: StreamSender, body: hyper::body::Incoming, spawner: Spawner) -> Self {
        let recv = StreamReader {
            shared: Arc::clone(&send.shared),
            body: Some(body),
            piece: Bytes::new(),
            cause: None,
            spawner,
        };
        Self { send, recv }
    }

    /// Sends bytes: see [`StreamSender::send`].
    ///
    /// # Errors
    /// [`StreamError`]; nothing more can be sent then.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.send.send(bytes).await
    }

    /// Waits for bytes: see [`StreamReader::recv`].
    pub async fn recv(&mut self) -> Option<Result<Bytes, StreamError>> {
        self.recv.recv().await
    }

    /// Ends this side's direction: see [`StreamSender::finish`].
    pub fn finish(&mut self) {
        self.send.finish();
    }

    /// Gives the stream up, both ways: see [`StreamSender::reset`].
    pub fn reset(mut self, reason: &str) {
        self.send.reset(reason);
    }

    /// Splits it into its directions, which may live in different tasks.
    #[must_use]
    pub fn into_split(self) -> (StreamSender, StreamReader) {
        (self.send, self.recv)
    }
}

type Cause = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Why a stream broke off: its link's end may show a moment later.
fn poll_cause(
    cause: &mut Option<Cause>,
    shared: &Shared,
    cx: &mut Context<'_>,
) -> Poll<StreamError> {
    if !shared.link.is_over() {
        let waiting = cause.get_or_insert_with(|| {
            let link = Arc::clone(&shared.link);
            Box::pin(async move {
                let _over = tokio::time::timeout(CAUSE_WAIT, link.over()).await;
            })
        });
        ready!(waiting.as_mut().poll(cx));
    }
    *cause = None;
    Poll::Ready(if shared.link.is_over() { StreamError::LinkClosed } else { StreamError::Broken })
}

/// The direction of a stream that goes out. Dropped before [`finish`](Self::finish), it resets the stream.
pub struct StreamSender {
    shared: Arc<Shared>,
    cause: Option<Cause>,
}

impl std::fmt::Debug for StreamSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSender").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl StreamSender {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, cause: None }
    }

    /// Sends bytes, waiting for room in the stream's buffer
    /// ([`stream_queue_bytes`](crate::TransportConfig::stream_queue_bytes)). Success says that they are
    /// in the buffer, not that they arrived. Large pieces travel cheaply, and without a copy; many of
    /// less than 256 bytes that nobody reads cost the link.
    ///
    /// Cancel safe for a piece that is no larger than the buffer: it is sent whole or not at all.
    ///
    /// # Errors
    /// [`StreamError`]; nothing more can be sent then. A reset by the other side shows here when it
    /// was read, or seconds later.
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        let piece_max = self.shared.queue_bytes_max();
        loop {
            std::future::poll_fn(|cx| self.poll_room(bytes.len().min(piece_max), cx)).await?;
            let piece = bytes.split_to(bytes.len().min(piece_max));
            self.shared.push(piece);
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    fn poll_room(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if self.shared.link.is_over() {
            return Poll::Ready(Err(StreamError::LinkClosed));
        }
        match ready!(self.shared.poll_room(bytes, cx)) {
            Err(StreamError::Broken) => poll_cause(&mut self.cause, &self.shared, cx).map(Err),
            outcome => Poll::Ready(outcome),
        }
    }

    /// Ends this direction after what was sent. The other one goes on, and its reader may be dropped.
    /// The second time nothing happens.
    pub fn finish(&mut self) {
        self.shared.end(Ending::Finished);
    }

    /// Gives the stream up, both ways. What waits in the buffer is lost; the other side is told the
    /// reason, of which 256 bytes travel. After [`finish`](Self::finish) it is too late.
    pub fn reset(&mut self, reason: &str) {
        self.shared.end(Ending::Reset(reason.to_owned()));
    }
}

impl Drop for StreamSender {
    fn drop(&mut self) {
        self.shared.end(Ending::Reset("given up".to_owned()));
    }
}

/// The direction of a stream that comes in. Dropped before its end, what still comes is thrown away.
pub struct StreamReader {
    shared: Arc<Shared>,
    /// None once the direction has ended.
    body: Option<hyper::body::Incoming>,
    /// What was read and not handed out.
    piece: Bytes,
    cause: Option<Cause>,
    spawner: Spawner,
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// What a piece of an HTTP/2 body means to a stream.
enum Arrived {
    Data(Bytes),
    End(Ending),
    /// The body ended, and nothing says that it was to.
    Broken,
}

fn poll_body(body: &mut hyper::body::Incoming, cx: &mut Context<'_>) -> Poll<Arrived> {
    loop {
        let Some(Ok(piece)) = ready!(Pin::new(&mut *body).poll_frame(cx)) else {
            return Poll::Ready(Arrived::Broken);
        };
        match piece.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => return Poll::Ready(Arrived::Data(data)),
            Err(piece) => {
                let ending = piece.trailers_ref().and_then(text::read_ending);
                return Poll::Ready(ending.map_or(Arrived::Broken, Arrived::End));
            }
        }
    }
}

impl StreamReader {
    /// Waits for the next bytes, of whatever size they came in; none after the other side has finished.
    /// An error is the end too: what came before is not the whole.
    ///
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<Result<Bytes, StreamError>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The same for callers that poll.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        match ready!(self.poll_arrived(cx)) {
            None => Poll::Ready(None),
            Some(Ok(bytes)) => Poll::Ready(Some(Ok(bytes))),
            // A refusal comes before a stream is open, and means nothing behind that.
            Some(Err(Ending::Finished)) => Poll::Ready(None),
            Some(Err(Ending::Reset(reason) | Ending::Refused(reason))) => {
                Poll::Ready(Some(Err(StreamError::Reset { reason })))
            }
            Some(Err(Ending::Busy | Ending::Broken)) => Poll::Ready(Some(Err(StreamError::Broken))),
            Some(Err(Ending::LinkClosed)) => Poll::Ready(Some(Err(StreamError::LinkClosed))),
            Some(Err(Ending::Here)) => Poll::Ready(Some(Err(StreamError::EndedHere))),
        }
    }

    /// The next bytes or how the direction ended; none when that was said before.
    fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Ending>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if self.shared.link.is_closed_here() {
            self.body = None;
            return Poll::Ready(Some(Err(Ending::LinkClosed)));
        }
        if !self.piece.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.piece))));
        }
        // A peer that sends without pause must not keep the other tasks of this thread waiting.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let arrived = match self.cause {
            Some(_) => Arrived::Broken,
            None => ready!(poll_body(body, cx)),
        };
        let ending = match arrived {
            Arrived::Data(bytes) => {
                budget.made_progress();
                self.shared.count_received(bytes.len());
                return Poll::Ready(Some(Ok(bytes)));
            }
            Arrived::End(ending) => ending,
            Arrived::Broken => match ready!(poll_cause(&mut self.cause, &self.shared, cx)) {
                StreamError::LinkClosed => Ending::LinkClosed,
                StreamError::Reset { .. } | StreamError::Broken | StreamError::EndedHere => {
                    Ending::Broken
                }
            },
        };
        budget.made_progress();
        self.body = None;
        let ending = self.shared.incoming_ended(ending);
        Poll::Ready(Some(Err(ending)))
    }

    /// Takes the byte by which the dialler accepts a stream that the acceptor opened.
    pub(crate) async fn accepted(&mut self) -> Result<(), Ending> {
        match std::future::poll_fn(|cx| self.poll_arrived(cx)).await {
            Some(Ok(mut bytes)) => {
                if bytes.first() != Some(&incoming::ACCEPTED) {
                    return Err(Ending::Broken);
                }
                let _byte = bytes.split_to(1);
                self.piece = bytes;
                Ok(())
            }
            Some(Err(ending)) => Err(ending),
            None => Err(Ending::Broken),
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !self.shared.link.is_over()
        {
            self.spawner.execute(drain(body, Arc::clone(&self.shared)));
        }
    }
}

/// Throws away what still comes, until the other side has ended its direction too.
async fn drain(mut body: hyper::body::Incoming, shared: Arc<Shared>) {
    let reading = async {
        loop {
            match std::future::poll_fn(|cx| poll_body(&mut body, cx)).await {
                Arrived::Data(bytes) => shared.count_received(bytes.len()),
                Arrived::End(ending) => return ending,
                Arrived::Broken => return Ending::Broken,
            }
        }
    };
    let patience = async {
        shared.outgoing_over().await;
        tokio::time::sleep(DRAIN_GRACE).await;
    };
    let ending = tokio::select! {
        ending = reading => ending,
        () = patience => Ending::Broken,
    };
    let _said_to_nobody = shared.incoming_ended(ending);
}
