//! Every statement of the crate, so that all of them can be compiled against the migrated schema.
//!
//! Checking when a database is opened was chosen over sqlx's macros: it needs no prepared metadata in
//! the source tree, does not build SQLite a second time for the macros, and also notices a database
//! whose tables were altered behind the program's back, before the first message rather than amid one.
//! It takes one round trip to SQLite's thread, a few milliseconds.

use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _, SqliteConnection};

/// Defines the statements of a module as constants and lists them, so that none can be forgotten.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*

        /// Every statement of this module.
        pub(crate) const STATEMENTS: &[&str] = &[$($name),*];
    };
}
pub(crate) use statements;

/// Rows in one multi-row insert. Several inserts of this size are as fast as one large one and keep the
/// compiled statement small; missing rows are NULL and filtered out.
pub(crate) const ROWS_PER_INSERT: usize = 16;

/// `prefix (?,…),(?,…),… suffix` with [`ROWS_PER_INSERT`] rows of `width` values.
pub(crate) fn many_rows(prefix: &str, width: usize, suffix: &str) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    format!("{prefix} {} {suffix}", vec![row; ROWS_PER_INSERT].join(","))
}

/// Every statement of the crate.
pub(crate) fn all() -> Vec<&'static str> {
    let lists = [
        crate::audit::STATEMENTS,
        crate::backup::STATEMENTS,
        crate::custody::STATEMENTS,
        crate::git_audit::STATEMENTS,
        crate::inbox::STATEMENTS,
        crate::meta::STATEMENTS,
        crate::opened::STATEMENTS,
        crate::outbox::STATEMENTS,
        crate::pair_keys::STATEMENTS,
        crate::peers::STATEMENTS,
        crate::prune::STATEMENTS,
        crate::pushes::STATEMENTS,
        crate::records::STATEMENTS,
        crate::sealing_keys::STATEMENTS,
        crate::tokens::STATEMENTS,
    ];
    let mut all = [lists.concat(), crate::writer::ALL_STATEMENTS.concat()].concat();
    all.extend([crate::inbox::insert_many(), crate::outbox::insert_many()]);
    all
}

/// Compiles every statement in one go; the error names the first table or column that is not there.
pub(crate) async fn check(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let sql = all().join(";\n");
    conn.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
