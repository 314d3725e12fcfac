//! What a member has to know before it can take in rows: the tables, what had been applied where, and which
//! columns whole rows cover.

use mesh_protocol::{Coverage, Dot, HybridClock, OriginContext, SchemaChange, TableId, Version};
use sqlx::SqliteConnection;

use crate::sql::{Columns, fetch_all};
use crate::state::{Origins, State};
use crate::{TablesError, parked};

/// More of it goes to the next piece.
const PREAMBLE_BYTES_MAX: usize = 1 << 20;

/// Everything that the first pieces of a session carry, in the order in which they do.
#[derive(Debug, Default)]
pub(super) struct Preamble {
    schema: Vec<(Version, SchemaChange)>,
    contexts: Vec<OriginContext>,
    coverage: Vec<Coverage>,
}

/// As much of it as one piece holds.
#[derive(Debug, Default)]
pub(super) struct Portion {
    pub(super) schema: Vec<(Version, SchemaChange)>,
    pub(super) contexts: Vec<OriginContext>,
    pub(super) coverage: Vec<Coverage>,
    pub(super) bytes: usize,
    /// How much was sent with it.
    pub(super) sent: usize,
}

impl Preamble {
    pub(super) async fn read(
        conn: &mut SqliteConnection,
        state: &State,
    ) -> Result<Self, TablesError> {
        Ok(Self {
            schema: read_schema(conn, &state.origins).await?,
            contexts: read_contexts(conn, state).await?,
            coverage: read_coverage(state)?,
        })
    }

    pub(super) const fn len(&self) -> usize {
        self.schema.len() + self.contexts.len() + self.coverage.len()
    }

    /// What comes behind the first `sent`.
    pub(super) fn portion(&self, sent: usize) -> Portion {
        let mut portion = Portion { sent, ..Portion::default() };
        let mut skip = sent;
        let mut is_full = false;
        let mut fits = |portion: &mut Portion, bytes: usize| {
            if skip > 0 {
                skip -= 1;
                return false;
            }
            is_full = is_full || portion.bytes + bytes > PREAMBLE_BYTES_MAX && portion.bytes > 0;
            if !is_full {
                portion.bytes += bytes;
                portion.sent += 1;
            }
            !is_full
        };
        for item in &self.schema {
            if fits(&mut portion, schema_bytes(&item.1)) {
                portion.schema.push(item.clone());
            }
        }
        for item in &self.contexts {
            if fits(&mut portion, 48) {
                portion.contexts.push(item.clone());
            }
        }
        for item in &self.coverage {
            if fits(&mut portion, 64 + item.column.len()) {
                portion.coverage.push(item.clone());
            }
        }
        portion
    }
}

const fn schema_bytes(change: &SchemaChange) -> usize {
    let text = match change {
        SchemaChange::CreateTable { table: _, name, sql, replaces: _ }
        | SchemaChange::CreateIndex { table: _, name, sql } => name.len() + sql.len(),
        SchemaChange::AddColumn { table: _, column, definition } => column.len() + definition.len(),
        SchemaChange::DropTable { table: _, name } => name.len(),
    };
    text + 128
}

/// Whoever takes this counts nothing of an origin as had from the first transaction on that is kept aside here: for such
/// an origin each pair stands twice, first as of that one. What comes behind it may have known more.
async fn read_contexts(
    conn: &mut SqliteConnection,
    state: &State,
) -> Result<Vec<OriginContext>, TablesError> {
    let aside = parked::first_contexts(conn, &state.origins).await?;
    let mut contexts = Vec::new();
    for (origin, others) in state.contexts.iter() {
        let origin = *origin;
        for (other, upto) in others.origins() {
            if let Some(first) = aside.get(&origin) {
                contexts.push(OriginContext { origin, other, upto: first.upto(&other) });
            }
            contexts.push(OriginContext { origin, other, upto });
        }
    }
    Ok(contexts)
}

fn read_coverage(state: &State) -> Result<Vec<Coverage>, TablesError> {
    let mut coverage = Vec::new();
    for table in state.catalog.tables.values() {
        for column in &table.columns {
            for (origin, sequence) in table.coverage.get(&column.no).into_iter().flatten() {
                let from = Dot { origin: state.origins.id(*origin)?, sequence: *sequence };
                let column = column.name.clone();
                coverage.push(Coverage { table: table.id, column, from });
            }
        }
    }
    Ok(coverage)
}

/// Tables before what belongs to them. Those that are set aside stay where they are: they go by another
/// name, and no change of anybody's comes to them any more.
async fn read_schema(
    conn: &mut SqliteConnection,
    origins: &Origins,
) -> Result<Vec<(Version, SchemaChange)>, TablesError> {
    const TABLES: &str = "SELECT clock, origin, sequence, table_id, name, sql, replaces, state \
                          FROM mesh_tables WHERE state IN ('live', 'dropped') ORDER BY no";
    const COLUMNS: &str = "SELECT c.clock, c.origin, c.sequence, t.table_id, c.name, c.definition \
                           FROM mesh_columns c JOIN mesh_tables t ON t.no = c.table_no \
                           WHERE t.state = 'live' AND c.definition IS NOT NULL \
                           ORDER BY c.table_no, c.no";
    const INDEXES: &str = "SELECT i.clock, i.origin, i.sequence, t.table_id, i.name, i.sql \
                           FROM mesh_indexes i JOIN mesh_tables t ON t.no = i.table_no \
                           WHERE t.state = 'live' ORDER BY i.table_no, i.name";
    let mut schema = Vec::new();
    for row in fetch_all(conn, TABLES, []).await? {
        let mut row = Columns::of(&row);
        let (version, table) = read_head(&mut row, origins)?;
        let (name, sql, replaces) = (row.text()?, row.text()?, row.blob_or_none()?);
        let replaces = replaces.map(<[u8; 16]>::try_from).transpose();
        let replaces = replaces.map_err(|_| TablesError::Malformed { what: "table" })?;
        let replaces = replaces.map(TableId::from_bytes);
        let is_dropped = row.text()? == "dropped";
        let create = SchemaChange::CreateTable { table, name: name.clone(), sql, replaces };
        schema.push((version, create));
        // Tables of the same name that come later follow one that is known to be dropped.
        if is_dropped {
            schema.push((version, SchemaChange::DropTable { table, name }));
        }
    }
    for row in fetch_all(conn, COLUMNS, []).await? {
        let mut row = Columns::of(&row);
        let (version, table) = read_head(&mut row, origins)?;
        let (column, definition) = (row.text()?, row.text()?);
        schema.push((version, SchemaChange::AddColumn { table, column, definition }));
    }
    for row in fetch_all(conn, INDEXES, []).await? {
        let mut row = Columns::of(&row);
        let (version, table) = read_head(&mut row, origins)?;
        let (name, sql) = (row.text()?, row.text()?);
        schema.push((version, SchemaChange::CreateIndex { table, name, sql }));
    }
    Ok(schema)
}

/// Reads clock, origin, sequence and table.
fn read_head(row: &mut Columns<'_>, origins: &Origins) -> Result<(Version, TableId), TablesError> {
    let clock = HybridClock(row.count()?);
    let origin = origins.id(row.int()?)?;
    let version = Version { life: 1, clock, origin, sequence: row.count()? };
    Ok((version, TableId::from_bytes(row.array("table")?)))
}
