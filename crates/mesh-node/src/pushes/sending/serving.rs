//! What a target asked for, read and packed on a thread of its own.
//!
//! Pieces are handed over in batches of whole messages: a batch is read straight into the bytes that travel, and thousands
//! of small files cost some dozens of hand-overs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mesh_files::{Compress, Compression};
use mesh_protocol::{
    CHUNK_HEAD_BYTES, ChunkHead, ChunkRanges, PUSH_HEADER_BYTES, PageOf, PushMessage, PushProblem,
    PushReason,
};
use mesh_tree::Source;
use tokio::sync::mpsc;

use super::chunks::{ChunkReader, Pages, Wanted, problem};
use crate::clock;

/// A batch that has so many bytes is handed over. The last chunk in it comes on top.
const BATCH_BYTES: usize = 256 << 10;
const HEAD_BYTES: usize = PUSH_HEADER_BYTES + CHUNK_HEAD_BYTES;
/// A chunk that is smaller is not worth a try.
const COMPRESSED_BYTES_MIN: u32 = 256;
const LEVEL: i32 = 1;
/// How often a target may ask for everything on one stream: what came wrong comes again, and what others did not serve.
const ASKED_TIMES: u64 = 4;
const ASKED_AT_LEAST: u64 = 64;

/// Something that a target asked for.
#[derive(Debug)]
pub(super) enum Ask {
    /// Pages.
    Pages(ChunkRanges),
    /// Chunks. The number tells whoever asked that all of them are on their way.
    Chunks(ChunkRanges, Option<u64>),
}

/// What goes out.
#[derive(Debug)]
pub(super) enum Batch {
    /// Messages, as they travel.
    Bytes(Bytes),
    /// Everything of an [`Ask`] went before.
    Done(u64),
    /// It cannot be served any further: nobody can be.
    Failed(PushProblem),
    /// This target asked for what no target asks for.
    Refused(PushProblem),
}

/// What the link has been carrying, bytes per second; 0 while that is not known. Whoever writes says it.
pub(super) type LinkRate = Arc<AtomicU64>;

/// Serves until nobody asks any more, or nobody takes it.
pub(super) fn serve(
    pages: Arc<Pages>,
    sources: Vec<Source>,
    rate: LinkRate,
    mut asks: mpsc::Receiver<Ask>,
    batches: mpsc::Sender<Batch>,
) {
    let reader = ChunkReader::new(Arc::clone(&pages), sources);
    let mut packer = Packer {
        reader,
        compression: Compression::default(),
        compressor: zstd::bulk::Compressor::new(LEVEL).ok(),
        rate,
        batch: Vec::new(),
        left: [(); 2].map(|()| ASKED_AT_LEAST),
        batches,
    };
    let [pages_left, chunks_left] = &mut packer.left;
    *pages_left = pages_left.saturating_add(ASKED_TIMES.saturating_mul(pages.ids().len() as u64));
    *chunks_left = chunks_left.saturating_add(ASKED_TIMES.saturating_mul(pages.chunks()));
    while let Some(ask) = asks.blocking_recv() {
        let served = match ask {
            Ask::Pages(numbers) => packer.pages(&pages, &numbers),
            Ask::Chunks(numbers, tag) => packer.chunks(&numbers, tag),
        };
        match served {
            Ok(()) => {}
            Err(Over::Failed(problem)) => {
                let _nobody_listens = packer.batches.blocking_send(Batch::Failed(problem));
                return;
            }
            Err(Over::Refused(problem)) => {
                let _nobody_listens = packer.batches.blocking_send(Batch::Refused(problem));
                return;
            }
            Err(Over::Unwanted) => return,
        }
    }
}

enum Over {
    Failed(PushProblem),
    Refused(PushProblem),
    /// The session ended.
    Unwanted,
}

impl From<PushProblem> for Over {
    fn from(problem: PushProblem) -> Self {
        Self::Failed(problem)
    }
}

struct Packer {
    reader: ChunkReader,
    compression: Compression,
    /// None when the library does not start: chunks go as they are.
    compressor: Option<zstd::bulk::Compressor<'static>>,
    rate: LinkRate,
    batch: Vec<u8>,
    /// How many pages and chunks may still be asked for.
    left: [u64; 2],
    batches: mpsc::Sender<Batch>,
}

