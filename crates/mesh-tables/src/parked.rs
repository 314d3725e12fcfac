//! Transactions that cannot be applied are kept aside, whole: they count as not had, block nothing that does
//! not build upon them, and are tried again when their reason may be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt as _;
use mesh_protocol::{
    Dot, HOLES_MAX, HybridClock, OriginId, PeerId, SqlValue, TableId, TransactionPart, UnixMillis,
    VersionVector,
};
use sqlx::SqliteConnection;

use crate::apply::{self, Applied, Batch, Bodies, ParkedNow, TooLarge, Transaction};
use crate::desk::Desk;
use crate::key::{self, KeyHash};
use crate::rows::portions;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, listed, number, placeholders};
use crate::state::{Origins, load_origins};
use crate::{Tables, TablesError, accepted};

/// One database can take this part of the places of what is kept aside: the others have to wait at times too.
const PARKED_SHARE: u64 = 4;

/// Why a transaction is kept aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkReason {
    /// Its clock is too far ahead.
    ClockSkew,
    /// It changes a table that is not known here.
    UnknownTable,
    /// It changes a column that is not known here.
    UnknownColumn,
    /// A constraint of a table forbids it.
    Constraint,
    /// It builds upon one that is kept aside.
    BehindParked,
}

impl ParkReason {
    const ALL: [Self; 5] = [
        Self::ClockSkew,
        Self::UnknownTable,
        Self::UnknownColumn,
        Self::Constraint,
        Self::BehindParked,
    ];

    /// The stable word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClockSkew => "clock_skew",
            Self::UnknownTable => "unknown_table",
            Self::UnknownColumn => "unknown_column",
            Self::Constraint => "constraint",
            Self::BehindParked => "behind_parked",
        }
    }

    fn parse(word: &str) -> Result<Self, TablesError> {
        let reason = Self::ALL.into_iter().find(|reason| reason.as_str() == word);
        reason.ok_or(TablesError::Malformed { what: "reason" })
    }
}

impl fmt::Display for ParkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A transaction that is kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedInfo {
    /// Which one.
    pub dot: Dot,
    /// Whose it is; none when that is not known.
    pub member: Option<PeerId>,
    /// Why.
    pub reason: ParkReason,
    /// The table, the column or what SQLite said.
    pub detail: String,
    /// The latest clock in it.
    pub clock: HybridClock,
    /// When it came.
    pub at: UnixMillis,
    /// Its size.
    pub bytes: u64,
}

impl Tables {
    /// What is kept aside, in the order in which it came.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn parked(&self) -> Result<Vec<ParkedInfo>, TablesError> {
        self.reading().own.read(|conn| list(conn).boxed()).await
    }

    /// Tries everything that is kept aside again, in the order in which it came.
    ///
    /// # Errors
    /// [`TablesError`]; nothing has been applied then.
    pub async fn retry_parked(&self, at: UnixMillis) -> Result<Applied, TablesError> {
        let too_large = TooLarge::default();
        loop {
            let count = too_large.count();
            let found = too_large.clone();

            let outcome =
                self.transact(move |desk| apply::retry_without(desk, at, found).boxed()).await;
            if !apply::is_to_begin_anew(&outcome, &too_large, count) {
                return outcome;
            }
        }
    }

    /// When the next transaction whose clock is ahead can be applied.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn next_due(&self) -> Result<Option<UnixMillis>, TablesError> {
        let clock = self.reading().own.read(|conn| earliest_ahead(conn).boxed()).await?;
        let ahead = u64::try_from(self.config().clock_ahead_max.as_millis()).unwrap_or(u64::MAX);
        Ok(clock.map(|clock| UnixMillis(clock.time().0.saturating_sub(ahead))))
    }

    /// Applies what is kept aside of some databases because its clock is ahead. Says for how many
    /// transactions that is no reason any more, and what came of all that is kept aside.
    ///
    /// # Errors
    /// [`TablesError`]; nothing has been applied then.
    pub async fn accept_ahead(
        &self,
        origins: Vec<OriginId>,
        at: UnixMillis,
    ) -> Result<(u64, Applied), TablesError> {
        let too_large = TooLarge::default();
        loop {
            let count = too_large.count();
            let found = too_large.clone();
            let origins = origins.clone();
            let outcome =
                self.transact(move |desk| accept_ahead(desk, origins, at, found).boxed()).await;
            if !apply::is_to_begin_anew(&outcome, &too_large, count) {
                return outcome;
            }
        }
    }
}

