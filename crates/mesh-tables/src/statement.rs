//! What a user's statement is, before SQLite sees it.
//!
//! A parser of SQLite's grammar decides; what it does not understand is refused, whatever SQLite would say.

mod definition;
mod functions;
mod tokens;

use sqlite3_parser::ast::{AlterTableBody, Cmd, QualifiedName, Stmt};
use sqlite3_parser::lexer::sql::Parser;
use sqlite3_parser::{Bump, FallibleIterator as _};

use crate::builtin::is_built_in;

pub(crate) use definition::{FOREIGN_KEY, column_of};
pub(crate) use tokens::{bindable, nameless, normalised, normalised_index, redefined};

/// Longest text of a statement.
pub(crate) const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Reads, and changes nothing.
    Read,
    /// Writes rows of one table.
    Write {
        /// Which.
        table: String,
    },
    /// Creates a table.
    CreateTable {
        /// Its name.
        name: String,
        /// Whether nothing should happen when there is such a table.
        if_not_exists: bool,
    },
    /// Adds a column.
    AddColumn {
        /// To which table.
        table: String,
        /// Its name.
        column: String,
        /// What stands behind `ADD COLUMN`.
        definition: String,
    },
    /// Creates an index.
    CreateIndex {
        /// Its name.
        name: String,
        /// On which table.
        table: String,
        /// Whether nothing should happen when there is such an index.
        if_not_exists: bool,
    },
    /// Drops a table.
    DropTable {
        /// Its name.
        name: String,
        /// Whether nothing should happen when there is no such table.
        if_exists: bool,
    },
    /// Is not allowed.
    Refused {
        /// Why, and what would do.
        reason: String,
    },
}

impl Statement {
    fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}

/// Whether a statement is one that reads, and so a query rather than a write.
#[must_use]
pub fn only_reads(sql: &str) -> bool {
    matches!(classify(sql), Statement::Read)
}

/// Says what `sql` does: exactly one statement, with or without a semicolon.
pub(crate) fn classify(sql: &str) -> Statement {
    // SQLite would read no further than a zero byte.
    if sql.contains('\0') {
        return Statement::refused("there is a zero byte in the statement; give it as a parameter");
    }
    if sql.len() > STATEMENT_BYTES_MAX {
        return Statement::refused(format!(
            "a statement is at most {STATEMENT_BYTES_MAX} bytes long; large values travel as parameters"
        ));
    }
    if sql.contains(tokens::MARK) && tokens::has_mark(sql) {
        return Statement::refused(
            "there is a byte order mark between the words of the statement; take it out",
        );
    }
    if tokens::is_deep(sql) {
        return Statement::refused(format!(
            "there are more than {} parentheses in one another; write the statement flatter",
            tokens::DEPTH_MAX
        ));
    }
    let bump = Bump::new();
    let mut parser = Parser::new(&bump, sql.as_bytes());
    let first = match parser.next() {
        Ok(Some(first)) => first,
        Ok(None) => return Statement::refused("there is no statement"),
        Err(error) => {
            return Statement::refused(format!("the statement is not understood: {error}"));
        }
    };
    let statement = kind(&first, sql);
    match parser.next() {
        Ok(None) => statement,
        Ok(Some(_)) | Err(_) => {
            Statement::refused("this is more than one statement; give each by itself")
        }
    }
}

fn kind(cmd: &Cmd<'_>, sql: &str) -> Statement {
    match cmd {
        Cmd::Explain(
            Stmt::Select(_) | Stmt::Insert { .. } | Stmt::Update { .. } | Stmt::Delete { .. },
        )
        | Cmd::ExplainQueryPlan(
            Stmt::Select(_) | Stmt::Insert { .. } | Stmt::Update { .. } | Stmt::Delete { .. },
        ) => Statement::Read,
        // A setting takes effect while SQLite reads the statement, even one that only explains.
        Cmd::Explain(_) | Cmd::ExplainQueryPlan(_) => {
            Statement::refused("only what reads or writes rows can be explained")
        }
        Cmd::Stmt(statement) => of_statement(statement, sql),
    }
}

fn of_statement(statement: &Stmt<'_>, sql: &str) -> Statement {
    match statement {
        Stmt::Select(_) => Statement::Read,
        Stmt::Insert { tbl_name, .. }
        | Stmt::Update { tbl_name, .. }
        | Stmt::Delete { tbl_name, .. } => on_table(tbl_name, |table| Statement::Write { table }),
        Stmt::CreateTable { temporary: true, .. } => {
            Statement::refused("temporary tables are not kept; leave out TEMPORARY")
        }
        Stmt::CreateTable { if_not_exists, tbl_name, body, .. } => {
            match definition::refused_body(body) {
                Some(reason) => Statement::refused(reason),
                None => on_table(tbl_name, |name| Statement::CreateTable {
                    name,
                    if_not_exists: *if_not_exists,
                }),
            }
        }
        Stmt::AlterTable(table, body) => alter(table, body, sql),
        Stmt::CreateIndex { unique: true, .. } => Statement::refused(
            "a unique index is not possible: two members could each be right and the merge wrong; \
             make the columns the primary key, or leave out UNIQUE",
        ),
        Stmt::CreateIndex { if_not_exists, idx_name, tbl_name, columns, where_clause, .. } => {
            if let Some(reason) = definition::refused_index(columns, where_clause.as_ref()) {
                return Statement::refused(reason);
            }
            let table = QualifiedName::single(sqlite3_parser::ast::Name(tbl_name.0));
            on_table(idx_name, |name| {
                on_table(&table, |table| Statement::CreateIndex {
                    name,
                    table,
                    if_not_exists: *if_not_exists,
                })
            })
        }
        Stmt::DropTable { if_exists, tbl_name } => {
            on_table(tbl_name, |name| Statement::DropTable { name, if_exists: *if_exists })
        }
        Stmt::Attach { .. }
        | Stmt::Detach(_)
        | Stmt::Begin(..)
        | Stmt::Commit(_)
        | Stmt::Rollback { .. }
        | Stmt::Savepoint(_)
        | Stmt::Release(_)
        | Stmt::Pragma(..)
        | Stmt::Vacuum(..)
        | Stmt::Analyze(_)
        | Stmt::Reindex { .. }
        | Stmt::CreateTrigger { .. }
        | Stmt::DropTrigger { .. }
        | Stmt::CreateView { .. }
        | Stmt::DropView { .. }
        | Stmt::CreateVirtualTable { .. }
        | Stmt::DropIndex { .. } => Statement::refused(refused_kind(statement)),
    }
}

