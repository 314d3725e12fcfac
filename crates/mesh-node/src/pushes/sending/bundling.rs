//! A push that travels in one message: put together behind PREPARE, before anybody is told of it.

use std::path::Path;
use std::sync::Arc;

use mesh_files::{BUNDLE_FILE_BYTES_MAX, BundleError, BundleWriter};
use mesh_protocol::{
    Chunk, ChunkHead, PageOf, PushMessage, PushOffer, PushProblem, PushReason, PushStep,
};
use mesh_tree::Source;

use super::chunks::{ChunkReader, Pages};
use super::session::names_of;
use crate::error::chain;
use crate::pushes::bundles::Kept;
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::prepare::{problem, too_large};

/// Puts everything that was prepared into one bundle and keeps it. What is changed from then on does not matter.
///
/// # Errors
/// It is too much for a message, or the files are not what was prepared.
pub(super) fn bundle(
    data_dir: &Path,
    offer: &PushOffer,
    sources: Vec<Source>,
) -> Result<(), PushProblem> {
    let bundle = write(data_dir, offer, sources)
        .map_err(|problem| PushProblem { step: PushStep::Prepare, ..problem })?;
    Kept::Sent.save(data_dir, offer.push_id, &bundle).map_err(|error| {
        problem(PushReason::StorageError, format!("the message cannot be kept: {error}"))
    })
}

fn write(data_dir: &Path, offer: &PushOffer, sources: Vec<Source>) -> Result<Vec<u8>, PushProblem> {
    let file = ManifestFile::open(data_dir, offer.push_id).map_err(|error| {
        let detail = format!("the list of what is pushed cannot be read: {error}");
        problem(PushReason::StorageError, detail)
    })?;
    let pages = Arc::new(Pages::open(file, &offer.manifest)?);
    let mut writer = BundleWriter::default();
    let mut add = |message: &PushMessage| writer.add(message).map_err(unbundled);
    add(&PushMessage::Offer(offer.clone()))?;
    names_of(&pages).iter().try_for_each(&mut add)?;
    for number in 0..offer.totals.pages {
        add(&PushMessage::Page(PageOf { number, page: pages.page(number)? }))?;
    }
    let mut reader = ChunkReader::new(Arc::clone(&pages), sources);
    for number in 0..pages.chunks() {
        let wanted = reader.find(number)?;
        let mut bytes = vec![0; wanted.bytes() as usize];
        reader.read(&wanted, &mut bytes)?;
        let head = ChunkHead { number, raw_bytes: wanted.bytes(), is_compressed: false };
        add(&PushMessage::Chunk(Chunk { head, bytes }))?;
    }
    writer.finish().map_err(unbundled)
}

fn unbundled(error: BundleError) -> PushProblem {
    match error {
        BundleError::TooLarge => too_large(BUNDLE_FILE_BYTES_MAX),
        BundleError::Method
        | BundleError::Order
        | BundleError::Totals
        | BundleError::CutOff
        | BundleError::Checksum
        | BundleError::Encode(_)
        | BundleError::Decode(_) => problem(PushReason::Internal, chain(&error)),
    }
}
