//! Puts changes together to parts of bounded size, and parts into the log.

use mesh_protocol::{
    CHANGES_PER_PART_MAX, DATA_PART_BYTES_MAX, DATA_PART_BYTES_TARGET, Dot, Listed, OriginId,
    RowChange, SECTIONS_PER_PART_MAX, Section, SqlValue, TransactionHeader, TransactionPart,
    UnixMillis, Version,
};

use crate::TablesError;
use crate::catalog::Table;
use crate::desk::Desk;
use crate::sql::{Columns, fetch_optional, number};

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
    header: Option<TransactionHeader>,
    part: u32,
    sections: Vec<Section>,
    bytes: usize,
}

impl Parts {
    pub(super) fn new(dot: Dot, header: TransactionHeader, at: UnixMillis) -> Self {
        let advanced = header.advanced.clone();
        let (header, sections) = (Some(header), Vec::new());
        Self { dot, unsent: 0, at, advanced, header, part: 0, sections, bytes: 0 }
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
        let part = self.take(false);
        let values = log_values(&part, desk.state.my_no, self.at)?;
        let row = fetch_optional(&mut desk.conn, LOG, values).await?;
        if let Some(row) = row {
            desk.state.log_head = Columns::of(&row).int()?;
        }
        Ok(())
    }

    /// The statement that writes the last part, with its seven values: those of the origin and the sequence
    /// are the second and the third. It returns the entry's number.
    pub(super) fn last(mut self, my_no: i64) -> Result<(&'static str, Vec<SqlValue>), TablesError> {
        let part = self.take(true);
        Ok((LOG, log_values(&part, my_no, self.at)?))
    }
}

fn log_values(
    part: &TransactionPart,
    my_no: i64,
    at: UnixMillis,
) -> Result<Vec<SqlValue>, TablesError> {
    let body = part.encode().map_err(|_| TablesError::Malformed { what: "transaction" })?;
    Ok(vec![
        SqlValue::Null,
        SqlValue::Integer(my_no),
        number(part.dot.sequence),
        SqlValue::Integer(i64::from(part.part)),
        SqlValue::Integer(i64::from(part.is_last)),
        number(at.0),
        SqlValue::Blob(body),
    ])
}

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
