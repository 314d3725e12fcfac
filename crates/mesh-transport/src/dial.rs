//! The way out: several addresses at once, then Hello and Welcome.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::StatusCode;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use mesh_protocol::{Address, FRAME_BODY_BYTES_MAX, Frame, Hello, PeerId, Refused, Welcome};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::driver::{Driver, Spawner};
use crate::io::{LinkIo, TlsHandle};
use crate::lane::{
    FrameReader, Lane, LaneBody, LaneQueue, LaneReceiver, Outgoing, PerLane, lane_queue,
};
use crate::link::{EndOnDrop, Link, LinkState, encode};
use crate::stream::hub::Hub;
use crate::tls::{Purpose, authenticated_peer};
use crate::transport::Inner;
use crate::{AttemptError, DialError, DialFailure, Transport, http as h2};

/// Socket addresses that one name may stand for; more are not tried.
const RESOLVED_MAX: usize = 4;

/// A connection to the right peer, before it was told anything.
pub(crate) struct Dialled {
    peer: PeerId,
    tls: TlsStream<TcpStream>,
    remote: SocketAddr,
}

/// A connection whose other end has proven its key: the one that was dialled, or any member's where no
/// peer was named. Dropping it closes it.
pub struct PendingDial {
    transport: Arc<Inner>,
    dialled: Dialled,
}

impl std::fmt::Debug for PendingDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingDial")
            .field("peer", &self.dialled.peer)
            .field("remote", &self.dialled.remote)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Connects to `peer` at any of `addresses`: they are tried in their order, each with a head
    /// start over the next, and the first where the peer's key answers wins.
    ///
    /// The peer has not judged this node yet when this returns: see [`PendingDial::hello`].
    ///
    /// # Errors
    /// [`DialError::NoAddress`] or [`DialError::Unreachable`], which names every address with its
    /// reason. No connection is left open.
    pub async fn dial(
        &self,
        peer: PeerId,
        addresses: &[Address],
    ) -> Result<PendingDial, DialError> {
        let dialled = self.inner.connect(peer, addresses, Purpose::Link).await?;
        Ok(PendingDial { transport: Arc::clone(&self.inner), dialled })
    }

    /// Connects to `address`, where any other member may answer; [`PendingDial::peer`] tells which.
    ///
    /// For addresses that somebody named without proof. Who answers there shows its key before this node
    /// does: one that is no member learns nothing but that a node called.
    ///
    /// # Errors
    /// [`DialError::Stranger`] when somebody else answers, or this node itself; [`DialError::NoAnswer`]
    /// when nobody does. No connection is left open.
    pub async fn dial_member(&self, address: &Address) -> Result<PendingDial, DialError> {
        let connector = TlsConnector::from(self.inner.tls.client_of_members());
        let attempt = self.inner.attempt(&connector, address, Purpose::Link).await;
        let dialled = attempt.map_err(|DialFailure { address, reason }| match reason {
            AttemptError::WrongKey => DialError::Stranger { address },
            AttemptError::NotAMember => DialError::NotAMember,
            AttemptError::Resolve(_)
            | AttemptError::Connect(_)
            | AttemptError::Handshake(_)
            | AttemptError::TimedOut => DialError::NoAnswer { address, reason },
        })?;
        Ok(PendingDial { transport: Arc::clone(&self.inner), dialled })
    }
}

impl Inner {
    pub(crate) async fn connect(
        &self,
        peer: PeerId,
        addresses: &[Address],
        purpose: Purpose,
    ) -> Result<Dialled, DialError> {
        let connector = TlsConnector::from(self.tls.client(peer, purpose));
        let mut waiting = addresses.iter();
        let mut running = FuturesUnordered::new();
        let mut failures = Vec::new();
        loop {
            if let Some(address) = waiting.next() {
                running.push(self.attempt(&connector, address, purpose));
            } else if running.is_empty() {
                break;
            }
            // The next address starts after the head start of this one, or when one has failed.
            tokio::select! {
                biased;
                Some(ended) = running.next() => match ended {
                    Ok(dialled) => return Ok(dialled),
                    // The right peer answered, and said no: the other addresses lead to it too.
                    Err(DialFailure { reason: AttemptError::NotAMember, .. }) => {
                        return Err(DialError::NotAMember);
                    }
                    Err(failure) => {
                        let DialFailure { address, reason } = &failure;
                        tracing::debug!(peer = %peer.short(), %address, %reason, "no answer");
                        failures.push(failure);
                    }
                },
                () = tokio::time::sleep(self.config.dial_stagger), if waiting.len() > 0 => {}
                else => {}
            }
        }
        if failures.is_empty() {
            return Err(DialError::NoAddress { peer });
        }
        Err(DialError::Unreachable { peer, failures })
    }