fn refused_kind(statement: &Stmt<'_>) -> &'static str {
    match statement {
        Stmt::Attach { .. } | Stmt::Detach(_) => {
            "other databases cannot be attached; open the file with a program of your own"
        }
        Stmt::Begin(..)
        | Stmt::Commit(_)
        | Stmt::Rollback { .. }
        | Stmt::Savepoint(_)
        | Stmt::Release(_) => {
            "transactions are not opened by statements; give all statements of one transaction at once"
        }
        Stmt::Pragma(..) => "settings of the database cannot be read or changed here",
        Stmt::Vacuum(..) | Stmt::Analyze(_) | Stmt::Reindex { .. } => {
            "the upkeep of the database is not done by statements"
        }
        Stmt::CreateTrigger { .. } | Stmt::DropTrigger { .. } => {
            "triggers are not replicated: each member would run them again on what it receives; \
             write the other rows in the same transaction"
        }
        Stmt::CreateView { .. } | Stmt::DropView { .. } => {
            "views are not replicated; give the query itself"
        }
        Stmt::CreateVirtualTable { .. } => "virtual tables are not replicated; create a plain one",
        Stmt::DropIndex { .. } => {
            "an index is not taken away from the other members; drop the table"
        }
        Stmt::AlterTable(..)
        | Stmt::CreateIndex { .. }
        | Stmt::CreateTable { .. }
        | Stmt::DropTable { .. }
        | Stmt::Insert { .. }
        | Stmt::Update { .. }
        | Stmt::Delete { .. }
        | Stmt::Select(_) => "the statement is not understood",
    }
}

fn alter(table: &QualifiedName<'_>, body: &AlterTableBody<'_>, sql: &str) -> Statement {
    match body {
        AlterTableBody::AddColumn(column) => match definition::refused_column(column) {
            Some(reason) => Statement::refused(reason),
            None => match tokens::added_column(sql) {
                Some(definition) => on_table(table, |table| Statement::AddColumn {
                    table,
                    column: unquoted(column.col_name.0),
                    definition,
                }),
                None => Statement::refused("the statement is not understood"),
            },
        },
        AlterTableBody::RenameTo(_) | AlterTableBody::RenameColumn { .. } => Statement::refused(
            "renaming is not possible: members that write meanwhile know the old name; \
             create what is new and copy the rows",
        ),
        AlterTableBody::DropColumn(_) => Statement::refused(
            "a column cannot be dropped: members that write meanwhile fill it; set it to NULL instead",
        ),
        AlterTableBody::DropColumnNotNull(_)
        | AlterTableBody::SetColumnNotNull(..)
        | AlterTableBody::AddConstraint(_)
        | AlterTableBody::DropConstraint(_) => Statement::refused(
            "constraints cannot be changed: rows of other members may contradict; create a new table",
        ),
    }
}

/// Calls `make` with the name, if it is one of the user's.
fn on_table(name: &QualifiedName<'_>, make: impl FnOnce(String) -> Statement) -> Statement {
    if let Some(database) = &name.db_name
        && !unquoted(database.0).eq_ignore_ascii_case("main")
    {
        return Statement::refused("there is only the database `main`");
    }
    let name = unquoted(name.name.0);
    match reserved(&name) {
        Some(reason) => Statement::refused(reason),
        None => make(name),
    }
}

/// Why a table, index or column of that name is not the user's to write.
pub(crate) fn reserved(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let is_reserved =
        ["sqlite_", "mesh_", "_sqlx", "pragma_"].iter().any(|one| lower.starts_with(one))
            || lower.contains("__mesh_")
            || lower == "agent_peers"
            || is_built_in(&lower)
            || lower.is_empty()
            || lower.contains('\0');
    is_reserved.then(|| {
        format!(
            "the name {name:?} is reserved for bookkeeping (sqlite_…, mesh_…, _sqlx…, …__mesh_…, \
             agent_peers, agent_config…); choose another one"
        )
    })
}

/// A name without its quotes.
pub(crate) fn unquoted(text: &str) -> String {
    let mut letters = text.chars();
    let quote = match letters.next() {
        Some('[') => ']',
        Some(quote @ ('"' | '`' | '\'')) => quote,
        Some(_) | None => return text.to_owned(),
    };
    let inner = letters.as_str();
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    if quote == ']' {
        inner.to_owned()
    } else {
        inner.replace(&format!("{quote}{quote}"), &quote.to_string())
    }
}

#[cfg(test)]
mod tests;
