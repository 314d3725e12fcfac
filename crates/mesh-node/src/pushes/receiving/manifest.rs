//! Going through what a push brings, once its whole manifest is here.

use mesh_files::{ManifestLimits, ManifestReader, Piece};
use mesh_protocol::{
    FileDigests, FileEntry, FolderEntry, LinkEntry, ManifestItem, PushOffer, PushStep, RelativePath,
};
use mesh_tree::{Kind, RootReader, TreeError};

use super::failure::Failure;
use crate::pushes::manifest_file::ManifestFile;

/// The manifest was judged page by page when it came.
const NO_LIMITS: ManifestLimits =
    ManifestLimits { entries_max: u64::MAX, bytes_max: u64::MAX, folds_names: false };

/// One entry, with its path beneath the root.
#[derive(Debug)]
pub(super) enum Entry {
    Folder(FolderEntry),
    Link(LinkEntry),
    File(u64, FileEntry, FileDigests),
}

/// Gives every entry of a push to `take`, in order.
pub(super) fn each_entry(
    pages: &ManifestFile,
    offer: &PushOffer,
    step: PushStep,
    mut take: impl FnMut(Entry) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = ManifestReader::new(offer.destination.clone(), offer.totals, NO_LIMITS)?;
    let mut open: Option<FileEntry> = None;
    for (number, id) in pages.ids().enumerate() {
        let page = pages.read(number).map_err(|error| Failure::pages(step, &error))?;
        for piece in reader.page(&id, &page)? {
            match piece {
                Piece::Entry { item, number: _ } => match item {
                    ManifestItem::Folder(mut folder) => {
                        folder.path = beneath(&offer.destination, &folder.path)?;
                        take(Entry::Folder(folder))?;
                    }
                    ManifestItem::Link(mut link) => {
                        link.path = beneath(&offer.destination, &link.path)?;
                        take(Entry::Link(link))?;
                    }
                    ManifestItem::Whole(file, _) | ManifestItem::File(file) => open = Some(file),
                    ManifestItem::Chunks(_) | ManifestItem::FileEnd(_) => {}
                },
                Piece::Chunk { .. } => {}
                Piece::FileEnd { entry, digests } => {
                    let Some(mut file) = open.take() else { continue };
                    file.path = beneath(&offer.destination, &file.path)?;
                    take(Entry::File(entry, file, digests))?;
                }
            }
        }
    }
    Ok(reader.finish(&offer.manifest)?)
}

/// A path of the manifest, beneath the root.
pub(super) fn beneath(
    destination: &RelativePath,
    path: &RelativePath,
) -> Result<RelativePath, Failure> {
    // The reader refuses what gets too long there, so this is said of no push.
    destination.join(path).map_err(|_| Failure::manifest("a path is too long for the target"))
}

/// Whether a file of the root looks like `entry`: then it may be left where it is, once its bytes are compared.
pub(super) fn looks_same(root: &mut RootReader, entry: &FileEntry) -> Result<bool, TreeError> {
    let found = match root.look(&entry.path) {
        Ok(found) => found,
        // Something else stands on the way. What that means is said when it is put in place.
        Err(TreeError::Refused { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(found.is_some_and(|found| {
        found.kind == Kind::File
            && found.size == entry.bytes
            && found.modified == entry.modified
            && found.is_executable() == entry.is_executable
    }))
}
