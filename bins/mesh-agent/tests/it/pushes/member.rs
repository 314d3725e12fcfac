//! A member with a valid key whose program is not ours: it says of pushes whatever it likes.

use std::collections::BTreeMap;

use mesh_crypto::NodeKey;
use mesh_protocol::{
    Chunk, ChunkHead, ChunkId, ChunkRange, FileDigests, FileEntry, FileTime, FolderEntry, Frame,
    LinkEntry, ManifestItem, ManifestPage, PUSH_HEADER_BYTES, PageIds, PageOf, PeerId, PushAnswer,
    PushHeader, PushId, PushMessage, PushMethod, PushOffer, PushProblem, PushResult, PushTotals,
    RelativePath, UnixMillis,
};
use mesh_transport::{Lane, Link, LinkStream, OpenStreamError, StreamError, StreamReceiver};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use crate::agent::{Agent, NEWS, PATIENCE, eventually, within};
use crate::stranger::Stranger;

/// A member by its key, linked with one agent.
pub(super) struct Member {
    victim: PeerId,
    link: Link,
    /// None when every stream is to be refused.
    streams: Option<StreamReceiver>,
    stranger: Stranger,
    /// What answers heartbeats.
    _answers: JoinSet<()>,
}

/// What became of a push.
#[derive(Debug)]
pub(super) enum Fate {
    Refused(PushProblem),
    Confirmed,
    /// The stream ended without a result.
    Ended,
}

/// The messages of a push on a stream.
pub(super) struct Talk {
    stream: LinkStream,
    read: Vec<u8>,
    /// What was said when the other side ended it.
    pub(super) end: Option<String>,
}

/// What a push brings, well made unless somebody spoils it.
#[derive(Clone, Default)]
pub(super) struct Goods {
    pub(super) pages: Vec<Vec<u8>>,
    pub(super) chunks: BTreeMap<u64, Chunk>,
    pub(super) totals: PushTotals,
}

impl Member {
    /// Joins through `issuer` under a name and links with `victim`.
    pub(super) async fn enter(key: NodeKey, name: &str, issuer: &Agent, victim: &Agent) -> Self {
        let stranger = Stranger::new(key);
        let token = issuer.parsed_token().await;
        stranger.redeem(&token, name).await.unwrap();
        let known = async || victim.members().await.contains_key(name).then_some(());
        eventually(NEWS, "the victim knows the new member", known).await;
        let mesh_id = victim.status().await.mesh_id;
        let mut link = stranger.link((victim.peer_id(), victim.address()), mesh_id).await.unwrap();
        let streams = link.take_streams();
        let (sender, mut urgent) = (link.sender(), link.take_receiver(Lane::Urgent));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(Ok(frame)) = urgent.next().await {
                if let Frame::Ping(ping) = frame {
                    let _gone = sender.send(Lane::Urgent, &Frame::Pong(ping)).await;
                }
            }
        });
        Self { victim: victim.peer_id(), link, streams: Some(streams), stranger, _answers: tasks }
    }

    pub(super) fn peer_id(&self) -> PeerId {
        self.stranger.peer_id()
    }

    pub(super) async fn talk(&self) -> Talk {
        // The place of a stream that was given up is free a moment later.
        let opened = eventually(PATIENCE, "there is a place for a stream", async || {
            let head = br#"{"use":"push"}"#.to_vec();
            match self.link.sender().open_stream(head.into()).await {
                Err(OpenStreamError::TooMany) => None,
                opened => Some(opened.unwrap()),
            }
        });
        Talk::new(opened.await)
    }

    /// The next stream that the victim opens.
    pub(super) async fn called(&mut self) -> Talk {
        let streams = self.streams.as_mut().expect("it takes streams");
        Talk::new(within(streams.next()).await.expect("the link is up").accept())
    }

    /// From here on it refuses streams.
    pub(super) fn be_deaf(&mut self) {
        self.streams = None;
    }

    /// An offer of `goods` into the root `scripts`, as it should be.
    pub(super) fn offer(&self, goods: &Goods) -> PushOffer {
        let now = now();
        PushOffer {
            push_id: PushId::from_bytes(rand::random()),
            by: self.peer_id(),
            targets: vec![self.victim],
            root: "scripts".parse().unwrap(),
            destination: RelativePath::ROOT,
            message: String::new(),
            method: PushMethod::Stream,
            totals: goods.totals,
            manifest: goods.digest(),
            test: None,
            made_at: now,
            expires_at: UnixMillis(now.0 + 600_000),
        }
    }

    /// Offers and brings `goods` on a stream of their own.
    pub(super) async fn push(&self, offer: &PushOffer, goods: &Goods) -> Fate {
        let mut talk = self.talk().await;
        talk.say(&PushMessage::Offer(offer.clone())).await;
        talk.bring(goods).await
    }
}