async fn list(conn: &mut SqliteConnection) -> Result<Vec<ParkedInfo>, TablesError> {
    let origins = load_origins(conn).await?;
    let sql = "SELECT p.origin, p.sequence, o.member, p.reason, p.detail, p.clock, p.at, \
               (SELECT coalesce(sum(length(body)), 0) FROM mesh_spool AS s \
                WHERE s.origin = p.origin AND s.sequence = p.sequence) \
               FROM mesh_parked AS p JOIN mesh_origins AS o ON o.id = p.origin ORDER BY p.id";
    let rows = fetch_all(conn, sql, []).await?;
    let read = |row| {
        let mut columns = Columns::of(row);
        let origin = origins.id(columns.int()?)?;
        let dot = Dot { origin, sequence: columns.count()? };
        let member = columns.blob_or_none()?.map(<[u8; 32]>::try_from).transpose();
        let member = member.map_err(|_| TablesError::Malformed { what: "member" })?;
        Ok(ParkedInfo {
            dot,
            member: member.map(PeerId::from_bytes),
            reason: ParkReason::parse(&columns.text()?)?,
            detail: columns.text()?,
            clock: HybridClock(columns.count()?),
            at: UnixMillis(columns.count()?),
            bytes: columns.count()?,
        })
    };
    rows.iter().map(read).collect()
}

/// Of each origin, what it had applied when it made the first transaction that is kept aside.
pub(crate) async fn first_contexts(
    conn: &mut SqliteConnection,
    origins: &Origins,
) -> Result<BTreeMap<OriginId, VersionVector>, TablesError> {
    // Beside `min`, SQLite takes the other columns from the row that has it.
    let sql = "SELECT origin, min(sequence), context FROM mesh_parked GROUP BY origin";
    let read = |row| {
        let mut columns = Columns::of(row);
        let origin = origins.id(columns.int()?)?;
        let _sequence = columns.count()?;
        Ok((origin, decode_context(&columns.blob()?)?))
    };
    fetch_all(conn, sql, []).await?.iter().map(read).collect()
}

/// The earliest of the clocks that are ahead.
async fn earliest_ahead(conn: &mut SqliteConnection) -> Result<Option<HybridClock>, TablesError> {
    let sql = "SELECT min(clock) FROM mesh_parked WHERE reason = 'clock_skew' AND accepted = 0";
    let row = fetch_optional(conn, sql, []).await?;
    let clock = row.map_or(Ok(None), |row| Columns::of(&row).int_or_none())?;
    Ok(clock.map(|clock| HybridClock(u64::try_from(clock).unwrap_or(0))))
}

async fn accept_ahead(
    desk: &mut Desk,
    origins: Vec<OriginId>,
    at: UnixMillis,
    too_large: TooLarge,
) -> Result<(u64, Applied), TablesError> {
    let mut accepted = 0;
    for origin in origins {
        let Some(no) = desk.state.origins.no(&origin) else { continue };
        let sql = "UPDATE mesh_parked SET accepted = 1 WHERE origin = ? AND accepted = 0 \
                   AND reason = 'clock_skew'";
        accepted += execute(&mut desk.conn, sql, [SqlValue::Integer(no)]).await?;
        // What is kept behind those has the same clock, and no other reason when they are applied.
        let sql = "UPDATE mesh_parked SET accepted = 1 WHERE origin = ?";
        execute(&mut desk.conn, sql, [SqlValue::Integer(no)]).await?;
    }
    Ok((accepted, apply::retry_without(desk, at, too_large).await?))
}

