//! Sealed parcels that are kept for others until their receivers are back.

mod held;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use mesh_protocol::{MESSAGE_BYTES_MAX, MessageId, PARCELS_PER_FRAME_MAX, PeerId, UnixMillis};
use serde_json::Value as Json;
use sqlx::sqlite::SqliteRow;

pub(crate) use self::held::Held;
use crate::columns::{Columns, Value};
use crate::outbox::list;
use crate::query::{execute, fetch_all, fetch_optional};
use crate::statements::statements;
use crate::writer::{Desk, Step, StepKind};
use crate::{Store, StoreError};

/// Room for the envelope and the parcel around a message of the largest size.
const PARCEL_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 4096;

/// Most rows that one transaction lets expire: commits that somebody waits for come in between.
pub(crate) const EXPIRED_PER_TRANSACTION: u64 = 1024;

/// A parcel that was received and checked.
#[derive(Clone)]
pub struct NewCustody {
    /// Whose message it is; quotas are per sender.
    pub from: PeerId,
    /// Whom it is for.
    pub to: PeerId,
    /// The message; with `from` and `to` what a repeat is recognised by.
    pub message_id: MessageId,
    /// 0 urgent, 1 normal, 2 bulk.
    pub priority: u8,
    /// When it is worthless.
    pub expires_at: UnixMillis,
    /// When it came.
    pub received_at: UnixMillis,
    /// The encoded parcel.
    pub parcel: Arc<[u8]>,
}

impl fmt::Debug for NewCustody {
    /// Shows no content, although it is sealed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCustody")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("message_id", &self.message_id)
            .field("bytes", &self.parcel.len())
            .finish_non_exhaustive()
    }
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustodyOutcome {
    /// It is committed.
    Stored {
        /// The row's number: growing, and never used twice while the store is open.
        custody_id: u64,
    },
    /// It was committed before and is still held.
    Duplicate,
    /// A quota has no room for it, or not for one before it from the same sender to the same receiver.
    Full,
}

/// A parcel that is held, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustodyRow {
    /// The row's number.
    pub custody_id: u64,
    /// Whose message it is.
    pub from: PeerId,
    /// Whom it is for.
    pub to: PeerId,
    /// The message.
    pub message_id: MessageId,
    /// 0 urgent, 1 normal, 2 bulk.
    pub priority: u8,
    /// When it is worthless.
    pub expires_at: UnixMillis,
    /// Size of the parcel.
    pub bytes: u64,
}

statements! {
    COUNT_HELD = "SELECT from_peer, count(*), sum(bytes), max(custody_id) FROM custody GROUP BY from_peer";
    SELECT_ALL = "SELECT custody_id, from_peer, to_peer, message_id, priority, expires_at, bytes
        FROM custody ORDER BY custody_id";
    SELECT_PARCELS = "SELECT custody_id, parcel FROM custody
        WHERE custody_id IN (SELECT value FROM json_each(?)) ORDER BY custody_id";
    SELECT_KNOWN = "SELECT 1 FROM custody WHERE from_peer = ? AND message_id = ? AND to_peer = ?";
    INSERT = "INSERT INTO custody (custody_id, from_peer, to_peer, message_id, priority, expires_at,
        received_at, bytes, parcel) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (from_peer, message_id, to_peer) DO NOTHING";
    DELETE = "DELETE FROM custody WHERE custody_id IN (SELECT value FROM json_each(?))
        RETURNING from_peer, bytes";
    DELETE_EXPIRED = "DELETE FROM custody WHERE custody_id IN
            (SELECT custody_id FROM custody WHERE expires_at <= ? LIMIT ?)
        RETURNING from_peer, bytes";
    DELETE_OF = "DELETE FROM custody
        WHERE from_peer IN (SELECT unhex(value) FROM json_each(?1))
            OR to_peer IN (SELECT unhex(value) FROM json_each(?1))
        RETURNING from_peer, bytes";
}

pub(crate) fn finish_step(finished: &BTreeSet<u64>) -> Option<Step> {
    let values = vec![list(finished.iter().copied())];
    let step = Step { kind: StepKind::CustodyDelete, sql: DELETE, values };
    (!finished.is_empty()).then_some(step)
}

/// Whose row is gone, and how many bytes it had.
pub(crate) fn read_gone(row: &SqliteRow) -> Result<(PeerId, u64), StoreError> {
    let mut columns = Columns::of(row);
    Ok((columns.peer()?, columns.count("length")?))
}

fn read_row(row: &SqliteRow) -> Result<CustodyRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(CustodyRow {
        custody_id: columns.count("custody id")?,
        from: columns.peer()?,
        to: columns.peer()?,
        message_id: columns.message_id()?,
        priority: columns.small("priority")?,
        expires_at: columns.time()?,
        bytes: columns.count("length")?,
    })
}