pub(super) fn now() -> UnixMillis {
    UnixMillis(u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap())
}

impl Talk {
    const fn new(stream: LinkStream) -> Self {
        Self { stream, read: Vec::new(), end: None }
    }

    pub(super) async fn say(&mut self, message: &PushMessage) {
        self.say_bytes(message.encode().unwrap()).await;
    }

    /// The other side may have ended it.
    pub(super) async fn say_bytes(&mut self, bytes: Vec<u8>) {
        let _ended = within(self.stream.send(bytes.into())).await;
    }

    /// Ends it as one does who has heard what it wanted, so that its place is free at once.
    pub(super) async fn close(mut self) {
        self.stream.finish();
        while self.hear().await.is_some() {}
    }

    /// What the other side says next; none when it has ended the stream.
    pub(super) async fn hear(&mut self) -> Option<PushMessage> {
        loop {
            if let Some(header) = self.read.first_chunk::<PUSH_HEADER_BYTES>() {
                let header = PushHeader::decode(header).unwrap();
                let whole = PUSH_HEADER_BYTES + header.body_bytes;
                if self.read.len() >= whole {
                    let rest = self.read.split_off(whole);
                    let message = std::mem::replace(&mut self.read, rest);
                    let body = &message[PUSH_HEADER_BYTES..];
                    return Some(PushMessage::decode(header, body).unwrap());
                }
            }
            match within(self.stream.recv()).await {
                Some(Ok(bytes)) => self.read.extend_from_slice(&bytes),
                Some(Err(StreamError::Reset { reason })) => self.end = Some(reason),
                Some(Err(error)) => self.end = Some(error.to_string()),
                None => self.end = Some(String::from("it was finished")),
            }
            if self.end.is_some() {
                return None;
            }
        }
    }

    /// The next thing of interest.
    pub(super) async fn hear_until<T>(
        &mut self,
        mut wanted: impl FnMut(PushMessage) -> Option<T>,
    ) -> T {
        loop {
            let said = self.hear().await;
            let said = said.unwrap_or_else(|| panic!("it ended: {:?}", self.end));
            if let Some(found) = wanted(said) {
                return found;
            }
        }
    }

    /// Says what pages there are.
    pub(super) async fn name_pages(&mut self, goods: &Goods) {
        self.say(&PushMessage::PageIds(PageIds { first: 0, ids: goods.ids() })).await;
    }

    /// Does what is asked for, until it is over.
    pub(super) async fn bring(&mut self, goods: &Goods) -> Fate {
        while let Some(said) = self.hear().await {
            match said.clone() {
                PushMessage::Answer(PushAnswer::Accepted) => self.name_pages(goods).await,
                PushMessage::PageNeed(need) => {
                    for number in numbers(need.pages.iter()) {
                        let page = goods.pages[usize::try_from(number).unwrap()].clone();
                        self.say(&PushMessage::Page(PageOf { number, page })).await;
                    }
                }
                PushMessage::Need(need) => {
                    for number in numbers(need.chunks.iter()) {
                        self.say(&PushMessage::Chunk(goods.chunks[&number].clone())).await;
                    }
                }
                PushMessage::Answer(PushAnswer::Refused(problem))
                | PushMessage::Result(PushResult::Failed(problem))
                | PushMessage::Stop(problem) => return Fate::Refused(problem),
                PushMessage::Result(PushResult::Confirmed(_)) => return Fate::Confirmed,
                PushMessage::Answer(PushAnswer::WaitingForApproval)
                | PushMessage::Have(_)
                | PushMessage::Result(PushResult::Verified(_)) => {}
                PushMessage::Offer(_)
                | PushMessage::Rollback(_)
                | PushMessage::PageIds(_)
                | PushMessage::Page(_)
                | PushMessage::Source(_)
                | PushMessage::Fetch(_)
                | PushMessage::Chunk(_) => panic!("no target says {said:?}"),
            }
        }
        Fate::Ended
    }
}

