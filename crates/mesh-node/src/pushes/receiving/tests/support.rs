use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_control::PushRequest;
use mesh_files::{Phase, ReceiverPush};
use mesh_protocol::{
    ChunkNeed, ChunkRange, ChunkRanges, Confirmation, Fetch, PushAnswer, PushEvent, PushFact,
    PushId, PushMessage, PushOffer, PushProblem, PushReason,
};
use mesh_store::StoredPush;

use crate::pushes::channel::{Received, channel};
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::{PushSettings, RootSettings};
use crate::shared::Shared;
use crate::streams::StreamUse;
use crate::{DiscoveryConfig, Node};

const PATIENCE: Duration = Duration::from_secs(60);

/// Two members, linked: one pushes what is in `source`, two has `root`.
pub(super) struct Pair {
    pub(super) one: Node,
    pub(super) two: Node,
    pub(super) source: PathBuf,
    pub(super) root: PathBuf,
    settings: RootSettings,
    dir: tempfile::TempDir,
}

/// Settings of a root whose path is given by [`Pair::start`].
pub(super) fn root(name: &str) -> RootSettings {
    RootSettings::new(name.parse().unwrap(), PathBuf::new())
}

/// A push of all of `source`.
pub(super) fn push(root: &str) -> PushRequest {
    PushRequest { root: Some(root.parse().unwrap()), ..PushRequest::default() }
}

