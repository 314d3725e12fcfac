//! Creating, widening and dropping tables.

use mesh_protocol::{SchemaChange, UnixMillis, Version};

use crate::desk::Desk;
use crate::error::Thing;
use crate::introspect;
use crate::schema::{self, SchemaOutcome};
use crate::seal::{self, Extra};
use crate::statement::{self, Statement as Kind};
use crate::{Tables, TablesError, apply};

impl Tables {
    /// Creates a replicated table. Creating the same table again, here or elsewhere, is harmless.
    ///
    /// # Errors
    /// [`TablesError::Refused`] when the table cannot be kept in step, with the reason; nothing was done then.
    pub async fn create_table(&self, sql: &str, at: UnixMillis) -> Result<String, TablesError> {
        match statement::classify(sql) {
            Kind::CreateTable { name, if_not_exists } => {
                let kind = Kind::CreateTable { name: name.clone(), if_not_exists };
                self.change_table(kind, sql.to_owned(), at).await?;
                Ok(name)
            }
            Kind::Refused { reason } => Err(TablesError::Refused { reason }),
            Kind::Read
            | Kind::Write { .. }
            | Kind::AddColumn { .. }
            | Kind::CreateIndex { .. }
            | Kind::DropTable { .. } => {
                Err(TablesError::Refused { reason: "this is not a CREATE TABLE".to_owned() })
            }
        }
    }

    /// Drops a replicated table on every member, with everything in it.
    ///
    /// # Errors
    /// [`TablesError::Unknown`] when there is none of that name.
    pub async fn drop_table(&self, name: &str, at: UnixMillis) -> Result<(), TablesError> {
        let kind = Kind::DropTable { name: name.to_owned(), if_exists: false };
        self.change_table(kind, String::new(), at).await
    }

    /// Carries out a change of a table and makes a transaction of it.
    pub(super) async fn change_table(
        &self,
        kind: Kind,
        sql: String,
        at: UnixMillis,
    ) -> Result<(), TablesError> {
        self.transact(move |desk| {
            Box::pin(async move {
                desk.check_whole()?;
                change(desk, kind, sql, at).await
            })
        })
        .await
    }

    /// The same also in the middle of a snapshot, for tables without which no agent starts.
    pub(crate) async fn create_at_any_time(
        &self,
        name: &str,
        sql: &str,
        at: UnixMillis,
    ) -> Result<(), TablesError> {
        let kind = Kind::CreateTable { name: name.to_owned(), if_not_exists: true };
        let sql = sql.to_owned();
        self.transact(move |desk| Box::pin(change(desk, kind, sql, at))).await
    }
}

async fn change(
    desk: &mut Desk,
    kind: Kind,
    sql: String,
    at: UnixMillis,
) -> Result<(), TablesError> {
    seal::seal_if_dirty(desk, at).await?;
    let before = desk.state.schema_version;
    if let Some(change) = planned(desk, kind, sql).await? {
        carry_out(desk, change, at).await?;
    } else if desk.state.schema_version == before {
        return Ok(());
    }
    if desk.state.vector.holes().is_empty() {
        return Ok(());
    }
    // What is kept aside may have waited for this.
    apply::retry(desk, at).await.map(drop)
}

/// Carries out a change of this member and seals it.
async fn carry_out(
    desk: &mut Desk,
    change: SchemaChange,
    at: UnixMillis,
) -> Result<(), TablesError> {
    let clock = seal::stamp(desk).await?;
    let (origin, sequence) = (desk.state.me, desk.state.open_sequence());
    let version = Version { life: 1, clock, origin, sequence };
    match schema::apply_schema(desk, &change, version).await? {
        SchemaOutcome::Applied | SchemaOutcome::Same | SchemaOutcome::SetAside { .. } => {}
        SchemaOutcome::UnknownTable { table } => {
            return Err(TablesError::Unknown { what: Thing::Table, name: table.to_string() });
        }
        SchemaOutcome::Impossible { detail } => {
            return Err(TablesError::Refused { reason: detail });
        }
    }
    let extra = Extra { schema: vec![change], ..Extra::default() };
    seal::seal_tables(desk, extra, Some(&[]), at).await.map(drop)
}

/// The change that a statement means; none when it has no effect.
async fn planned(
    desk: &mut Desk,
    kind: Kind,
    sql: String,
) -> Result<Option<SchemaChange>, TablesError> {
    match kind {
        Kind::CreateTable { if_not_exists, .. } => created(desk, sql, if_not_exists).await,
        Kind::AddColumn { table, column, definition } => {
            let known = named(desk, &table)?;
            let all = known.columns.iter().chain(&known.key);
            if all.into_iter().any(|one| one.name.eq_ignore_ascii_case(&column)) {
                let detail = format!("the table {table:?} has a column {column:?} already");
                return Err(TablesError::Statement { detail });
            }
            Ok(Some(SchemaChange::AddColumn { table: known.id, column, definition }))
        }
        Kind::CreateIndex { name, table, if_not_exists } => {
            let table = named(desk, &table)?.id;
            if !schema::is_taken(desk, &name).await? {
                return Ok(Some(SchemaChange::CreateIndex { table, name, sql }));
            }
            if if_not_exists {
                return Ok(None);
            }
            Err(TablesError::Statement { detail: format!("there is an index {name:?} already") })
        }
        Kind::DropTable { name, if_exists } => match named(desk, &name) {
            Ok(table) => {
                let (table, name) = (table.id, table.name.clone());
                Ok(Some(SchemaChange::DropTable { table, name }))
            }
            Err(error) => match (schema::lost(desk, &name).await?, error) {
                (Some(lost), _) => {
                    Ok(Some(SchemaChange::DropTable { table: lost.id, name: lost.name }))
                }
                (None, TablesError::Unknown { .. }) if if_exists => Ok(None),
                (None, error) => Err(error),
            },
        },
        Kind::Read | Kind::Write { .. } | Kind::Refused { .. } => Ok(None),
    }
}

fn named<'d>(desk: &'d Desk, name: &str) -> Result<&'d crate::catalog::Table, TablesError> {
    let unknown = || TablesError::Unknown { what: Thing::Table, name: name.to_owned() };
    desk.state.catalog.named(name).ok_or_else(unknown)
}

async fn created(
    desk: &mut Desk,
    sql: String,
    if_not_exists: bool,
) -> Result<Option<SchemaChange>, TablesError> {
    let facts = introspect::table(&sql).await?;
    if let Some(lost) = schema::lost(desk, &facts.name).await? {
        if !if_not_exists || !schema::is_taken(desk, &facts.name).await? {
            lost.bring_back(desk, &facts).await?;
        }
        return Ok(None);
    }
    let replaces = schema::predecessor(desk, &facts.name).await?;
    let table = introspect::table_id(&facts, replaces)?;
    match desk.state.catalog.named(&facts.name) {
        Some(there) if there.id == table || if_not_exists => Ok(None),
        Some(_) => Err(TablesError::Refused {
            reason: format!(
                "there is a table {:?} with another definition; add columns to it, or drop it first",
                facts.name
            ),
        }),
        None => Ok(Some(SchemaChange::CreateTable { table, name: facts.name, sql, replaces })),
    }
}
