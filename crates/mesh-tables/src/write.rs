//! Writes of this member: rows, and the tables themselves.

mod alone;
mod info;
mod limit;
mod notice;
mod tables;
mod unseen;

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use mesh_protocol::{SqlValue, TableId, UnixMillis};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Column as _, Either, Executor as _, Row as _, query_with};

use self::alone::write_alone;
pub use self::info::TableInfo;
use self::limit::Limit;
pub(crate) use self::notice::adopt;
pub use self::notice::{FileMark, Noticed};

use crate::desk::Desk;
use crate::durable::Durability;
use crate::error::Thing;
use crate::seal::{self, Extra, Sealed};
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

/// How many statements of the same text make one trip to SQLite's thread. Each of them is compiled and kept
/// by itself.
const TOGETHER: usize = 8;

/// A statement that writes rows, ready to run.
struct Prepared {
    table: Arc<str>,
    sql: Arc<str>,
    params: Vec<SqlValue>,
    /// Its parameters have no names or numbers: others of the same text can stand behind it.
    is_nameless: bool,
}

/// What is known of a text that may come again and again, with other values.
struct Shape {
    given: String,
    table: Arc<str>,
    sql: Arc<str>,
    parameters: usize,
}

impl Shape {
    fn of(given: &str, table: &str) -> Option<Self> {
        let (sql, parameters) = statement::nameless(given)?;
        Some(Self { given: given.to_owned(), table: table.into(), sql: sql.into(), parameters })
    }

    /// None when it is another text, or has to be written otherwise for these values.
    fn prepared(&self, given: &Statement) -> Option<Prepared> {
        let is_raw = |value: &SqlValue| matches!(value, SqlValue::RawText(_));
        let fits = self.given == given.sql
            && self.parameters == given.params.len()
            && !given.params.iter().any(is_raw);
        fits.then(|| Prepared {
            table: Arc::clone(&self.table),
            sql: Arc::clone(&self.sql),
            params: Vec::new(),
            is_nameless: true,
        })
    }
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
        let mut shape: Option<Shape> = None;
        for statement in statements {
            if let Some(known) = shape.as_ref().and_then(|shape| shape.prepared(&statement)) {
                prepared.push(Prepared { params: statement.params, ..known });
                continue;
            }
            let kind = statement::classify(&statement.sql);
            if let Kind::Write { table } = &kind {
                shape = Shape::of(&statement.sql, table);
                if let Some(known) = shape.as_ref().and_then(|shape| shape.prepared(&statement)) {
                    prepared.push(Prepared { params: statement.params, ..known });
                    continue;
                }
            }
            let Statement { sql, params } = statement;
            match kind {
                Kind::Write { table } => {
                    let (sql, params) = statement::bindable(&sql, &params)?;
                    let (table, sql) = (table.into(), sql.into());
                    prepared.push(Prepared { table, sql, params, is_nameless: false });
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
        // Statements with parameters come again, so that their texts are compiled once, with what is around them.
        if is_alone
            && let Some(statement) = prepared.pop_if(|statement| !statement.params.is_empty())
        {
            let written = self.at_desk(move |desk| {
                Box::pin(async move {
                    let work = async |desk: &mut Desk| write_alone(desk, statement, at).await;
                    desk.transaction_begun_by(Durability::AtOnce, work).await
                })
            });
            return Ok(vec![written.await?]);
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
    desk.check_whole()?;
    let mut tables: Vec<TableId> = Vec::new();
    for statement in &statements {
        let table = desk.state.catalog.named(&statement.table).ok_or_else(|| {
            TablesError::Unknown { what: Thing::Table, name: statement.table.to_string() }
        })?;
        if !tables.contains(&table.id) {
            tables.push(table.id);
        }
    }
    let limit = Limit::of(desk);
    let written = limit.hold(run_all(desk, statements)).await?;
    let sealed = seal::seal_tables(desk, Extra::default(), Some(&tables), at).await?;
    finished(written, sealed)
}

/// What was written, if all of it can travel.
fn finished<T>(written: T, sealed: Sealed) -> Result<T, TablesError> {
    if sealed.unsent > 0 {
        return Err(refused(
            "a row is larger than what can travel to the other members (somewhat less than 2 MiB); \
             send large content as a file and keep its name in the row",
        ));
    }
    Ok(written)
}

async fn run_all(desk: &mut Desk, statements: Vec<Prepared>) -> Result<Vec<Written>, TablesError> {
    let mut written = Vec::with_capacity(statements.len());
    let mut budget = Budget::full();
    let mut rest = statements.into_iter().peekable();
    while let Some(first) = rest.next() {
        Limit::check(desk)?;
        let mut group = vec![first];
        while group.len() < TOGETHER
            && let Some(next) = rest.next_if(|next| goes_with(&group, next))
        {
            group.push(next);
        }
        // Texts of few lengths, so that few are compiled.
        if group.len() == TOGETHER {
            run(desk, group, &mut budget, &mut written).await?;
            continue;
        }
        for one in group {
            run(desk, vec![one], &mut budget, &mut written).await?;
        }
    }
    Ok(written)
}

/// What may still be returned.
struct Budget {
    rows: usize,
    bytes: usize,
}

impl Budget {
    const fn full() -> Self {
        Self { rows: RETURNED_ROWS_MAX, bytes: RETURNED_BYTES_MAX }
    }
}

fn goes_with(group: &[Prepared], next: &Prepared) -> bool {
    let is_same = |one: &Prepared| one.is_nameless && Arc::ptr_eq(&one.sql, &next.sql);
    !next.params.is_empty() && group.first().is_some_and(is_same)
}

/// Runs statements of the same text.
async fn run(
    desk: &mut Desk,
    statements: Vec<Prepared>,
    budget: &mut Budget,
    written: &mut Vec<Written>,
) -> Result<(), TablesError> {
    let texts = statements.iter().map(|statement| &*statement.sql);
    let sql = texts.collect::<Vec<_>>().join(";");
    let mut left = statements.len();
    let values = statements.into_iter().flat_map(|statement| statement.params);
    let query = query_with(AssertSqlSafe(sql), arguments(values)?);
    let mut answers = desk.conn.fetch_many(query);
    let mut current = Written::default();
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(done) => {
                left = left.saturating_sub(1);
                current.changes = done.rows_affected();
                written.push(std::mem::take(&mut current));
            }
            Either::Right(row) => returned(&row, &mut current, budget)?,
        }
    }
    // The answers end early, and without a word, when SQLite's thread does.
    if left > 0 {
        return Err(sqlx::Error::WorkerCrashed.into());
    }
    Ok(())
}

/// Adds a row that a statement returned.
fn returned(
    row: &SqliteRow,
    written: &mut Written,
    budget: &mut Budget,
) -> Result<(), TablesError> {
    if written.columns.is_empty() {
        let names = row.columns().iter().map(|column| column.name().to_owned());
        written.columns = names.collect();
    }
    let values = Columns::of(row).values(row.columns().len())?;
    let bytes = values.iter().map(SqlValue::bytes).sum();
    let is_within = budget.rows > 0 && budget.bytes >= bytes;
    if !is_within {
        return Err(TablesError::TooManyRows { rows_max: RETURNED_ROWS_MAX as u64 });
    }
    budget.rows -= 1;
    budget.bytes -= bytes;
    written.rows.push(values);
    Ok(())
}
