//! What a member gets whose program says what no sender says: its reason, and nothing else. Whoever is honest is served on.

use std::path::{Path, PathBuf};

use mesh_control::PushTargetState;
use mesh_protocol::{
    Chunk, ChunkHead, ChunkId, ChunkRef, ManifestItem, PageIds, PageOf, PushMessage, PushReason,
    PushResult, PushTotals, WHOLE_FILE_BYTES_MAX,
};

use super::desk::{pushed, request, root, states, tree, write};
use super::member::{EVIL, Fate, Goods, Member, chunk, digests, entry, evil, folder, link, path};
use crate::abuse::memory_peak_kib;
use crate::agent::{Agent, Extra, linked};
use crate::stranger::key;

/// An honest agent, the victim with its root, a member that is not honest, and what nobody may touch.
pub(super) struct Scene {
    pub(super) one: Agent,
    pub(super) victim: Agent,
    pub(super) root: PathBuf,
    outside: PathBuf,
    pub(super) loki: Member,
    /// Goes last: the agents' logs are in it.
    pub(super) dir: tempfile::TempDir,
}

impl Scene {
    pub(super) async fn set(rules: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, extra) = root(dir.path(), "victim", rules);
        let outside = dir.path().join("outside");
        write(&outside.join("canary"), "untouched", 0o600);
        let one = Agent::start_with(dir.path(), "one", Extra::default()).await;
        let victim = Agent::start_with(dir.path(), "victim", extra).await;
        victim.join(&one.token().await).await.unwrap();
        linked(&[&one, &victim]).await;
        let loki = Member::enter(key(66), "loki", &one, &victim).await;
        Self { dir, one, victim, root, outside, loki }
    }

    /// Nothing of what was tried is anywhere, and somebody honest is served.
    async fn is_unharmed(&self) {
        assert!(tree(&self.root).is_empty(), "{:?}", tree(&self.root));
        assert_eq!(find(self.dir.path(), b"evil"), [] as [PathBuf; 0]);
        assert_eq!(tree(&self.outside).len(), 1);
        assert_eq!(std::fs::read(self.outside.join("canary")).unwrap(), b"untouched");
        self.serves().await;
    }

    /// Somebody honest is served.
    pub(super) async fn serves(&self) {
        let file = self.dir.path().join("honest.txt");
        write(&file, "honest", 0o644);
        let push = pushed(&self.one, &request(&[&file], &[&self.victim])).await;
        assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
        assert_eq!(std::fs::read(self.root.join("honest.txt")).unwrap(), b"honest");
    }

    /// Pushes `goods`, and returns the reason why nothing came of it.
    async fn reason(&self, what: &str, goods: &Goods) -> PushReason {
        let fate = self.loki.push(&self.loki.offer(goods), goods).await;
        let Fate::Refused(problem) = fate else { panic!("{what}: {fate:?}") };
        problem.reason
    }
}

/// Everything beneath `folder` whose name begins like this, also what belongs to the agents.
fn find(folder: &Path, name: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        // The agents work in their folders meanwhile.
        let Ok(entry) = entry else { continue };
        if entry.file_name().as_encoded_bytes().starts_with(name) {
            found.push(entry.path());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(find(&entry.path(), name));
        }
    }
    found
}

