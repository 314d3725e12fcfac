use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{PathError, RelativePath};
use crate::codec::{ByteCount, check_count, compact, list};
use crate::{
    CHUNK_BYTES_MAX, ChunkId, DecodeError, EncodeError, PAGE_BYTES_MAX, PAGE_ITEMS_MAX,
    PATH_BYTES_MAX, WHOLE_FILE_BYTES_MAX,
};

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// When a file was modified: seconds since 1970, which may be negative, and nanoseconds beyond them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileTime {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, less than 10⁹.
    #[serde(deserialize_with = "nanos")]
    pub nanos: u32,
}

fn nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let nanos = u32::deserialize(deserializer)?;
    if nanos < NANOS_PER_SECOND { Ok(nanos) } else { Err(D::Error::custom("nanoseconds")) }
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderEntry {
    /// Where.
    pub path: RelativePath,
    /// Whether others than its owner may list and enter it.
    pub is_listable: bool,
    /// When it was modified.
    pub modified: FileTime,
}

/// A symbolic link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEntry {
    /// Where.
    pub path: RelativePath,
    /// What it says, at most [`PATH_BYTES_MAX`].
    #[serde(with = "serde_bytes")]
    pub target: Vec<u8>,
}

impl fmt::Debug for LinkEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkEntry")
            .field("path", &self.path)
            .field("target", &ByteCount(self.target.len()))
            .finish()
    }
}

/// A file, but for what it holds. Of its mode there is one bit: set-user-id and the like never travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where.
    pub path: RelativePath,
    /// Its size.
    pub bytes: u64,
    /// Whether its owner may execute it.
    pub is_executable: bool,
    /// When it was modified.
    pub modified: FileTime,
}

/// What a whole file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigests {
    /// BLAKE3 of its bytes.
    #[serde(with = "crate::codec::fixed")]
    pub blake3: [u8; 32],
    /// SHA-256 of its bytes.
    #[serde(with = "crate::codec::fixed")]
    pub sha256: [u8; 32],
}

/// One chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// BLAKE3 of its bytes.
    pub id: ChunkId,
    /// How many they are, 1 to [`CHUNK_BYTES_MAX`].
    #[serde(deserialize_with = "chunk_bytes")]
    pub bytes: u32,
}

fn chunk_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let bytes = u32::deserialize(deserializer)?;
    if (1..=CHUNK_BYTES_MAX).contains(&bytes) { Ok(bytes) } else { Err(D::Error::custom("chunk")) }
}

/// What a manifest is a list of, in the order of paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManifestItem {
    /// A folder.
    Folder(FolderEntry),
    /// A symbolic link.
    Link(LinkEntry),
    /// A file of at most [`WHOLE_FILE_BYTES_MAX`]: one chunk, whose name is the file's BLAKE3; none when it is empty.
    Whole(FileEntry, FileDigests),
    /// The beginning of a larger file.
    File(FileEntry),
    /// Its chunks, in order. There may be several of these lists, on several pages.
    Chunks(#[serde(deserialize_with = "list::<_, _, PAGE_ITEMS_MAX>")] Vec<ChunkRef>),
    /// Its end.
    FileEnd(FileDigests),
}

