//! Pushes with their history: what this node pushes, and what is pushed to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::TryStreamExt as _;
use mesh_protocol::{
    PUSH_BODY_BYTES_MAX, PUSH_EVENT_BYTES_MAX, PUSH_HEADER_BYTES, PUSH_TARGETS_MAX, PeerId,
    PushEvent, PushHeader, PushId, PushMessage, PushOffer, UnixMillis,
};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns, Value};
use crate::outbox::list;
use crate::query::{execute, fetch, fetch_all, fetch_one};
use crate::statements::statements;
use crate::writer::Desk;
use crate::{Store, StoreError};

/// Largest request.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Most pushes, open ones included.
const PUSHES_MAX: usize = 10_000;

/// Most events of one push: each fact happens once, and at each target once.
const EVENTS_MAX: usize = 16 * PUSH_TARGETS_MAX;

/// Most pushes in one answer.
const LISTED_MAX: u64 = 1000;

/// Most pushes that one transaction removes: commits that somebody waits for come in between.
const REMOVED_PER_TRANSACTION: u64 = 64;

/// Digits of an id.
const DIGITS: usize = 2 * size_of::<PushId>();

/// A push, without its history.
#[derive(Clone, PartialEq, Eq)]
pub struct PushRow {
    /// Which.
    pub push_id: PushId,
    /// Whether this node makes it; it is a target of it otherwise. Of a rollback it may be both, in two rows.
    pub is_sender: bool,
    /// Who makes it.
    pub by: PeerId,
    /// The push that this one takes back.
    pub rollback_of: Option<PushId>,
    /// The offer as it travels. The sender's own has no totals before everything was read.
    pub offer: PushOffer,
    /// What the sender was asked to do, opaque here; at most 1 MiB. Empty at a target.
    pub request: Vec<u8>,
    /// When this node heard of it.
    pub made_at: UnixMillis,
    /// Whether something is still to be done.
    pub is_open: bool,
    /// Bytes that travelled for it.
    pub wire_bytes: u64,
}

impl fmt::Debug for PushRow {
    /// Leaves the request out: names and words are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushRow")
            .field("push_id", &self.push_id)
            .field("is_sender", &self.is_sender)
            .field("is_open", &self.is_open)
            .field("request_bytes", &self.request.len())
            .finish_non_exhaustive()
    }
}

/// A push with its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPush {
    /// The push.
    pub row: PushRow,
    /// What happened, oldest first.
    pub events: Vec<PushEvent>,
}

/// Columns of [`PushRow`] behind the row's number.
macro_rules! columns {
    () => {
        "push_id, is_sender, by_peer, rollback_of, made_at, is_open, wire_bytes, offer, request"
    };
}

