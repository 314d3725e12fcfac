//! The façade.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_membership::Member;
use mesh_protocol::{Address, ErrorCode, Hostname, MeshId, MessageId, PeerId};
use tokio::sync::broadcast;

use crate::builder::NodeBuilder;
use crate::clock;
use crate::error::NodeError;
use crate::events::Event;
use crate::join::{JoinStepDone, Joined};
use crate::outgoing::{Outgoing, Sent};
use crate::shared::Shared;
use crate::subscribe::{Filter, Received, Subscription};
use crate::tokens::IssuedToken;

/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A running member of a mesh. Cheap to clone; every clone is the same node.
///
/// Dropping the last clone does not stop the node: call [`Node::stop`].
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
}

/// A member as this node sees it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// Its identity.
    pub peer_id: PeerId,
    /// Its label.
    pub hostname: Hostname,
    /// Whether it is this node.
    pub is_self: bool,
    /// Whether it is alive: linked, or reached by another member (this node counts as alive).
    pub is_active: bool,
    /// Whether there is a link to it (this node counts as linked).
    pub is_linked: bool,
    /// Latest round trip.
    pub rtt: Option<Duration>,
    /// Where it can be dialled.
    pub addresses: Vec<Address>,
    /// Version of its program.
    pub version: String,
}

/// A round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// How long it took.
    pub rtt: Duration,
    /// Members that the ping went through; empty for a link.
    pub via: Vec<PeerId>,
    /// The peer's clock minus this one's, milliseconds, as well as one round trip can tell.
    pub clock_offset_ms: i64,
}

