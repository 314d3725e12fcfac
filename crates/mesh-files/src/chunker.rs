use fastcdc::v2020::{FastCDC, Normalization};
use mesh_protocol::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, ChunkId, ChunkRef, WHOLE_FILE_BYTES_MAX};

/// Chunks of a file stay about this many or fewer, until they are as large as they may be.
const CHUNKS_AIM: u64 = 1 << 20;
/// Between the smallest, the average and the largest chunk.
const SPREAD: u32 = 4;
const AVERAGE_MIN: u32 = 64 << 10;
const AVERAGE_MAX: u32 = CHUNK_BYTES_MAX / SPREAD;

/// How large the chunks of a file are to be. It depends on the file's size alone, so that two who have
/// nearly the same file cut it at the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkerConfig {
    average: u32,
}

impl ChunkerConfig {
    /// The sizes for a file: 64 KiB on average, doubled with files that would have more than a million chunks.
    #[must_use]
    pub fn for_size(file_bytes: u64) -> Self {
        let mut average = AVERAGE_MIN;
        while average < AVERAGE_MAX && u64::from(average) < file_bytes.div_ceil(CHUNKS_AIM) {
            average *= 2;
        }
        Self { average }
    }

    /// The size that chunks have on average.
    #[must_use]
    pub const fn average_bytes(&self) -> u32 {
        self.average
    }

    /// The size that no chunk exceeds.
    #[must_use]
    pub const fn bytes_max(&self) -> u32 {
        self.average * SPREAD
    }

    const fn bytes_min(&self) -> u32 {
        let min = self.average / SPREAD;
        if min < CHUNK_BYTES_MIN { CHUNK_BYTES_MIN } else { min }
    }
}

/// A chunk that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundChunk {
    /// Where it starts in the file.
    pub offset: u64,
    /// Its name and size.
    pub chunk: ChunkRef,
}

/// Cuts a file that comes in pieces of any size. What it finds does not depend on the pieces, and it keeps
/// less than one chunk of the largest size.
#[derive(Debug)]
pub struct Chunker {
    config: ChunkerConfig,
    /// A file that is one chunk, whatever it holds.
    is_whole: bool,
    offset: u64,
    rest: Vec<u8>,
}

impl Chunker {
    /// Starts a file of a size. When the file turns out to have another one, it has changed meanwhile.
    #[must_use]
    pub fn new(file_bytes: u64) -> Self {
        let is_whole = file_bytes <= WHOLE_FILE_BYTES_MAX;
        Self { config: ChunkerConfig::for_size(file_bytes), is_whole, offset: 0, rest: Vec::new() }
    }

    /// Takes the next piece, and gives every chunk that ends in it, with its bytes.
    pub fn feed(&mut self, mut piece: &[u8], mut found: impl FnMut(FoundChunk, &[u8])) {
        let max = self.config.bytes_max() as usize;
        // What is kept from before is filled up until it must hold an end; behind that the piece is cut where
        // it is, without a copy.
        while !self.rest.is_empty() && !piece.is_empty() {
            let kept = self.rest.len();
            let (more, _) = piece.split_at(piece.len().min(max - kept));
            self.rest.extend_from_slice(more);
            if self.rest.len() < max {
                return;
            }
            let end = self.cut(&self.rest);
            let Some((chunk, _)) = self.rest.split_at_checked(end) else { return };
            found(self.named(chunk), chunk);
            self.offset += end as u64;
            if end >= kept {
                piece = piece.get(end - kept..).unwrap_or_default();
                self.rest.clear();
            } else {
                piece = piece.get(more.len()..).unwrap_or_default();
                self.rest.drain(..end);
            }
        }
        while piece.len() >= max {
            let (chunk, behind) = piece.split_at(self.cut(piece));
            found(self.named(chunk), chunk);
            self.offset += chunk.len() as u64;
            piece = behind;
        }
        self.rest.extend_from_slice(piece);
    }

    /// Gives the chunks that remain at the end of the file.
    pub fn finish(mut self, mut found: impl FnMut(FoundChunk, &[u8])) {
        let rest = std::mem::take(&mut self.rest);
        let mut rest = rest.as_slice();
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(self.cut(rest));
            found(self.named(chunk), chunk);
            self.offset += chunk.len() as u64;
            rest = behind;
        }
    }

    /// Where the first chunk ends: within `bytes`, and not at their beginning.
    fn cut(&self, bytes: &[u8]) -> usize {
        if self.is_whole {
            return bytes.len();
        }
        let (min, average, max) =
            (self.config.bytes_min(), self.config.average, self.config.bytes_max());
        let (min, average, max) = (min as usize, average as usize, max as usize);
        let seen = bytes.len().min(max);
        let cutter = FastCDC::with_level(bytes, min, average, max, Normalization::Level1);
        let (_, end) = cutter.cut(0, seen);
        end.clamp(1, seen)
    }

    fn named(&self, bytes: &[u8]) -> FoundChunk {
        let id = ChunkId::from_bytes(*blake3::hash(bytes).as_bytes());
        // A chunk is at most as large as the largest one, which fits.
        let bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        FoundChunk { offset: self.offset, chunk: ChunkRef { id, bytes } }
    }
}
