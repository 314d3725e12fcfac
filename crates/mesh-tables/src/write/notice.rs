//! What other programs did to the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use mesh_protocol::{SchemaChange, SqlValue, TableId, UnixMillis, Version};

use super::unseen::{capture_unseen, renumber};
use crate::catalog::{Catalog, Table};
use crate::desk::Desk;
use crate::introspect::{self, ColumnFacts, TableFacts};
use crate::oddity::Oddity;
use crate::schema;
use crate::seal::{self, Extra};
use crate::sql::{Columns, execute, fetch_all, listed, quoted};
use crate::statement::{self, Statement as Kind};
use crate::{Tables, TablesError};

/// How the files of the database look from outside: unequal when somebody may have written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMark {
    files: [Option<(u64, SystemTime)>; 2],
}

/// What was found when looking for writes of other programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Whether anything became a transaction.
    pub is_new: bool,
    /// What is odd about replicated tables, all of it and not only what is new.
    pub oddities: Arc<Vec<Oddity>>,
}

impl Tables {
    /// Looks at the files without opening them. When the mark is another one than before, somebody wrote,
    /// maybe this program itself: [`Tables::notice`] tells.
    #[must_use]
    pub fn file_mark(&self) -> FileMark {
        let mut wal = self.path().as_os_str().to_owned();
        wal.push("-wal");
        FileMark { files: [mark(self.path()), mark(&PathBuf::from(wal))] }
    }

    /// Makes a transaction of what other programs wrote since the last time, columns that they added
    /// included. Writes nothing when there is nothing.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn notice(&self, at: UnixMillis) -> Result<Noticed, TablesError> {
        let (looks_new, oddities) = self.at_desk(|desk| Box::pin(look(desk))).await?;
        if !looks_new {
            return Ok(Noticed { is_new: false, oddities });
        }
        self.transact(move |desk| Box::pin(take_up(desk, at))).await
    }

    /// Looks at all tables anew, so that what was odd about them and is mended is told no more. For whoever
    /// has compared all tables with the members: what could have been missed is found by that.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn forget_oddities(&self, at: UnixMillis) -> Result<Noticed, TablesError> {
        self.transact(move |desk| {
            Box::pin(async move {
                schema::forget_aside(desk).await?;
                desk.state.schema_version = -1;
                take_up(desk, at).await
            })
        })
        .await
    }
}

fn mark(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// Whether there is something to take up; without a transaction, so that nobody has to wait.
async fn look(desk: &mut Desk) -> Result<(bool, Arc<Vec<Oddity>>), TablesError> {
    let status = seal::status(desk).await?;
    let is_new = status.is_dirty || status.schema_version != desk.state.schema_version;
    Ok((is_new, Arc::clone(&desk.state.oddities)))
}

async fn take_up(desk: &mut Desk, at: UnixMillis) -> Result<Noticed, TablesError> {
    let before = desk.state.open_sequence();
    seal::seal_if_dirty(desk, at).await?;
    let is_new = desk.state.open_sequence() != before;
    Ok(Noticed { is_new, oddities: Arc::clone(&desk.state.oddities) })
}

/// Makes the catalogue true after another program changed tables: columns that were added are adopted,
/// triggers that are gone made again, and what cannot be replicated is told.
pub(crate) async fn adopt(desk: &mut Desk, at: UnixMillis) -> Result<(), TablesError> {
    // What was captured by the triggers of before knows nothing of new columns.
    let catalog = Arc::new(Catalog::load(&mut desk.conn).await?);
    desk.state.catalog = Arc::clone(&catalog);
    for table in catalog.tables.values() {
        renumber(desk, table).await?;
    }
    seal::seal(desk, Extra::default(), at).await?;
    let mut oddities = Vec::new();
    for (id, name) in live_tables(desk).await? {
        let mut tell = |what: &str| {
            tracing::warn!(table = name, what, "another program changed a replicated table");
            oddities.push(Oddity { table: name.clone(), what: what.to_owned() });
        };
        let table = desk.state.catalog.tables.get(&id).cloned();
        let facts = introspect::read(&mut desk.conn, &name).await?;
        let (table, facts) = match (table, facts) {
            (Some(table), Some(facts)) => (table, facts),
            (None, Some(_)) => {
                tell(
                    "another program changed its columns; nothing of it is replicated until they are back",
                );
                continue;
            }
            (_, None) => {
                tell(
                    "another program dropped or renamed it; nothing of it is replicated until it is back, \
                     and the other members still have it",
                );
                continue;
            }
        };
        for column in new_columns(&table, &facts) {
            if let Some(reason) = adopt_column(desk, &table, &facts, column, at).await? {
                tell(&format!("another program added the column {:?}: {reason}", column.name));
            }
        }
        let table = desk.state.catalog.tables.get(&id).cloned().unwrap_or(table);
        if schema::make_triggers(desk, &table).await? {
            let rows = capture_unseen(desk, &table).await?;
            seal::seal(desk, Extra::default(), at).await?;
            tell(&format!(
                "another program had removed its triggers: {rows} rows that came or went meanwhile were \
                 noted now, values that it changed in others were not (sync --force finds them)"
            ));
        }
        for trigger in schema::foreign_triggers(desk, &table).await? {
            tell(&format!(
                "another program made the trigger {trigger:?} on it, which also runs when a member's writes \
                 are applied, and what it writes then is not replicated; drop the trigger"
            ));
        }
    }
    oddities.extend(schema::read_aside(desk).await?);
    schema::reload(desk).await?;
    desk.state.oddities = Arc::new(oddities);
    Ok(())
}

async fn live_tables(desk: &mut Desk) -> Result<Vec<(TableId, String)>, TablesError> {
    let sql = "SELECT table_id, name FROM mesh_tables WHERE state = 'live' ORDER BY name";
    let rows = fetch_all(&mut desk.conn, sql, []).await?;
    rows.iter()
        .map(|row| {
            let mut row = Columns::of(row);
            Ok((TableId::from_bytes(row.array("table id")?), row.text()?))
        })
        .collect()
}

fn new_columns<'f>(
    table: &'f Table,
    facts: &'f TableFacts,
) -> impl Iterator<Item = &'f ColumnFacts> {
    facts.columns.iter().filter(|column| {
        !table.columns.iter().any(|known| known.name.eq_ignore_ascii_case(&column.name))
    })
}