impl Node {
    /// Settings for a node that keeps its data in `data_dir`.
    #[must_use]
    pub fn builder(data_dir: impl Into<PathBuf>) -> NodeBuilder {
        NodeBuilder::new(data_dir.into())
    }

    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// This node's identity.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.me
    }

    /// This node's mesh.
    #[must_use]
    pub fn mesh_id(&self) -> MeshId {
        self.shared.view().mesh_id
    }

    /// This node's label; none once it was removed from its mesh.
    #[must_use]
    pub fn hostname(&self) -> Option<Hostname> {
        self.shared.view().my_hostname().cloned()
    }

    /// Addresses that this node listens on.
    #[must_use]
    pub fn listening(&self) -> &[SocketAddr] {
        &self.shared.listening
    }

    /// Where this node keeps its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.shared.data_dir.path()
    }

    /// Stops the node: links are closed, what was acknowledged is on disk, every task has ended.
    pub async fn stop(&self) {
        self.shared.stop().await;
    }

    /// Makes a single-use join token; without `ttl` it lives for 24 hours.
    ///
    /// # Errors
    /// [`NodeError`]; no token exists then.
    pub async fn create_token(
        &self,
        ttl: Option<Duration>,
        note: impl Into<String>,
    ) -> Result<IssuedToken, NodeError> {
        self.shared.create_token(ttl, note.into()).await
    }

    /// Joins the mesh of the token's issuer. This node must be alone in its mesh, or removed from it.
    ///
    /// # Errors
    /// [`NodeError`] with the codes `token_expired`, `token_used`, `token_revoked`, `token_invalid`,
    /// `issuer_unreachable`, `hostname_taken`, `already_member`, …; nothing has changed then.
    pub async fn join(&self, token: &str) -> Result<Joined, NodeError> {
        self.join_with(token, &|_| {}).await
    }

    /// As [`Node::join`]; `told` hears of each step when it is done.
    ///
    /// # Errors
    /// As [`Node::join`].
    pub async fn join_with(
        &self,
        token: &str,
        told: &(dyn Fn(JoinStepDone) + Send + Sync),
    ) -> Result<Joined, NodeError> {
        self.shared.join(token, told).await
    }

    /// The members, this node first, then by name.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        let view = self.shared.view();
        let mut peers: Vec<Peer> =
            view.verdict.members().values().map(|member| self.peer(member)).collect();
        peers.sort_by(|a, b| (!a.is_self, &a.hostname).cmp(&(!b.is_self, &b.hostname)));
        peers
    }

    fn peer(&self, member: &Member) -> Peer {
        let is_self = member.peer_id == self.shared.me;
        let link = self.shared.link(&member.peer_id);
        Peer {
            peer_id: member.peer_id,
            hostname: member.hostname.clone(),
            is_self,
            is_active: self.shared.is_active(&member.peer_id),
            is_linked: is_self || link.is_some(),
            rtt: link.and_then(|link| link.rtt()),
            addresses: member.addresses.clone(),
            version: member.agent_version.clone(),
        }
    }

    /// Renames this node across the mesh. The old name is answered for a day.
    ///
    /// # Errors
    /// `hostname_taken`, `not_a_member`, `storage_error`.
    pub async fn rename(&self, hostname: Hostname) -> Result<(), NodeError> {
        self.shared.rename(hostname).await.map(|_| ())
    }

    /// Expels a member, named by hostname, peer id, or the first eight or more digits of it.
    ///
    /// # Errors
    /// `unknown_peer`, `not_a_member`, `bad_request`, `storage_error`.
    pub async fn remove_peer(
        &self,
        name: &str,
        reason: impl Into<String>,
    ) -> Result<(), NodeError> {
        self.shared.remove_peer(name, reason.into()).await.map(|_| ())
    }

    /// Sends a message. A durable one is committed to the outbox when this returns;
    /// [`Sent::wait`] tells what became of it.
    ///
    /// # Errors
    /// `unknown_peer`, `queue_full`, `message_too_large`, `not_a_member`, …; nothing was sent then.
    pub async fn send(&self, message: Outgoing) -> Result<Sent, NodeError> {
        self.shared.send(message).await
    }

    /// Messages for one reader: what is in the inbox, then what arrives.
    #[must_use]
    pub fn subscribe(&self, filter: Filter) -> Subscription {
        Subscription::new(Arc::clone(&self.shared), filter)
    }

    /// Runs `handler` for every message, one after the other. It returns whether the message was
    /// dealt with: then it leaves the inbox. A handler that is slow or panics hurts nobody else; a
    /// message that it was not through with when the node stopped is handed to it again after a start.
    pub fn on_message<F, H>(&self, filter: Filter, handler: F)
    where
        F: Fn(Received) -> H + Send + Sync + 'static,
        H: Future<Output = bool> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(shared.run_handler(filter, handler));
    }

    /// Says that messages were dealt with: they leave the inbox. Returns how many did.
    ///
    /// # Errors
    /// `storage_error`; the messages are still in the inbox.
    pub async fn ack(&self, message_ids: Vec<MessageId>) -> Result<u64, NodeError> {
        self.shared.store.ack_inbox(message_ids).await.map_err(NodeError::storage)
    }

    /// One round trip to a member.
    ///
    /// # Errors
    /// `unknown_peer`, `peer_unreachable`, `timed_out`.
    pub async fn ping(
        &self,
        name: &str,
        timeout: Option<Duration>,
    ) -> Result<RoundTrip, NodeError> {
        let view = self.shared.view();
        view.check_member()?;
        let peer = view.resolve(name, clock::now().wall)?.peer;
        if peer == self.shared.me {
            return Ok(RoundTrip { rtt: Duration::ZERO, via: Vec::new(), clock_offset_ms: 0 });
        }
        let unreachable = || {
            NodeError::new(ErrorCode::PeerUnreachable, format!("nobody reaches {} at the moment", view.label(&peer)))
                .with_hint("`mesh-ctl peers` shows when it was last seen; messages sent to it wait in the outbox")
        };
        let timeout = timeout.unwrap_or(PING_TIMEOUT);
        let started = clock::now().wall;
        let answered = match self.shared.link(&peer) {
            Some(link) => link.ping_and_wait(timeout).await.map(|pong| (pong, Vec::new())),
            None => self.shared.ping_routed(peer, timeout).await,
        };
        let (pong, via) = match answered {
            Ok(answered) => answered,
            Err(ErrorCode::TimedOut) => {
                return Err(NodeError::new(
                    ErrorCode::TimedOut,
                    format!("{} did not answer in time", view.label(&peer)),
                ));
            }
            Err(_) => return Err(unreachable()),
        };
        let midway = started.plus(pong.rtt / 2);
        let offset = i128::from(pong.peer_clock.0) - i128::from(midway.0);
        let clock_offset_ms = i64::try_from(offset).unwrap_or(i64::MAX);
        Ok(RoundTrip { rtt: pong.rtt, via, clock_offset_ms })
    }

    /// The latest events, oldest first.
    #[must_use]
    pub fn events(&self, limit: usize) -> Vec<Event> {
        self.shared.events.latest(limit)
    }

    /// The latest `limit` events, and every event after them. A listener that is too slow misses some.
    #[must_use]
    pub fn follow_events(&self, limit: usize) -> (Vec<Event>, broadcast::Receiver<Event>) {
        self.shared.events.follow(limit)
    }
}
