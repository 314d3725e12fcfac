//! What has to be done now and then: old things destroyed, keys renewed, last-seen times written.

use std::sync::Arc;
use std::time::Duration;

use mesh_store::SealingKeyRow;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::config::{SEALING_KEY_AGE_MAX, SEALING_KEY_GRACE};
use crate::error::NodeError;
use crate::link::LinkEntry;
use crate::shared::Shared;

/// How often.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(60);

impl Shared {
    pub(crate) async fn maintain(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(MAINTENANCE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let _tick = ticks.tick().await;
            let started = clock::now();
            let now = started.wall;
            if let Err(error) = self.store_membership_first().await {
                Self::log_failure("membership records are still not stored", &error);
            }
            self.keyring().forget_pair_keys(now);
            if let Err(error) = self.store.prune(now).await {
                Self::log_failure("old rows cannot be pruned", &error);
            }
            self.prune_pushes().await;
            let links: Vec<Arc<LinkEntry>> = self.links().values().cloned().collect();
            for entry in links {
                if entry.is_worn(started.instant) {
                    // The new link takes the old one's place; if there is none, the old one stays.
                    let shared = Arc::clone(&self);
                    self.tasks.spawn(async move { shared.dial(entry.peer).await });
                }
            }
            if let Err(error) = self.renew_sealing_key().await {
                Self::log_failure("the sealing key cannot be renewed", &error);
            }
            // The key may be new, or the machine may have moved to another network.
            if let Err(error) = self.refresh_profile(None).await {
                Self::log_failure("this node's profile cannot be renewed", &error);
            }
        }
    }

    /// Makes a sealing key when there is none or the one in use is a week old. The profile tells it.
    pub(crate) async fn renew_sealing_key(self: &Arc<Self>) -> Result<(), NodeError> {
        let now = clock::now().wall;
        let made_at = self.keyring().sealing_key_created_at();
        if made_at.is_some_and(|made_at| now.since(made_at) < SEALING_KEY_AGE_MAX) {
            return Ok(());
        }
        let (key, key_id, sealed_secret) = self.keyring().new_sealing_key();
        let row = SealingKeyRow { key_id, sealed_secret, created_at: now, destroy_at: None };
        self.store.insert_sealing_key(row).await.map_err(NodeError::storage)?;
        let replaced = {
            let mut keyring = self.keyring();
            keyring.add_sealing_key(key, now);
            let grace = u64::try_from(SEALING_KEY_GRACE.as_millis()).unwrap_or(u64::MAX);
            keyring.forget_sealing_keys(mesh_protocol::UnixMillis(now.0.saturating_sub(grace)));
            keyring.replaced_sealing_keys()
        };
        // All of them, not the last one alone: a crash at this place leaves one that nothing retired.
        // One that was retired before keeps its date.
        let destroy_at = now.plus(SEALING_KEY_GRACE);
        for replaced in replaced {
            let retired = self.store.retire_sealing_key(replaced, destroy_at).await;
            let _was_in_use = retired.map_err(NodeError::storage)?;
        }
        Ok(())
    }
}
