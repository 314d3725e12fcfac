//! Takes in the state of another database, piece by piece.

use std::sync::Arc;

use mesh_protocol::{
    HybridClock, PeerId, SchemaChange, SnapshotChunk, SnapshotRequest, SqlValue, TableId,
    UnixMillis, VersionVector,
};

use super::complete::{self, add_contexts};
use super::covered::Part;
use super::join::{Purpose, Theirs, join_rows, refused};
use super::page::Range;
use super::place::Place;
use crate::desk::Desk;
use crate::rows::set_applying;
use crate::schema::{SchemaOutcome, apply_schema, reload};
use crate::sql::{Columns, execute, fetch_optional, number};
use crate::{Tables, TablesError, accepted, feed, seal};

/// Most views of others' states that are remembered.
const PARTS_MAX: usize = 4096;

/// What became of a piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What to ask for next; none when the snapshot is complete.
    pub next: Option<SnapshotRequest>,
    /// Whether it is.
    pub is_complete: bool,
    /// Rows in the piece.
    pub rows: u64,
    /// Rows that look different to readers from now on.
    pub changed: u64,
    /// Rows that were sent so far and rows in all, as the sender counts.
    pub progress: (u64, u64),
}

impl Tables {
    /// Begins to take in the state of `member`, or goes on with what was begun, from whomever: what came from
    /// several members counts for what all of them had applied. Says what to ask for.
    ///
    /// Until the last piece is in, transactions of others are not applied. Local writes go on.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be written.
    pub async fn begin_snapshot(&self, member: PeerId) -> Result<SnapshotRequest, TablesError> {
        self.transact(move |desk| Box::pin(begin(desk, member))).await
    }

    /// The snapshot that is being taken, also after a start: from whom, and what to ask for.
    ///
    /// # Errors
    /// [`TablesError`] when the database is closed.
    pub async fn snapshot_in_progress(
        &self,
    ) -> Result<Option<(PeerId, SnapshotRequest)>, TablesError> {
        self.transact(|desk| Box::pin(async move { Ok(desk.state.covered.request()) })).await
    }

    /// Nothing more comes from `member` for now. A snapshot of which nothing has come was not begun: whoever waits for
    /// one is not to keep others from taking theirs here.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be written.
    pub async fn pause_snapshot(&self, member: PeerId) -> Result<(), TablesError> {
        self.transact(move |desk| Box::pin(pause(desk, member))).await
    }

    /// Ends the snapshot that is being taken with what has come of it: nobody can give the rest. What this database has
    /// applied stays as it was; rows that came are ahead of that, as those of a later view are, and changes that
    /// they hold already pass them over. Without one nothing changes.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be written.
    pub async fn abandon_snapshot(&self, at: UnixMillis) -> Result<(), TablesError> {
        self.transact(move |desk| Box::pin(abandon(desk, at))).await
    }

    /// Takes in a piece. Its rows are joined with those that are here, so nothing that was written here
    /// and is not known there is lost.
    ///
    /// # Errors
    /// [`TablesError::Refused`] when it is not the piece that was asked for, or holds a table that cannot be
    /// here; [`TablesError`] otherwise. Nothing of it was taken then.
    pub async fn take_chunk(
        &self,
        member: PeerId,
        chunk: SnapshotChunk,
        at: UnixMillis,
    ) -> Result<Taken, TablesError> {
        self.transact(move |desk| Box::pin(take(desk, member, chunk, at))).await
    }
}

async fn begin(desk: &mut Desk, member: PeerId) -> Result<SnapshotRequest, TablesError> {
    let Desk { conn, state, .. } = desk;
    let covered = Arc::make_mut(&mut state.covered);
    if covered.len() >= PARTS_MAX {
        // What is left of snapshots before this one: it brings their rows anew.
        covered.forget(conn, |part| part.is_done).await?;
    }
    let part = match covered.current() {
        Some(part) if part.member == member => None,
        Some(part) if part.is_empty() => {
            Some(Part { no: part.no, ..Part::begin(0, member, part.begins.clone()) })
        }
        Some(part) => Some(Part::begin(part.no + 1, member, part.next.clone())),
        None => Some(Part::begin(covered.next_no(), member, Place::Start)),
    };
    if let Some(part) = part {
        covered.put(conn, part).await?;
    }
    state.in_snapshot = true;
    let request = covered.request().map(|(_, request)| request);
    request.ok_or(TablesError::Malformed { what: "snapshot" })
}

async fn pause(desk: &mut Desk, member: PeerId) -> Result<(), TablesError> {
    let Desk { conn, state, .. } = desk;
    let covered = Arc::make_mut(&mut state.covered);
    if !covered.in_progress() {
        covered.forget(conn, |part| !part.is_done && part.member == member).await?;
    }
    state.in_snapshot = covered.current().is_some();
    Ok(())
}

async fn abandon(desk: &mut Desk, at: UnixMillis) -> Result<(), TablesError> {
    // What was captured until now was made without knowing what comes from here on.
    seal::seal_if_dirty(desk, at).await?;
    complete::end(desk).await?;
    complete::retry_parked(desk, at).await
}

