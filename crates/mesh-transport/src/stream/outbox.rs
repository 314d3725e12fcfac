//! What both directions of a stream share: the bounded buffer in front of the HTTP/2 body, how each
//! direction ended, and the stream's place.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::text;
use crate::link::LinkState;
use crate::{StreamError, TransportConfig};

/// A piece costs this at least, so that many tiny ones find their bound too.
const COST_MIN: usize = 256;

/// Largest piece that is handed to HTTP/2: smaller than its largest frame, so that an urgent frame waits
/// for less, and of a size that the other side's allocator uses again instead of mapping it anew.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Pieces below this that wait together travel together.
const SMALL_BYTES: usize = 4 << 10;

/// What they are put together to.
const GATHERED_BYTES: usize = 16 << 10;

/// How a direction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its writer had said everything.
    Finished,
    /// Its writer gave the stream up, and says why.
    Reset(String),
    /// The stream was not accepted, and why.
    Refused(String),
    /// The stream was not accepted: its peer has as many open as it may.
    Busy,
    /// It ended without a word.
    Broken,
    /// The link ended.
    LinkClosed,
    /// This side gave the stream up.
    Here,
}

#[derive(Debug, Default)]
struct Outgoing {
    queue: VecDeque<Bytes>,
    queued_cost: usize,
    /// How this side ended its direction.
    end: Option<Ending>,
    /// Why the other side takes nothing more.
    failure: Option<StreamError>,
    /// The HTTP/2 body has said its last word, or is gone.
    is_over: bool,
    is_incoming_over: bool,
    /// Free again when both directions are over.
    place: Option<OwnedSemaphorePermit>,
}

impl Outgoing {
    fn clear(&mut self) {
        self.queue.clear();
        self.queued_cost = 0;
    }

    /// The permit to be dropped outside the lock, once nothing needs it.
    fn freed(&mut self) -> Option<OwnedSemaphorePermit> {
        if self.is_over && self.is_incoming_over { self.place.take() } else { None }
    }
}

fn cost(bytes: &Bytes) -> usize {
    bytes.len().max(COST_MIN)
}

/// One stream, as its halves, its HTTP/2 body and the one who reads it to its end see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) link: Arc<LinkState>,
    queue_bytes_max: usize,
    piece_bytes_max: usize,
    outgoing: Mutex<Outgoing>,
    /// Woken when there is room, or never will be.
    room: AtomicWaker,
    /// Woken when there is something to send.
    work: AtomicWaker,
    outgoing_over: CancellationToken,
}

/// A new stream and the HTTP/2 body of its outgoing direction.
pub(crate) fn outbox(
    config: &TransportConfig,
    link: &Arc<LinkState>,
    place: Option<OwnedSemaphorePermit>,
) -> (Arc<Shared>, StreamBody) {
    let shared = Arc::new(Shared {
        link: Arc::clone(link),
        queue_bytes_max: config.stream_queue_bytes.max(COST_MIN),
        piece_bytes_max: usize::try_from(config.http_frame_bytes)
            .map_or(PIECE_BYTES_MAX, |bytes| bytes.clamp(1, PIECE_BYTES_MAX)),
        outgoing: Mutex::new(Outgoing { place, ..Outgoing::default() }),
        room: AtomicWaker::new(),
        work: AtomicWaker::new(),
        outgoing_over: CancellationToken::new(),
    });
    (Arc::clone(&shared), StreamBody { shared })
}

impl Shared {
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn queue_bytes_max(&self) -> usize {
        self.queue_bytes_max
    }

