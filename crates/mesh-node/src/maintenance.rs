//! What has to be done now and then: old things destroyed, keys renewed, last-seen times written.

use std::sync::Arc;
use std::time::Duration;

use mesh_store::{PeerStatus, SealingKeyRow};
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::config::{SEALING_KEY_AGE_MAX, SEALING_KEY_GRACE};
use crate::error::NodeError;
use crate::shared::Shared;

/// How often.
const MAINTENANCE_EVERY: Duration = Duration::from_secs(60);

impl Shared {
    pub(crate) async fn maintain(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(MAINTENANCE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let _tick = ticks.tick().await;
            let now = clock::now().wall;
            self.keyring().forget_pair_keys(now);
            if let Err(error) = self.store.prune(now).await {
                Self::log_failure("old rows cannot be pruned", &error);
            }
            for entry in self.links().values() {
                self.store.note_peer_seen(entry.peer, PeerStatus::Active, entry.last_seen_at());
            }
            if let Err(error) = self.renew_sealing_key().await {
                Self::log_failure("the sealing key cannot be renewed", &error);
            }
        }
    }

    /// Makes a sealing key when there is none or the one in use is a week old, and publishes it.
    pub(crate) async fn renew_sealing_key(self: &Arc<Self>) -> Result<(), NodeError> {
        let now = clock::now().wall;
        let made_at = self.keyring().sealing_key_created_at();
        if made_at.is_some_and(|made_at| now.since(made_at) < SEALING_KEY_AGE_MAX) {
            return Ok(());
        }
        let (key, key_id, sealed_secret) = self.keyring().new_sealing_key();
        let row = SealingKeyRow { key_id, sealed_secret, created_at: now, destroy_at: None };
        self.store.insert_sealing_key(row).await.map_err(NodeError::storage)?;
        let replaced = self.keyring().sealing_key_id();
        if let Some(replaced) = replaced {
            let destroy_at = now.plus(SEALING_KEY_GRACE);
            let _was_in_use = self
                .store
                .retire_sealing_key(replaced, destroy_at)
                .await
                .map_err(NodeError::storage)?;
        }
        {
            let mut keyring = self.keyring();
            keyring.add_sealing_key(key, now);
            let replaced_before = now
                .0
                .saturating_sub(u64::try_from(SEALING_KEY_GRACE.as_millis()).unwrap_or(u64::MAX));
            keyring.forget_sealing_keys(mesh_protocol::UnixMillis(replaced_before));
        }
        self.refresh_profile(None).await?;
        Ok(())
    }
}
