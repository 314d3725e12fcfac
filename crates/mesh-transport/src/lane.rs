//! One direction of one lane: a bounded queue in front of an HTTP/2 body, and the reader of the other body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, SizeHint};
use mesh_protocol::{DecodeError, FRAME_BODY_BYTES_MAX, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use crate::decoder::FrameDecoder;
use crate::link::LinkState;
use crate::stream::outbox::StreamBody;
use crate::{TransportConfig, TrySendError};

/// Which of a link's three streams a frame takes. They are independent: what waits in one delays
/// none of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Small and urgent, and everything that keeps the link itself going.
    Urgent,
    /// Most messages.
    Normal,
    /// Large and patient.
    Bulk,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Urgent => "/v1/lane/0",
            Self::Normal => "/v1/lane/1",
            Self::Bulk => "/v1/lane/2",
        }
    }

    pub(crate) fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.path() == path)
    }
}

/// One value per lane.
#[derive(Clone, Debug)]
pub(crate) struct PerLane<T> {
    pub(crate) urgent: T,
    pub(crate) normal: T,
    pub(crate) bulk: T,
}

impl<T> PerLane<T> {
    pub(crate) const fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::Urgent => &self.urgent,
            Lane::Normal => &self.normal,
            Lane::Bulk => &self.bulk,
        }
    }

    pub(crate) const fn of_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Normal => &mut self.normal,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

#[derive(Debug)]
struct Queued {
    bytes: Bytes,
    /// Returned when HTTP/2 takes the bytes.
    _budget: OwnedSemaphorePermit,
}

/// The end of a lane that frames are put into.
///
/// One budget bounds both bytes and frames: a frame costs its bytes, but never less than its share
/// of the queue's places.
#[derive(Clone, Debug)]
pub(crate) struct LaneQueue {
    sender: mpsc::UnboundedSender<Queued>,
    budget: Arc<Semaphore>,
    cost_min: u32,
    cost_max: u32,
}

impl LaneQueue {
    fn cost(&self, bytes: &Bytes) -> u32 {
        u32::try_from(bytes.len()).unwrap_or(u32::MAX).clamp(self.cost_min, self.cost_max)
    }

    /// Waits for room. An error means that the lane is closed.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), ()> {
        let budget = Arc::clone(&self.budget);
        let permit = budget.acquire_many_owned(self.cost(&bytes)).await.map_err(|_| ())?;
        self.sender.send(Queued { bytes, _budget: permit }).map_err(|_| ())
    }

    pub(crate) fn try_send(&self, bytes: Bytes) -> Result<(), TrySendError> {
        self.try_send_leaving(0, bytes)
    }

    /// The same for a frame that must leave half of the budget free, or what it can at its size: it must
    /// find room some day.
    pub(crate) fn try_send_relayed(&self, bytes: Bytes) -> Result<(), TrySendError> {
        let free_when_alone = self.cost_max - self.cost(&bytes);
        self.try_send_leaving(self.cost_max.div_ceil(2).min(free_when_alone), bytes)
    }

    fn try_send_leaving(&self, reserve: u32, bytes: Bytes) -> Result<(), TrySendError> {
        let budget = Arc::clone(&self.budget);
        let permit =
            budget.try_acquire_many_owned(self.cost(&bytes)).map_err(|error| match error {
                TryAcquireError::Closed => TrySendError::Closed,
                TryAcquireError::NoPermits => TrySendError::Full,
            })?;
        // Looked at with the permit in hand, so that callers at the same time cannot exceed it together.
        if u32::try_from(self.budget.available_permits()).is_ok_and(|free| free < reserve) {
            return Err(TrySendError::Full);
        }
        self.sender.send(Queued { bytes, _budget: permit }).map_err(|_| TrySendError::Closed)
    }
}

/// The other end of [`LaneQueue`]: the HTTP/2 body that carries its frames.
pub(crate) struct LaneBody {
    receiver: mpsc::UnboundedReceiver<Queued>,
    budget: Arc<Semaphore>,
    link: Arc<LinkState>,
    is_finished: bool,
}

/// Opens a lane for sending.
pub(crate) fn lane_queue(config: &TransportConfig, link: &Arc<LinkState>) -> (LaneQueue, LaneBody) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let cost_max = config.lane_queue_bytes.max(1);
    let cost_min = (cost_max / config.lane_queue_frames.max(1)).max(1);
    let places = usize::try_from(cost_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    let budget = Arc::new(Semaphore::new(places));
    let queue = LaneQueue { sender, budget: Arc::clone(&budget), cost_min, cost_max };
    (queue, LaneBody { receiver, budget, link: Arc::clone(link), is_finished: false })
}