    /// Gives the stream its place: until it is used, a reverse request has none.
    pub(crate) fn take_place(&self, place: OwnedSemaphorePermit) {
        self.outgoing().place = Some(place);
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.link.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits until a piece of so many bytes has room.
    pub(crate) fn poll_room(
        &self,
        bytes: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        self.room.register(cx.waker());
        let outgoing = self.outgoing();
        if let Some(failure) = &outgoing.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        if outgoing.end.is_some() {
            return Poll::Ready(Err(StreamError::EndedHere));
        }
        if outgoing.is_over {
            return Poll::Ready(Err(StreamError::Broken));
        }
        let after = outgoing.queued_cost.saturating_add(bytes.max(COST_MIN));
        if outgoing.queue.is_empty() || after <= self.queue_bytes_max {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Puts a piece into the buffer, for which there is room.
    pub(crate) fn push(&self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let mut outgoing = self.outgoing();
        if outgoing.end.is_none() && !outgoing.is_over {
            outgoing.queued_cost += cost(&piece);
            outgoing.queue.push_back(piece);
        }
        drop(outgoing);
        self.work.wake();
    }

    /// Ends the outgoing direction, unless it has ended.
    pub(crate) fn end(&self, ending: Ending) {
        let mut outgoing = self.outgoing();
        if outgoing.end.is_none() {
            if ending != Ending::Finished {
                outgoing.clear();
            }
            outgoing.end = Some(ending);
        }
        drop(outgoing);
        self.work.wake();
    }

    /// The incoming direction has ended. Returns how, as this side is to see it.
    pub(crate) fn incoming_ended(&self, ending: Ending) -> Ending {
        let mut outgoing = self.outgoing();
        let is_given_up_here = matches!(outgoing.end, Some(Ending::Reset(_) | Ending::Refused(_)));
        outgoing.is_incoming_over = true;
        let failure = match &ending {
            Ending::Finished => None,
            Ending::Reset(reason) | Ending::Refused(reason) => {
                Some(StreamError::Reset { reason: reason.clone() })
            }
            Ending::Busy | Ending::Broken | Ending::Here => Some(StreamError::Broken),
            Ending::LinkClosed => Some(StreamError::LinkClosed),
        };
        if let Some(failure) = failure
            && outgoing.failure.is_none()
        {
            // Nobody is there to read it.
            outgoing.clear();
            outgoing.failure = Some(failure);
            if !matches!(outgoing.end, Some(Ending::Reset(_) | Ending::Refused(_) | Ending::Busy)) {
                outgoing.end = Some(Ending::Reset(String::new()));
            }
        }
        let freed = outgoing.freed();
        drop(outgoing);
        drop(freed);
        self.room.wake();
        self.work.wake();
        if is_given_up_here { Ending::Here } else { ending }
    }

    fn outgoing_ended(&self) {
        let mut outgoing = self.outgoing();
        outgoing.is_over = true;
        outgoing.clear();
        let freed = outgoing.freed();
        drop(outgoing);
        drop(freed);
        self.room.wake();
        self.outgoing_over.cancel();
    }

    /// Waits until the last word of the outgoing direction is on its way, or can no longer be said.
    pub(crate) async fn outgoing_over(&self) {
        self.outgoing_over.cancelled().await;
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_outgoing_over(&self) -> bool {
        self.outgoing().is_over
    }

    /// What is to be sent next: a piece, the trailers, or none yet.
    fn next(&self) -> Option<http_body::Frame<Bytes>> {
        let mut outgoing = self.outgoing();
        if let Some(piece) = next_piece(&mut outgoing, self.piece_bytes_max) {
            // A sender that is woken for every piece spends its time being woken.
            let is_half_empty = outgoing.queued_cost <= self.queue_bytes_max / 2;
            drop(outgoing);
            if is_half_empty {
                self.room.wake();
            }
            self.link.bytes_sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            return Some(http_body::Frame::data(piece));
        }
        let trailers = text::write_ending(outgoing.end.as_ref()?);
        drop(outgoing);
        self.outgoing_ended();
        Some(http_body::Frame::trailers(trailers))
    }
}

/// Takes at most one HTTP/2 frame's worth: bytes that HTTP/2 holds are the ones that others wait for.
fn next_piece(outgoing: &mut Outgoing, piece_bytes_max: usize) -> Option<Bytes> {
    let mut piece = outgoing.queue.pop_front()?;
    outgoing.queued_cost -= cost(&piece);
    if piece.len() > piece_bytes_max {
        let rest = piece.split_off(piece_bytes_max);
        outgoing.queued_cost += cost(&rest);
        outgoing.queue.push_front(rest);
        return Some(piece);
    }
    let gathered_max = GATHERED_BYTES.min(piece_bytes_max);
    let fits =
        |sum: usize, next: &Bytes| next.len() < SMALL_BYTES && sum + next.len() <= gathered_max;
    if piece.len() >= SMALL_BYTES
        || !outgoing.queue.front().is_some_and(|next| fits(piece.len(), next))
    {
        return Some(piece);
    }
    let mut gathered = BytesMut::with_capacity(gathered_max);
    gathered.extend_from_slice(&piece);
    while let Some(next) = outgoing.queue.pop_front_if(|next| fits(gathered.len(), next)) {
        outgoing.queued_cost -= cost(&next);
        gathered.extend_from_slice(&next);
    }
    Some(gathered.freeze())
}

/// The HTTP/2 body of a stream's outgoing direction.
#[derive(Debug)]
pub(crate) struct StreamBody {
    shared: Arc<Shared>,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.shared.outgoing_over.is_cancelled() {
            return Poll::Ready(None);
        }
        self.shared.work.register(cx.waker());
        match self.shared.next() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Poll::Pending,
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.shared.outgoing_ended();
    }
}

#[cfg(test)]
mod tests;
