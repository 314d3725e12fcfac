//! What may follow what in a bundle. Writer and reader ask the same.

use mesh_protocol::{PushMessage, PushMethod, PushOffer, PushTotals};

use super::{BUNDLE_FILE_BYTES_MAX, BundleError};

/// How far a bundle has come.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// What was announced; none before the offer.
    announced: Option<PushTotals>,
    ids: u64,
    pages: u64,
    chunks: u64,
    bytes: u64,
}

impl Order {
    /// Takes in the next message, if it may stand here.
    pub(super) fn follow(&mut self, message: &PushMessage) -> Result<(), BundleError> {
        if let PushMessage::Offer(offer) = message {
            return self.begin(offer);
        }
        let totals = self.announced.ok_or(BundleError::Order)?;
        match message {
            PushMessage::PageIds(ids) if self.pages == 0 => {
                self.ids = next(self.ids, ids.first, ids.ids.len() as u64, totals.pages)?;
                Ok(())
            }
            PushMessage::Page(page) if self.ids == totals.pages && self.chunks == 0 => {
                self.pages = next(self.pages, page.number, 1, totals.pages)?;
                Ok(())
            }
            PushMessage::Chunk(chunk) if self.pages == totals.pages => {
                self.chunks = next(self.chunks, chunk.head.number, 1, totals.chunks)?;
                self.bytes += u64::from(chunk.head.raw_bytes);
                if self.bytes > totals.bytes { Err(BundleError::Totals) } else { Ok(()) }
            }
            PushMessage::Offer(_)
            | PushMessage::Answer(_)
            | PushMessage::PageIds(_)
            | PushMessage::PageNeed(_)
            | PushMessage::Page(_)
            | PushMessage::Need(_)
            | PushMessage::Have(_)
            | PushMessage::Source(_)
            | PushMessage::Fetch(_)
            | PushMessage::Chunk(_)
            | PushMessage::Result(_)
            | PushMessage::Stop(_)
            | PushMessage::Rollback(_) => Err(BundleError::Order),
        }
    }

    fn begin(&mut self, offer: &PushOffer) -> Result<(), BundleError> {
        if self.announced.is_some() {
            return Err(BundleError::Order);
        }
        if offer.method != PushMethod::Message {
            return Err(BundleError::Method);
        }
        if offer.totals.bytes > BUNDLE_FILE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        self.announced = Some(offer.totals);
        Ok(())
    }

    /// Whether everything was there.
    pub(super) fn finish(self) -> Result<(), BundleError> {
        let totals = self.announced.ok_or(BundleError::CutOff)?;
        let found = (self.ids, self.pages, self.chunks, self.bytes);
        if found == (totals.pages, totals.pages, totals.chunks, totals.bytes) {
            Ok(())
        } else {
            Err(BundleError::Totals)
        }
    }
}

/// Counts on from `from`, where `count` more are said to begin at `first`, up to `max`.
fn next(from: u64, first: u64, count: u64, max: u64) -> Result<u64, BundleError> {
    if first != from {
        return Err(BundleError::Order);
    }
    match from.checked_add(count) {
        Some(end) if end <= max => Ok(end),
        Some(_) | None => Err(BundleError::Totals),
    }
}