impl Packer {
    fn pages(&mut self, pages: &Pages, numbers: &ChunkRanges) -> Result<(), Over> {
        asked(numbers, pages.ids().len() as u64, &mut self.left[0])?;
        for number in numbers.iter().flat_map(|range| range.first..range.end()) {
            let page = PushMessage::Page(PageOf { number, page: pages.page(number)? });
            let encoded = page.encode();
            let encoded = encoded.map_err(|error| internal(error.to_string()))?;
            self.batch.extend_from_slice(&encoded);
            self.hand_over(BATCH_BYTES)?;
        }
        self.hand_over(1)
    }

    fn chunks(&mut self, numbers: &ChunkRanges, tag: Option<u64>) -> Result<(), Over> {
        asked(numbers, self.reader.chunks(), &mut self.left[1])?;
        for number in numbers.iter().flat_map(|range| range.first..range.end()) {
            let wanted = self.reader.find(number)?;
            self.chunk(number, &wanted)?;
            self.hand_over(BATCH_BYTES)?;
        }
        self.hand_over(1)?;
        match tag {
            None => Ok(()),
            Some(tag) => self.send(Batch::Done(tag)),
        }
    }

    fn chunk(&mut self, number: u64, wanted: &Wanted) -> Result<(), Over> {
        let start = self.batch.len();
        let body = start + HEAD_BYTES;
        if start == 0 {
            self.batch.reserve(HEAD_BYTES + BATCH_BYTES.max(wanted.bytes() as usize));
        }
        self.batch.resize(body + wanted.bytes() as usize, 0);
        let bytes = self.batch.get_mut(body..).unwrap_or_default();
        self.reader.read(wanted, bytes)?;
        if wanted.is_next_file {
            self.compression.next_file();
        }
        let compressed = self.compressed(body, wanted.bytes());
        if let Some(compressed) = &compressed {
            self.batch.truncate(body);
            self.batch.extend_from_slice(compressed);
        }
        let is_compressed = compressed.is_some();
        let head = ChunkHead { number, raw_bytes: wanted.bytes(), is_compressed };
        let encoded = head.encode(self.batch.get(body..).unwrap_or_default());
        let encoded = encoded.map_err(|error| internal(error.to_string()))?;
        if let Some(room) = self.batch.get_mut(start..body) {
            room.copy_from_slice(&encoded);
        }
        Ok(())
    }

    /// The chunk at the end of the batch, if it should go compressed.
    fn compressed(&mut self, body: usize, raw_bytes: u32) -> Option<Vec<u8>> {
        if raw_bytes < COMPRESSED_BYTES_MIN {
            return None;
        }
        let what = self.compression.next_chunk();
        if what == Compress::No {
            return None;
        }
        let started = clock::now().instant;
        let compressed = self.compressor.as_mut()?.compress(self.batch.get(body..)?).ok()?;
        let took = clock::now().instant.saturating_duration_since(started);
        let bytes = u32::try_from(compressed.len()).ok()?;
        let pays = match what {
            Compress::Probe => {
                let rate = Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0);
                self.compression.probed(raw_bytes, bytes, took, rate)
            }
            Compress::Yes | Compress::No => true,
        };
        (pays && bytes < raw_bytes).then_some(compressed)
    }

    fn hand_over(&mut self, bytes_min: usize) -> Result<(), Over> {
        if self.batch.len() < bytes_min {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.send(Batch::Bytes(batch.into()))
    }

    fn send(&self, batch: Batch) -> Result<(), Over> {
        self.batches.blocking_send(batch).map_err(|_| Over::Unwanted)
    }
}

/// Counts what a target asks for, and refuses what is not there, or was asked for again and again.
fn asked(numbers: &ChunkRanges, count: u64, left: &mut u64) -> Result<(), Over> {
    let refused = |detail| Err(Over::Refused(problem(PushReason::ManifestInvalid, detail)));
    if numbers.iter().last().is_some_and(|range| range.end() > count) {
        return refused("the target asks for what the push does not have");
    }
    match left.checked_sub(numbers.chunks()) {
        Some(less) => *left = less,
        None => return refused("the target asks for the same again and again"),
    }
    Ok(())
}

fn internal(detail: String) -> Over {
    Over::Failed(problem(PushReason::Internal, detail))
}

#[cfg(test)]
mod tests;
