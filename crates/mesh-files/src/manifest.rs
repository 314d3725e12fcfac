//! The list of what a push contains, as a stream of pages: neither side holds it whole.

mod build;
mod check;
mod read;

use mesh_protocol::{ChunkId, ManifestItem, PathError, PushReason, RelativePath};

pub use build::{BuiltManifest, BuiltPage, ManifestBuilder};
pub use read::{ManifestLimits, ManifestReader, Piece, Place};

/// Why a manifest is refused. Nothing of it may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// An entry does not come behind the one before it: the order is wrong, or it is there twice.
    #[error("{0} is out of order or there twice")]
    Order(RelativePath),
    /// The folder that an entry is in is not an entry before it.
    #[error("{0} is in a folder that is not named before it")]
    NoFolder(RelativePath),
    /// Two entries of a folder have names that are one on the target's file system.
    #[error("{0} differs from another name in its spelling alone")]
    NamesClash(RelativePath),
    /// More names side by side than can be compared.
    #[error("{0} is in a folder with too many names to be compared")]
    TooManyNames(RelativePath),
    /// A path is too long or too deep beneath the destination.
    #[error("{0} is too long or too deep for the target")]
    PathTooLong(RelativePath),
    /// A path is none beneath a root: it is absolute, has `..`, or the like.
    #[error("a path is refused: {0}")]
    Path(PathError),
    /// A link leads out of the root, or may do so.
    #[error("the link {0} leads out of the root")]
    LinkLeaves(RelativePath),
    /// A file's chunks do not follow it, are too small, or do not add up to its size.
    #[error("the chunks of {0} do not add up")]
    Chunks(RelativePath),
    /// There are chunks or an end without a file.
    #[error("chunks stand where no file is")]
    NoFile,
    /// The last file has no end.
    #[error("{0} has no end")]
    Unfinished(RelativePath),
    /// There is more than was announced, or less.
    #[error("the manifest does not hold what was announced")]
    Totals,
    /// There are more entries or bytes than the target takes.
    #[error("there are more entries or bytes than the target takes")]
    TooMuch,
    /// A page does not have the name that was announced.
    #[error("page {0} is not the one that was announced")]
    Page(u64),
    /// A page or an item breaks a bound of the protocol.
    #[error("a page breaks a bound")]
    Bound,
}

impl ManifestError {
    /// The stable word for this error.
    #[must_use]
    pub const fn reason(&self) -> PushReason {
        match self {
            Self::NamesClash(_) => PushReason::NamesClash,
            Self::Path(_) | Self::PathTooLong(_) | Self::LinkLeaves(_) => PushReason::PathRefused,
            Self::TooMuch => PushReason::QuotaExceeded,
            Self::Page(_) => PushReason::ChecksumMismatch,
            Self::Order(_)
            | Self::NoFolder(_)
            | Self::TooManyNames(_)
            | Self::Chunks(_)
            | Self::NoFile
            | Self::Unfinished(_)
            | Self::Totals
            | Self::Bound => PushReason::ManifestInvalid,
        }
    }
}

/// The name of an encoded page.
#[must_use]
pub fn page_id(page: &[u8]) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(page).as_bytes())
}

/// The digest of a manifest, of which both sides see page after page.
#[derive(Clone, Debug, Default)]
pub struct ManifestDigest(blake3::Hasher);

impl ManifestDigest {
    /// Takes in the name of the next page.
    pub fn add(&mut self, page: &ChunkId) {
        self.0.update(page.as_bytes());
    }

    /// The digest of all pages up to here.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// Whether a link stays beneath the root, when its folder is `depth` folders beneath it: it is relative, and `..`
/// stands at its beginning alone, where it leads from one folder that is no link to another. Behind a name,
/// which may be a link, nobody can tell where `..` leads.
fn stays(target: &[u8], depth: usize) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let (mut up, mut is_down) = (0, false);
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if is_down => return false,
            b".." => up += 1,
            _ => is_down = true,
        }
    }
    up <= depth
}

/// Numbers of chunks that an item has by itself.
const fn own_chunks(item: &ManifestItem) -> u64 {
    match item {
        ManifestItem::Whole(file, _) if file.bytes > 0 => 1,
        ManifestItem::Chunks(chunks) => chunks.len() as u64,
        ManifestItem::Whole(..)
        | ManifestItem::Folder(_)
        | ManifestItem::Link(_)
        | ManifestItem::File(_)
        | ManifestItem::FileEnd(_) => 0,
    }
}

#[cfg(test)]
mod tests;
