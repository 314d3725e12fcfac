//! Pushes as decisions: what a manifest may say, where files are cut, what a receiver lacks, who serves whom,
//! and what happens next on either side.
//!
//! Never in here: files, async, a clock, randomness. Bytes, facts and moments are arguments.
//!
//! Start reading at [`ManifestBuilder`] and [`ManifestReader`] (what a push contains), then [`Plan`] (what a
//! receiver lacks), [`Distribution`] (who sends it) and [`SenderPush`] and [`ReceiverPush`] (the steps).

mod bundle;
mod chunker;
mod compression;
mod distribution;
mod fold;
mod history;
mod manifest;
mod plan;
mod range_set;
mod rate;
mod receiver;
mod sender;

pub use bundle::{
    BUNDLE_BYTES_MAX, BUNDLE_FILE_BYTES_MAX, BundleError, BundleKind, BundleReader, BundleWriter,
    FoundBundle, decode_replies, encode_replies, from_transfer, is_of_push, to_transfer,
};
pub use chunker::{Chunker, ChunkerConfig, FoundChunk};
pub use compression::{Compress, Compression};
pub use distribution::{Assignment, Distribution, DistributionConfig, PORTIONS_MAX, Server};
pub use history::{HISTORY_EVENTS_MAX, Phase, TargetState};
pub use manifest::{
    BuiltManifest, BuiltPage, ManifestBuilder, ManifestDigest, ManifestError, ManifestLimits,
    ManifestReader, Piece, Place, page_id,
};
pub use plan::{CopyFrom, LookUp, Plan, PlanError, PlanOutput};
pub use range_set::{RANGES_MAX, RangeSet};
pub use rate::RateLimit;
pub use receiver::{Judgement, ReceiverInput, ReceiverOutput, ReceiverPush};
pub use sender::{SenderConfig, SenderInput, SenderOutput, SenderPush};

#[cfg(test)]
mod tests;
