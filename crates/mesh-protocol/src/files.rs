//! Pushes: what their manifests are made of, what two sides say about one, and what is recorded of it.
//!
//! A push has a stream of its own on a link. What it carries is a [`PushMessage`]; files are named by the
//! pages of a manifest, whose chunks are numbered in their order: both sides count, nothing says the numbers.

mod event;
mod manifest;
mod offer;
mod path;
mod ranges;
mod reason;
mod result;
mod stream;

pub use event::{PushEvent, PushFact, WaitingFor};
pub use manifest::{
    ChunkRef, FileDigests, FileEntry, FileTime, FolderEntry, LinkEntry, ManifestItem, ManifestPage,
};
pub use offer::{PushAnswer, PushMethod, PushOffer, PushTotals, RollbackOffer, RootName};
pub use path::{PathError, RelativePath};
pub use ranges::{ChunkRange, ChunkRanges};
pub use reason::{PushProblem, PushReason, PushStep};
pub use result::{Confirmation, PushResult, TestEnd, TestOutcome, Verification};
pub use stream::{
    Chunk, ChunkHead, ChunkNeed, ChunkSource, Fetch, PageIds, PageNeed, PageOf, PushHeader,
    PushMessage,
};
