//! Transactions that come in parts wait here for their last one.

use mesh_protocol::{Dot, Readiness, SqlValue, TransactionPart};

use super::{Batch, Bodies, Transaction, report_missing};
use crate::TablesError;
use crate::desk::Desk;
use crate::sql::{Columns, execute, fetch_all, fetch_optional, number};

/// What a part takes besides its body.
const PART_BYTES: u64 = 64;

/// Keeps a part. Returns the transaction when it is whole.
pub(super) async fn add(
    desk: &mut Desk,
    batch: &mut Batch,
    part: TransactionPart,
    body: Vec<u8>,
) -> Result<Option<Transaction>, TablesError> {
    let dot = part.dot;
    // One transaction of an origin at a time: those before it must have been taken.
    let is_next = dot.sequence == desk.state.vector.upto(&dot.origin) + 1;
    let readiness = (part.header.as_ref())
        .map(|header| desk.rules.admit(&desk.state.vector, dot, header, batch.at));
    if !is_next || readiness == Some(Readiness::Missing) {
        report_missing(desk, batch, dot, part.header.as_ref());
        return Ok(None);
    }
    desk.state.origin_no(&mut desk.conn, dot.origin).await?;
    let is_behind_last = is_behind_last(desk, &part).await?;
    if is_behind_last || !keep(desk, dot, part.part, part.is_last, body).await? {
        drop_parts(desk, dot).await?;
        batch.applied.refused.push(dot);
        return Ok(None);
    }
    if !is_whole(desk, dot).await? {
        batch.applied.spooled += 1;
        return Ok(None);
    }
    let first = read(desk, dot, 0).await?;
    let header = TransactionPart::decode(&first).ok().and_then(|part| part.header);
    let header = header.ok_or(TablesError::Malformed { what: "transaction" })?;
    Ok(Some(Transaction { dot, header, bodies: Bodies::Spooled }))
}

/// Writes a part, unless it is there. Says no when there is no room.
pub(crate) async fn keep(
    desk: &mut Desk,
    dot: Dot,
    part: u32,
    is_last: bool,
    body: Vec<u8>,
) -> Result<bool, TablesError> {
    let bytes = body.len() as u64 + PART_BYTES;
    if desk.state.spool_bytes + bytes > desk.config.spool_bytes_max {
        return Ok(false);
    }
    let [origin, sequence] = named(desk, dot)?;
    let sql = "INSERT OR IGNORE INTO mesh_spool (origin, sequence, part, is_last, body) \
               VALUES (?, ?, ?, ?, ?)";
    let (part, is_last) = (SqlValue::Integer(part.into()), SqlValue::Integer(is_last.into()));
    let values = [origin, sequence, part, is_last, SqlValue::Blob(body)];
    if execute(&mut desk.conn, sql, values).await? > 0 {
        desk.state.spool_bytes += bytes;
    }
    Ok(true)
}

fn named(desk: &Desk, dot: Dot) -> Result<[SqlValue; 2], TablesError> {
    let no = desk.state.origins.no(&dot.origin).ok_or(TablesError::Malformed { what: "origin" })?;
    Ok([SqlValue::Integer(no), number(dot.sequence)])
}

/// Whether a part comes behind one that says it is the last, or says so of itself with others behind it.
async fn is_behind_last(desk: &mut Desk, part: &TransactionPart) -> Result<bool, TablesError> {
    let sql = "SELECT 1 FROM mesh_spool WHERE origin = ?1 AND sequence = ?2 \
               AND ((is_last AND part < ?3) OR (?4 AND part > ?3)) LIMIT 1";
    let [origin, sequence] = named(desk, part.dot)?;
    let (no, is_last) =
        (SqlValue::Integer(part.part.into()), SqlValue::Integer(part.is_last.into()));
    let row = fetch_optional(&mut desk.conn, sql, [origin, sequence, no, is_last]).await?;
    Ok(row.is_some())
}

async fn is_whole(desk: &mut Desk, dot: Dot) -> Result<bool, TablesError> {
    let last = "SELECT part, is_last FROM mesh_spool WHERE origin = ? AND sequence = ? \
                ORDER BY part DESC LIMIT 1";
    let values = named(desk, dot)?;
    let Some(row) = fetch_optional(&mut desk.conn, last, values.clone()).await? else {
        return Ok(false);
    };
    let mut columns = Columns::of(&row);
    let (part, is_last) = (columns.count()?, columns.flag()?);
    if !is_last {
        return Ok(false);
    }
    let count = "SELECT count(*) FROM mesh_spool WHERE origin = ? AND sequence = ?";
    let rows = fetch_all(&mut desk.conn, count, values).await?;
    let count = rows.first().map_or(Ok(0), |row| Columns::of(row).count())?;
    Ok(count == part + 1)
}

/// The body of a part.
pub(crate) async fn read(desk: &mut Desk, dot: Dot, part: u32) -> Result<Vec<u8>, TablesError> {
    let sql = "SELECT body FROM mesh_spool WHERE origin = ? AND sequence = ? AND part = ?";
    let [origin, sequence] = named(desk, dot)?;
    let values = [origin, sequence, SqlValue::Integer(part.into())];
    let row = fetch_optional(&mut desk.conn, sql, values).await?;
    row.map_or(Err(TablesError::Malformed { what: "transaction" }), |row| Columns::of(&row).blob())
}

/// Forgets the parts of a transaction.
pub(crate) async fn drop_parts(desk: &mut Desk, dot: Dot) -> Result<(), TablesError> {
    // Whoever is not known by a number has no parts here.
    let Ok([origin, sequence]) = named(desk, dot) else { return Ok(()) };
    if desk.state.spool_bytes == 0 {
        return Ok(());
    }
    let sql = "SELECT count(*) * ?3 + coalesce(sum(length(body)), 0) FROM mesh_spool \
               WHERE origin = ?1 AND sequence = ?2";
    let values = [origin.clone(), sequence.clone(), number(PART_BYTES)];
    let rows = fetch_all(&mut desk.conn, sql, values).await?;
    let bytes = rows.first().map_or(Ok(0), |row| Columns::of(row).count())?;
    if bytes > 0 {
        let sql = "DELETE FROM mesh_spool WHERE origin = ? AND sequence = ?";
        execute(&mut desk.conn, sql, [origin, sequence]).await?;
        desk.state.spool_bytes = desk.state.spool_bytes.saturating_sub(bytes);
    }
    Ok(())
}

/// How much lies in the spool.
pub(crate) const BYTES_SQL: &str =
    "SELECT count(*) * 64 + coalesce(sum(length(body)), 0) FROM mesh_spool";

/// Forgets parts of transactions that were taken from elsewhere, such as a snapshot.
pub(crate) async fn forget_passed(desk: &mut Desk) -> Result<(), TablesError> {
    if desk.state.spool_bytes == 0 {
        return Ok(());
    }
    let sql = "SELECT DISTINCT s.origin, s.sequence FROM mesh_spool AS s \
               JOIN mesh_vector AS v ON v.origin = s.origin AND v.upto >= s.sequence \
               WHERE NOT EXISTS (SELECT 1 FROM mesh_parked AS p \
                                 WHERE p.origin = s.origin AND p.sequence = s.sequence)";
    for row in fetch_all(&mut desk.conn, sql, []).await? {
        let mut columns = Columns::of(&row);
        let origin = desk.state.origins.id(columns.int()?)?;
        drop_parts(desk, Dot { origin, sequence: columns.count()? }).await?;
    }
    Ok(())
}