pub(super) fn write_all(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

async fn start(dir: &Path, name: &str, settings: PushSettings) -> Node {
    let builder = Node::builder(dir.join(name))
        .hostname(name.parse().unwrap())
        .listen((Ipv4Addr::LOCALHOST, 0).into())
        .discovery(DiscoveryConfig::none())
        .pushes(settings);
    builder.start().await.unwrap()
}

impl Pair {
    pub(super) async fn start(mut settings: RootSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (source, root) = (dir.path().join("source"), dir.path().join("root"));
        std::fs::create_dir(&source).unwrap();
        std::fs::create_dir(&root).unwrap();
        settings.path.clone_from(&root);
        let one = start(dir.path(), "one", PushSettings::default()).await;
        let roots = vec![settings.clone()];
        let two = start(dir.path(), "two", PushSettings { roots, ..PushSettings::default() }).await;
        let token = one.create_token(None, "a test").await.unwrap();
        two.join(&token.text).await.unwrap();
        let pair = Self { one, two, source, root, settings, dir };
        pair.linked().await;
        pair
    }

    async fn linked(&self) {
        self.eventually("both are linked", async || {
            let is_linked = |node: &Node| node.peers().iter().any(|peer| peer.is_linked);
            is_linked(&self.one) && is_linked(&self.two)
        })
        .await;
    }

    /// Stops the target and starts it again on its data.
    pub(super) async fn restart_two(self) -> Self {
        let Self { one, two, source, root, settings, dir } = self;
        two.stop().await;
        drop(two);
        let roots = vec![settings.clone()];
        let two = start(dir.path(), "two", PushSettings { roots, ..PushSettings::default() }).await;
        Self { one, two, source, root, settings, dir }
    }

    /// Another member with a root of the same settings, linked with both.
    pub(super) async fn third(&self) -> (Node, PathBuf) {
        let root = self.dir.path().join("third-root");
        std::fs::create_dir(&root).unwrap();
        let settings = RootSettings { path: root.clone(), ..self.settings.clone() };
        let roots = vec![settings];
        let settings = PushSettings { roots, ..PushSettings::default() };
        let three = start(self.dir.path(), "three", settings).await;
        let token = self.one.create_token(None, "a test").await.unwrap();
        three.join(&token.text).await.unwrap();
        self.eventually("all are linked", async || {
            [&self.one, &self.two, &three].iter().all(|node| node.shared.links().len() == 2)
        })
        .await;
        (three, root)
    }

    /// Waits until the target has so many bytes of the push.
    pub(super) async fn has(&self, push_id: PushId, bytes: u64) {
        let progress = self.two.shared.push_progress(push_id, self.two.peer_id());
        self.eventually("bytes arrive", async || progress.done.load(Ordering::Relaxed) >= bytes)
            .await;
    }

    pub(super) async fn eventually(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let looking = async {
            while !is_so().await {
                pace.tick().await;
            }
        };
        let patience = tokio::time::timeout(PATIENCE, looking).await;
        patience.unwrap_or_else(|_| panic!("in time it did not come true: {what}"));
    }

    pub(super) async fn push(&self, mut request: PushRequest) -> PushId {
        request.paths = vec![self.source.join("")];
        request.to = vec!["two".to_owned()];
        self.one.shared.start_push(request).await.unwrap()
    }

    pub(super) async fn roll_back(&self, of: PushId, is_forced: bool) -> PushId {
        let targets = vec![self.two.peer_id()];
        let shared: &Arc<Shared> = &self.one.shared;
        shared.start_rollback(of, targets, is_forced, String::new()).await.unwrap()
    }

    async fn stored(&self, node: &Node, push_id: PushId) -> Option<StoredPush> {
        node.shared.store.load_push(push_id).await.unwrap().pop()
    }

    /// Waits until both sides have recorded the end; what the target recorded.
    async fn ended(&self, push_id: PushId) -> Vec<PushEvent> {
        self.eventually("the push ends", async || {
            let one = self.stored(&self.one, push_id).await;
            let two = self.stored(&self.two, push_id).await;
            [one, two].into_iter().all(|side| side.is_some_and(|side| !side.row.is_open))
        })
        .await;
        let of_sender = self.stored(&self.one, push_id).await.unwrap().events;
        let of_target = self.stored(&self.two, push_id).await.unwrap().events;
        let ends = |event: &&PushEvent| {
            matches!(event.fact, PushFact::Confirmed { .. } | PushFact::Failed { .. })
        };
        let end = |events: &[PushEvent]| events.iter().find(ends).map(|event| event.fact.clone());
        assert_eq!(end(&of_sender), end(&of_target));
        of_target
    }

    pub(super) async fn confirmed(&self, push_id: PushId) -> Confirmation {
        let events = self.ended(push_id).await;
        let mut confirmed = None;
        for event in &events {
            if let PushFact::Confirmed { confirmation, .. } = &event.fact {
                confirmed = Some(confirmation.clone());
            }
        }
        confirmed.unwrap_or_else(|| panic!("{events:?}"))
    }

    pub(super) async fn failed(&self, push_id: PushId) -> PushProblem {
        let events = self.ended(push_id).await;
        let mut failed = None;
        for event in &events {
            if let PushFact::Failed { problem, .. } = &event.fact {
                failed = Some(problem.clone());
            }
        }
        failed.unwrap_or_else(|| panic!("{events:?}"))
    }

    /// Waits until the sender knows that the target has no place for it, and checks that nothing else does.
    pub(super) async fn turned_away(&self, push_id: PushId) -> PushReason {
        let error = async || {
            let push = self.one.shared.push_of(push_id).await.unwrap();
            push.targets[0].error.as_ref().map(|error| error.reason)
        };
        self.eventually("the sender hears it", async || error().await.is_some()).await;
        assert!(self.stored(&self.two, push_id).await.is_none(), "it leaves nothing at the target");
        error().await.unwrap()
    }

    /// Waits until the target has come to `phase`.
    pub(super) async fn reaches(&self, push_id: PushId, phase: Phase) {
        let me = self.two.peer_id();
        self.eventually("the target gets there", async || {
            let Some(stored) = self.stored(&self.two, push_id).await else { return false };
            let push = ReceiverPush::new(me, stored.row.offer.expires_at, &stored.events);
            push.state().phase == phase
        })
        .await;
    }

    pub(super) async fn wire_bytes(&self, push_id: PushId) -> u64 {
        self.stored(&self.two, push_id).await.unwrap().row.wire_bytes
    }

    /// Offers something to the target by hand.
    pub(super) async fn offer(&self, offer: PushOffer) -> PushAnswer {
        let shared = &self.one.shared;
        let stream = shared.open_stream(&self.two.peer_id(), &StreamUse::Push).await.unwrap();
        let (mut reader, mut writer) = channel(stream);
        writer.send(&PushMessage::Offer(offer)).await.unwrap();
        match reader.recv().await.unwrap() {
            Some(Received::Message(PushMessage::Answer(answer))) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Asks the target for the first chunks of a push, as another target does; how many bytes came.
    pub(super) async fn fetch(
        &self,
        from: &Node,
        push_id: PushId,
        manifest: [u8; 32],
        count: u64,
    ) -> Result<u64, PushProblem> {
        let two = self.two.peer_id();
        let stream = from.shared.open_stream(&two, &StreamUse::Push).await.unwrap();
        let (mut reader, mut writer) = channel(stream);
        let fetch = PushMessage::Fetch(Fetch { push_id, manifest });
        writer.send(&fetch).await.unwrap();
        let mut chunks = ChunkRanges::default();
        assert!(chunks.push(ChunkRange { first: 0, count }));
        writer.send(&PushMessage::Need(ChunkNeed { chunks, is_last: true })).await.unwrap();
        let mut bytes = 0;
        for _ in 0..count {
            match reader.recv().await.unwrap() {
                Some(Received::Chunk(_, chunk)) => bytes += chunk.len() as u64,
                Some(Received::Message(PushMessage::Stop(problem))) => return Err(problem),
                other => panic!("{other:?}"),
            }
        }
        Ok(bytes)
    }

    /// Whether the target keeps the list of a push's files.
    pub(super) fn has_pages(&self, push_id: PushId) -> bool {
        ManifestFile::path(self.two.shared.data_dir.path(), push_id).exists()
    }

    pub(super) async fn nothing_is_staged(&self) {
        let staging = self.root.join(".mesh-tree/staging");
        self.eventually("nothing is staged", async || {
            std::fs::read_dir(&staging).unwrap().next().is_none()
        })
        .await;
    }
}