/// Keeps a transaction aside, if there is room.
pub(crate) async fn park(
    desk: &mut Desk,
    batch: &mut Batch,
    transaction: Transaction,
    reason: ParkReason,
    detail: String,
) -> Result<(), TablesError> {
    let dot = transaction.dot;
    // Members are told of every hole, and so is everybody who reads a transaction of this database.
    let parked_max = desk.config.parked_max.min(HOLES_MAX as u64);
    let holes = desk.state.vector.holes();
    let of_origin = holes.iter().filter(|hole| hole.origin == dot.origin).count();
    let mut has_room = (holes.len() as u64) < parked_max
        && (of_origin as u64) < (parked_max / PARKED_SHARE).max(1);
    batch.name_origins(desk, &transaction).await?;
    let rows = rows_of(desk, &transaction).await?;
    let Transaction { header, bodies, .. } = transaction;
    if has_room && let Bodies::One(part, body) = bodies {
        has_room = apply::keep(desk, dot, part.part, true, body).await?;
    }
    if !has_room {
        batch.applied.refused.push(dot);
        return apply::drop_parts(desk, dot).await;
    }
    let context = apply::context_of(&desk.state, dot, &header);
    let sql = "INSERT INTO mesh_parked (origin, sequence, reason, detail, clock, at, context) \
               VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id";
    let no = desk.state.origin_no(&mut desk.conn, dot.origin).await?;
    let values = [
        SqlValue::Integer(no),
        number(dot.sequence),
        SqlValue::Text(reason.as_str().to_owned()),
        SqlValue::Text(detail.clone()),
        number(header.clock.0),
        number(batch.at.0),
        SqlValue::Blob(encode_context(&context)),
    ];
    let row = fetch_optional(&mut desk.conn, sql, values).await?;
    let id = row.map_or(Ok(0), |row| Columns::of(&row).int())?;
    for portion in portions(&rows.into_iter().collect::<Vec<_>>(), 3) {
        let sql = format!(
            "INSERT OR IGNORE INTO mesh_parked_rows (parked, table_id, key) VALUES {}",
            placeholders(portion.len(), 3)
        );
        let values = portion.iter().flat_map(|(table, hash)| {
            let table = SqlValue::Blob(table.as_bytes().to_vec());
            [SqlValue::Integer(id), table, SqlValue::Blob(hash.to_vec())]
        });
        execute(&mut desk.conn, sql, values).await?;
    }
    batch.taken(&mut desk.state, dot, &header);
    Arc::make_mut(&mut desk.state.vector).add_hole(dot);
    tracing::debug!(origin = %dot.origin, sequence = dot.sequence, %reason, "transaction kept aside");
    batch.applied.parked.push(ParkedNow { dot, reason, detail });
    Ok(())
}

/// The rows that a transaction writes, by table and digest of the key.
async fn rows_of(
    desk: &mut Desk,
    transaction: &Transaction,
) -> Result<BTreeSet<(TableId, KeyHash)>, TablesError> {
    let mut rows = BTreeSet::new();
    let mut number = 0;
    loop {
        let spooled;
        let body = match &transaction.bodies {
            Bodies::One(_, body) => body,
            Bodies::Spooled => {
                spooled = apply::read(desk, transaction.dot, number).await?;
                &spooled
            }
        };
        let part = TransactionPart::decode(body)
            .map_err(|_| TablesError::Malformed { what: "transaction" })?;
        for section in &part.sections {
            let table = desk.state.catalog.tables.get(&section.table);
            let hash = |key: &[SqlValue]| match table {
                Some(table) => key::hash(table, key),
                None => key::hash_of(&key::encode_values(key)),
            };
            rows.extend(section.changes.iter().map(|change| (section.table, hash(change.key()))));
        }
        number += 1;
        if part.is_last {
            return Ok(rows);
        }
    }
}

/// A transaction that is kept aside, writes one of the same rows, and was known to the maker of this one.
/// `until` bounds which are asked: those that came before it.
pub(crate) async fn is_behind(
    desk: &mut Desk,
    transaction: &Transaction,
    context: &VersionVector,
    until: Option<i64>,
) -> Result<Option<Dot>, TablesError> {
    if !desk.state.vector.holes().iter().any(|hole| context.knows(hole)) {
        return Ok(None);
    }
    let rows = rows_of(desk, transaction).await?;
    let mut by_table: Vec<(TableId, Vec<KeyHash>)> = Vec::new();
    for (table, hash) in rows {
        match by_table.last_mut().filter(|(last, _)| *last == table) {
            Some((_, hashes)) => hashes.push(hash),
            None => by_table.push((table, vec![hash])),
        }
    }
    for (table, hashes) in by_table {
        for portion in portions(&hashes, 1) {
            let sql = format!(
                "SELECT DISTINCT p.origin, p.sequence FROM mesh_parked_rows AS r \
                 JOIN mesh_parked AS p ON p.id = r.parked \
                 WHERE r.table_id = ? AND p.id < ? AND r.key IN ({})",
                listed(portion, |_| "?".to_owned())
            );
            let table = SqlValue::Blob(table.as_bytes().to_vec());
            let first = [table, SqlValue::Integer(until.unwrap_or(i64::MAX))];
            let hashes = portion.iter().map(|hash| SqlValue::Blob(hash.to_vec()));
            for row in fetch_all(&mut desk.conn, sql, first.into_iter().chain(hashes)).await? {
                let mut columns = Columns::of(&row);
                let origin = desk.state.origins.id(columns.int()?)?;
                let dot = Dot { origin, sequence: columns.count()? };
                if context.knows(&dot) {
                    return Ok(Some(dot));
                }
            }
        }
    }
    Ok(None)
}

