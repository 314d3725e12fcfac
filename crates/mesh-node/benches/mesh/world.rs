//! Nodes on loopback with their data on the disk that the build lies on.

use std::sync::OnceLock;
use std::time::Duration;

use mesh_membership::LinkConfig;
use mesh_node::{
    CustomJson, Delivery, ErrorCode, JsonText, MediaStream, MediaType, Node, NodeBuilder, Outgoing,
    Payload, PeerId, Priority, Target,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bare;

/// Nobody listens on the discard port of loopback.
const NOWHERE: &str = "127.0.0.1:9";

/// A folder on the disk: a file system in memory would hide what a commit costs.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) struct Mesh {
    pub(crate) nodes: Vec<Node>,
    /// Removed when the mesh is dropped.
    _folder: TempDir,
}

impl Mesh {
    /// So many members that joined by token, every one linked to every other. The first runs here, the
    /// others in the far runtime.
    pub(crate) async fn of(count: usize) -> Self {
        let folder = folder();
        let mut nodes: Vec<Node> = Vec::with_capacity(count);
        for number in 0..count {
            let builder = builder(&folder, number);
            // Not one issuer for all: it would take them for a flood from one address.
            let Some(issuer) = nodes.get(number.wrapping_sub(1) / 16 * 16).cloned() else {
                nodes.push(builder.start().await.unwrap());
                continue;
            };
            nodes.push(start_far(builder, issuer).await);
        }
        let mesh = Self { nodes, _folder: folder };
        mesh.linked().await;
        mesh
    }

    /// Two members, the first here and the third in the far runtime, that only the second reaches, which
    /// has a runtime of its own. What they advertise is an address where nobody listens: each can dial
    /// but not be dialled, as if a firewall stood between them.
    pub(crate) async fn apart() -> Self {
        let folder = folder();
        let between = builder(&folder, 1);
        let starting =
            tokio::task::spawn_blocking(|| between_runtime().block_on(between.start()).unwrap());
        let between = starting.await.unwrap();
        let near = builder(&folder, 0).advertise(NOWHERE.parse().unwrap()).start().await.unwrap();
        join(&near, &between).await;
        let far = builder(&folder, 2).advertise(NOWHERE.parse().unwrap());
        let far = start_far(far, between.clone()).await;
        let mesh = Self { nodes: vec![near, between, far], _folder: folder };
        for (from, to) in [(0, "m2"), (2, "m0")] {
            mesh.routed(from, to).await;
        }
        mesh
    }

    /// Waits until there is a way through another member.
    async fn routed(&self, from: usize, to: &str) {
        let wait = Duration::from_millis(200);
        while !self.node(from).ping(to, Some(wait)).await.is_ok_and(|trip| trip.via.len() == 1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn node(&self, number: usize) -> &Node {
        self.nodes.get(number).unwrap()
    }

    async fn linked(&self) {
        let is_linked = |node: &Node| {
            let peers = node.peers();
            peers.len() == self.nodes.len() && peers.iter().all(|peer| peer.is_linked)
        };
        while !self.nodes.iter().all(is_linked) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What came with the last link (records, the pair's secret) is over as well.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    pub(crate) async fn stop(self) {
        for node in &self.nodes {
            node.stop().await;
        }
    }
}

fn builder(folder: &TempDir, number: usize) -> NodeBuilder {
    Node::builder(folder.path().join(format!("m{number}")))
        .hostname(format!("m{number}").parse().unwrap())
        .listen("127.0.0.1:0".parse().unwrap())
        .links(links())
}

/// Starts a node in the far runtime, which joins the mesh of `issuer`.
async fn start_far(builder: NodeBuilder, issuer: Node) -> Node {
    let joining = tokio::task::spawn_blocking(move || {
        bare::far().block_on(async {
            let node = builder.start().await.unwrap();
            join(&node, &issuer).await;
            node
        })
    });
    joining.await.unwrap()
}

/// Where a member runs that is between two others.
fn between_runtime() -> &'static Runtime {
    static BETWEEN: OnceLock<Runtime> = OnceLock::new();
    BETWEEN.get_or_init(bare::runtime)
}

/// All members share one address here, so the join port may ask for patience.
async fn join(node: &Node, issuer: &Node) {
    loop {
        let token = issuer.create_token(None, "bench").await.unwrap();
        match node.join(&token.text).await {
            Ok(_) => return,
            Err(error) if error.code == ErrorCode::RateLimited => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => panic!("a node cannot join: {error}"),
        }
    }
}

/// The members of a large mesh run on one machine here; their heartbeats to each other would not
/// elsewhere.
fn links() -> LinkConfig {
    LinkConfig {
        heartbeat_every: Duration::from_secs(120),
        silence_max: Duration::from_secs(360),
        full_mesh_max: 128,
        ..LinkConfig::default()
    }
}

/// A JSON document of exactly `bytes`.
fn document(bytes: usize) -> Payload {
    let text = format!("\"{}\"", "m".repeat(bytes - 2));
    let data = JsonText::parse(&text).unwrap();
    Payload::CustomJson(CustomJson { app_type: "bench".to_owned(), data })
}

pub(crate) fn durable(to: PeerId, bytes: usize) -> Outgoing {
    Outgoing::new(Target::Peer(to), document(bytes))
}

pub(crate) fn live(to: Target, payload: Payload) -> Outgoing {
    Outgoing { delivery: Delivery::Live, ..Outgoing::new(to, payload) }
}

pub(crate) fn live_document(bytes: usize) -> Outgoing {
    let message = live(Target::Broadcast, document(bytes));
    Outgoing { priority: Priority::Normal, ..message }
}

pub(crate) fn media(sequence: u64, data: Vec<u8>) -> Payload {
    Payload::MediaStream(MediaStream {
        stream_id: [3; 16],
        media_type: MediaType::Video,
        codec: "avc1.64001f".to_owned(),
        sequence,
        presentation_micros: 0,
        is_keyframe: false,
        is_final: false,
        data,
    })
}