fn numbers(ranges: impl Iterator<Item = ChunkRange>) -> Vec<u64> {
    ranges.flat_map(|range| range.first..range.end()).collect()
}

pub(super) fn path(text: &str) -> RelativePath {
    RelativePath::parse(text.as_bytes()).unwrap()
}

pub(super) fn folder(name: &str) -> ManifestItem {
    let modified = FileTime { seconds: 1, nanos: 2 };
    ManifestItem::Folder(FolderEntry { path: path(name), is_listable: true, modified })
}

pub(super) fn link(name: &str, target: &str) -> ManifestItem {
    ManifestItem::Link(LinkEntry { path: path(name), target: target.as_bytes().to_vec() })
}

pub(super) fn entry(name: &str, bytes: u64) -> FileEntry {
    let modified = FileTime { seconds: 1, nanos: 2 };
    FileEntry { path: path(name), bytes, is_executable: true, modified }
}

pub(super) fn digests(bytes: &[u8]) -> FileDigests {
    FileDigests { blake3: *blake3::hash(bytes).as_bytes(), sha256: Sha256::digest(bytes).into() }
}

/// What every small file of these pushes holds.
pub(super) const EVIL: &[u8] = b"#!/bin/sh\necho evil\n";

/// A small file that holds [`EVIL`].
pub(super) fn evil(name: &str) -> ManifestItem {
    ManifestItem::Whole(entry(name, EVIL.len() as u64), digests(EVIL))
}

pub(super) fn chunk(number: u64, bytes: &[u8]) -> Chunk {
    let raw_bytes = u32::try_from(bytes.len()).unwrap();
    Chunk { head: ChunkHead { number, raw_bytes, is_compressed: false }, bytes: bytes.to_vec() }
}

impl Goods {
    /// One page of these; every chunk holds [`EVIL`] until somebody says otherwise.
    pub(super) fn of(items: Vec<ManifestItem>) -> Self {
        let mut totals = PushTotals { pages: 1, ..PushTotals::default() };
        for item in &items {
            totals.entries += u64::from(item.path().is_some());
            match item {
                ManifestItem::Whole(file, _) => {
                    totals.files += 1;
                    totals.bytes += file.bytes;
                    totals.chunks += u64::from(file.bytes > 0);
                }
                ManifestItem::File(file) => {
                    totals.files += 1;
                    totals.bytes += file.bytes;
                }
                ManifestItem::Chunks(chunks) => totals.chunks += chunks.len() as u64,
                ManifestItem::Folder(_) | ManifestItem::Link(_) | ManifestItem::FileEnd(_) => {}
            }
        }
        let chunks = (0..totals.chunks).map(|number| (number, chunk(number, EVIL))).collect();
        Self { pages: vec![ManifestPage { items }.encode().unwrap()], chunks, totals }
    }

    /// Puts other bytes of whatever length in the place of some in every page.
    pub(super) fn spoilt(mut self, from: &[u8], to: &[u8]) -> Self {
        for page in &mut self.pages {
            let mut spoilt = Vec::new();
            let mut rest = page.as_slice();
            while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
                spoilt.extend([&rest[..at], to].concat());
                rest = &rest[at + from.len()..];
            }
            assert!(!spoilt.is_empty(), "there is nothing to spoil");
            spoilt.extend_from_slice(rest);
            *page = spoilt;
        }
        self
    }

    pub(super) fn ids(&self) -> Vec<ChunkId> {
        let id = |page: &Vec<u8>| ChunkId::from_bytes(*blake3::hash(page).as_bytes());
        self.pages.iter().map(id).collect()
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        let mut names = blake3::Hasher::new();
        self.ids().iter().for_each(|id| {
            names.update(id.as_bytes());
        });
        *names.finalize().as_bytes()
    }
}
