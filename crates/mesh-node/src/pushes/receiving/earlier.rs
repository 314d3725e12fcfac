//! What is recorded of pushes, in so far as it matters to the work on one that comes.

use mesh_protocol::{PushEvent, PushFact, PushId, PushOffer, RelativePath};
use mesh_store::StoredPush;

use crate::error::NodeError;
use crate::pushes::ledger::Side;
use crate::shared::Shared;

/// Earlier pushes in which pages and files are looked for, and how far back they are looked for.
const EARLIER_MAX: usize = 4;
const LISTED_MAX: u64 = 64;

impl Shared {
    /// Earlier pushes into the same root. Without them everything travels, and that is all.
    pub(super) async fn earlier(&self, offer: &PushOffer) -> Vec<(PushId, RelativePath)> {
        let listed = self.store.list_pushes(LISTED_MAX).await.unwrap_or_default();
        // The pages of one that is under way are still written to, and of one that failed there are none.
        let came = |event: &PushEvent| matches!(event.fact, PushFact::Confirmed { .. });
        let is_whole = |stored: &StoredPush| stored.events.iter().any(came);
        let of_use = listed.into_iter().filter(is_whole).map(|stored| stored.row).filter(|row| {
            !row.is_sender
                && !row.is_open
                && row.rollback_of.is_none()
                && row.offer.root == offer.root
                && row.push_id != offer.push_id
        });
        of_use.take(EARLIER_MAX).map(|row| (row.push_id, row.offer.destination)).collect()
    }

    /// Whether this node sends the push as well. When that cannot be found out, it may.
    pub(super) async fn may_send(&self, push_id: PushId) -> bool {
        let sides = self.store.load_push(push_id).await;
        sides.map_or(true, |sides| sides.iter().any(|side| side.row.is_sender))
    }

    /// What was staged of a push that failed is gone. One that was closed before and only offered again stays as it is.
    pub(super) async fn close_discarded(&self, push_id: PushId) -> Result<(), NodeError> {
        if let Ok(Some(stored)) = self.load_received(push_id).await
            && !stored.row.is_open
        {
            return Ok(());
        }
        self.close_push(push_id, Side::Target).await
    }
}