    async fn attempt(
        &self,
        connector: &TlsConnector,
        address: &Address,
        purpose: Purpose,
    ) -> Result<Dialled, DialFailure> {
        let attempt = self.connect_one(connector, address, purpose);
        let outcome = timeout(self.config.dial_timeout, attempt).await;
        outcome
            .unwrap_or(Err(AttemptError::TimedOut))
            .map_err(|reason| DialFailure { address: address.clone(), reason })
    }

    async fn connect_one(
        &self,
        connector: &TlsConnector,
        address: &Address,
        purpose: Purpose,
    ) -> Result<Dialled, AttemptError> {
        let tcp = match address.socket_addr() {
            Some(addr) => TcpStream::connect(addr).await.map_err(AttemptError::Connect)?,
            None => connect_by_name(address).await?,
        };
        let remote = tcp.peer_addr().map_err(AttemptError::Connect)?;
        crate::io::tune(&tcp, self.config.unsent_bytes_max);
        let name = ServerName::from(remote.ip());
        let tls = connector.connect(name, tcp).await.map_err(handshake_error)?;
        let Some(peer) = authenticated_peer(tls.get_ref().1, purpose) else {
            return Err(AttemptError::Handshake("the other side speaks another protocol".into()));
        };
        Ok(Dialled { peer, tls, remote })
    }

    /// Starts HTTP/2 on a connection; a task drives it until `link` is over.
    pub(crate) async fn start_client(
        &self,
        io: LinkIo,
        link: &Arc<LinkState>,
    ) -> Result<(SendRequest<Outgoing>, Spawner), DialError> {
        let spawner = Spawner::new();
        let handshake = h2::client(&self.config, &spawner).handshake(TokioIo::new(io)).await;
        let (requests, connection) = handshake.map_err(|error| DialError::Closed(error.into()))?;
        let driver = Driver::new(&spawner, async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        let (link, kept) = (Arc::clone(link), requests.clone());
        self.tracker.spawn(async move {
            // Without anybody who could ask something more, hyper would wind the connection up.
            let _kept = kept;
            tokio::select! {
                () = driver => {}
                () = link.over() => {}
            }
            link.end();
        });
        Ok((requests, spawner))
    }
}

async fn connect_by_name(address: &Address) -> Result<TcpStream, AttemptError> {
    let found = tokio::net::lookup_host((address.host(), address.port()))
        .await
        .map_err(AttemptError::Resolve)?;
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for addr in found.take(RESOLVED_MAX) {
        match TcpStream::connect(addr).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(AttemptError::Connect(last))
}

fn handshake_error(error: std::io::Error) -> AttemptError {
    if crate::io::is_access_denied(&error) {
        return AttemptError::NotAMember;
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let is_wrong_key = matches!(
        tls,
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::ApplicationVerificationFailure
        ))
    );
    if is_wrong_key { AttemptError::WrongKey } else { AttemptError::Handshake(error.into()) }
}

/// A link on its way up, from the dialling side.
struct Greeting<'a> {
    transport: &'a Inner,
    link: Arc<LinkState>,
    requests: SendRequest<Outgoing>,
    hub: Arc<Hub>,
}

