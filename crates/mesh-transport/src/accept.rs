//! One connection that came in: the handshake, then either a stranger's request or a member's link.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming as IncomingBody;
use hyper_util::rt::TokioIo;
use mesh_protocol::{
    ErrorCode, FRAME_BODY_BYTES_MAX, Frame, Hello, MeshId, PeerId, Refused, Welcome,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use crate::driver::{Driver, Spawner};
use crate::http::LinkRoute;
use crate::io::{LinkIo, TlsHandle};
use crate::join::serve_stranger;
use crate::lane::{FrameReader, Lane, LaneQueue, LaneReceiver, Outgoing, PerLane, lane_queue};
use crate::limits::{Origin, Place};
use crate::link::{EndOnDrop, Link, LinkState, encode};
use crate::listen::{Door, Incoming};
use crate::stream::hub::Hub;
use crate::tls::{Purpose, authenticated_peer};
use crate::transport::Inner;
use crate::{AcceptError, http as h2};

/// How long a connection stays open after it was told no, so that the answer is not lost: closing a
/// socket with unread bytes makes the system throw away what was sent.
const LINGER: Duration = Duration::from_secs(1);

/// What is read and thrown away meanwhile.
const LINGER_BYTES_MAX: u64 = 256 << 10;

/// Somebody whose key is proven.
struct Caller {
    tls: TlsStream<TcpStream>,
    peer: PeerId,
    purpose: Purpose,
}

pub(crate) async fn serve(
    door: Arc<Door>,
    tcp: TcpStream,
    remote: SocketAddr,
    place: Place<Origin>,
) {
    crate::io::tune(&tcp, door.transport.config.unsent_bytes_max);
    let within = door.transport.config.handshake_timeout;
    let caller = match timeout(within, shake_hands(&door, tcp)).await {
        Ok(Ok(caller)) => caller,
        Ok(Err(error)) => {
            tracing::debug!(%remote, %error, "handshake failed");
            return;
        }
        Err(_elapsed) => {
            tracing::debug!(%remote, "handshake took too long");
            return;
        }
    };
    let Caller { tls, peer, purpose } = caller;
    let (io, handle) = crate::io::share(tls.into());
    match purpose {
        Purpose::Join => {
            drop(handle);
            serve_stranger(door, io, peer, remote).await;
            drop(place);
        }
        Purpose::Link => {
            drop(place);
            let Some(_place) = door.admit_link(peer) else {
                tracing::warn!(peer = %peer.short(), %remote, "too many links, closing the newest");
                return;
            };
            let link = LinkState::new(peer, remote, false, &door.transport.shutdown);
            serve_member(door, io, handle, link).await;
        }
    }
}

/// Brings the TLS handshake to its end. What the caller wants decides which keys are accepted.
async fn shake_hands(door: &Door, tcp: TcpStream) -> io::Result<Caller> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let Some(purpose) = Purpose::offered(&start.client_hello()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no protocol in common"));
    };
    let config = door.transport.tls.server(purpose);
    let tls = match start.into_stream(config).into_fallible().await {
        Ok(tls) => tls,
        Err((error, tcp)) => {
            linger(tcp).await;
            return Err(error);
        }
    };
    let peer = authenticated_peer(tls.get_ref().1, purpose)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no key was shown"))?;
    Ok(Caller { tls, peer, purpose })
}

