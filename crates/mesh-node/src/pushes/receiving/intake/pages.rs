//! The manifest's pages: which of them are lacking, and in what order they are read.

use std::path::{Path, PathBuf};

use mesh_files::{ManifestDigest, page_id};
use mesh_protocol::{
    ChunkId, ChunkRange, ChunkRanges, PageIds, PageNeed, PageOf, PushId, PushOffer, PushStep,
};

use super::super::failure::Failure;
use super::super::sources::Sources;
use crate::pushes::manifest_file::ManifestFile;

/// What is left free on the disk of the data directory.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// The pages of a push, on disk as they come.
#[derive(Debug)]
pub(super) struct Pages {
    data_dir: PathBuf,
    push_id: PushId,
    file: ManifestFile,
    ids: Vec<ChunkId>,
    /// How many there are; bounded by the root's rules.
    total: usize,
    manifest: [u8; 32],
    is_asked: bool,
    /// How many were read.
    read: usize,
}

/// Whether enough is left of the disk once a page is kept.
fn has_room(free: u64, page: u64) -> bool {
    free >= page.saturating_add(FREE_BYTES_MIN)
}

fn io(error: std::io::Error) -> Failure {
    Failure::pages(PushStep::Push, &error)
}

impl Pages {
    pub(super) fn open(data_dir: &Path, offer: &PushOffer) -> Result<Self, Failure> {
        let file = ManifestFile::open_or_create(data_dir, offer.push_id).map_err(io)?;
        let total = usize::try_from(offer.totals.pages);
        let total = total.map_err(|_| Failure::manifest("there are too many pages"))?;
        let (ids, manifest) = (Vec::new(), offer.manifest);
        let (is_asked, read) = (false, 0);
        let (data_dir, push_id) = (data_dir.to_owned(), offer.push_id);
        Ok(Self { data_dir, push_id, file, ids, total, manifest, is_asked, read })
    }

    /// Takes in names of pages.
    pub(super) fn ids(&mut self, ids: &PageIds) -> Result<(), Failure> {
        let is_next = ids.first == self.ids.len() as u64;
        if !is_next || self.ids.len() + ids.ids.len() > self.total {
            return Err(Failure::manifest("the names of pages do not follow each other"));
        }
        self.ids.extend_from_slice(&ids.ids);
        Ok(())
    }

    /// Asks for what is lacking, once all names are there.
    pub(super) fn ask(&mut self, sources: &Sources) -> Result<Vec<PageNeed>, Failure> {
        if self.is_asked || self.ids.len() < self.total {
            return Ok(Vec::new());
        }
        self.is_asked = true;
        let mut digest = ManifestDigest::default();
        self.ids.iter().for_each(|id| digest.add(id));
        if digest.finish() != self.manifest {
            return Err(Failure::manifest("the names of pages are not those of the manifest"));
        }
        let kept = self.file.len();
        let is_same = self.file.ids().eq(self.ids.iter().copied().take(kept));
        // What was torn by a loss of power is fetched again.
        let is_whole = is_same && (0..kept).all(|number| self.file.read(number).is_ok());
        if !is_whole {
            self.file = ManifestFile::create(&self.data_dir, self.push_id).map_err(io)?;
        }
        let mut needs: Vec<PageNeed> = Vec::new();
        let lacking = self.ids.iter().enumerate().skip(self.file.len());
        for (number, _) in lacking.filter(|(_, id)| sources.page(id).is_none()) {
            let range = ChunkRange { first: number as u64, count: 1 };
            if !needs.last_mut().is_some_and(|need| need.pages.push(range)) {
                let mut pages = ChunkRanges::default();
                pages.push(range);
                needs.push(PageNeed { pages, is_last: false });
            }
        }
        match needs.last_mut() {
            Some(last) => last.is_last = true,
            None => needs.push(PageNeed { pages: ChunkRanges::default(), is_last: true }),
        }
        self.fill(sources)?;
        Ok(needs)
    }

    /// Takes in a page, which must be the next one that was asked for.
    pub(super) fn page(&mut self, page: &PageOf, sources: &Sources) -> Result<(), Failure> {
        let next = self.ids.get(self.file.len()).filter(|_| self.is_asked);
        let Some(id) = next.filter(|_| page.number == self.file.len() as u64).copied() else {
            return Err(Failure::manifest("a page came that was not asked for"));
        };
        // No page is empty, and the file takes none that is.
        if page.page.is_empty() {
            return Err(mesh_files::ManifestError::Bound.into());
        }
        if page_id(&page.page) != id {
            return Err(mesh_files::ManifestError::Page(page.number).into());
        }
        self.append(id, &page.page)?;
        self.fill(sources)
    }

    /// Takes pages of earlier pushes, up to the next one that has to come.
    fn fill(&mut self, sources: &Sources) -> Result<(), Failure> {
        while let Some(id) = self.ids.get(self.file.len()).copied() {
            let Some(page) = sources.page(&id) else { break };
            self.append(id, &page)?;
        }
        Ok(())
    }

    /// The node itself needs room to go on, whatever the pages of others take.
    fn append(&mut self, id: ChunkId, page: &[u8]) -> Result<(), Failure> {
        let disk = rustix::fs::statvfs(&self.data_dir).map_err(|error| io(error.into()))?;
        if !has_room(disk.f_bavail.saturating_mul(disk.f_frsize), page.len() as u64) {
            return Err(io(std::io::ErrorKind::StorageFull.into()));
        }
        self.file.append(id, page).map_err(io)
    }

    /// The next page to be read; none while it is not here, and behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<(ChunkId, Vec<u8>)>, Failure> {
        let Some(id) = self.ids.get(self.read).filter(|_| self.read < self.file.len()) else {
            return Ok(None);
        };
        let page = self.file.read(self.read).map_err(io)?;
        self.read += 1;
        Ok(Some((*id, page)))
    }

    /// Whether every page was read.
    pub(super) fn is_read(&self) -> bool {
        self.is_asked && self.read == self.total
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.file.sync().map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_leave_the_node_64_mib_of_its_disk() {
        assert!(has_room((64 << 20) + 100, 100));
        assert!(!has_room((64 << 20) + 99, 100));
        assert!(!has_room(u64::MAX - 1, u64::MAX));
    }
}