#[tokio::test]
async fn names_and_links_that_leave_the_root_are_refused_as_paths() {
    let scene = Scene::set("").await;
    let in_folder = |name: &str| Goods::of(vec![folder(name), evil(&format!("{name}/evil"))]);
    let spoilt = |to: &[u8]| in_folder("aXb").spoilt(b"aXb", to);
    let nameless = Goods::of(vec![folder("b")]).spoilt(b"\x01b", b"\x00");
    let mut cases = vec![
        ("a folder above", spoilt(b"../")),
        ("a folder above, deeper", in_folder("a/XX").spoilt(b"a/XX", b"a/..")),
        ("dots in between", spoilt(b"./b")),
        ("an absolute name", spoilt(b"/tb")),
        ("NUL", spoilt(b"a\0b")),
        ("an empty name", spoilt(b"a//")),
        ("no name at all", nameless),
        ("the root's own folder", in_folder(".mesh-tree")),
        ("the same in capitals", in_folder(".MESH-TREE")),
        ("the same, mixed", in_folder(".Mesh-Tree")),
        ("a file in the place of that folder", Goods::of(vec![evil(".mesh-tree")])),
    ];
    for target in ["../outside", "..", "/etc/passwd", "/", "a/../../outside", "b/..", "./../x"] {
        cases.push(("a link that leaves", Goods::of(vec![link("evil", target)])));
        let deeper = Goods::of(vec![folder("a"), link("a/evil", &format!("../{target}"))]);
        if !target.starts_with('/') && !target.contains("b/") {
            cases.push(("a link that leaves from deeper", deeper));
        }
    }
    for (what, goods) in &cases {
        assert_eq!(scene.reason(what, goods).await, PushReason::PathRefused, "{what}");
    }
    // The same as where it is to be put.
    for name in [".mesh-tree", ".MESH-TREE/pushes"] {
        let goods = Goods::of(vec![evil("evil")]);
        let mut offer = scene.loki.offer(&goods);
        offer.destination = path(name);
        let fate = scene.loki.push(&offer, &goods).await;
        let Fate::Refused(problem) = fate else { panic!("{name}: {fate:?}") };
        assert_eq!(problem.reason, PushReason::PathRefused, "{name}");
    }
    // An offer that cannot be read is none.
    let goods = Goods::of(vec![evil("evil")]);
    let mut offer = scene.loki.offer(&goods);
    offer.destination = path("aXb");
    let mut bytes = PushMessage::Offer(offer).encode().unwrap();
    let at = bytes.windows(3).position(|part| part == b"aXb").unwrap();
    bytes[at..at + 3].copy_from_slice(b"../");
    let mut talk = scene.loki.talk().await;
    talk.say_bytes(bytes).await;
    assert!(talk.hear().await.is_none());
    assert!(talk.end.as_deref().unwrap().contains("not the protocol"), "{:?}", talk.end);
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_manifest_that_contradicts_itself_or_its_offer_is_refused() {
    let scene = Scene::set("").await;
    let good = Goods::of(vec![evil("evil")]);
    let with = |change: &dyn Fn(&mut PushTotals)| {
        let mut goods = good.clone();
        change(&mut goods.totals);
        goods
    };
    let part = |bytes| ChunkRef { id: ChunkId::from_bytes(digests(EVIL).blake3), bytes };
    let large = |parts: &[u32]| {
        let parts = parts.iter().map(|bytes| part(*bytes)).collect();
        let file = ManifestItem::File(entry("evil", WHOLE_FILE_BYTES_MAX + 1));
        let end = ManifestItem::FileEnd(digests(EVIL));
        Goods::of(vec![file, ManifestItem::Chunks(parts), end])
    };
    let whole = u32::try_from(WHOLE_FILE_BYTES_MAX).unwrap();
    let cases = [
        ("a name twice", Goods::of(vec![evil("evil"), evil("evil")])),
        ("names out of order", Goods::of(vec![evil("evil2"), evil("evil1")])),
        ("a file in a file", Goods::of(vec![evil("evil"), evil("evil/evil")])),
        ("a folder that is not there", Goods::of(vec![evil("evil/evil")])),
        ("a file in a link", Goods::of(vec![link("evil", "a"), evil("evil/evil")])),
        ("chunks without a file", Goods::of(vec![ManifestItem::Chunks(vec![part(20)])])),
        ("an end without a file", Goods::of(vec![ManifestItem::FileEnd(digests(EVIL))])),
        ("too few bytes", large(&[whole])),
        ("too many bytes", large(&[whole, 2])),
        ("small chunks", large(&[1, whole])),
        ("a file without an end", Goods::of(vec![ManifestItem::File(entry("evil", 1 << 20))])),
        ("fewer entries", with(&|totals| totals.entries = 2)),
        ("more entries", with(&|totals| totals.entries = 0)),
        ("other bytes", with(&|totals| totals.bytes += 1)),
        ("more chunks", with(&|totals| totals.chunks = 0)),
        ("fewer files", with(&|totals| totals.files = 2)),
        ("noise for a page", Goods { pages: vec![crate::raw::noise(1, 4096)], ..good.clone() }),
        ("an empty page", Goods { pages: vec![Vec::new()], ..good.clone() }),
    ];
    for (what, goods) in &cases {
        assert_eq!(scene.reason(what, goods).await, PushReason::ManifestInvalid, "{what}");
    }
    for (what, goods) in [
        ("endless bytes", with(&|totals| totals.bytes = u64::MAX)),
        ("endless entries", with(&|totals| totals.entries = u64::MAX)),
        ("endless pages", with(&|totals| totals.pages = u64::MAX)),
    ] {
        assert_eq!(scene.reason(what, &goods).await, PushReason::QuotaExceeded, "{what}");
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn pages_that_nobody_announced_or_asked_for_end_the_push() {
    let scene = Scene::set("").await;
    let good = Goods::of(vec![evil("evil")]);
    let ids = |first| PushMessage::PageIds(PageIds { first, ids: good.ids() });
    let page = |number| PushMessage::Page(PageOf { number, page: good.pages[0].clone() });
    let swapped = |number| PageOf { number, page: Goods::of(vec![evil("evil2")]).pages[0].clone() };
    for (what, said, reason) in [
        // First: a page that came before is not asked for again.
        ("another page", vec![ids(0), PushMessage::Page(swapped(0))], PushReason::ChecksumMismatch),
        ("a name too many", vec![ids(0), ids(1)], PushReason::ManifestInvalid),
        ("names from the middle", vec![ids(7)], PushReason::ManifestInvalid),
        ("a page before its name", vec![page(0)], PushReason::ManifestInvalid),
        ("a page twice", vec![ids(0), page(0), page(0)], PushReason::ManifestInvalid),
        ("a page of another number", vec![ids(0), page(1)], PushReason::ManifestInvalid),
    ] {
        let mut talk = scene.loki.talk().await;
        talk.say(&PushMessage::Offer(scene.loki.offer(&good))).await;
        for message in &said {
            talk.say(message).await;
        }
        let ended = talk.hear_until(|said| {
            if let PushMessage::Result(PushResult::Failed(problem)) = said {
                Some(problem.reason)
            } else {
                None
            }
        });
        assert_eq!(ended.await, reason, "{what}");
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn bytes_that_are_not_what_they_are_called_are_never_kept() {
    let scene = Scene::set("").await;
    let before = memory_peak_kib(&scene.victim);
    let mut wrong = Goods::of(vec![evil("evil")]);
    wrong.chunks.insert(0, chunk(0, &[b'x'; EVIL.len()]));
    let mut short = wrong.clone();
    short.chunks.insert(0, chunk(0, b"x"));
    let mut no_zstd = wrong.clone();
    let head = ChunkHead { is_compressed: true, ..chunk(0, EVIL).head };
    no_zstd.chunks.insert(0, Chunk { head, bytes: EVIL[1..].to_vec() });
    let mut sha256 = digests(EVIL);
    sha256.sha256[0] ^= 1;
    let item = ManifestItem::Whole(entry("evil", EVIL.len() as u64), sha256);
    let other_sha256 = Goods::of(vec![item]);
    for (what, goods) in [
        ("other bytes", wrong),
        ("fewer bytes", short),
        ("what is not compressed", no_zstd),
        ("another SHA-256", other_sha256),
        ("a compressed bomb", bomb()),
    ] {
        assert_eq!(scene.reason(what, &goods).await, PushReason::ChecksumMismatch, "{what}");
    }
    let grown = memory_peak_kib(&scene.victim) - before;
    assert!(grown < 48 << 10, "the agent took {grown} KiB more");
    scene.is_unharmed().await;
}

/// A chunk of 4 MiB by its head, whose 32 KiB of zstd are a gigabyte: 8,192 blocks that repeat one byte.
fn bomb() -> Goods {
    const RAW_BYTES: u32 = 4 << 20;
    let (blocks, block_bytes) = (8192, 128_u32 << 10);
    // Magic, a head without a size, a window of 128 KiB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for block in 0..blocks {
        let is_last = u32::from(block + 1 == blocks);
        let head = (block_bytes << 3) | (1 << 1) | is_last;
        bytes.extend_from_slice(&head.to_le_bytes()[..3]);
        bytes.push(b'x');
    }
    let id = ChunkId::from_bytes([7; 32]);
    let mut goods = Goods::of(vec![
        ManifestItem::File(entry("evil", u64::from(RAW_BYTES))),
        ManifestItem::Chunks(vec![ChunkRef { id, bytes: RAW_BYTES }]),
        ManifestItem::FileEnd(digests(EVIL)),
    ]);
    let head = ChunkHead { number: 0, raw_bytes: RAW_BYTES, is_compressed: true };
    goods.chunks.insert(0, Chunk { head, bytes });
    goods
}

#[tokio::test]
async fn chunks_that_nobody_asked_for_are_thrown_away_and_the_push_comes_out_right() {
    let scene = Scene::set("").await;
    let before = memory_peak_kib(&scene.victim);
    let goods = Goods::of(vec![evil("tool.sh")]);
    let mut talk = scene.loki.talk().await;
    talk.say(&PushMessage::Offer(scene.loki.offer(&goods))).await;
    let ballast = vec![b'x'; 1 << 20];
    for number in 0..128 {
        let number = if number % 2 == 0 { 0 } else { u64::MAX - number };
        talk.say(&PushMessage::Chunk(chunk(number, &ballast))).await;
    }
    let fate = talk.bring(&goods).await;
    assert!(matches!(fate, Fate::Confirmed), "{fate:?}");
    assert_eq!(std::fs::read(scene.root.join("tool.sh")).unwrap(), EVIL);
    let grown = memory_peak_kib(&scene.victim) - before;
    assert!(grown < 64 << 10, "the agent took {grown} KiB more");
    scene.serves().await;
}
