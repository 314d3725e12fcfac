//! Chunks for other targets of the same push, from what is staged here or stands in the root.

use std::sync::Arc;

use bytes::Bytes;
use mesh_files::Phase;
use mesh_protocol::{
    ChunkHead, ChunkId, ChunkRanges, ChunkRef, Fetch, FileEntry, ManifestItem, ManifestPage,
    PeerId, PushMessage, PushOffer, PushProblem, PushReason, PushStep,
};
use mesh_tree::{LocalFile, Root, Staging};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::lock;
use super::manifest::beneath;
use crate::pushes::channel::{PushReader, PushWriter, Received};
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::roots::problem;
use crate::shared::Shared;

/// Chunks that were read and wait for room on the stream.
const AHEAD: usize = 2;

/// What may be served.
struct Served {
    offer: Arc<PushOffer>,
    pages: ManifestFile,
    root: Root,
    staging: Option<Staging>,
    starts: Vec<At>,
    last: Option<(usize, Vec<Chunk>)>,
    open: Option<(u64, LocalFile)>,
}

/// What a page begins within.
#[derive(Clone, Debug, Default)]
struct At {
    chunk: u64,
    /// Number of the next entry.
    entry: u64,
    file: Option<Arc<FileEntry>>,
    offset: u64,
}

#[derive(Clone, Debug)]
struct Chunk {
    entry: u64,
    file: Arc<FileEntry>,
    offset: u64,
    chunk: ChunkRef,
}

type Piece = Result<(ChunkHead, Bytes), PushProblem>;

impl Shared {
    /// Serves another target of a push, as long as it asks.
    pub(super) async fn serve_fetch(
        self: &Arc<Self>,
        peer: PeerId,
        fetch: Fetch,
        mut reader: PushReader,
        mut writer: PushWriter,
    ) {
        let mut served = match self.served(peer, &fetch).await {
            Ok(served) => served,
            Err(problem) => {
                // Whoever does not hear it asks the sender.
                let _unheard = writer.send(&PushMessage::Stop(problem)).await;
                writer.finish();
                return;
            }
        };
        while let Ok(Some(Received::Message(PushMessage::Need(need)))) = reader.recv().await {
            let (pieces, mut ready) = mpsc::channel(AHEAD);
            let reading = tokio::task::spawn_blocking(move || {
                served.read_each(&need.chunks, &pieces);
                served
            });
            while let Some(piece) = ready.recv().await {
                let sent = match piece {
                    Ok((head, bytes)) => writer.send_chunk(head, bytes).await,
                    Err(problem) => writer.send(&PushMessage::Stop(problem)).await,
                };
                if sent.is_err() {
                    return;
                }
            }
            match reading.await {
                Ok(back) => served = back,
                Err(_) => return,
            }
        }
        writer.finish();
    }

    async fn served(self: &Arc<Self>, peer: PeerId, fetch: &Fetch) -> Result<Served, PushProblem> {
        let not_here = || problem(PushReason::StorageError, "this target does not have it");
        let live = lock(&self.pushes.receivers.live)
            .get(&fetch.push_id)
            .map(|live| (Arc::clone(&live.offer), lock_staging(&live.staging)));
        let (offer, staging) = match live {
            Some((offer, Some(staging))) => (offer, Some(staging)),
            Some((_, None)) | None => {
                let stored = self.load_received(fetch.push_id).await?.ok_or_else(not_here)?;
                let (me, expires_at) = (self.me, stored.row.offer.expires_at);
                let push = mesh_files::ReceiverPush::new(me, expires_at, &stored.events);
                if push.state().phase != Phase::Confirmed {
                    return Err(not_here());
                }
                (Arc::new(stored.row.offer), None)
            }
        };
        let may = offer.targets.contains(&peer)
            && offer.manifest == fetch.manifest
            && self.view().verdict.is_member(&peer);
        if !may {
            return Err(problem(PushReason::NotAMember, "the push has no such target"));
        }
        let shared = Arc::clone(self);
        let opening = tokio::task::spawn_blocking(move || {
            let step = PushStep::Push;
            let root = shared.pushes.roots.open(&offer.root);
            let root =
                root.map_err(|error| problem(PushReason::StorageError, error.to_string()))?;
            let pages = ManifestFile::open(shared.data_dir.path(), offer.push_id);
            let pages = pages.map_err(|error| Failure::pages(step, &error));
            let opened = pages.and_then(|pages| Served::new(offer, pages, root.root, staging));
            opened.map_err(Failure::into_problem)
        });
        opening.await.map_err(|error| problem(PushReason::Internal, error.to_string()))?
    }
}

fn lock_staging(staging: &std::sync::Mutex<Option<Staging>>) -> Option<Staging> {
    lock(staging).clone()
}

