//! Somebody with a key of his own and the program's own transport, but no agent: he says what he likes.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_crypto::{JoinToken, NodeKey, SealingKey, Verifier};
use mesh_protocol::{
    Address, ErrorCode, Frame, Hello, Introduce, JoinReply, JoinRequest, MeshId, PeerId, Profile,
    Record, SignedRecord, UnixMillis, VersionRange,
};
use mesh_transport::{DialError, Gatekeeper, JoinRoute, Link, Transport, TransportConfig};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::agent::within;

/// Nobody dials a stranger, so nobody has to be judged.
struct NeverAsked;

impl Gatekeeper for NeverAsked {
    fn is_member(&self, _: &PeerId) -> bool {
        false
    }
}

pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_secret_bytes(&Zeroizing::new([number; 32]))
}

pub(crate) struct Stranger {
    pub(crate) key: NodeKey,
    transport: Transport,
    _stops: DropGuard,
}

impl Stranger {
    pub(crate) fn new(key: NodeKey) -> Self {
        let shutdown = CancellationToken::new();
        let config = TransportConfig::default();
        let tracker = TaskTracker::new();
        let transport =
            Transport::new(&key, Arc::new(NeverAsked), config, tracker, shutdown.clone()).unwrap();
        Self { key, transport, _stops: shutdown.drop_guard() }
    }

    pub(crate) fn peer_id(&self) -> PeerId {
        self.key.peer_id()
    }

    /// What he says of himself.
    pub(crate) fn profile(&self, mesh_id: MeshId, hostname: &str, revision: u64) -> SignedRecord {
        let sealing = SealingKey::from_secret_bytes(&Zeroizing::new([0x5e; 32]));
        self.sign(Record::Profile(Profile {
            mesh_id,
            peer: self.peer_id(),
            revision,
            updated_at: UnixMillis(1),
            hostname: hostname.parse().unwrap(),
            former_hostnames: Vec::new(),
            // Nobody listens there: port 1 of this machine.
            addresses: vec!["127.0.0.1:1".parse().unwrap()],
            sealing_key: sealing.public(),
            tailscale_ip: None,
            tailscale_hostname: None,
            agent_version: String::from("0"),
            versions: VersionRange::SUPPORTED,
        }))
    }

    pub(crate) fn sign(&self, record: Record) -> SignedRecord {
        self.key.sign_record(&record).unwrap().signed().clone()
    }

    pub(crate) async fn ask(
        &self,
        (peer, address): (PeerId, SocketAddr),
        route: JoinRoute,
        frame: Frame,
    ) -> Result<Frame, DialError> {
        within(self.transport.join_call(peer, &[address.into()], route, frame)).await
    }

    /// Shows `token` to its issuer under a hostname.
    pub(crate) async fn redeem(
        &self,
        token: &JoinToken,
        hostname: &str,
    ) -> Result<JoinReply, ErrorCode> {
        let request = self.request(token, hostname);
        let call =
            self.transport.join_call(token.issuer, &token.addresses, JoinRoute::Join, request);
        match within(call).await {
            Ok(Frame::JoinReply(reply)) => Ok(reply),
            Ok(Frame::Refused(refused)) => Err(refused.code),
            Ok(other) => panic!("an answer of another kind: {other:?}"),
            Err(error) => Err(error.code()),
        }
    }

    pub(crate) fn request(&self, token: &JoinToken, hostname: &str) -> Frame {
        Frame::JoinRequest(JoinRequest {
            versions: VersionRange::SUPPORTED,
            token_id: token.token_id,
            secret: *token.secret().bytes(),
            profile: self.profile(token.mesh_id, hostname, 1),
        })
    }

    /// Shows records to a member.
    pub(crate) async fn introduce(
        &self,
        to: (PeerId, SocketAddr),
        mesh_id: MeshId,
        records: Vec<SignedRecord>,
    ) -> Result<Frame, DialError> {
        let frame = Frame::Introduce(Introduce { mesh_id, records });
        self.ask(to, JoinRoute::Introduce, frame).await
    }

    /// Tries to link as a member does.
    pub(crate) async fn link(
        &self,
        to: (PeerId, SocketAddr),
        mesh_id: MeshId,
    ) -> Result<Link, DialError> {
        let hello = Hello {
            versions: VersionRange::SUPPORTED,
            mesh_id,
            records_digest: [0; 32],
            pair_key_id: None,
        };
        self.hello(to, hello).await
    }

    pub(crate) async fn hello(
        &self,
        (peer, address): (PeerId, SocketAddr),
        hello: Hello,
    ) -> Result<Link, DialError> {
        within(async {
            let pending = self.transport.dial(peer, &[Address::from(address)]).await?;
            pending.hello(hello).await.map(|(link, _)| link)
        })
        .await
    }
}

/// The content of a record that is known to be whole.
pub(crate) fn content(record: &SignedRecord) -> Record {
    record.clone().verify(&Verifier).unwrap().record().clone()
}
