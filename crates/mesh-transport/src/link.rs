use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use mesh_protocol::{Frame, PeerId};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::lane::{Lane, LaneQueue, LaneReceiver, PerLane};
use crate::stream::LinkStream;
use crate::stream::hub::Hub;
use crate::stream::incoming::StreamReceiver;
use crate::{OpenStreamError, SendError, TrySendError};

/// What all parts of one link share.
#[derive(Debug)]
pub(crate) struct LinkState {
    peer: PeerId,
    remote: SocketAddr,
    is_dialled: bool,
    /// Cancelled when the link is over, whoever ended it; the task that drives the connection then stops.
    over: CancellationToken,
    is_closed_here: AtomicBool,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
}

impl LinkState {
    pub(crate) fn new(
        peer: PeerId,
        remote: SocketAddr,
        is_dialled: bool,
        shutdown: &CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            remote,
            is_dialled,
            over: shutdown.child_token(),
            is_closed_here: AtomicBool::new(false),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
        })
    }

    pub(crate) const fn peer(&self) -> PeerId {
        self.peer
    }

    pub(crate) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }

    pub(crate) fn is_closed_here(&self) -> bool {
        self.is_closed_here.load(Ordering::Relaxed)
    }
}

/// Ends a link that did not come up.
#[derive(Debug)]
pub(crate) struct EndOnDrop {
    link: Option<Arc<LinkState>>,
}

impl EndOnDrop {
    pub(crate) fn new(link: &Arc<LinkState>) -> Self {
        Self { link: Some(Arc::clone(link)) }
    }

    /// The link is up: from here on its receivers keep it alive.
    pub(crate) fn disarm(mut self) {
        self.link = None;
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.end();
        }
    }
}

/// A connection to one peer that is up: both sides are authenticated and have agreed on a version.
///
/// It lives until one side closes it, the connection breaks, or one of its receivers is dropped
/// (those that were not taken go with this value). All lanes and streams end together.
#[derive(Debug)]
pub struct Link {
    state: Arc<LinkState>,
    pair_secret: Zeroizing<[u8; 32]>,
    sender: LinkSender,
    receivers: PerLane<LaneReceiver>,
    streams: Option<StreamReceiver>,
}

impl Link {
    pub(crate) fn new(
        state: Arc<LinkState>,
        pair_secret: Zeroizing<[u8; 32]>,
        queues: PerLane<LaneQueue>,
        receivers: PerLane<LaneReceiver>,
        hub: Arc<Hub>,
    ) -> Self {
        let streams = hub.take_receiver();
        let sender = LinkSender { state: Arc::clone(&state), queues: Arc::new(queues), hub };
        Self { state, pair_secret, sender, receivers, streams: Some(streams) }
    }

    /// Who is at the other end, proven by its key.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.state.peer
    }

    /// The other end's socket address.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.state.remote
    }

    /// Whether this side opened the link.
    #[must_use]
    pub fn is_dialled(&self) -> bool {
        self.state.is_dialled
    }

    /// The secret that only the two ends of this connection know, bound to the mesh named in Hello.
    #[must_use]
    pub fn pair_secret(&self) -> Zeroizing<[u8; 32]> {
        self.pair_secret.clone()
    }

    /// A handle to send with.
    #[must_use]
    pub fn sender(&self) -> LinkSender {
        self.sender.clone()
    }

    /// Takes the receivers, most urgent first. A lane that was taken before yields a receiver whose
    /// lane is over.
    pub fn receivers(&mut self) -> [LaneReceiver; 3] {
        Lane::ALL.map(|lane| self.take_receiver(lane))
    }

    /// Takes one receiver. Taken before: a receiver whose lane is over.
    pub fn take_receiver(&mut self, lane: Lane) -> LaneReceiver {
        std::mem::replace(self.receivers.of_mut(lane), LaneReceiver::ended())
    }

    /// Takes the receiver of the streams that the other side opens. Taken before: one that is over.
    /// While nobody takes it, those who open streams wait in vain.
    pub fn take_streams(&mut self) -> StreamReceiver {
        let streams = self.streams.take();
        streams.unwrap_or_else(|| StreamReceiver::new(None, &self.state))
    }

    /// Bytes of frames and streams that were handed to the connection.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.state.bytes_sent.load(Ordering::Relaxed)
    }

    /// Bytes of frames and streams that were read.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.state.bytes_received.load(Ordering::Relaxed)
    }

    /// Ends the link at once. What is queued is lost, and what was received but not read as well:
    /// a removed member's last words must not count.
    pub fn close(&self) {
        self.state.is_closed_here.store(true, Ordering::Relaxed);
        self.state.end();
    }

    /// Waits until the link is over, whoever ended it.
    pub async fn closed(&self) {
        self.state.over().await;
    }

    /// Whether the link is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.is_over()
    }
}