impl Served {
    /// Reads the pages once. What is kept are some bytes for each.
    fn new(
        offer: Arc<PushOffer>,
        pages: ManifestFile,
        root: Root,
        staging: Option<Staging>,
    ) -> Result<Self, Failure> {
        let (last, open) = (None, None);
        let mut served = Self { offer, pages, root, staging, starts: Vec::new(), last, open };
        let mut at = At::default();
        for number in 0..served.pages.len() {
            served.starts.push(at.clone());
            for item in served.items(number)? {
                at.follow(item, &mut |_| {});
            }
        }
        Ok(served)
    }

    fn items(&self, number: usize) -> Result<Vec<ManifestItem>, Failure> {
        let page = self.pages.read(number);
        let page = page.map_err(|error| Failure::pages(PushStep::Push, &error))?;
        let page = ManifestPage::decode(&page);
        Ok(page.map_err(|_| Failure::from(mesh_files::ManifestError::Bound))?.items)
    }

    /// Reads chunks until one is not here, or nobody takes them any more.
    fn read_each(&mut self, chunks: &ChunkRanges, pieces: &mpsc::Sender<Piece>) {
        for number in chunks.iter().flat_map(|range| range.first..range.end()) {
            let piece = self.read(number).map_err(Failure::into_problem);
            let is_last = piece.is_err();
            if pieces.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    }

    fn read(&mut self, number: u64) -> Result<(ChunkHead, Bytes), Failure> {
        let Some(Chunk { entry, file, offset, chunk }) = self.find(number)? else {
            return Err(Failure::manifest("there is no chunk of this number"));
        };
        let mut bytes = vec![0; chunk.bytes as usize];
        for is_again in [false, true] {
            // What was staged when it was opened may have been put in place meanwhile.
            if is_again || self.open.as_ref().is_none_or(|(open, _)| *open != entry) {
                self.open = self.open_file(entry, &file).map(|file| (entry, file));
            }
            let read = self.open.as_ref().map(|(_, file)| file.read_at(&mut bytes, offset));
            let is_whole = matches!(read, Some(Ok(read)) if read == bytes.len());
            if is_whole && blake3::hash(&bytes) == *chunk.id.as_bytes() {
                let head = ChunkHead { number, raw_bytes: chunk.bytes, is_compressed: false };
                return Ok((head, bytes.into()));
            }
        }
        let detail = format!("{} is not here, or not whole", file.path);
        Err(Failure::new(PushStep::Push, PushReason::StorageError, detail))
    }

    fn open_file(&self, entry: u64, file: &FileEntry) -> Option<LocalFile> {
        let staged = self.staging.as_ref().and_then(|staging| staging.open_file(entry, file).ok());
        staged.or_else(|| {
            let path = beneath(&self.offer.destination, &file.path).ok()?;
            self.root.file(&path).ok()
        })
    }

    fn find(&mut self, number: u64) -> Result<Option<Chunk>, Failure> {
        let page = self.starts.partition_point(|start| start.chunk <= number).saturating_sub(1);
        if self.last.as_ref().is_none_or(|(last, _)| *last != page) {
            let mut at = self.starts.get(page).cloned().unwrap_or_default();
            let mut chunks = Vec::new();
            if page < self.pages.len() {
                for item in self.items(page)? {
                    at.follow(item, &mut |chunk| chunks.push(chunk));
                }
            }
            self.last = Some((page, chunks));
        }
        let first = self.starts.get(page).map_or(0, |start| start.chunk);
        let index = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        Ok(self.last.as_ref().and_then(|(_, chunks)| chunks.get(index)).cloned())
    }
}

impl At {
    /// Goes over an item, and tells its chunks.
    fn follow(&mut self, item: ManifestItem, found: &mut impl FnMut(Chunk)) {
        match item {
            ManifestItem::Folder(_) | ManifestItem::Link(_) => self.entry += 1,
            ManifestItem::Whole(file, digests) => {
                let bytes = u32::try_from(file.bytes).unwrap_or(u32::MAX);
                self.begin(file);
                if bytes > 0 {
                    let id = ChunkId::from_bytes(digests.blake3);
                    self.chunk(ChunkRef { id, bytes }, found);
                }
            }
            ManifestItem::File(file) => self.begin(file),
            ManifestItem::Chunks(chunks) => {
                chunks.into_iter().for_each(|chunk| self.chunk(chunk, found));
            }
            ManifestItem::FileEnd(_) => {}
        }
    }

    fn begin(&mut self, file: FileEntry) {
        self.entry += 1;
        self.file = Some(Arc::new(file));
        self.offset = 0;
    }

    fn chunk(&mut self, chunk: ChunkRef, found: &mut impl FnMut(Chunk)) {
        if let Some(file) = &self.file {
            let (entry, file) = (self.entry.saturating_sub(1), Arc::clone(file));
            found(Chunk { entry, file, offset: self.offset, chunk });
        }
        self.chunk += 1;
        self.offset = self.offset.saturating_add(u64::from(chunk.bytes));
    }
}