/// Lets the other side read why it was refused.
async fn linger(mut tcp: TcpStream) {
    let _ended = timeout(LINGER, async {
        tcp.shutdown().await?;
        tokio::io::copy(&mut tcp.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await
    })
    .await;
}

/// A lane that the dialler opened.
struct OpenedLane {
    lane: Lane,
    queue: LaneQueue,
    reader: FrameReader,
}

/// Answers the requests of one member's connection.
struct LaneRoutes {
    transport: Arc<Inner>,
    link: Arc<LinkState>,
    /// Which lanes may be opened: one bit each, taken away by its use.
    openable: Arc<AtomicU8>,
    opened: mpsc::Sender<OpenedLane>,
    hub: Arc<Hub>,
}

const fn bit(lane: Lane) -> u8 {
    match lane {
        Lane::Urgent => 1,
        Lane::Normal => 2,
        Lane::Bulk => 4,
    }
}

impl LaneRoutes {
    fn answer(
        &self,
        request: Request<IncomingBody>,
    ) -> impl Future<Output = Result<Response<Outgoing>, Infallible>> + use<> {
        match h2::link_route(&request) {
            // At once: whoever opens the next lane relies on it.
            Ok(LinkRoute::Lane(lane)) => Either::Left(ready(Ok(self.open_lane(lane, request)))),
            Ok(LinkRoute::Stream(route)) => Either::Right(self.hub.answer(route, request)),
            Err(status) => Either::Left(ready(Ok(h2::no_route(status)))),
        }
    }

    /// Takes a lane. The head of the answer goes out at once; both bodies become the link's.
    fn open_lane(&self, lane: Lane, request: Request<IncomingBody>) -> Response<Outgoing> {
        let before = self.openable.fetch_and(!bit(lane), Ordering::AcqRel);
        if before & bit(lane) == 0 {
            return h2::no_route(StatusCode::CONFLICT);
        }
        let (queue, body) = lane_queue(&self.transport.config, &self.link);
        let reader = FrameReader::new(request.into_body(), FRAME_BODY_BYTES_MAX);
        // There is room for every lane; a closed channel means that the link is over.
        if self.opened.try_send(OpenedLane { lane, queue, reader }).is_err() {
            return h2::no_route(StatusCode::CONFLICT);
        }
        h2::answer(StatusCode::OK, Outgoing::Lane(body))
    }
}

async fn serve_member(door: Arc<Door>, io: LinkIo, handle: TlsHandle, link: Arc<LinkState>) {
    let (sender, opened) = mpsc::channel(Lane::ALL.len());
    let spawner = Spawner::new();
    let hub = Hub::accepted(&door.transport.config, &link, spawner.clone());
    let openable = Arc::new(AtomicU8::new(bit(Lane::Urgent)));
    let routes = LaneRoutes {
        transport: Arc::clone(&door.transport),
        link: Arc::clone(&link),
        openable: Arc::clone(&openable),
        opened: sender,
        hub: Arc::clone(&hub),
    };
    let service = hyper::service::service_fn(move |request| routes.answer(request));
    let connection = h2::link_server(&door.transport.config, &spawner)
        .serve_connection(TokioIo::new(io), service);
    let driver = Driver::new(&spawner, async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
    let mut driver = pin!(driver);
    let greeting = Greeting { door, link: Arc::clone(&link), openable, opened, hub };
    let is_handed_on = tokio::select! {
        () = &mut driver => false,
        () = link.over() => false,
        is_handed_on = greeting.introduce(handle) => is_handed_on,
    };
    if is_handed_on {
        tokio::select! {
            () = driver => {}
            () = link.over() => {}
        }
    }
    link.end();
}

/// A member's connection until it has said hello.
struct Greeting {
    door: Arc<Door>,
    link: Arc<LinkState>,
    openable: Arc<AtomicU8>,
    opened: mpsc::Receiver<OpenedLane>,
    hub: Arc<Hub>,
}

impl Greeting {
    /// Reads Hello and hands the link on to the node; false when there is nothing to hand on.
    async fn introduce(mut self, handle: TlsHandle) -> bool {
        let within = self.door.transport.config.header_timeout;
        let Ok(Some(OpenedLane { queue, mut reader, .. })) =
            timeout(within, self.opened.recv()).await
        else {
            return false;
        };
        let Ok(first) = timeout(within, reader.next()).await else { return false };
        let hello = match first {
            Some(Ok(Frame::Hello(hello))) => hello,
            Some(Ok(_)) => {
                refuse(queue, &self.link, ErrorCode::ProtocolError, "hello comes first").await;
                return false;
            }
            Some(Err(error)) => {
                refuse(queue, &self.link, error.code(), &error.to_string()).await;
                return false;
            }
            None => return false,
        };
        let Some(pair_secret) = pair_secret(handle, &hello.mesh_id) else { return false };
        let guard = EndOnDrop::new(&self.link);
        let incoming = self.door.incoming.clone();
        let pending = PendingAccept {
            lanes_timeout: within,
            hello,
            pair_secret,
            queue,
            reader,
            openable: self.openable,
            opened: self.opened,
            hub: self.hub,
            link: self.link,
            guard,
        };
        incoming.send(Incoming::Link(pending)).await.is_ok()
    }
}

/// Takes the handle with it: kept any longer it would hold the connection open.
fn pair_secret(handle: TlsHandle, mesh: &MeshId) -> Option<Zeroizing<[u8; 32]>> {
    match handle.pair_secret(mesh) {
        Ok(secret) => Some(secret),
        Err(error) => {
            tracing::warn!(%error, "the connection yields no secret");
            None
        }
    }
}

/// Says no on lane 0, and gives the other side time to read it and hang up.
async fn refuse(queue: LaneQueue, link: &LinkState, code: ErrorCode, message: &str) {
    if let Ok(bytes) = encode(&h2::refused(code, message)) {
        let _closed = queue.try_send(bytes);
    }
    // With the queue gone the stream ends after the refusal.
    drop(queue);
    let _ended = timeout(LINGER, link.over()).await;
}

/// A member at the door: its key is proven and it has said hello. Dropping it closes the connection.
#[derive(Debug)]
pub struct PendingAccept {
    lanes_timeout: Duration,
    hello: Hello,
    pair_secret: Zeroizing<[u8; 32]>,
    queue: LaneQueue,
    reader: FrameReader,
    openable: Arc<AtomicU8>,
    opened: mpsc::Receiver<OpenedLane>,
    hub: Arc<Hub>,
    link: Arc<LinkState>,
    guard: EndOnDrop,
}

impl PendingAccept {
    /// Who came, proven by its key. It was a member when the handshake ended.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.link.peer()
    }

    /// Where it came from.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.link.remote()
    }

    /// What it said.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Lets it in, and waits until all lanes are open.
    ///
    /// # Errors
    /// [`AcceptError`]; the connection is closed then.
    pub async fn welcome(self, welcome: Welcome) -> Result<Link, AcceptError> {
        let Self {
            lanes_timeout,
            pair_secret,
            queue,
            reader,
            openable,
            mut opened,
            hub,
            link,
            guard,
            ..
        } = self;
        let welcome = encode(&Frame::Welcome(welcome)).map_err(AcceptError::Encode)?;
        hub.open_up();
        openable.store(bit(Lane::Normal) | bit(Lane::Bulk), Ordering::Release);
        queue.send(welcome).await.map_err(|()| AcceptError::Closed)?;
        let others = async {
            let (mut normal, mut bulk) = (None, None);
            loop {
                let arrived = tokio::select! {
                    () = link.over() => return Err(AcceptError::Closed),
                    arrived = opened.recv() => arrived.ok_or(AcceptError::Closed)?,
                };
                match arrived.lane {
                    Lane::Normal => normal = Some(arrived),
                    Lane::Bulk => bulk = Some(arrived),
                    // Its bit was used up before Hello was read.
                    Lane::Urgent => return Err(AcceptError::Closed),
                }
                (normal, bulk) = match (normal, bulk) {
                    (Some(normal), Some(bulk)) => return Ok((normal, bulk)),
                    missing => missing,
                };
            }
        };
        let (normal, bulk) =
            timeout(lanes_timeout, others).await.map_err(|_| AcceptError::TimedOut)??;
        let receiver = |reader| LaneReceiver::new(reader, Arc::clone(&link));
        let receivers = PerLane {
            urgent: receiver(reader),
            normal: receiver(normal.reader),
            bulk: receiver(bulk.reader),
        };
        let queues = PerLane { urgent: queue, normal: normal.queue, bulk: bulk.queue };
        guard.disarm();
        Ok(Link::new(link, pair_secret, queues, receivers, hub))
    }

    /// Turns it away. Returns when it has hung up, or after a second.
    pub async fn refuse(self, refused: Refused) {
        let Self { queue, link, guard, .. } = self;
        refuse(queue, &link, refused.code, &refused.message).await;
        drop(guard);
    }
}