/// Sends frames over a link. Cheap to clone; does not keep the link alive.
#[derive(Clone, Debug)]
pub struct LinkSender {
    state: Arc<LinkState>,
    queues: Arc<PerLane<LaneQueue>>,
    hub: Arc<Hub>,
}

impl LinkSender {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.state.peer
    }

    /// Queues a frame, waiting for room in its lane. Frames from one caller keep their order.
    /// Success says that the frame is queued, not that it arrived.
    ///
    /// # Errors
    /// [`SendError`]; the frame was not queued.
    pub async fn send(&self, lane: Lane, frame: &Frame) -> Result<(), SendError> {
        self.send_encoded(lane, encode(frame).map_err(SendError::Encode)?).await
    }

    /// Queues a frame if its lane has room.
    ///
    /// # Errors
    /// [`TrySendError`]; the frame was not queued.
    pub fn try_send(&self, lane: Lane, frame: &Frame) -> Result<(), TrySendError> {
        self.try_send_encoded(lane, encode(frame).map_err(TrySendError::Encode)?)
    }

    /// Queues a frame that is passed on for others, if at least half of its lane's budget
    /// ([`lane_queue_bytes`](crate::TransportConfig::lane_queue_bytes), of which a frame costs its bytes but
    /// never less than a place of [`lane_queue_frames`](crate::TransportConfig::lane_queue_frames)) is
    /// free after it. The other half is kept for this node's own frames: whatever others send through it,
    /// its heartbeats, probes and messages find room. A frame that costs more than half itself (with the
    /// default bounds only one of the very largest, by its few bytes of header) waits for an empty lane.
    ///
    /// # Errors
    /// [`TrySendError`]; the frame was not queued.
    pub fn try_send_relayed(&self, lane: Lane, frame: &Frame) -> Result<(), TrySendError> {
        let frame = encode(frame).map_err(TrySendError::Encode)?;
        if self.state.is_over() {
            return Err(TrySendError::Closed);
        }
        self.queues.of(lane).try_send_relayed(frame)
    }

    /// Queues what [`Frame::encode`] made, waiting for room: one encoding serves many links.
    ///
    /// # Errors
    /// [`SendError::Closed`]; the frame was not queued.
    pub async fn send_encoded(&self, lane: Lane, frame: Bytes) -> Result<(), SendError> {
        // The queue itself closes a moment later, when the connection's task has noticed.
        if self.state.is_over() {
            return Err(SendError::Closed);
        }
        self.queues.of(lane).send(frame).await.map_err(|()| SendError::Closed)
    }

    /// Queues what [`Frame::encode`] made if its lane has room.
    ///
    /// # Errors
    /// [`TrySendError`]; the frame was not queued.
    pub fn try_send_encoded(&self, lane: Lane, frame: Bytes) -> Result<(), TrySendError> {
        if self.state.is_over() {
            return Err(TrySendError::Closed);
        }
        self.queues.of(lane).try_send(frame)
    }

    /// Opens a stream of bytes beside the lanes, and waits until the other side has taken it. `head` says
    /// what it is for, in at most 4 KiB. Each side may have
    /// [`streams_max`](crate::TransportConfig::streams_max) open.
    ///
    /// # Errors
    /// [`OpenStreamError`]; the link lives on, unless it had ended.
    pub async fn open_stream(&self, head: Bytes) -> Result<LinkStream, OpenStreamError> {
        self.hub.open(&head).await
    }
}

pub(crate) fn encode(frame: &Frame) -> Result<Bytes, mesh_protocol::EncodeError> {
    frame.encode().map(Bytes::from)
}