async fn take(
    desk: &mut Desk,
    member: PeerId,
    mut chunk: SnapshotChunk,
    at: UnixMillis,
) -> Result<Taken, TablesError> {
    // What was captured until now was made without knowing any of this.
    seal::seal_if_dirty(desk, at).await?;
    let mut part = part_of(desk, member, &chunk).await?;
    check_place(desk, &part.next, &chunk)?;
    set_applying(&mut desk.conn, true).await?;
    take_schema(desk, std::mem::take(&mut chunk.schema)).await?;
    add_contexts(desk, part.no, std::mem::take(&mut chunk.contexts)).await?;
    take_coverage(desk, &chunk).await?;
    see_clocks(desk, &chunk, at).await?;
    let rows = chunk.rows.len() as u64;
    let table = chunk.from.as_ref().and_then(|from| desk.state.catalog.tables.get(&from.table));
    let table_no = table.map(|table| table.no);
    let changed = take_rows(desk, &mut chunk, at).await?;
    part.next = Place::next(chunk.next.take());
    let is_complete = part.next == Place::End;
    if chunk.is_table_end
        && let Some(no) = table_no
    {
        // Whoever watches the table finds out once that it has to be read anew.
        feed::note_resync(&mut desk.conn, &mut desk.state, no).await?;
    }
    let Desk { conn, state, .. } = &mut *desk;
    let covered = Arc::make_mut(&mut state.covered);
    covered.put(conn, part).await?;
    let next = covered.request().map(|(_, request)| request).filter(|_| !is_complete);
    if is_complete {
        complete::complete(desk).await?;
    }
    set_applying(&mut desk.conn, false).await?;
    if is_complete {
        complete::retry_parked(desk, at).await?;
    }
    Ok(Taken { next, is_complete, rows, changed, progress: chunk.progress })
}

/// The view that the piece was read from, noted if it is a new one.
async fn part_of(
    desk: &mut Desk,
    member: PeerId,
    chunk: &SnapshotChunk,
) -> Result<Part, TablesError> {
    let Desk { conn, state, .. } = desk;
    let covered = Arc::make_mut(&mut state.covered);
    let current = covered.current().cloned();
    let current = current.ok_or_else(|| refused("no snapshot is being taken"))?;
    if current.member != member || chunk.session == 0 {
        return Err(refused("this piece of a snapshot was not asked for"));
    }
    if chunk.session == current.session {
        return if chunk.have == current.have {
            Ok(Part::clone(&current))
        } else {
            Err(refused("a view of a snapshot has changed"))
        };
    }
    let mut part = Part::clone(&current);
    // A quiet member's views are all the same one.
    if !current.is_empty() && current.have != chunk.have {
        if covered.len() >= PARTS_MAX {
            return Err(refused("a snapshot comes from too many views"));
        }
        part = Part::begin(current.no + 1, member, current.next.clone());
    }
    part.session = chunk.session;
    part.have.clone_from(&chunk.have);
    part.known = VersionVector::of(&chunk.have);
    covered.put(conn, part.clone()).await?;
    let sql = "UPDATE mesh_snapshot SET contexts = x'' WHERE no = ?";
    execute(conn, sql, [SqlValue::Integer(part.no)]).await?;
    Ok(part)
}

/// Checks that the piece begins where the one before ended, and leads further.
fn check_place(desk: &Desk, expected: &Place, chunk: &SnapshotChunk) -> Result<(), TablesError> {
    let elsewhere = || refused("a piece of a snapshot begins in another place");
    let begins = match (&chunk.from, &chunk.next) {
        (Some(from), _) => from,
        // Only what comes before the rows, or nothing at all.
        (None, Some(next)) => next,
        (None, None) => return Ok(()),
    };
    let is_behind = match expected {
        Place::Start => begins.after.is_none(),
        // A table that is gone was passed over.
        Place::At(place) if begins.table > place.table => begins.after.is_none(),
        Place::At(place) => begins.table == place.table && begins.after == place.after,
        Place::End => false,
    };
    if !is_behind {
        return Err(elsewhere());
    }
    let Some(next) = &chunk.next else { return Ok(()) };
    let sent = match expected {
        Place::At(place) => place.sent,
        Place::Start | Place::End => 0,
    };
    let is_same = next.table == begins.table && next.after == begins.after;
    let is_further = match (&next.after, desk.state.catalog.tables.get(&next.table)) {
        _ if is_same => next.sent > sent || !chunk.schema.is_empty() || !chunk.contexts.is_empty(),
        (Some(key), Some(table)) if next.table == begins.table => {
            Place::At(begins.clone()).is_before(table, key)
        }
        (Some(_), None) if next.table == begins.table => true,
        (Some(_), _) => false,
        (None, _) => next.table > begins.table,
    };
    if is_further { Ok(()) } else { Err(refused("a piece of a snapshot leads nowhere")) }
}

