//! Members that stay different are told of, without anybody asking.

use std::sync::Arc;
use std::time::Duration;

use mesh_config::{ConfigKey, Drift, DriftNews};
use mesh_control::ConfigProblem;
use mesh_protocol::{PeerId, UnixMillis};
use serde_json::json;

use super::ANSWER_WAIT;
use crate::clock;
use crate::shared::{Shared, lock};

/// Keys that are named of a member.
const NAMED_MAX: usize = 20;

/// Members are compared with no more often than this.
const COMPARE_EVERY_LEAST: Duration = Duration::from_millis(250);

/// A member that has stayed different.
#[derive(Debug)]
pub(super) struct Told {
    since: UnixMillis,
    keys: Vec<String>,
    left_out: usize,
}

impl Told {
    fn new(since: UnixMillis, keys: &[ConfigKey]) -> Self {
        let left_out = keys.len().saturating_sub(NAMED_MAX);
        let keys = keys.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        Self { since, keys, left_out }
    }

    pub(super) fn problem(&self, hostname: &str) -> ConfigProblem {
        let more = if self.left_out == 0 { "" } else { ", …" };
        let keys = self.keys.join(", ");
        ConfigProblem {
            kind: "drift".to_owned(),
            key: None,
            detail: format!("{hostname} has stayed different: {keys}{more}"),
            hint: "mesh-ctl config check".to_owned(),
        }
    }
}

impl Shared {
    /// The loop that compares.
    pub(in crate::shared_config) async fn watch_for_drift(self: Arc<Self>) {
        let settings = &self.config.shared_config;
        let mut drift = Drift::new(settings.drift_after);
        // Often enough to see what is different for as long as that.
        let every = settings.compare_every.min(settings.drift_after / 2).max(COMPARE_EVERY_LEAST);
        loop {
            self.look_at_references().await;
            // Not all members at once, for ever.
            let spread = clock::random_u64() % 1000;
            let wait =
                every.mul_f64(0.9 + 0.2 * f64::from(u16::try_from(spread).unwrap_or(0)) / 1000.0);
            tokio::time::sleep(wait).await;
            self.observe_drift(&mut drift).await;
        }
    }

    async fn observe_drift(self: &Arc<Self>, drift: &mut Drift) {
        let others: Vec<PeerId> = self.view().others().map(|member| member.peer_id).collect();
        drift.set_members(others.iter().copied());
        lock(&self.shared_config.comparing.told).retain(|peer, _| others.contains(peer));
        let linked: Vec<PeerId> =
            others.into_iter().filter(|peer| self.link(peer).is_some()).collect();
        if linked.is_empty() {
            return;
        }
        let mine = self.settled_picture().await;
        let deadline = clock::now().instant + ANSWER_WAIT;
        for (peer, found) in self.compare_with(&linked, &mine, deadline).await {
            let Ok(compared) = found else { continue };
            if let Some(news) = drift.observe(peer, &compared.parity, clock::now().instant) {
                self.tell_drift(news);
            }
        }
    }

    fn tell_drift(&self, news: DriftNews) {
        let now = clock::now().wall;
        let told = &self.shared_config.comparing.told;
        let ago = |span: Duration| {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            UnixMillis(now.0.saturating_sub(millis))
        };
        match news {
            DriftNews::Drifted { peer, since, keys } => {
                let drifted = Told::new(ago(since), &keys);
                let hostname = self.view().label(&peer);
                tracing::warn!(peer = %peer.short(), hostname, keys = keys.len(), "a member's configuration stays different");
                let detail = json!({
                    "peer_id": peer,
                    "hostname": hostname,
                    "since": drifted.since,
                    "keys": drifted.keys,
                    "keys_left_out": drifted.left_out,
                });
                lock(told).insert(peer, drifted);
                self.events.emit(now, "config_drift", detail);
            }
            DriftNews::Mended { peer, after } => {
                let hostname = self.view().label(&peer);
                lock(told).remove(&peer);
                tracing::info!(peer = %peer.short(), hostname, "a member's configuration is the same again");
                let detail = json!({ "peer_id": peer, "hostname": hostname, "since": ago(after) });
                self.events.emit(now, "config_drift_over", detail);
            }
        }
    }
}