impl PendingDial {
    /// Who answers at the other end, proven by its key.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.dialled.peer
    }

    /// Says hello and waits for the verdict: only with Welcome is the link up.
    ///
    /// # Errors
    /// [`DialError::NotAMember`] and [`DialError::Refused`] when the peer says no, else what went
    /// wrong. The connection is closed then.
    pub async fn hello(self, hello: Hello) -> Result<(Link, Welcome), DialError> {
        let within = self.transport.config.handshake_timeout;
        timeout(within, self.greet(hello)).await.unwrap_or(Err(DialError::TimedOut))
    }

    async fn greet(self, hello: Hello) -> Result<(Link, Welcome), DialError> {
        let Self { transport, dialled: Dialled { peer, tls, remote } } = self;
        let (io, handle) = crate::io::share(tls.into());
        let pair_secret =
            handle.pair_secret(&hello.mesh_id).map_err(|error| DialError::Tls(error.into()))?;
        let link = LinkState::new(peer, remote, true, &transport.shutdown);
        let guard = EndOnDrop::new(&link);
        let greeting = async {
            let (requests, spawner) = transport.start_client(io, &link).await?;
            let hub = Hub::dialled(&transport.config, &link, spawner, requests.clone());
            let greeting =
                Greeting { transport: &transport, link: Arc::clone(&link), requests, hub };
            greeting.bring_up(hello, pair_secret).await
        };
        let outcome = greeting.await.map_err(|error| judged(error, &handle));
        if outcome.is_ok() {
            guard.disarm();
        }
        outcome
    }
}

/// A peer that does not accept this node's key ends the handshake after this side is through with
/// its part, so the verdict shows up as a broken connection.
pub(crate) fn judged(error: DialError, handle: &TlsHandle) -> DialError {
    if matches!(error, DialError::Closed(_)) && handle.is_access_denied() {
        DialError::NotAMember
    } else {
        error
    }
}

impl Greeting<'_> {
    async fn bring_up(
        mut self,
        hello: Hello,
        pair_secret: Zeroizing<[u8; 32]>,
    ) -> Result<(Link, Welcome), DialError> {
        let hello = encode(&Frame::Hello(hello)).map_err(DialError::Encode)?;
        let (urgent_queue, body) = self.queue();
        urgent_queue.try_send(hello).map_err(|error| DialError::Closed(error.into()))?;
        let mut reader = self.open(Lane::Urgent, body).await?;
        let welcome = match reader.next().await {
            Some(Ok(Frame::Welcome(welcome))) => welcome,
            Some(Ok(Frame::Refused(Refused { code, message }))) => {
                return Err(DialError::Refused { code, message });
            }
            Some(Ok(_)) => return Err(DialError::Protocol { what: "the answer to hello" }),
            Some(Err(error)) => return Err(DialError::Decode(error)),
            None => return Err(DialError::Closed("no answer to hello".into())),
        };
        let urgent = LaneReceiver::new(reader, Arc::clone(&self.link));
        // Before the other lanes: when they are open, the other side knows whether it may open streams.
        self.hub.keep_reverse();
        let (normal_queue, body) = self.queue();
        let normal = LaneReceiver::new(self.open(Lane::Normal, body).await?, self.link.clone());
        let (bulk_queue, body) = self.queue();
        let bulk = LaneReceiver::new(self.open(Lane::Bulk, body).await?, self.link.clone());
        let queues = PerLane { urgent: urgent_queue, normal: normal_queue, bulk: bulk_queue };
        let receivers = PerLane { urgent, normal, bulk };
        Ok((Link::new(self.link, pair_secret, queues, receivers, self.hub), welcome))
    }

    fn queue(&self) -> (LaneQueue, LaneBody) {
        lane_queue(&self.transport.config, &self.link)
    }

    async fn open(&mut self, lane: Lane, body: LaneBody) -> Result<FrameReader, DialError> {
        let request = h2::post(lane.path(), Outgoing::Lane(body))
            .map_err(|error| DialError::Closed(error.into()))?;
        let response = self
            .requests
            .send_request(request)
            .await
            .map_err(|error| DialError::Closed(error.into()))?;
        if response.status() != StatusCode::OK {
            return Err(DialError::Protocol { what: "a lane was not opened" });
        }
        Ok(FrameReader::new(response.into_body(), FRAME_BODY_BYTES_MAX))
    }
}

impl Dialled {
    pub(crate) fn into_parts(self) -> (TlsStream<TcpStream>, SocketAddr) {
        (self.tls, self.remote)
    }
}
