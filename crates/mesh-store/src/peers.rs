//! `agent_peers`: the members as the verdict has them, and when each was last seen.

use std::collections::BTreeMap;

use mesh_protocol::{
    ADDRESSES_MAX, Address, HOSTNAME_BYTES_MAX, PeerId, TEXT_BYTES_MAX, UnixMillis,
};
use serde_json::{Value as Json, json};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns, Value, saturated};
use crate::query::{execute, fetch_all};
use crate::statements::statements;
use crate::writer::{Step, StepKind};
use crate::{Store, StoreError};

/// Whether a member is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerStatus {
    /// It is.
    Active,
    /// It is not.
    Inactive,
}

impl PeerStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Its identity, the column `public_key`.
    pub peer_id: PeerId,
    /// Its label, unique in the mesh.
    pub hostname: String,
    /// Whether it is linked.
    pub status: PeerStatus,
    /// When it was last heard of.
    pub last_seen_at: Option<UnixMillis>,
    /// When it was admitted.
    pub joined_at: UnixMillis,
    /// Its address in its tailnet.
    pub tailscale_ip: Option<String>,
    /// Its name in its tailnet.
    pub tailscale_hostname: Option<String>,
    /// Where it listens, the preferred address first.
    pub addresses: Vec<Address>,
    /// Version of its program.
    pub version: String,
}

statements! {
    SELECT = "SELECT public_key, hostname, status, last_seen_at, joined_at, tailscale_ip,
        tailscale_hostname, addresses, version FROM agent_peers ORDER BY hostname";
    INSERT = "INSERT INTO agent_peers (public_key, hostname, status, last_seen_at, joined_at,
        tailscale_ip, tailscale_hostname, addresses, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    DELETE = "DELETE FROM agent_peers WHERE public_key = ?";
    DELETE_KEYS = "DELETE FROM peer_keys WHERE peer = ?";
    UPDATE_SEEN = "UPDATE agent_peers SET status = j.value ->> 1, last_seen_at = j.value ->> 2
        FROM json_each(?) AS j WHERE public_key = unhex(j.value ->> 0)";
}

pub(crate) fn seen_step(seen: &BTreeMap<PeerId, (PeerStatus, UnixMillis)>) -> Option<Step> {
    if seen.is_empty() {
        return None;
    }
    let rows: Json = seen
        .iter()
        .map(|(peer, (status, at))| json!([peer.to_string(), status.as_str(), saturated(at.0)]))
        .collect();
    let values = vec![Value::Text(rows.to_string())];
    Some(Step { kind: StepKind::Other, sql: UPDATE_SEEN, values })
}

fn read_row(row: &SqliteRow) -> Result<PeerRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(PeerRow {
        peer_id: columns.peer()?,
        hostname: columns.text()?,
        status: match columns.text()?.as_str() {
            "active" => PeerStatus::Active,
            _ => PeerStatus::Inactive,
        },
        last_seen_at: columns.time_or_none()?,
        joined_at: columns.time()?,
        tailscale_ip: columns.text_or_none()?,
        tailscale_hostname: columns.text_or_none()?,
        addresses: serde_json::from_str(&columns.text()?)
            .map_err(|_| StoreError::Malformed { what: "address list" })?,
        version: columns.text()?,
    })
}

async fn select(conn: &mut SqliteConnection) -> Result<Vec<PeerRow>, StoreError> {
    fetch_all(conn, SELECT, []).await?.iter().map(read_row).collect()
}

async fn insert(conn: &mut SqliteConnection, row: &PeerRow) -> Result<(), StoreError> {
    let addresses: Json = row.addresses.iter().map(|address| json!(address)).collect();
    let values = [
        Value::blob(row.peer_id.as_bytes()),
        Value::text(&row.hostname),
        Value::text(row.status.as_str()),
        Value::time_or_null(row.last_seen_at),
        Value::time(row.joined_at),
        Value::text_or_null(row.tailscale_ip.as_deref()),
        Value::text_or_null(row.tailscale_hostname.as_deref()),
        Value::Text(addresses.to_string()),
        Value::text(&row.version),
    ];
    execute(conn, INSERT, values).await.map(drop)
}

fn check(row: &PeerRow) -> Result<(), StoreError> {
    if row.hostname.len() > HOSTNAME_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "hostname", bytes_max: HOSTNAME_BYTES_MAX });
    }
    let texts = [&row.tailscale_ip, &row.tailscale_hostname].into_iter().flatten();
    if texts.chain([&row.version]).any(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(StoreError::TooLarge { what: "text of a peer", bytes_max: TEXT_BYTES_MAX });
    }
    if row.addresses.len() > ADDRESSES_MAX {
        return Err(StoreError::TooMany { what: "addresses", count_max: ADDRESSES_MAX });
    }
    Ok(())
}

impl Store {
    /// Every member, by hostname.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_peers(&self) -> Result<Vec<PeerRow>, StoreError> {
        self.flush().await?;
        self.read(|conn| Box::pin(select(conn))).await
    }

    /// Brings `agent_peers` to exactly `rows`. Only rows that differ are written; hostnames may have been
    /// swapped. Where `last_seen_at` is none, what is known is kept. The pair secrets of peers that are
    /// gone are destroyed.
    ///
    /// # Errors
    /// [`StoreError::PeerTwice`], a bound, or the database refused. Nothing was written.
    pub async fn sync_peers(&self, rows: Vec<PeerRow>) -> Result<(), StoreError> {
        let mut wanted = BTreeMap::new();
        let mut hostnames = std::collections::BTreeSet::new();
        for row in rows {
            check(&row)?;
            let hostname = row.hostname.clone();
            let is_new_name = hostnames.insert(hostname.clone());
            if wanted.insert(row.peer_id, row).is_some() || !is_new_name {
                return Err(StoreError::PeerTwice { hostname });
            }
        }
        // What was noted of these peers is older than this call, and must not be written after it.
        self.flush().await?;
        self.write(move |desk| {
            Box::pin(async move {
                let conn = &mut desk.conn;
                for held in select(conn).await? {
                    let id = Value::blob(held.peer_id.as_bytes());
                    match wanted.get_mut(&held.peer_id) {
                        None => {
                            execute(conn, DELETE, [id.clone()]).await?;
                            let destroyed = execute(conn, DELETE_KEYS, [id]).await?;
                            desk.is_wal_tainted |= destroyed > 0;
                        }
                        Some(row) => {
                            row.last_seen_at = row.last_seen_at.or(held.last_seen_at);
                            if *row == held {
                                wanted.remove(&held.peer_id);
                            } else {
                                execute(conn, DELETE, [id]).await?;
                            }
                        }
                    }
                }
                // After every changed row is out, no old name is in the way of a new one.
                for row in wanted.values() {
                    insert(conn, row).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Notes whether a member is linked and when it was last heard of. Does not wait, and is written
    /// along with other things or seconds later.
    pub fn note_peer_seen(&self, peer: PeerId, status: PeerStatus, last_seen_at: UnixMillis) {
        self.lazies().note_peer_seen(peer, status, last_seen_at);
    }
}
