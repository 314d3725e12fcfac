//! Writes of this member: rows, and the tables themselves.

mod info;
mod notice;
mod tables;

use futures_util::TryStreamExt as _;
use mesh_protocol::{SqlValue, TableId, UnixMillis};
use sqlx::{AssertSqlSafe, Column as _, Either, Executor as _, Row as _, query_with};

pub use self::info::TableInfo;
pub(crate) use self::notice::adopt;
pub use self::notice::{FileMark, Noticed};

use crate::desk::Desk;
use crate::error::Thing;
use crate::seal::{self, Ahead, Extra};
use crate::sql::{Columns, arguments};
use crate::statement::{self, Statement as Kind};
use crate::{Tables, TablesError};

/// Most statements of one transaction.
const STATEMENTS_MAX: usize = 100_000;

/// Most rows, and most bytes of them, that the statements of one transaction return.
const RETURNED_ROWS_MAX: usize = 10_000;
/// See [`RETURNED_ROWS_MAX`].
const RETURNED_BYTES_MAX: usize = 8 << 20;

/// A statement with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// One statement of SQL.
    pub sql: String,
    /// By SQLite's numbers of the parameters: `?` and names are numbered in the order in which they first
    /// stand in the statement. What is missing is NULL.
    pub params: Vec<SqlValue>,
}

/// What a statement did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that it inserted, updated or deleted.
    pub changes: u64,
    /// Names of what it returned (RETURNING); empty when it returned no row.
    pub columns: Vec<String>,
    /// The rows that it returned.
    pub rows: Vec<Vec<SqlValue>>,
}

/// A statement that writes rows, ready to run.
struct Prepared {
    table: String,
    sql: String,
    params: Vec<SqlValue>,
}

impl Tables {
    /// Runs `statements` in one transaction, which is on disk when this returns. They write rows of replicated
    /// tables; or it is one statement that changes a table itself.
    ///
    /// # Errors
    /// [`TablesError`]; nothing has been written then.
    pub async fn execute(
        &self,
        statements: Vec<Statement>,
        at: UnixMillis,
    ) -> Result<Vec<Written>, TablesError> {
        if statements.len() > STATEMENTS_MAX {
            let reason = format!("a transaction has at most {STATEMENTS_MAX} statements");
            return Err(TablesError::Refused { reason });
        }
        let is_alone = statements.len() == 1;
        let mut prepared = Vec::with_capacity(statements.len());
        for Statement { sql, params } in statements {
            match statement::classify(&sql) {
                Kind::Write { table } => {
                    let (sql, params) = statement::bindable(&sql, &params)?;
                    prepared.push(Prepared { table, sql, params });
                }
                Kind::Read => return Err(refused("the statement only reads; give it as a query")),
                Kind::Refused { reason } => return Err(TablesError::Refused { reason }),
                kind @ (Kind::CreateTable { .. }
                | Kind::AddColumn { .. }
                | Kind::CreateIndex { .. }
                | Kind::DropTable { .. }) => {
                    if !is_alone || !params.is_empty() {
                        return Err(refused(
                            "a change of a table stands alone, without parameters; \
                             give it as a transaction of its own",
                        ));
                    }
                    self.change_table(kind, sql, at).await?;
                    return Ok(vec![Written::default()]);
                }
            }
        }
        self.transact(move |desk| Box::pin(write(desk, prepared, at))).await
    }
}

fn refused(reason: &str) -> TablesError {
    TablesError::Refused { reason: reason.to_owned() }
}

/// Runs the statements and seals what they wrote.
async fn write(
    desk: &mut Desk,
    statements: Vec<Prepared>,
    at: UnixMillis,
) -> Result<Vec<Written>, TablesError> {
    // What other programs wrote before is a transaction of its own: these statements may fail.
    seal::seal_if_dirty(desk, at).await?;
    let mut tables: Vec<TableId> = Vec::new();
    for statement in &statements {
        let table = desk.state.catalog.named(&statement.table).ok_or_else(|| {
            TablesError::Unknown { what: Thing::Table, name: statement.table.clone() }
        })?;
        if !tables.contains(&table.id) {
            tables.push(table.id);
        }
    }
    let mut written = Vec::with_capacity(statements.len());
    let mut budget = Budget { rows: RETURNED_ROWS_MAX, bytes: RETURNED_BYTES_MAX };
    // Statements with parameters come again, so that their texts are compiled once, with what follows them.
    let alone = match (statements.as_slice(), tables.as_slice()) {
        ([one], [id]) if !one.params.is_empty() => desk.state.catalog.tables.get(id).cloned(),
        _ => None,
    };
    let mut ahead = Ahead::default();
    for mut statement in statements {
        if let Some(table) = &alone {
            statement.sql.push(';');
            statement.sql.push_str(&Ahead::sql(table));
        }
        written.push(run(desk, statement, &mut budget, &mut ahead).await?);
    }
    let sealed = match alone {
        Some(table) => seal::seal_ahead(desk, &table, ahead, at).await?,
        None => seal::seal_tables(desk, Extra::default(), Some(&tables), at).await?,
    };
    if sealed.unsent > 0 {
        return Err(refused(
            "a row is larger than what can travel to the other members (somewhat less than 2 MiB); \
             send large content as a file and keep its name in the row",
        ));
    }
    Ok(written)
}

/// What may still be returned.
struct Budget {
    rows: usize,
    bytes: usize,
}

async fn run(
    desk: &mut Desk,
    statement: Prepared,
    budget: &mut Budget,
    ahead: &mut Ahead,
) -> Result<Written, TablesError> {
    let mut written = Written::default();
    let query = query_with(AssertSqlSafe(statement.sql), arguments(statement.params)?);
    let mut answers = desk.conn.fetch_many(query);
    // The user's statement is the first one of the text.
    let mut is_over = false;
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(_) if is_over => {}
            Either::Left(done) => {
                written.changes = done.rows_affected();
                is_over = true;
            }
            Either::Right(row) if is_over => ahead.add(row),
            Either::Right(row) => {
                if written.columns.is_empty() {
                    let names = row.columns().iter().map(|column| column.name().to_owned());
                    written.columns = names.collect();
                }
                let values = Columns::of(&row).values(row.columns().len())?;
                let bytes = values.iter().map(SqlValue::bytes).sum();
                let is_within = budget.rows > 0 && budget.bytes >= bytes;
                if !is_within {
                    return Err(TablesError::TooManyRows { rows_max: RETURNED_ROWS_MAX as u64 });
                }
                budget.rows -= 1;
                budget.bytes -= bytes;
                written.rows.push(values);
            }
        }
    }
    Ok(written)
}
