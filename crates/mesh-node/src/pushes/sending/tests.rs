use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_protocol::{Confirmation, PushEvent, PushFact, PushReason, PushStep};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::*;
use crate::{DiscoveryConfig, Node};

const PATIENCE: Duration = Duration::from_secs(30);

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let mut pace = interval(Duration::from_millis(10));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        while !is_so().await {
            pace.tick().await;
        }
    };
    timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("in time it did not come true: {what}"));
}

/// Nodes that are linked with each other, and a folder to push from.
struct Mesh {
    dir: tempfile::TempDir,
    nodes: Vec<Node>,
}

impl Mesh {
    async fn new(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mesh = Self { dir, nodes: Vec::new() };
        for name in names {
            let node = mesh.start(name, 0).await;
            if let Some(first) = mesh.nodes.first() {
                let token = first.create_token(None, "a test").await.unwrap();
                node.join(&token.text).await.unwrap();
            }
            mesh.nodes.push(node);
        }
        mesh.linked().await;
        mesh
    }

    async fn start(&self, name: &str, port: u16) -> Node {
        Node::builder(self.dir.path().join(name))
            .hostname(name.parse().unwrap())
            .listen((Ipv4Addr::LOCALHOST, port).into())
            .discovery(DiscoveryConfig::none())
            .start()
            .await
            .unwrap()
    }

    async fn linked(&self) {
        eventually("everybody is linked", async || {
            self.nodes.iter().all(|node| node.shared.links().len() == self.nodes.len() - 1)
        })
        .await;
    }

    /// Stops a node and starts it again.
    async fn restart(&mut self, at: usize, name: &str) {
        let node = self.nodes.remove(at);
        let port = node.listening()[0].port();
        node.stop().await;
        drop(node);
        let node = self.start(name, port).await;
        self.nodes.insert(at, node);
    }

    fn src(&self) -> PathBuf {
        self.dir.path().join("src")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.src().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Where things arrive.
    fn arrived(&self, node: &str, name: &str) -> PathBuf {
        self.dir.path().join(node).join("inbox-files").join(name)
    }

    fn request(&self, to: &[&str]) -> PushRequest {
        let to = to.iter().map(|name| (*name).to_owned()).collect();
        PushRequest { paths: vec![self.src()], to, ..PushRequest::default() }
    }

    fn sender(&self) -> &Arc<Shared> {
        &self.nodes[0].shared
    }
}

async fn facts(shared: &Shared, push_id: PushId) -> Vec<PushFact> {
    let pushes = shared.store.load_push(push_id).await.unwrap();
    let own = pushes.into_iter().find(|push| push.row.is_sender);
    own.map(|push| push.events.into_iter().map(|PushEvent { fact, .. }| fact).collect())
        .unwrap_or_default()
}

/// Waits until the push is closed; its history.
async fn ended(shared: &Shared, push_id: PushId) -> Vec<PushFact> {
    eventually("the push ends", async || {
        let pushes = shared.store.load_push(push_id).await.unwrap();
        pushes.iter().any(|push| push.row.is_sender && !push.row.is_open)
    })
    .await;
    facts(shared, push_id).await
}

fn confirmed(facts: &[PushFact]) -> Vec<(PeerId, Confirmation)> {
    let confirmed = |fact: &PushFact| {
        let PushFact::Confirmed { target, confirmation } = fact else { return None };
        Some((*target, confirmation.clone()))
    };
    facts.iter().filter_map(confirmed).collect()
}

fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut noise);
    noise
}

fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_arrives_and_both_sides_have_the_whole_story() {
    let mesh = Mesh::new(&["one", "two"]).await;
    mesh.write("a/large", &noise(5 << 20, 1));
    mesh.write("a/text", &vec![b'x'; 1 << 20]);
    for number in 0..300 {
        mesh.write(&format!("many/{number}"), number.to_string().as_bytes());
    }
    let push_id = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    let facts = ended(mesh.sender(), push_id).await;
    assert_eq!(confirmed(&facts).len(), 1, "{facts:?}");
    for name in ["a/large", "a/text", "many/299"] {
        assert!(same(&mesh.src().join(name), &mesh.arrived("two", &format!("src/{name}"))));
    }
    let words: Vec<&PushFact> = facts.iter().collect();
    assert!(matches!(
        words[..],
        [
            PushFact::Prepared { .. },
            PushFact::Announced,
            ..,
            PushFact::Verified { .. },
            PushFact::Confirmed { .. }
        ]
    ));
    let row = &mesh.sender().store.load_push(push_id).await.unwrap()[0].row;
    assert!(row.wire_bytes > 5 << 20 && row.wire_bytes < 6 << 20, "{}", row.wire_bytes);
    assert_eq!(row.offer.totals.files, 302);
    assert!(!mesh.sender().cancel_push(push_id), "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_targets_get_it_and_each_has_an_outcome_of_its_own() {
    let mesh = Mesh::new(&["one", "two", "three"]).await;
    mesh.write("large", &noise(8 << 20, 2));
    let [two, three] = [1, 2].map(|at| mesh.nodes[at].peer_id());
    eventually("it is known that they are linked", async || {
        let core = lock(&mesh.sender().core);
        core.linked_with(&two).contains(&three) && core.linked_with(&three).contains(&two)
    })
    .await;
    let request = PushRequest { to: Vec::new(), all: true, ..mesh.request(&[]) };
    let push_id = mesh.sender().start_push(request).await.unwrap();
    let facts = ended(mesh.sender(), push_id).await;
    assert_eq!(confirmed(&facts).len(), 2, "{facts:?}");
    for node in ["two", "three"] {
        assert!(same(&mesh.src().join("large"), &mesh.arrived(node, "src/large")));
    }
    let row = &mesh.sender().store.load_push(push_id).await.unwrap()[0].row;
    assert!(row.wire_bytes < 10 << 20, "they serve each other: {}", row.wire_bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_ends_the_push_before_anybody_is_asked() {
    let mesh = Mesh::new(&["one", "two"]).await;
    mesh.write(".env", b"");
    let push_id = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    let facts = ended(mesh.sender(), push_id).await;
    let [PushFact::Ended(problem)] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!((problem.step, problem.reason), (PushStep::Prepare, PushReason::SecretFound));
    assert!(problem.detail.contains(".env"), "{}", problem.detail);
    assert!(mesh.nodes[1].shared.store.load_push(push_id).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_gets_it_when_it_is_back_also_when_the_sender_restarted() {
    let mut mesh = Mesh::new(&["one", "two"]).await;
    mesh.write("f", &noise(3 << 20, 3));
    let two = mesh.nodes.pop().unwrap();
    let port = two.listening()[0].port();
    two.stop().await;
    drop(two);
    let push_id = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    eventually("it waits", async || {
        let facts = facts(mesh.sender(), push_id).await;
        facts.iter().any(|fact| matches!(fact, PushFact::Waiting { .. }))
    })
    .await;
    mesh.restart(0, "one").await;
    let two = mesh.start("two", port).await;
    mesh.nodes.push(two);
    let facts = ended(mesh.sender(), push_id).await;
    assert_eq!(confirmed(&facts).len(), 1, "{facts:?}");
    let prepared = facts.iter().filter(|fact| matches!(fact, PushFact::Prepared { .. }));
    assert_eq!(prepared.count(), 1);
    assert!(same(&mesh.src().join("f"), &mesh.arrived("two", "src/f")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_verified_does_not_travel_again_after_the_sender_restarted() {
    let mut mesh = Mesh::new(&["one", "two"]).await;
    let bytes = 8 << 20;
    mesh.write("f", &noise(bytes, 5));
    let request = PushRequest { limit_bytes_per_second: Some(4 << 20), ..mesh.request(&["two"]) };
    let push_id = mesh.sender().start_push(request).await.unwrap();
    let two = mesh.nodes[1].peer_id();
    let done = mesh.sender().push_progress(push_id, two);
    eventually("half of it is there", async || {
        done.done.load(Ordering::Relaxed) > bytes as u64 / 2
    })
    .await;
    mesh.restart(0, "one").await;
    let facts = ended(mesh.sender(), push_id).await;
    assert_eq!(confirmed(&facts).len(), 1, "{facts:?}");
    assert!(same(&mesh.src().join("f"), &mesh.arrived("two", "src/f")));
    eventually("the target closes it", async || {
        let pushes = mesh.nodes[1].shared.store.load_push(push_id).await.unwrap();
        pushes.iter().any(|push| !push.row.is_open)
    })
    .await;
    let sent_again = mesh.sender().store.load_push(push_id).await.unwrap()[0].row.wire_bytes;
    assert!(sent_again < bytes as u64 * 6 / 10, "{sent_again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_kept() {
    let mesh = Mesh::new(&["one", "two"]).await;
    mesh.write("f", &noise(2 << 20, 6));
    let request = PushRequest { limit_bytes_per_second: Some(1 << 20), ..mesh.request(&["two"]) };
    let begun = clock::now().instant;
    let push_id = mesh.sender().start_push(request).await.unwrap();
    ended(mesh.sender(), push_id).await;
    assert!(clock::now().instant.duration_since(begun) > Duration::from_millis(1400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_leaves_the_mesh_ends_it_there() {
    let mut mesh = Mesh::new(&["one", "two", "three"]).await;
    mesh.write("f", &noise(1 << 20, 7));
    let two = mesh.nodes.remove(1);
    let leaver = two.peer_id();
    two.stop().await;
    let request = mesh.request(&["two", "three"]);
    let push_id = mesh.sender().start_push(request).await.unwrap();
    eventually("the other one has it", async || {
        confirmed(&facts(mesh.sender(), push_id).await).len() == 1
    })
    .await;
    mesh.nodes[0].remove_peer("two", "a test").await.unwrap();
    let facts = ended(mesh.sender(), push_id).await;
    let failed = facts.iter().find_map(|fact| {
        let PushFact::Failed { target, problem } = fact else { return None };
        Some((*target, problem.reason))
    });
    assert_eq!(failed, Some((leaver, PushReason::NotAMember)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_waits_can_be_given_up() {
    let mut mesh = Mesh::new(&["one", "two"]).await;
    mesh.write("f", b"text");
    mesh.nodes.pop().unwrap().stop().await;
    let push_id = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    assert!(mesh.sender().cancel_push(push_id));
    let facts = ended(mesh.sender(), push_id).await;
    let Some(PushFact::Ended(problem)) = facts.last() else { panic!("{facts:?}") };
    assert_eq!(problem.reason, PushReason::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_after_it_was_prepared_ends_the_push_and_is_named() {
    let mut mesh = Mesh::new(&["one", "two"]).await;
    mesh.write("f", &noise(1 << 20, 4));
    let two = mesh.nodes.pop().unwrap();
    let port = two.listening()[0].port();
    two.stop().await;
    drop(two);
    let push_id = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    eventually("it is prepared", async || {
        let facts = facts(mesh.sender(), push_id).await;
        facts.iter().any(|fact| matches!(fact, PushFact::Announced))
    })
    .await;
    let mut bytes = std::fs::read(mesh.src().join("f")).unwrap();
    bytes[500_000] ^= 1;
    mesh.write("f", &bytes);
    let two = mesh.start("two", port).await;
    mesh.nodes.push(two);
    let facts = ended(mesh.sender(), push_id).await;
    let Some(PushFact::Ended(problem)) = facts.last() else { panic!("{facts:?}") };
    assert_eq!(problem.reason, PushReason::SourceChanged);
    assert!(problem.detail.contains("src/f"), "{}", problem.detail);
    assert!(!mesh.arrived("two", "src/f").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_taken_back_at_its_target() {
    let mesh = Mesh::new(&["one", "two"]).await;
    mesh.write("f", b"old");
    let first = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    ended(mesh.sender(), first).await;
    mesh.write("f", b"newer");
    let push_id = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    ended(mesh.sender(), push_id).await;
    assert_eq!(std::fs::read(mesh.arrived("two", "src/f")).unwrap(), b"newer");
    let two = mesh.nodes[1].peer_id();
    let taken_back =
        mesh.sender().start_rollback(push_id, vec![two], false, "a test".to_owned()).await.unwrap();
    let facts_of_it = ended(mesh.sender(), taken_back).await;
    assert_eq!(confirmed(&facts_of_it).len(), 1, "{facts_of_it:?}");
    assert_eq!(std::fs::read(mesh.arrived("two", "src/f")).unwrap(), b"old");
    let history = facts(mesh.sender(), push_id).await;
    assert_eq!(history.last(), Some(&PushFact::RolledBack { target: two, by: taken_back }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_takes_a_push_back_by_itself() {
    let mesh = Mesh::new(&["one", "two"]).await;
    mesh.write("f", b"old");
    let first = mesh.sender().start_push(mesh.request(&["two"])).await.unwrap();
    ended(mesh.sender(), first).await;
    let two = &mesh.nodes[1];
    let taken_back = two
        .shared
        .start_rollback(first, vec![two.peer_id()], false, "a test".to_owned())
        .await
        .unwrap();
    let facts = ended(&two.shared, taken_back).await;
    assert_eq!(confirmed(&facts).len(), 1, "{facts:?}");
    assert!(!mesh.arrived("two", "src/f").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_refused_and_nothing_is_kept() {
    let mesh = Mesh::new(&["one", "two"]).await;
    let good = || mesh.request(&["two"]);
    let wrong = [
        (PushRequest { to: vec!["one".to_owned()], ..good() }, ErrorCode::BadRequest),
        (PushRequest { to: vec!["nobody".to_owned()], ..good() }, ErrorCode::UnknownPeer),
        (PushRequest { to: Vec::new(), ..good() }, ErrorCode::UnknownPeer),
        (PushRequest { paths: Vec::new(), ..good() }, ErrorCode::BadRequest),
        (PushRequest { ttl_s: Some(0), ..good() }, ErrorCode::BadRequest),
        (PushRequest { ttl_s: Some(31 * 86_400), ..good() }, ErrorCode::BadRequest),
        (PushRequest { dest: Some("../x".into()), ..good() }, ErrorCode::PathRefused),
    ];
    for (request, code) in wrong {
        assert_eq!(mesh.sender().start_push(request).await.unwrap_err().code, code);
    }
    assert!(mesh.sender().store.load_open_pushes().await.unwrap().is_empty());
    let unknown = PushId::from_bytes([1; 16]);
    let two = mesh.nodes[1].peer_id();
    let refused = mesh.sender().start_rollback(unknown, vec![two], false, String::new()).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::UnknownPush);
}