async fn insert(desk: &mut Desk, rows: Vec<NewCustody>) -> Result<Vec<CustodyOutcome>, StoreError> {
    let mut outcomes = Vec::with_capacity(rows.len());
    // Whatever comes behind one that did not fit would overtake it.
    let mut is_full = BTreeSet::new();
    for row in rows {
        let way = (row.from, row.to);
        let outcome = insert_one(desk, &row, is_full.contains(&way)).await?;
        if outcome == CustodyOutcome::Full {
            is_full.insert(way);
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn insert_one(
    desk: &mut Desk,
    row: &NewCustody,
    is_behind_full: bool,
) -> Result<CustodyOutcome, StoreError> {
    let [from, to] = [row.from, row.to].map(|peer| Value::blob(peer.as_bytes()));
    let message_id = Value::blob(row.message_id.as_bytes());
    let bytes = row.parcel.len() as u64;
    if is_behind_full || !desk.state.custody.has_room(&desk.config, &row.from, bytes) {
        let known = fetch_optional(&mut desk.conn, SELECT_KNOWN, [from, message_id, to]).await?;
        return Ok(known.map_or(CustodyOutcome::Full, |_| CustodyOutcome::Duplicate));
    }
    let custody_id = desk.state.custody.draw();
    let values = [
        Value::count(custody_id),
        from,
        to,
        message_id,
        Value::Int(row.priority.into()),
        Value::time(row.expires_at),
        Value::time(row.received_at),
        Value::count(bytes),
        Value::blob(&row.parcel),
    ];
    if execute(&mut desk.conn, INSERT, values).await? == 0 {
        return Ok(CustodyOutcome::Duplicate);
    }
    desk.state.custody.add(row.from, bytes);
    Ok(CustodyOutcome::Stored { custody_id })
}

/// Runs one of the deletions above and brings the counts in line.
async fn delete(
    desk: &mut Desk,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    let gone = fetch_all(&mut desk.conn, sql, values).await?;
    for row in &gone {
        let (from, bytes) = read_gone(row)?;
        desk.state.custody.remove(&from, bytes);
    }
    Ok(gone.len() as u64)
}

/// Drops up to [`EXPIRED_PER_TRANSACTION`] parcels that are worthless, and says how many.
pub(crate) async fn expire(desk: &mut Desk, now: UnixMillis) -> Result<u64, StoreError> {
    let values = [Value::time(now), Value::count(EXPIRED_PER_TRANSACTION)];
    delete(desk, DELETE_EXPIRED, values).await
}

impl Store {
    /// Commits parcels and says what became of each, in order. One that exceeds a quota is
    /// [`CustodyOutcome::Full`], and so is every one behind it from the same sender to the same
    /// receiver, so that their order is kept; the others are stored all the same.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::TooMany`], or the database refused. No parcel was stored.
    pub async fn insert_custody(
        &self,
        rows: Vec<NewCustody>,
    ) -> Result<Vec<CustodyOutcome>, StoreError> {
        if rows.len() > PARCELS_PER_FRAME_MAX {
            return Err(StoreError::TooMany { what: "parcels", count_max: PARCELS_PER_FRAME_MAX });
        }
        if rows.iter().any(|row| row.parcel.len() > PARCEL_BYTES_MAX) {
            return Err(StoreError::TooLarge { what: "parcel", bytes_max: PARCEL_BYTES_MAX });
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |desk| Box::pin(insert(desk, rows))).await
    }

    /// Every parcel that is held, oldest first. Meant for the start.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_custody(&self) -> Result<Vec<CustodyRow>, StoreError> {
        self.flush().await?;
        self.read(|conn| {
            Box::pin(async move {
                fetch_all(conn, SELECT_ALL, []).await?.iter().map(read_row).collect()
            })
        })
        .await
    }

    /// The encoded parcels of rows, by number; those that are gone are left out. The caller bounds the
    /// list: all parcels are in memory at once.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn custody_parcels(
        &self,
        custody_ids: &[u64],
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let wanted = list(custody_ids.iter().copied());
        self.read(move |conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, SELECT_PARCELS, [wanted]).await?;
                let rows = rows.iter().map(|row| {
                    let mut columns = Columns::of(row);
                    Ok((columns.count("custody id")?, columns.blob()?))
                });
                rows.collect()
            })
        })
        .await
    }

    /// Drops a parcel that has come to its end. Does not wait: after a crash it may be sent again, which
    /// its receiver recognises. A number that is not there is harmless.
    pub fn finish_custody(&self, custody_id: u64) {
        self.lazies().finish_custody(custody_id);
    }

    /// Drops every parcel from or to these peers, and says how many.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. None was dropped.
    pub async fn forget_custody_of(&self, peers: Vec<PeerId>) -> Result<u64, StoreError> {
        if peers.is_empty() {
            return Ok(0);
        }
        let peers: Json = peers.iter().map(|peer| Json::from(peer.to_string())).collect();
        let peers = Value::Text(peers.to_string());
        self.write(move |desk| Box::pin(delete(desk, DELETE_OF, [peers]))).await
    }

    /// How many parcels are held for others, and their bytes. Changes with every commit.
    #[must_use]
    pub fn custody_stats(&self) -> (u64, u64) {
        self.gauges().custody()
    }
}