impl Body for LaneBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        match ready!(self.receiver.poll_recv(cx)) {
            Some(Queued { bytes, _budget }) => {
                self.link.bytes_sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Poll::Ready(Some(Ok(http_body::Frame::data(bytes))))
            }
            None => {
                self.is_finished = true;
                Poll::Ready(None)
            }
        }
    }
}

impl Drop for LaneBody {
    fn drop(&mut self) {
        self.budget.close();
        // A lane that breaks takes the link with it: half a link would lose frames silently.
        if !self.is_finished {
            self.link.end();
        }
    }
}

/// What this crate sends as the body of a request or answer.
pub(crate) enum Outgoing {
    Lane(LaneBody),
    Stream(StreamBody),
    Once(Option<Bytes>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Lane(body) => Pin::new(body).poll_frame(cx),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
            Self::Once(bytes) => Poll::Ready(bytes.take().map(|b| Ok(http_body::Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Lane(_) | Self::Stream(_) => false,
            Self::Once(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Lane(_) | Self::Stream(_) => SizeHint::default(),
            Self::Once(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

/// Frames out of an HTTP/2 body, decoded as they are asked for: what nobody reads stays in the
/// flow-control window of the sender.
#[derive(Debug)]
pub(crate) struct FrameReader {
    body: hyper::body::Incoming,
    decoder: FrameDecoder,
    pub(crate) bytes_read: u64,
}

impl FrameReader {
    pub(crate) const fn new(body: hyper::body::Incoming, body_bytes_max: usize) -> Self {
        Self { body, decoder: FrameDecoder::new(body_bytes_max), bytes_read: 0 }
    }

    /// The next frame; none at the end of the stream, however it ended. Frames of a kind that this
    /// build does not know are skipped.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, DecodeError>>> {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Err(DecodeError::UnknownKind { kind }) => {
                    tracing::debug!(kind, "skipping a frame of a kind that is not known");
                    continue;
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(None) => {}
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(piece)) => {
                    if let Ok(piece) = piece.into_data() {
                        self.bytes_read = self.bytes_read.saturating_add(piece.len() as u64);
                        self.decoder.push(piece);
                    }
                }
                Some(Err(error)) => {
                    tracing::trace!(%error, "stream ended");
                    return Poll::Ready(None);
                }
                None if self.decoder.is_between_frames() => return Poll::Ready(None),
                None => {
                    self.decoder = FrameDecoder::new(FRAME_BODY_BYTES_MAX);
                    return Poll::Ready(Some(Err(DecodeError::Malformed { what: "frame" })));
                }
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Frame, DecodeError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

/// The end of a lane that frames come out of. Dropping it ends the link.
#[derive(Debug)]
pub struct LaneReceiver {
    source: Option<(FrameReader, Arc<LinkState>)>,
}

impl LaneReceiver {
    pub(crate) const fn new(reader: FrameReader, link: Arc<LinkState>) -> Self {
        Self { source: Some((reader, link)) }
    }

    /// A receiver whose lane is over.
    pub(crate) const fn ended() -> Self {
        Self { source: None }
    }

    /// Waits for the next frame; none when the link has ended. After an error the link is closed:
    /// the peer broke the protocol. Frames of a kind that this build does not know are skipped.
    ///
    /// Cancel safe: a frame that has come in part is kept for the next call.
    pub async fn next(&mut self) -> Option<Result<Frame, DecodeError>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for callers that poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, DecodeError>>> {
        let Some((reader, link)) = &mut self.source else { return Poll::Ready(None) };
        if link.is_closed_here() {
            self.source = None;
            return Poll::Ready(None);
        }
        // A peer that sends without pause must not keep the other tasks of this thread waiting.
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let polled = reader.poll_next(cx);
        let bytes_read = std::mem::take(&mut reader.bytes_read);
        link.bytes_received.fetch_add(bytes_read, Ordering::Relaxed);
        let next = ready!(polled);
        budget.made_progress();
        if !matches!(next, Some(Ok(_))) {
            link.end();
            self.source = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for LaneReceiver {
    fn drop(&mut self) {
        if let Some((_, link)) = &self.source {
            link.end();
        }
    }
}

#[cfg(test)]
mod tests;