statements! {
    COUNT = "SELECT count(*) FROM pushes";
    INSERT = concat!(
        "INSERT OR IGNORE INTO pushes (", columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    SET_OFFER = "UPDATE pushes SET offer = ? WHERE push_id = ? AND is_sender = ?";
    CLOSE = "UPDATE pushes SET is_open = 0, wire_bytes = ? WHERE push_id = ? AND is_sender = ?";
    COUNT_EVENTS = "SELECT count(*) FROM push_events JOIN pushes USING (push_row)
        WHERE push_id = ? AND is_sender = ?";
    INSERT_EVENT = "INSERT INTO push_events (push_row, event)
        SELECT push_row, ? FROM pushes WHERE push_id = ? AND is_sender = ?";
    SELECT_OPEN = concat!(
        "SELECT push_row, ", columns!(), " FROM pushes WHERE is_open = 1 ORDER BY push_row"
    );
    SELECT_ONE = concat!(
        "SELECT push_row, ", columns!(), " FROM pushes WHERE push_id = ? ORDER BY is_sender DESC"
    );
    SELECT_NEWEST = concat!(
        "SELECT push_row, ", columns!(), " FROM pushes ORDER BY push_row DESC LIMIT ?"
    );
    SELECT_EVENTS = "SELECT push_row, event FROM push_events
        WHERE push_row IN (SELECT value FROM json_each(?)) ORDER BY event_id";
    FIND = "SELECT DISTINCT push_id FROM pushes WHERE push_id BETWEEN ? AND ? ORDER BY push_id LIMIT 2";
    COUNT_CLOSED = "SELECT count(*) FROM pushes WHERE is_open = 0";
    DELETE_OLDEST = "DELETE FROM pushes WHERE push_row IN
            (SELECT push_row FROM pushes WHERE is_open = 0 ORDER BY push_row LIMIT ?)
        RETURNING push_id";
    COUNT_ONE = "SELECT count(*) FROM pushes WHERE push_id = ?";
}

/// The two values that name a row.
fn key(push_id: PushId, is_sender: bool) -> [Value; 2] {
    [Value::blob(push_id.as_bytes()), Value::flag(is_sender)]
}

fn encode_offer(offer: PushOffer) -> Result<Value, StoreError> {
    let encoded = PushMessage::Offer(offer).encode();
    let too_large = |_| StoreError::TooLarge { what: "offer", bytes_max: PUSH_BODY_BYTES_MAX };
    encoded.map(Value::Blob).map_err(too_large)
}

fn decode_offer(bytes: &[u8]) -> Result<PushOffer, StoreError> {
    const MALFORMED: StoreError = StoreError::Malformed { what: "offer" };
    let (header, body) = bytes.split_first_chunk::<PUSH_HEADER_BYTES>().ok_or(MALFORMED)?;
    let header = PushHeader::decode(header).map_err(|_| MALFORMED)?;
    match PushMessage::decode(header, body) {
        Ok(PushMessage::Offer(offer)) => Ok(offer),
        Ok(_) | Err(_) => Err(MALFORMED),
    }
}

fn read_row(row: &SqliteRow) -> Result<(u64, PushRow), StoreError> {
    let mut columns = Columns::of(row);
    let number = columns.count("row")?;
    let row = PushRow {
        push_id: columns.push_id()?,
        is_sender: columns.flag()?,
        by: columns.peer()?,
        rollback_of: columns.push_id_or_none()?,
        made_at: columns.time()?,
        is_open: columns.flag()?,
        wire_bytes: columns.count("bytes")?,
        offer: decode_offer(&columns.blob()?)?,
        request: columns.blob()?,
    };
    Ok((number, row))
}

/// Adds their histories to the pushes of a `SELECT`.
async fn load(
    conn: &mut SqliteConnection,
    sql: &'static str,
    values: Vec<Value>,
) -> Result<Vec<StoredPush>, StoreError> {
    let rows = fetch_all(conn, sql, values).await?;
    let rows = rows.iter().map(read_row).collect::<Result<Vec<_>, _>>()?;
    let mut histories: BTreeMap<u64, Vec<PushEvent>> = BTreeMap::new();
    let numbers = list(rows.iter().map(|(number, _)| *number));
    let mut events = fetch(conn, SELECT_EVENTS, [numbers])?;
    while let Some(event) = events.try_next().await? {
        let mut columns = Columns::of(&event);
        let number = columns.count("row")?;
        let event = PushEvent::decode(&columns.blob()?);
        let event = event.map_err(|_| StoreError::Malformed { what: "event of a push" })?;
        histories.entry(number).or_default().push(event);
    }
    let with_history = |(number, row)| {
        let events = histories.remove(&number).unwrap_or_default();
        StoredPush { row, events }
    };
    Ok(rows.into_iter().map(with_history).collect())
}

/// The lowest and the highest id that begin with these digits; none when they are no digits.
fn ids_from(digits: &str) -> Option<[Value; 2]> {
    let digits: String = digits.chars().filter(|digit| *digit != '-').collect();
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if digits.is_empty() || digits.len() > DIGITS || !is_hex {
        return None;
    }
    let filled = |with: &str| {
        let text = digits.clone() + &with.repeat(DIGITS - digits.len());
        text.parse::<PushId>().ok().map(|id| Value::blob(id.as_bytes()))
    };
    Some([filled("0")?, filled("f")?])
}

impl Store {
    /// Commits a push, without a history. `false`: this side of it is there already, and is left alone.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a request of more than 1 MiB or an offer beyond its bounds,
    /// [`StoreError::TooMany`] beyond 10,000 pushes; otherwise the database refused. Nothing was written.
    pub async fn insert_push(&self, row: PushRow) -> Result<bool, StoreError> {
        if row.request.len() > REQUEST_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "request", bytes_max: REQUEST_BYTES_MAX });
        }
        let rollback_of = row.rollback_of.as_ref().map(|id| id.as_bytes().as_slice());
        let values = [
            Value::blob(row.push_id.as_bytes()),
            Value::flag(row.is_sender),
            Value::blob(row.by.as_bytes()),
            Value::blob_or_null(rollback_of),
            Value::time(row.made_at),
            Value::flag(row.is_open),
            Value::count(row.wire_bytes),
            encode_offer(row.offer)?,
            Value::Blob(row.request),
        ];
        self.write(move |desk| {
            Box::pin(async move {
                let is_new = execute(&mut desk.conn, INSERT, values).await? > 0;
                let count = fetch_one(&mut desk.conn, COUNT, []).await?;
                if is_new && Columns::of(&count).small::<usize>("count")? > PUSHES_MAX {
                    return Err(StoreError::TooMany { what: "pushes", count_max: PUSHES_MAX });
                }
                Ok(is_new)
            })
        })
        .await
    }

    /// Commits what is offered, once everything was read. `false`: there is no such push.
    ///
    /// # Errors
    /// As [`insert_push`](Self::insert_push).
    pub async fn update_push_offer(
        &self,
        push_id: PushId,
        is_sender: bool,
        offer: PushOffer,
    ) -> Result<bool, StoreError> {
        let [push_id, is_sender] = key(push_id, is_sender);
        let values = [encode_offer(offer)?, push_id, is_sender];
        self.change_push(SET_OFFER, values).await
    }

    /// Commits what happened to a push. `false`: there is no such push.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for an event beyond its bounds, [`StoreError::TooMany`] beyond 16,384 events of one
    /// push; otherwise the database refused. Nothing was written.
    pub async fn record_push_event(
        &self,
        push_id: PushId,
        is_sender: bool,
        event: PushEvent,
    ) -> Result<bool, StoreError> {
        let too_large =
            |_| StoreError::TooLarge { what: "event of a push", bytes_max: PUSH_EVENT_BYTES_MAX };
        let event = Value::Blob(event.encode().map_err(too_large)?);
        self.write(move |desk| {
            Box::pin(async move {
                let count =
                    fetch_one(&mut desk.conn, COUNT_EVENTS, key(push_id, is_sender)).await?;
                if Columns::of(&count).small::<usize>("count")? >= EVENTS_MAX {
                    let what = "events of a push";
                    return Err(StoreError::TooMany { what, count_max: EVENTS_MAX });
                }
                let [push_id, is_sender] = key(push_id, is_sender);
                let values = [event, push_id, is_sender];
                Ok(execute(&mut desk.conn, INSERT_EVENT, values).await? > 0)
            })
        })
        .await
    }

    /// Commits that nothing is to be done for a push any more. `false`: there is no such push.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused. Nothing was written.
    pub async fn close_push(
        &self,
        push_id: PushId,
        is_sender: bool,
        wire_bytes: u64,
    ) -> Result<bool, StoreError> {
        let [push_id, is_sender] = key(push_id, is_sender);
        self.change_push(CLOSE, [Value::count(wire_bytes), push_id, is_sender]).await
    }

    async fn change_push(&self, sql: &'static str, values: [Value; 3]) -> Result<bool, StoreError> {
        self.write(move |desk| {
            Box::pin(async move { Ok(execute(&mut desk.conn, sql, values).await? > 0) })
        })
        .await
    }

    /// Every push for which something is still to be done, in the order in which this node heard of them.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_open_pushes(&self) -> Result<Vec<StoredPush>, StoreError> {
        self.read(|conn| Box::pin(load(conn, SELECT_OPEN, Vec::new()))).await
    }

    /// What is known of a push: nothing, one side, or both with the sender's first.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn load_push(&self, push_id: PushId) -> Result<Vec<StoredPush>, StoreError> {
        let values = vec![Value::blob(push_id.as_bytes())];
        self.read(move |conn| Box::pin(load(conn, SELECT_ONE, values))).await
    }

    /// The pushes that this node heard of last, the newest first; at most 1,000.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn list_pushes(&self, limit: u64) -> Result<Vec<StoredPush>, StoreError> {
        let values = vec![Value::count(limit.min(LISTED_MAX))];
        self.read(move |conn| Box::pin(load(conn, SELECT_NEWEST, values))).await
    }

    /// At most two ids that begin with `digits`, hyphens or not: two are as ambiguous as more.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn find_pushes(&self, digits: &str) -> Result<Vec<PushId>, StoreError> {
        let Some(bounds) = ids_from(digits) else { return Ok(Vec::new()) };
        self.read(move |conn| {
            Box::pin(async move {
                let rows = fetch_all(conn, FIND, bounds).await?;
                rows.iter().map(|row| Columns::of(row).push_id()).collect()
            })
        })
        .await
    }

    /// Removes the pushes that this node heard of first and that are over, until `keep` of those are left. Returns
    /// those of which no side is left.
    ///
    /// # Errors
    /// [`StoreError`] when the database refused; what was removed before is gone.
    pub async fn prune_pushes(&self, keep: u64) -> Result<Vec<PushId>, StoreError> {
        let mut gone = Vec::new();
        loop {
            let (removed, ids) = self.write(move |desk| Box::pin(remove(desk, keep))).await?;
            gone.extend(ids);
            if removed < REMOVED_PER_TRANSACTION {
                return Ok(gone);
            }
        }
    }
}

/// Says how many rows it removed, and of which pushes none is left.
async fn remove(desk: &mut Desk, keep: u64) -> Result<(u64, Vec<PushId>), StoreError> {
    let closed = fetch_one(&mut desk.conn, COUNT_CLOSED, []).await?;
    let surplus = Columns::of(&closed).count("count")?.saturating_sub(keep);
    if surplus == 0 {
        return Ok((0, Vec::new()));
    }
    let limit = [Value::count(surplus.min(REMOVED_PER_TRANSACTION))];
    let removed = fetch_all(&mut desk.conn, DELETE_OLDEST, limit).await?;
    // Both sides of one push count once.
    let mut gone = BTreeSet::new();
    for row in &removed {
        let push_id = Columns::of(row).push_id()?;
        let left = fetch_one(&mut desk.conn, COUNT_ONE, [Value::blob(push_id.as_bytes())]).await?;
        if Columns::of(&left).int()? == 0 {
            gone.insert(push_id);
        }
    }
    Ok((removed.len() as u64, gone.into_iter().collect()))
}
