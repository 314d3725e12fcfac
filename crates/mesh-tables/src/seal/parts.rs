//! Puts changes together to parts of bounded size, and parts into the log.

use mesh_protocol::{
    CHANGES_PER_PART_MAX, DATA_PART_BYTES_MAX, DATA_PART_BYTES_TARGET, Dot, HybridClock, Listed,
    OriginId, RowChange, SECTIONS_PER_PART_MAX, Section, SqlValue, TableId, TransactionHeader,
    TransactionPart, UnixMillis, Version,
};

use super::latest;
use super::unsent::{Unsent, note_unsent};
use crate::catalog::Table;
use crate::desk::{Desk, Last};
use crate::recent::{NewEntry, tables_of};
use crate::sql::number;
use crate::{TablesError, accepted};

/// What a part takes beside its rows and the names of their columns.
const FRAME_BYTES: usize = 16 << 10;

/// Upper bound of one [`Listed`].
const LISTED_BYTES: usize = 56;

/// A header of more than this goes in a part of its own.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// An entry of the log.
const LOG: &str = "INSERT INTO mesh_log (origin, sequence, part, is_last, at, body, effect) \
                   VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?1) RETURNING id";

/// A transaction that is being put together. At most one part of it is in memory.
pub(super) struct Parts {
    pub(super) dot: Dot,
    pub(super) unsent: usize,
    pub(super) at: UnixMillis,
    /// What its header says of others.
    pub(super) advanced: Vec<(OriginId, u64)>,
    /// The latest in it so far: what replaces an accepted clock that was ahead is ahead as well.
    clock: HybridClock,
    header: Option<TransactionHeader>,
    part: u32,
    sections: Vec<Section>,
    bytes: usize,
}

impl Parts {
    pub(super) fn new(dot: Dot, header: TransactionHeader, at: UnixMillis) -> Self {
        let (advanced, clock) = (header.advanced.clone(), header.clock);
        let (header, sections) = (Some(header), Vec::new());
        Self { dot, unsent: 0, at, advanced, clock, header, part: 0, sections, bytes: 0 }
    }

    /// Whether it has no changes of rows.
    pub(super) const fn is_empty(&self) -> bool {
        self.part == 0 && self.sections.is_empty()
    }

    /// Largest change of a row of `table` that fits a part.
    pub(super) fn row_bytes_max(table: &Table) -> usize {
        DATA_PART_BYTES_MAX.saturating_sub(FRAME_BYTES).saturating_sub(names_bytes(table))
    }

    /// Whether a change with so many [`Listed`] can travel at all.
    pub(super) fn fits(table: &Table, change: &RowChange, listed: usize) -> bool {
        change.bytes() + listed * LISTED_BYTES <= Self::row_bytes_max(table)
    }

    /// Adds a change; what does not fit beside it is written to the log before.
    pub(super) async fn add(
        &mut self,
        desk: &mut Desk,
        table: &Table,
        change: RowChange,
        listed: &[(u16, Version)],
    ) -> Result<(), TablesError> {
        let bytes = change.bytes() + listed.len() * LISTED_BYTES;
        if !self.has_room(table, bytes, listed.len()) {
            self.write(desk).await?;
        }
        if self.header.is_some()
            && change.clock() > self.clock
            && accepted::has(desk, change.clock()).await?
        {
            self.clock = change.clock();
        }
        if self.sections.last().is_none_or(|section| section.table != table.id) {
            self.bytes += names_bytes(table);
            self.sections.push(Section {
                table: table.id,
                columns: table.columns.iter().map(|column| column.name.clone()).collect(),
                changes: Vec::new(),
                listed: Vec::new(),
            });
        }
        if let Some(section) = self.sections.last_mut() {
            let number = u32::try_from(section.changes.len()).unwrap_or(u32::MAX);
            section.changes.push(change);
            section.listed.extend(listed.iter().map(|&(column, version)| Listed {
                change: number,
                column,
                version,
            }));
            self.bytes += bytes;
        }
        Ok(())
    }

    fn has_room(&self, table: &Table, bytes: usize, listed: usize) -> bool {
        let header = self.header.as_ref().map_or(0, header_bytes);
        if self.sections.is_empty() {
            return header <= HEADER_BYTES_MAX;
        }
        let same = self.sections.last().filter(|section| section.table == table.id);
        let is_countable = same.map_or(self.sections.len() < SECTIONS_PER_PART_MAX, |section| {
            section.changes.len() < CHANGES_PER_PART_MAX
                && section.listed.len() + listed <= CHANGES_PER_PART_MAX
        });
        is_countable && self.bytes + bytes <= DATA_PART_BYTES_TARGET
    }

