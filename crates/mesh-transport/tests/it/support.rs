use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_crypto::NodeKey;
use mesh_protocol::{
    Address, Frame, Hello, LinkPing, Live, MeshId, PeerId, ProtocolVersion, VersionRange, Welcome,
};
use mesh_transport::{
    DialError, Gatekeeper, Incoming, Link, Listening, PendingAccept, Transport, TransportConfig,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

pub(crate) const MESH: MeshId = MeshId::from_bytes([7; 32]);

/// Nothing that is waited for in these tests takes longer unless it never comes.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it came in time")
}

#[derive(Default)]
pub(crate) struct Members(Mutex<BTreeSet<PeerId>>);

impl Members {
    pub(crate) fn admit(&self, peer: PeerId) {
        self.0.lock().unwrap().insert(peer);
    }

    pub(crate) fn remove(&self, peer: PeerId) {
        self.0.lock().unwrap().remove(&peer);
    }
}

impl Gatekeeper for Members {
    fn is_member(&self, peer: &PeerId) -> bool {
        self.0.lock().unwrap().contains(peer)
    }
}

pub(crate) fn key(number: u8) -> NodeKey {
    NodeKey::from_secret_bytes(&Zeroizing::new([number; 32]))
}

pub(crate) struct Node {
    pub(crate) me: PeerId,
    pub(crate) members: Arc<Members>,
    pub(crate) transport: Transport,
    pub(crate) tracker: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Node {
    pub(crate) fn new(number: u8) -> Self {
        Self::with(number, TransportConfig::default())
    }

    pub(crate) fn with(number: u8, config: TransportConfig) -> Self {
        let key = key(number);
        let members = Arc::new(Members::default());
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let gatekeeper = Arc::clone(&members) as Arc<dyn Gatekeeper>;
        let transport =
            Transport::new(&key, gatekeeper, config, tracker.clone(), shutdown.clone()).unwrap();
        Self { me: key.peer_id(), members, transport, tracker, shutdown }
    }

    pub(crate) async fn listen(&self) -> Listening {
        self.transport.listen("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }

    pub(crate) async fn dial(
        &self,
        peer: PeerId,
        addr: SocketAddr,
    ) -> Result<(Link, Welcome), DialError> {
        within(async {
            self.transport.dial(peer, &[Address::from(addr)]).await?.hello(hello()).await
        })
        .await
    }
}

/// Two nodes that know each other.
pub(crate) fn pair() -> (Node, Node) {
    pair_with(TransportConfig::default())
}

pub(crate) fn pair_with(config: TransportConfig) -> (Node, Node) {
    let (a, b) = (Node::with(1, config.clone()), Node::with(2, config));
    a.members.admit(b.me);
    b.members.admit(a.me);
    (a, b)
}

pub(crate) fn hello() -> Hello {
    Hello {
        versions: VersionRange::SUPPORTED,
        mesh_id: MESH,
        records_digest: [1; 32],
        pair_key_id: None,
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        version: ProtocolVersion::CURRENT,
        records_digest: [2; 32],
        is_pair_key_renewed: true,
    }
}

pub(crate) async fn next_pending(listening: &mut Listening) -> PendingAccept {
    match within(listening.next()).await.expect("the port is open") {
        Incoming::Link(pending) => pending,
        Incoming::Join(call) => panic!("a stranger came instead: {call:?}"),
    }
}

/// Links `a` to `b`; the links are returned in this order.
pub(crate) async fn link(a: &Node, b: &Node, listening: &mut Listening) -> (Link, Link) {
    let addr = listening.local_addr();
    let (dialled, accepted) = tokio::join!(a.dial(b.me, addr), async {
        within(next_pending(listening).await.welcome(welcome())).await
    });
    (dialled.unwrap().0, accepted.unwrap())
}

pub(crate) fn ping(nonce: u64) -> Frame {
    Frame::Ping(LinkPing { nonce, sent_at: 0 })
}

pub(crate) fn live(request_id: u64, bytes: usize) -> Frame {
    Frame::Live(Live { request_id, message: vec![0x5a; bytes] })
}

/// A frame goes from one end to the other.
pub(crate) async fn assert_passes(from: &Link, to: &mut mesh_transport::LaneReceiver, nonce: u64) {
    within(from.sender().send(mesh_transport::Lane::Urgent, &ping(nonce))).await.unwrap();
    assert_eq!(within(to.next()).await.unwrap().unwrap(), ping(nonce));
}
