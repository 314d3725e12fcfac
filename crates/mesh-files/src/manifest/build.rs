use mesh_protocol::{
    ChunkId, ChunkRef, ManifestItem, ManifestPage, PAGE_BYTES_MAX, PAGE_ITEMS_MAX, PushTotals,
    RelativePath,
};

use super::check::Follower;
use super::{ManifestDigest, ManifestError, page_id};

/// Pages are not cut before they have this many bytes, but for the last one.
const PAGE_BYTES_MIN: usize = 16 << 10;
/// One of so many entries, by the digest of its path, ends a page; one of so many chunks does, by its name.
/// Where a page ends depends on what stands there: a change somewhere leaves the pages elsewhere as they are.
const ENTRIES_PER_CUT: u64 = 512;
const CHUNKS_PER_CUT: u64 = 1024;
/// No chunk takes more in a page: name and size.
const CHUNK_COST: usize = 32 + 5;
/// Nor anything else, but for the path and the link's target.
const ITEM_COST: usize = 112;

/// An encoded page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltPage {
    /// Its name.
    pub id: ChunkId,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What became of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltManifest {
    /// The last page, if there is something left for it.
    pub page: Option<BuiltPage>,
    /// How much it names.
    pub totals: PushTotals,
    /// Its digest.
    pub digest: [u8; 32],
}

/// Makes pages of items that come in the order of their paths. Holds one page.
#[derive(Debug)]
pub struct ManifestBuilder {
    follower: Follower,
    items: Vec<ManifestItem>,
    cost: usize,
    count: usize,
    pages: u64,
    digest: ManifestDigest,
}

impl ManifestBuilder {
    /// Starts an empty manifest of what goes to `destination`.
    #[must_use]
    pub fn new(destination: RelativePath) -> Self {
        Self {
            follower: Follower::new(destination, false),
            items: Vec::new(),
            cost: 0,
            count: 0,
            pages: 0,
            digest: ManifestDigest::default(),
        }
    }

    /// Adds an item, and gives the pages that are complete thereby: seldom more than one.
    ///
    /// # Errors
    /// [`ManifestError`]: the receiver would refuse it.
    pub fn add(&mut self, item: ManifestItem) -> Result<Vec<BuiltPage>, ManifestError> {
        self.follower.follow(&item)?;
        let mut pages = Vec::new();
        if let ManifestItem::Chunks(chunks) = item {
            for chunk in chunks {
                self.make_room(CHUNK_COST, &mut pages)?;
                self.add_chunk(chunk);
                self.cut_at(chunk.id.as_bytes(), CHUNKS_PER_CUT, &mut pages)?;
            }
            return Ok(pages);
        }
        let place = item.path().map(|path| *blake3::hash(path.as_bytes()).as_bytes());
        self.make_room(cost_of(&item), &mut pages)?;
        self.cost += cost_of(&item);
        self.items.push(item);
        if let Some(place) = place {
            self.cut_at(&place, ENTRIES_PER_CUT, &mut pages)?;
        }
        Ok(pages)
    }

    /// Ends the manifest.
    ///
    /// # Errors
    /// [`ManifestError::Unfinished`].
    pub fn finish(mut self) -> Result<BuiltManifest, ManifestError> {
        self.follower.finish()?;
        let page = if self.items.is_empty() { None } else { Some(self.page()?) };
        let totals = PushTotals { pages: self.pages, ..self.follower.totals };
        Ok(BuiltManifest { page, totals, digest: self.digest.finish() })
    }

    fn add_chunk(&mut self, chunk: ChunkRef) {
        self.cost += CHUNK_COST;
        if let Some(ManifestItem::Chunks(chunks)) = self.items.last_mut() {
            chunks.push(chunk);
        } else {
            self.items.push(ManifestItem::Chunks(vec![chunk]));
        }
    }

    fn make_room(&mut self, cost: usize, pages: &mut Vec<BuiltPage>) -> Result<(), ManifestError> {
        self.count += 1;
        // A list of chunks that begins takes a little more than its chunks.
        let is_full = self.cost + cost + ITEM_COST > PAGE_BYTES_MAX || self.count > PAGE_ITEMS_MAX;
        if is_full {
            pages.push(self.page()?);
            self.count = 1;
        }
        Ok(())
    }

    fn cut_at(
        &mut self,
        place: &[u8; 32],
        one_of: u64,
        pages: &mut Vec<BuiltPage>,
    ) -> Result<(), ManifestError> {
        let number = place.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if self.cost >= PAGE_BYTES_MIN && number.is_multiple_of(one_of) {
            pages.push(self.page()?);
        }
        Ok(())
    }

    fn page(&mut self) -> Result<BuiltPage, ManifestError> {
        let page = ManifestPage { items: std::mem::take(&mut self.items) };
        (self.cost, self.count) = (0, 0);
        self.pages += 1;
        let bytes = page.encode().map_err(|_| ManifestError::Bound)?;
        let id = page_id(&bytes);
        self.digest.add(&id);
        Ok(BuiltPage { id, bytes })
    }
}

fn cost_of(item: &ManifestItem) -> usize {
    ITEM_COST
        + match item {
            ManifestItem::Folder(folder) => folder.path.as_bytes().len(),
            ManifestItem::Link(link) => link.path.as_bytes().len() + link.target.len(),
            ManifestItem::Whole(file, _) | ManifestItem::File(file) => file.path.as_bytes().len(),
            ManifestItem::Chunks(chunks) => chunks.len() * CHUNK_COST,
            ManifestItem::FileEnd(_) => 0,
        }
}