/// Makes a replicated change of a column that another program added. Says why when that is not possible.
async fn adopt_column(
    desk: &mut Desk,
    table: &Table,
    facts: &TableFacts,
    column: &ColumnFacts,
    at: UnixMillis,
) -> Result<Option<String>, TablesError> {
    let definition = match statement::column_of(&facts.sql, &column.name) {
        Some(collation) => definition(column, collation.as_deref()),
        None => return Ok(Some("its definition is not understood".to_owned())),
    };
    let alter = format!("ALTER TABLE {} ADD COLUMN {definition}", quoted(&table.name));
    if let Kind::Refused { reason } = statement::classify(&alter) {
        return Ok(Some(reason));
    }
    let change = SchemaChange::AddColumn {
        table: table.id,
        column: column.name.clone(),
        definition: definition.clone(),
    };
    if let Some(reason) = schema::exceeds(&change) {
        return Ok(Some(reason));
    }
    let clock = seal::stamp(desk).await?;
    let (origin, sequence) = (desk.state.me, desk.state.open_sequence());
    let version = Version { life: 1, clock, origin, sequence };
    let no = schema::note_added(desk, table, &column.name, &definition, version).await?;
    capture_column(desk, table, column, no).await?;
    desk.state.catalog = Arc::new(Catalog::load(&mut desk.conn).await?);
    let extra = Extra { schema: vec![change], ..Extra::default() };
    seal::seal(desk, extra, at).await?;
    Ok(None)
}

/// The column as it would stand behind ADD COLUMN.
fn definition(column: &ColumnFacts, constraints: Option<&str>) -> String {
    let mut text = quoted(&column.name);
    let parts = [Some(column.kind.as_str()), constraints].into_iter().flatten();
    for part in parts.filter(|part| !part.is_empty()) {
        text.push(' ');
        text.push_str(part);
    }
    if column.is_never_null {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        text.push_str(&format!(" DEFAULT ({default})"));
    }
    text
}

/// No trigger noted what was written to the column between its making and now: whatever differs from the
/// default was.
async fn capture_column(
    desk: &mut Desk,
    table: &Table,
    column: &ColumnFacts,
    no: u16,
) -> Result<(), TablesError> {
    let names = listed(&table.key, |key| quoted(&key.name));
    let own = listed(&table.key, |key| format!("t.{}", quoted(&key.name)));
    let default = column.default.as_deref().unwrap_or("NULL");
    let changed = format!("t.{} IS NOT ({default})", quoted(&column.name));
    let cells = format!(
        "INSERT INTO {} ({names}, col, clock, origin, seq) \
         SELECT {own}, ?1, s.clock, s.origin, s.sequence FROM {} t, mesh_state s \
         WHERE s.id = 1 AND {changed} ON CONFLICT ({names}, col) DO NOTHING",
        quoted(&table.cell_table()),
        quoted(&table.name)
    );
    let no = SqlValue::Integer(i64::from(no));
    execute(&mut desk.conn, cells, [no.clone()]).await?;
    let new = format!(
        "INSERT INTO {} ({names}, col) SELECT {own}, ?1 FROM {} t WHERE {changed} \
         ON CONFLICT ({names}, col) DO NOTHING",
        quoted(&table.new_table()),
        quoted(&table.name)
    );
    execute(&mut desk.conn, new, [no]).await.map(drop)
}
