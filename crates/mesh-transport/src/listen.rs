//! The way in: the port, its limits, and who is let through to where.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_protocol::PeerId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::accept::{PendingAccept, serve};
use crate::join::JoinCall;
use crate::limits::{Buckets, Origin, Place, Places};
use crate::transport::Inner;
use crate::{ListenError, Transport, TransportConfig};

/// Arrivals that wait for the node. Beyond them links wait in their own connection and join requests
/// are refused.
const INCOMING_MAX: usize = 64;

/// Pause after the system refused a connection (no more file handles, no more memory): asking again
/// at once would only burn a core.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Somebody who came in.
#[derive(Debug)]
pub enum Incoming {
    /// A member said hello.
    Link(PendingAccept),
    /// A stranger asks for something.
    Join(JoinCall),
}

/// An open port. Dropping it closes the port; links that came in through it live on.
#[derive(Debug)]
pub struct Listening {
    local_addr: SocketAddr,
    incoming: mpsc::Receiver<Incoming>,
    _stop: DropGuard,
}

impl Listening {
    /// Where the port is; with port 0 asked for, which one it became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits for the next arrival; none when the transport has shut down. Cancel safe.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

/// What the connections of one port share.
pub(crate) struct Door {
    pub(crate) transport: Arc<Inner>,
    pub(crate) incoming: mpsc::Sender<Incoming>,
    strangers: Places<Origin>,
    links: Places<PeerId>,
    join_buckets: Mutex<Buckets>,
    /// Somebody took a token, so there is something to refill.
    token_taken: Notify,
}

impl Door {
    pub(crate) fn admit_link(&self, peer: PeerId) -> Option<Place<PeerId>> {
        self.links.admit(peer)
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.join_buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `origin` may ask for something once more.
    pub(crate) fn take_token(&self, origin: Origin) -> bool {
        let is_granted = self.buckets().take(origin);
        self.token_taken.notify_one();
        is_granted
    }

    /// Refills the buckets at the configured pace, and sleeps while all of them are full.
    async fn refill(&self) {
        let per_minute = self.transport.config.accept_rate_per_ip.per_minute.max(1);
        let pace = Duration::from_secs(60) / per_minute;
        loop {
            self.token_taken.notified().await;
            while !self.buckets().is_full() {
                tokio::time::sleep(pace).await;
                self.buckets().refill();
            }
        }
    }
}

impl Transport {
    /// Opens the port. Members and strangers come out of the answer.
    ///
    /// # Errors
    /// [`ListenError`], which says whether the port is taken.
    pub async fn listen(&self, addr: SocketAddr) -> Result<Listening, ListenError> {
        let opened = TcpListener::bind(addr).await.and_then(|tcp| Ok((tcp.local_addr()?, tcp)));
        let (local_addr, tcp) = opened.map_err(|error| listen_error(addr, error))?;
        let (sender, incoming) = mpsc::channel(INCOMING_MAX);
        let stop = self.inner.shutdown.child_token();
        let TransportConfig {
            stranger_connections_max,
            stranger_connections_per_ip_max,
            accept_rate_per_ip,
            links_max,
            links_per_peer_max,
            ..
        } = self.inner.config;
        let door = Arc::new(Door {
            transport: Arc::clone(&self.inner),
            incoming: sender,
            strangers: Places::new(stranger_connections_max, stranger_connections_per_ip_max),
            links: Places::new(links_max, links_per_peer_max),
            join_buckets: Mutex::new(Buckets::new(accept_rate_per_ip.burst)),
            token_taken: Notify::new(),
        });
        let refilled = Arc::clone(&door);
        let until = stop.clone();
        self.inner.tracker.spawn(async move {
            tokio::select! {
                () = until.cancelled() => {}
                () = refilled.refill() => {}
            }
        });
        self.inner.tracker.spawn(accept_loop(tcp, door, stop.clone()));
        Ok(Listening { local_addr, incoming, _stop: stop.drop_guard() })
    }
}

fn listen_error(addr: SocketAddr, source: io::Error) -> ListenError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ListenError::PortTaken { addr }
    } else if source.kind() == io::ErrorKind::AddrNotAvailable {
        ListenError::AddressUnavailable { addr }
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        ListenError::Forbidden { addr }
    } else {
        ListenError::Io { addr, source }
    }
}

/// Never waits for a connection: each gets a task, or is closed.
async fn accept_loop(tcp: TcpListener, door: Arc<Door>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = tcp.accept() => accepted,
        };
        match accepted {
            Ok((connection, remote)) => door.let_in(connection, remote),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the system refuses connections");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(REFUSED_PAUSE) => {}
                }
            }
        }
    }
}

/// The connection failed before it was taken; the port is fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

impl Door {
    fn let_in(self: &Arc<Self>, connection: TcpStream, remote: SocketAddr) {
        let Some(place) = self.strangers.admit(Origin::from(remote.ip())) else {
            tracing::debug!(%remote, "too many connections, closing the newest");
            return;
        };
        let door = Arc::clone(self);
        let shutdown = self.transport.shutdown.clone();
        self.transport.tracker.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = serve(door, connection, remote, place) => {}
            }
        });
    }
}
