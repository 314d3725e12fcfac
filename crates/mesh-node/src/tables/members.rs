//! The members as the view `agent_peers` shows them beside the tables.

use std::sync::Arc;
use std::time::Duration;

use mesh_control::MemberStatus;
use mesh_protocol::UnixMillis;
use mesh_tables::MemberRow;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::node::Node;
use crate::shared::Shared;

/// How often last-seen times are written when nothing else changes: an idle agent leaves its disk alone.
const SHOW_EVERY: Duration = Duration::from_secs(60);

impl Shared {
    /// The loop that keeps the view right.
    pub(super) async fn keep_members_shown(self: Arc<Self>) {
        let mut links = self.links_changed.subscribe();
        let mut ticks = interval(SHOW_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _tick = ticks.tick() => {}
                changed = links.changed() => if changed.is_err() { return },
            }
            self.show_members().await;
        }
    }

    /// Writes what is known of the members, if it differs from what is there.
    pub(crate) async fn show_members(self: &Arc<Self>) {
        let peers = match Node::new(Arc::clone(self)).peers_view().await {
            Ok(peers) => peers,
            Err(error) => {
                tracing::warn!(%error, "the members cannot be shown");
                return;
            }
        };
        let minute = |time: UnixMillis| UnixMillis(time.0 - time.0 % 60_000);
        let now = clock::now().wall;
        let rows = peers.into_iter().map(|peer| MemberRow {
            peer_id: peer.peer_id.to_string(),
            hostname: peer.hostname,
            status: match peer.status {
                MemberStatus::Active => "active",
                MemberStatus::Inactive => "inactive",
            }
            .to_owned(),
            // To the minute for those who are there: a closer look would be a write at every link.
            last_seen_at: peer
                .last_seen_at
                .map(|seen| if now.since(seen) < SHOW_EVERY { minute(now) } else { seen }),
            joined_at: peer.joined_at,
            tailscale_ip: peer.tailscale_ip,
            tailscale_hostname: peer.tailscale_hostname,
            addresses: serde_json::Value::from(peer.addresses).to_string(),
            version: peer.version,
            is_self: peer.is_self,
        });
        let shown = self.replication.tables.set_members(rows.collect()).await;
        self.note_tables(&shown);
    }
}
