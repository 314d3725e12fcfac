//! Mends rows that differ although both sides have applied the same: a file was altered behind the triggers.

use std::collections::BTreeSet;

use mesh_protocol::{OriginId, PeerId, SnapshotChunk, SqlValue, UnixMillis, Version};

use super::join::{Planned, Purpose, Theirs, join_rows, refused};
use super::page::Range;
use super::take::clocks_of;
use crate::catalog::Table;
use crate::desk::Desk;
use crate::key::encode_values;
use crate::rows::{RowRead, read_values, set_applying};
use crate::sql::{Columns, fetch_all};
use crate::{Tables, TablesError, accepted, feed, seal};

impl Tables {
    /// Joins rows of ranges of key digests, `buckets`, of one table with those of `member`. Rows of equal
    /// versions and different values are mended: the database where the value was written is believed if it
    /// is one of the two, else the greater value. Says how many rows look different to readers now.
    ///
    /// Rows of which one side has applied more than the other are left alone: transactions bring that.
    ///
    /// # Errors
    /// [`TablesError::Refused`] while a snapshot is taken; [`TablesError`] otherwise.
    pub async fn repair_chunk(
        &self,
        member: PeerId,
        buckets: &[u16],
        chunk: SnapshotChunk,
        at: UnixMillis,
    ) -> Result<u64, TablesError> {
        let buckets = buckets.to_vec();
        self.transact(move |desk| Box::pin(repair(desk, member, buckets, chunk, at))).await
    }
}

async fn repair(
    desk: &mut Desk,
    member: PeerId,
    buckets: Vec<u16>,
    mut chunk: SnapshotChunk,
    at: UnixMillis,
) -> Result<u64, TablesError> {
    if desk.state.covered.len() > 0 {
        return Err(refused("the tables are being taken over from a member"));
    }
    seal::seal_if_dirty(desk, at).await?;
    let Some(from) = chunk.from.take() else { return Ok(0) };
    let catalog = std::sync::Arc::clone(&desk.state.catalog);
    let Some(table) = catalog.tables.get(&from.table) else { return Ok(0) };
    let upto = chunk.next.take().and_then(|next| next.after);
    let range = Range { after: from.after.as_deref(), upto: upto.as_deref() };
    // Amid the losers of the next row there is no range whose rows are all here.
    let is_range = chunk.is_table_end || upto.is_some() && upto != from.after;
    let range = is_range.then_some(range);
    let databases = databases_of(desk, member).await?;
    accepted::note(desk, clocks_of(&chunk).into_iter(), at).await?;
    let theirs = Theirs::of(&mut chunk);
    set_applying(&mut desk.conn, true).await?;
    let purpose = Purpose::Repair { buckets, databases };
    let repaired = join_rows(desk, table, theirs, range, purpose, at).await?;
    set_applying(&mut desk.conn, false).await?;
    if repaired > 0 {
        feed::note_resync(&mut desk.conn, &mut desk.state, table.no).await?;
    }
    Ok(repaired)
}

async fn databases_of(desk: &mut Desk, member: PeerId) -> Result<BTreeSet<OriginId>, TablesError> {
    let sql = "SELECT origin FROM mesh_origins WHERE member = ?";
    let member = SqlValue::Blob(member.as_bytes().to_vec());
    let rows = fetch_all(&mut desk.conn, sql, [member]).await?;
    let origin = |row| Ok(OriginId::from_bytes(Columns::of(row).array("origin")?));
    rows.iter().map(origin).collect()
}

/// Compares the values of columns whose versions are equal, and plans to write theirs where they are believed.
pub(super) async fn compare(
    desk: &mut Desk,
    table: &Table,
    row: &mut Planned,
    databases: &BTreeSet<OriginId>,
) -> Result<(), TablesError> {
    let Planned { planned, theirs: Some(theirs), is_whole: true } = row else { return Ok(()) };
    let before = planned.before.facts.version;
    if before != theirs.version || !before.is_some_and(|version| version.is_alive()) {
        return Ok(());
    }
    let every: Vec<u16> = planned.columns.clone();
    let ours = read_values(&mut desk.conn, table, &planned.key, &every).await?;
    if ours.is_empty() && !every.is_empty() {
        // The row itself was taken away: it is there anew.
        planned.plan.row = before;
        planned.plan.write = (0..every.len()).collect();
        planned.plan.cells_set = Vec::new();
        planned.before = RowRead::default();
        return Ok(());
    }
    for (index, ((our, their), no)) in ours.iter().zip(&planned.values).zip(&every).enumerate() {
        let own = planned.before.facts.cells.get(no).copied();
        let is_same = own == theirs.cells.get(no).copied();
        let Some(version) = own.or(before).filter(|_| is_same && our != their) else { continue };
        if believes_them(desk.state.me, databases, &version, our, their) {
            planned.plan.write.push(index);
        }
    }
    Ok(())
}

fn believes_them(
    me: OriginId,
    databases: &BTreeSet<OriginId>,
    version: &Version,
    ours: &SqlValue,
    theirs: &SqlValue,
) -> bool {
    if version.origin == me {
        return false;
    }
    let bytes = |value: &SqlValue| encode_values(std::slice::from_ref(value));
    databases.contains(&version.origin) || bytes(theirs) > bytes(ours)
}
