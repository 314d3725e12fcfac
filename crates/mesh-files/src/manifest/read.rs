use mesh_protocol::{
    ChunkId, ChunkRef, FileDigests, ManifestItem, ManifestPage, PushTotals, RelativePath,
};

use super::check::Follower;
use super::{ManifestDigest, ManifestError, page_id};

/// What a target takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestLimits {
    /// Most entries.
    pub entries_max: u64,
    /// Most bytes of all files together.
    pub bytes_max: u64,
    /// Whether the target's file system takes names for one that differ in case or in Unicode's spelling.
    pub folds_names: bool,
}

/// Where a chunk belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, by its number among the entries.
    pub entry: u64,
    /// Where in it the chunk starts.
    pub offset: u64,
    /// What it is.
    pub chunk: ChunkRef,
}

/// What a page says, with the numbers that both sides count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An entry: a folder, link or file.
    Entry {
        /// Its number, from 0.
        number: u64,
        /// What it is: neither chunks nor an end.
        item: ManifestItem,
    },
    /// A chunk of the file that was last named.
    Chunk {
        /// Its number among all chunks, from 0.
        number: u64,
        /// Where it belongs.
        place: Place,
    },
    /// What the file that was last named must be.
    FileEnd {
        /// The file.
        entry: u64,
        /// Its digests.
        digests: FileDigests,
    },
}

/// Reads a manifest page by page, and refuses it at the first page that breaks a rule.
#[derive(Debug)]
pub struct ManifestReader {
    follower: Follower,
    announced: PushTotals,
    digest: ManifestDigest,
    pages: u64,
    /// Where the next chunk of the last file starts.
    offset: u64,
}

impl ManifestReader {
    /// Starts at the beginning of what was announced.
    ///
    /// # Errors
    /// [`ManifestError::TooMuch`] when the target does not take that much.
    pub fn new(
        destination: RelativePath,
        announced: PushTotals,
        limits: ManifestLimits,
    ) -> Result<Self, ManifestError> {
        if announced.entries > limits.entries_max || announced.bytes > limits.bytes_max {
            return Err(ManifestError::TooMuch);
        }
        Ok(Self {
            follower: Follower::new(destination, limits.folds_names),
            announced,
            digest: ManifestDigest::default(),
            pages: 0,
            offset: 0,
        })
    }

    /// Reads the next page, whose name was announced as `id`.
    ///
    /// # Errors
    /// [`ManifestError`]: the push is to be refused.
    pub fn page(&mut self, id: &ChunkId, bytes: &[u8]) -> Result<Vec<Piece>, ManifestError> {
        if page_id(bytes) != *id {
            return Err(ManifestError::Page(self.pages));
        }
        let page = ManifestPage::decode(bytes).map_err(|_| {
            ManifestPage::refused_path(bytes).map_or(ManifestError::Bound, ManifestError::Path)
        })?;
        self.digest.add(id);
        self.pages += 1;
        let mut pieces = Vec::with_capacity(page.items.len());
        for item in page.items {
            self.item(item, &mut pieces)?;
        }
        let (read, announced) = (&self.follower.totals, &self.announced);
        let is_more = read.entries > announced.entries
            || read.files > announced.files
            || read.bytes > announced.bytes
            || read.chunks > announced.chunks
            || self.pages > announced.pages;
        if is_more { Err(ManifestError::Totals) } else { Ok(pieces) }
    }

    fn item(&mut self, item: ManifestItem, pieces: &mut Vec<Piece>) -> Result<(), ManifestError> {
        let first = self.follower.totals.chunks;
        self.follower.follow(&item)?;
        let entry = self.follower.totals.entries.saturating_sub(1);
        match item {
            ManifestItem::Chunks(chunks) => {
                for (number, chunk) in (first..).zip(chunks) {
                    let place = Place { entry, offset: self.offset, chunk };
                    self.offset = self.offset.saturating_add(u64::from(chunk.bytes));
                    pieces.push(Piece::Chunk { number, place });
                }
            }
            ManifestItem::FileEnd(digests) => pieces.push(Piece::FileEnd { entry, digests }),
            ManifestItem::Whole(ref file, digests) => {
                let bytes = u32::try_from(file.bytes).map_err(|_| ManifestError::Bound)?;
                pieces.push(Piece::Entry { number: entry, item });
                if bytes > 0 {
                    let chunk = ChunkRef { id: ChunkId::from_bytes(digests.blake3), bytes };
                    let place = Place { entry, offset: 0, chunk };
                    pieces.push(Piece::Chunk { number: first, place });
                }
                pieces.push(Piece::FileEnd { entry, digests });
            }
            ManifestItem::Folder(_) | ManifestItem::Link(_) | ManifestItem::File(_) => {
                self.offset = 0;
                pieces.push(Piece::Entry { number: entry, item });
            }
        }
        Ok(())
    }

    /// Ends the manifest.
    ///
    /// # Errors
    /// [`ManifestError`] when it is not what `digest` names, or not what was announced.
    pub fn finish(self, digest: &[u8; 32]) -> Result<(), ManifestError> {
        self.follower.finish()?;
        let read = PushTotals { pages: self.pages, ..self.follower.totals };
        if read != self.announced {
            return Err(ManifestError::Totals);
        }
        if self.digest.finish() != *digest {
            return Err(ManifestError::Page(self.pages));
        }
        Ok(())
    }
}