/// A transaction to try again.
struct Waiting {
    id: i64,
    dot: Dot,
    is_accepted: bool,
    context: VersionVector,
}

/// Tries what is kept aside again. A table that appears may let others in, so until nothing moves.
pub(crate) async fn retry(desk: &mut Desk, batch: &mut Batch) -> Result<(), TablesError> {
    loop {
        let mut has_new_schema = false;
        let sql = "SELECT id, origin, sequence, accepted, context FROM mesh_parked ORDER BY id";
        for row in fetch_all(&mut desk.conn, sql, []).await? {
            let mut columns = Columns::of(&row);
            let id = columns.int()?;
            let origin = desk.state.origins.id(columns.int()?)?;
            let dot = Dot { origin, sequence: columns.count()? };
            let is_accepted = columns.flag()?;
            let context = decode_context(&columns.blob()?)?;
            let waiting = Waiting { id, dot, is_accepted, context };
            has_new_schema |= retry_one(desk, batch, waiting).await?;
        }
        if !has_new_schema {
            return Ok(());
        }
    }
}

/// Says whether it changed tables themselves.
async fn retry_one(
    desk: &mut Desk,
    batch: &mut Batch,
    waiting: Waiting,
) -> Result<bool, TablesError> {
    let Waiting { id, dot, is_accepted, mut context } = waiting;
    if batch.too_large.has(&dot) {
        return Ok(false);
    }
    let first = apply::read(desk, dot, 0).await?;
    let header = TransactionPart::decode(&first).ok().and_then(|part| part.header);
    let header = header.ok_or(TablesError::Malformed { what: "transaction" })?;
    if !is_accepted && accepted::is_doubted(desk, header.clock, batch.at).await? {
        return Ok(false);
    }
    for hole in &header.holes {
        context.add_hole(*hole);
    }
    let mut transaction = Transaction { dot, header, bodies: Bodies::Spooled };
    let outcome = match is_behind(desk, &transaction, &context, Some(id)).await? {
        Some(before) => {
            let detail = format!("{}:{}", before.origin, before.sequence);
            Err((ParkReason::BehindParked, detail))
        }
        None => apply::attempt(desk, batch, &mut transaction, &context).await?,
    };
    let Err((reason, detail)) = outcome else {
        for sql in [
            "DELETE FROM mesh_parked WHERE id = ?",
            "DELETE FROM mesh_parked_rows WHERE parked = ?",
        ] {
            execute(&mut desk.conn, sql, [SqlValue::Integer(id)]).await?;
        }
        Arc::make_mut(&mut desk.state.vector).fill_hole(&dot);
        batch.applied.applied.push(dot);
        return Ok(!transaction.header.schema.is_empty());
    };
    let sql = "UPDATE mesh_parked SET reason = ?2, detail = ?3 \
               WHERE id = ?1 AND (reason <> ?2 OR detail <> ?3)";
    let reason = SqlValue::Text(reason.as_str().to_owned());
    execute(&mut desk.conn, sql, [SqlValue::Integer(id), reason, SqlValue::Text(detail)]).await?;
    Ok(false)
}

/// The numbers alone: holes stand in the transaction's header.
fn encode_context(context: &VersionVector) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (origin, upto) in context.origins() {
        bytes.extend_from_slice(origin.as_bytes());
        bytes.extend_from_slice(&upto.to_le_bytes());
    }
    bytes
}

fn decode_context(bytes: &[u8]) -> Result<VersionVector, TablesError> {
    let mut context = VersionVector::default();
    let (entries, []) = bytes.as_chunks::<24>() else {
        return Err(TablesError::Malformed { what: "context" });
    };
    for entry in entries {
        let (origin, upto) = entry.split_at(16);
        let malformed = |_| TablesError::Malformed { what: "context" };
        let origin = OriginId::from_bytes(origin.try_into().map_err(malformed)?);
        context.advance(origin, u64::from_le_bytes(upto.try_into().map_err(malformed)?));
    }
    Ok(context)
}