/// Tables, columns and indexes. What has to wait for a table that is not live here is left out: such a
/// table's rows are passed over as well.
async fn take_schema(
    desk: &mut Desk,
    schema: Vec<(mesh_protocol::Version, SchemaChange)>,
) -> Result<(), TablesError> {
    for (version, change) in schema {
        match apply_schema(desk, &change, version).await? {
            SchemaOutcome::Applied | SchemaOutcome::Same | SchemaOutcome::UnknownTable { .. } => {}
            SchemaOutcome::SetAside { table } => {
                tracing::warn!(%table, "another definition of this table was made earlier");
            }
            SchemaOutcome::Impossible { detail } => {
                return Err(TablesError::Refused { reason: detail });
            }
        }
    }
    Ok(())
}

async fn take_coverage(desk: &mut Desk, chunk: &SnapshotChunk) -> Result<(), TablesError> {
    const SQL: &str = "INSERT INTO mesh_coverage (table_no, column, origin, sequence) \
                       VALUES (?, ?, ?, ?) \
                       ON CONFLICT DO UPDATE SET sequence = min(sequence, excluded.sequence)";
    for coverage in &chunk.coverage {
        let origin = desk.state.origin_no(&mut desk.conn, coverage.from.origin).await?;
        let Some(table) = desk.state.catalog.tables.get(&coverage.table) else { continue };
        let mut columns = table.columns.iter();
        let column = columns.find(|column| column.name.eq_ignore_ascii_case(&coverage.column));
        let Some(column) = column else { continue };
        let values = [
            SqlValue::Integer(table.no),
            SqlValue::Integer(column.no.into()),
            SqlValue::Integer(origin),
            number(coverage.from.sequence),
        ];
        execute(&mut desk.conn, SQL, values).await?;
    }
    if chunk.coverage.is_empty() { Ok(()) } else { reload(desk).await }
}

/// The clocks of everything in a piece.
pub(super) fn clocks_of(chunk: &SnapshotChunk) -> Vec<HybridClock> {
    let rows = chunk.rows.iter().flat_map(|row| {
        std::iter::once(row.version.clock).chain(row.cells.iter().map(|cell| cell.version.clock))
    });
    rows.chain(chunk.losers.iter().map(|loser| loser.version.clock)).collect()
}

/// Raises the clock, so that local writes come after what they overwrite. Clocks too far ahead are not
/// believed.
async fn see_clocks(
    desk: &mut Desk,
    chunk: &SnapshotChunk,
    at: UnixMillis,
) -> Result<(), TablesError> {
    let clocks = clocks_of(chunk);
    accepted::note(desk, clocks.iter().copied(), at).await?;
    let latest = clocks.into_iter().filter(|clock| !desk.is_ahead(*clock, at)).max();
    let latest = latest.unwrap_or(HybridClock(0));
    let sql = "UPDATE mesh_state SET clock = ?1 WHERE id = 1 AND clock < ?1";
    execute(&mut desk.conn, sql, [number(latest.0)]).await.map(drop)
}

async fn take_rows(
    desk: &mut Desk,
    chunk: &mut SnapshotChunk,
    at: UnixMillis,
) -> Result<u64, TablesError> {
    let Some(from) = chunk.from.take() else { return Ok(0) };
    let catalog = Arc::clone(&desk.state.catalog);
    let Some(table) = catalog.tables.get(&from.table) else {
        return if is_not_live(desk, from.table).await? {
            Ok(0)
        } else {
            Err(refused("a snapshot has rows of a table that it did not name"))
        };
    };
    let next = chunk.next.as_ref().filter(|next| next.table == from.table);
    let upto = next.and_then(|next| next.after.clone());
    // Amid what comes before the next row there is no range whose rows are all here.
    let is_range = chunk.is_table_end || upto.is_some() && upto != from.after;
    let upto = upto.filter(|_| !chunk.is_table_end);
    let range = Range { after: from.after.as_deref(), upto: upto.as_deref() };
    let behind = Range { after: from.after.as_deref(), upto: upto.as_deref().filter(|_| is_range) };
    let keys = chunk.rows.iter().map(|row| &row.key);
    let mut keys = keys.chain(chunk.losers.iter().map(|loser| &loser.key));
    if !keys.all(|key| key.len() == table.key.len() && behind.holds(table, key)) {
        return Err(refused("a piece of a snapshot has rows of another range"));
    }
    let theirs = Theirs::of(chunk);
    join_rows(desk, table, theirs, is_range.then_some(range), Purpose::Take, at).await
}

/// Whether a table is known and has no rows here: it was dropped, or another one of its name is older.
/// Whoever has its rows keeps them aside, or will.
async fn is_not_live(desk: &mut Desk, table: TableId) -> Result<bool, TablesError> {
    let sql = "SELECT state <> 'live' FROM mesh_tables WHERE table_id = ?";
    let id = SqlValue::Blob(table.as_bytes().to_vec());
    let row = fetch_optional(&mut desk.conn, sql, [id]).await?;
    row.map_or(Ok(false), |row| Columns::of(&row).flag())
}