impl ManifestItem {
    /// Where it belongs; none when it continues a file.
    #[must_use]
    pub const fn path(&self) -> Option<&RelativePath> {
        match self {
            Self::Folder(folder) => Some(&folder.path),
            Self::Link(link) => Some(&link.path),
            Self::Whole(file, _) | Self::File(file) => Some(&file.path),
            Self::Chunks(_) | Self::FileEnd(_) => None,
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let holds = |what, is_so| if is_so { Ok(()) } else { Err(what) };
        let file = |file: &FileEntry, is_whole: bool| {
            holds("file", (file.bytes <= WHOLE_FILE_BYTES_MAX) == is_whole)?;
            holds("time", file.modified.nanos < NANOS_PER_SECOND)
        };
        holds("path", self.path().is_none_or(|path| !path.is_root()))?;
        match self {
            Self::Folder(folder) => holds("time", folder.modified.nanos < NANOS_PER_SECOND),
            Self::Link(link) => {
                holds("link", !link.target.is_empty() && !link.target.contains(&0))?;
                check_count("link", link.target.len(), PATH_BYTES_MAX)
            }
            Self::Whole(entry, _) => file(entry, true),
            Self::File(entry) => file(entry, false),
            Self::Chunks(chunks) => {
                check_count("chunks", chunks.len(), PAGE_ITEMS_MAX)?;
                let is_sized = |chunk: &ChunkRef| (1..=CHUNK_BYTES_MAX).contains(&chunk.bytes);
                holds("chunk", !chunks.is_empty() && chunks.iter().all(is_sized))
            }
            Self::FileEnd(_) => Ok(()),
        }
    }
}

/// A piece of a manifest. It does not say which one, so that equal pieces of two manifests have one name, and
/// whoever has the page of an earlier push need not get it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPage {
    /// Its items.
    #[serde(deserialize_with = "list::<_, _, PAGE_ITEMS_MAX>")]
    pub items: Vec<ManifestItem>,
}

impl ManifestPage {
    /// Encodes the page: the bytes that it is named by, stored as and sent as.
    ///
    /// # Errors
    /// [`EncodeError`] when it exceeds [`PAGE_BYTES_MAX`] or an item its bound.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check().map_err(|what| EncodeError::FieldTooLarge { what })?;
        compact::encode(self, PAGE_BYTES_MAX)
    }

    /// Reads a page.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] or [`DecodeError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let page: Self = compact::decode("page", bytes, PAGE_BYTES_MAX)?;
        page.check().map_err(|what| DecodeError::Malformed { what })?;
        Ok(page)
    }

    /// Tells which rule the first wrong path breaks of a page that cannot be read; none when that is not why.
    #[must_use]
    pub fn refused_path(bytes: &[u8]) -> Option<PathError> {
        let page: LoosePage = compact::decode("page", bytes, PAGE_BYTES_MAX).ok()?;
        page.items.into_iter().find_map(|item| match item {
            LooseItem::Folder(refused)
            | LooseItem::Link(refused)
            | LooseItem::Whole(refused)
            | LooseItem::File(refused) => refused,
            LooseItem::Chunks(()) | LooseItem::FileEnd(()) => None,
        })
    }

    fn check(&self) -> Result<(), &'static str> {
        check_count("items", self.items.len(), PAGE_ITEMS_MAX)?;
        self.items.iter().try_for_each(ManifestItem::check)
    }
}

/// A page whose paths are any bytes: field by field what [`ManifestPage`] is. Of each entry it keeps what is the matter
/// with its path.
#[derive(Deserialize)]
struct LoosePage {
    #[serde(deserialize_with = "list::<_, _, PAGE_ITEMS_MAX>")]
    items: Vec<LooseItem>,
}

#[derive(Deserialize)]
enum LooseItem {
    Folder(#[serde(deserialize_with = "judged::<_, (bool, FileTime)>")] Option<PathError>),
    Link(#[serde(deserialize_with = "judged::<_, serde_bytes::ByteBuf>")] Option<PathError>),
    Whole(
        #[serde(deserialize_with = "judged::<_, (u64, bool, FileTime, FileDigests)>")]
        Option<PathError>,
    ),
    File(#[serde(deserialize_with = "judged::<_, (u64, bool, FileTime)>")] Option<PathError>),
    Chunks(#[serde(deserialize_with = "passed::<_, Vec<ChunkRef>>")] ()),
    FileEnd(#[serde(deserialize_with = "passed::<_, FileDigests>")] ()),
}

/// Reads a path and what stands behind it.
fn judged<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<PathError>, D::Error> {
    let (path, _): (&[u8], T) = Deserialize::deserialize(deserializer)?;
    // The root itself is a path, but none of an entry.
    let empty = path.is_empty().then_some(PathError::Empty);
    Ok(empty.or_else(|| RelativePath::parse(path).err()))
}

fn passed<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<(), D::Error> {
    T::deserialize(deserializer).map(drop)
}