    fn take(&mut self, is_last: bool) -> TransactionPart {
        if let Some(header) = &mut self.header {
            header.clock = self.clock;
        }
        let part = TransactionPart {
            dot: self.dot,
            part: self.part,
            is_last,
            header: self.header.take(),
            sections: std::mem::take(&mut self.sections),
        };
        self.part += 1;
        self.bytes = 0;
        part
    }

    /// Writes what there is as a part that is not the last one.
    async fn write(&mut self, desk: &mut Desk) -> Result<(), TablesError> {
        if self.header.is_some() {
            self.clock = latest(desk).await?.max(self.clock);
        }
        let last = self.entry(desk, false).await?;
        desk.write(last).await
    }

    /// The statement that writes the last part, with its seven values: those of the origin and the sequence
    /// are the second and the third.
    pub(super) async fn last(&mut self, desk: &mut Desk) -> Result<Last, TablesError> {
        self.entry(desk, true).await
    }

    async fn entry(&mut self, desk: &mut Desk, is_last: bool) -> Result<Last, TablesError> {
        let mut part = self.take(is_last);
        let (body, left_out) = encode(&mut part, self.clock)?;
        for (id, key) in left_out {
            self.unsent += 1;
            let Some(table) = desk.state.catalog.tables.get(&id).cloned() else { continue };
            note_unsent(desk, &table, &key, Unsent::Malformed, self.at).await?;
        }
        let tables = tables_of(&part.sections);
        let entry = NewEntry { dot: part.dot, is_last, body: body.clone(), tables };
        let values = vec![
            SqlValue::Null,
            SqlValue::Integer(desk.state.my_no),
            number(part.dot.sequence),
            SqlValue::Integer(i64::from(part.part)),
            SqlValue::Integer(i64::from(part.is_last)),
            number(self.at.0),
            SqlValue::Blob(body),
        ];
        Ok(Last { sql: LOG.to_owned(), values, entries: vec![entry] })
    }
}

/// The form of a part. Rows that have none are taken out of it: whatever another program did to one row, the
/// others travel.
fn encode(part: &mut TransactionPart, clock: HybridClock) -> Result<EncodedPart, TablesError> {
    if let Ok(body) = part.encode() {
        return Ok((body, Vec::new()));
    }
    let mut left_out = Vec::new();
    for section in &mut part.sections {
        let changes = std::mem::take(&mut section.changes);
        let mut listed = std::mem::take(&mut section.listed).into_iter().peekable();
        for (change, number) in changes.into_iter().zip(0_u32..) {
            let mut of_change = Vec::new();
            while let Some(one) = listed.next_if(|one| one.change == number) {
                of_change.push(Listed { change: 0, ..one });
            }
            let (key, columns) = (change.key().clone(), section.columns.clone());
            let changes = vec![change];
            let alone = Section { table: section.table, columns, changes, listed: of_change };
            let header = Some(TransactionHeader { clock, ..TransactionHeader::default() });
            let (dot, sections) = (part.dot, vec![alone]);
            let alone = TransactionPart { dot, part: 0, is_last: true, header, sections };
            if alone.encode().is_err() {
                left_out.push((section.table, key));
                continue;
            }
            let place = u32::try_from(section.changes.len()).unwrap_or(u32::MAX);
            for alone in alone.sections {
                section.changes.extend(alone.changes);
                let moved = alone.listed.into_iter().map(|one| Listed { change: place, ..one });
                section.listed.extend(moved);
            }
        }
    }
    part.sections.retain(|section| !section.changes.is_empty());
    let body = part.encode().map_err(|_| TablesError::Malformed { what: "transaction" })?;
    Ok((body, left_out))
}

/// Encoded part, and keys of the rows that are not in it.
type EncodedPart = (Vec<u8>, Vec<(TableId, Vec<SqlValue>)>);

fn names_bytes(table: &Table) -> usize {
    table.columns.iter().map(|column| column.name.len() + 6).sum::<usize>() + 32
}

/// Upper bound of an encoded header.
fn header_bytes(header: &TransactionHeader) -> usize {
    use mesh_protocol::SchemaChange;
    let schema = header.schema.iter().map(|change| match change {
        SchemaChange::CreateTable { name, sql, .. } => name.len() + sql.len(),
        SchemaChange::AddColumn { column, definition, .. } => column.len() + definition.len(),
        SchemaChange::CreateIndex { name, sql, .. } => name.len() + sql.len(),
        SchemaChange::DropTable { name, .. } => name.len(),
    });
    let schema: usize = schema.map(|bytes| bytes + 64).sum();
    let resolved = header.resolved.iter().map(|resolved| {
        let key: usize = resolved.key.iter().map(SqlValue::bytes).sum();
        key + resolved.column.as_ref().map_or(0, String::len) + 96
    });
    let resolved: usize = resolved.sum();
    schema + resolved + (header.advanced.len() + header.holes.len()) * 32 + 16
}
