//! SQLite alone, as any program uses it: the raw limit, and the eye that sees when rows are there.

use std::path::Path;
use std::time::Duration;

use mesh_protocol::SqlValue;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection, query, query_scalar};

use crate::shapes::{INSERT, TABLE, row};

/// How often it is looked whether rows are there; short beside what is measured.
const PACE: Duration = Duration::from_micros(200);

/// A connection that writes.
pub(crate) struct Bare {
    conn: SqliteConnection,
}

async fn bytes_used(conn: &mut SqliteConnection) -> i64 {
    let used = "SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s";
    query_scalar(used).fetch_one(conn).await.unwrap()
}

impl Bare {
    /// Opens a database; a new one gets the table.
    pub(crate) async fn open(path: &Path, is_new: bool) -> Self {
        let mut conn = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(is_new)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30))
            .disable_statement_logging()
            .connect()
            .await
            .unwrap();
        if is_new {
            query(TABLE).execute(&mut conn).await.unwrap();
        }
        Self { conn }
    }

    /// Inserts rows in one transaction.
    pub(crate) async fn insert(&mut self, keys: std::ops::Range<i64>) {
        query("BEGIN IMMEDIATE").execute(&mut self.conn).await.unwrap();
        for key in keys {
            let mut insert = query(INSERT);
            for value in row(key) {
                insert = match value {
                    SqlValue::Integer(number) => insert.bind(number),
                    SqlValue::Real(number) => insert.bind(number),
                    SqlValue::Text(text) => insert.bind(text),
                    SqlValue::Null | SqlValue::Blob(_) | SqlValue::RawText(_) => insert,
                };
            }
            insert.execute(&mut self.conn).await.unwrap();
        }
        query("COMMIT").execute(&mut self.conn).await.unwrap();
    }

    pub(crate) async fn bytes_used(&mut self) -> i64 {
        bytes_used(&mut self.conn).await
    }
}

/// A connection that reads the database of an agent.
pub(crate) struct Reader {
    conn: SqliteConnection,
}

impl Reader {
    pub(crate) async fn open(path: &Path) -> Self {
        let conn = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(Duration::from_secs(30))
            .disable_statement_logging()
            .connect()
            .await
            .unwrap();
        Self { conn }
    }

    async fn until(&mut self, sql: &'static str, value: SqlValue) {
        loop {
            let question = match &value {
                SqlValue::Integer(number) => query_scalar(sql).bind(*number),
                SqlValue::Text(text) => query_scalar(sql).bind(text.clone()),
                SqlValue::Null | SqlValue::Real(_) | SqlValue::Blob(_) | SqlValue::RawText(_) => {
                    query_scalar(sql)
                }
            };
            let is_there: i64 = question.fetch_one(&mut self.conn).await.unwrap();
            if is_there != 0 {
                return;
            }
            tokio::time::sleep(PACE).await;
        }
    }

    pub(crate) async fn has_table(&mut self) {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?)";
        self.until(sql, SqlValue::Text("bench".to_owned())).await;
    }

    pub(crate) async fn wait_for(&mut self, key: i64) {
        let sql = "SELECT EXISTS (SELECT 1 FROM bench WHERE id = ?)";
        self.until(sql, SqlValue::Integer(key)).await;
    }

    pub(crate) async fn wait_for_column(&mut self, name: &str) {
        let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('bench') WHERE name = ?)";
        self.until(sql, SqlValue::Text(name.to_owned())).await;
    }

    pub(crate) async fn bytes_used(&mut self) -> i64 {
        bytes_used(&mut self.conn).await
    }
}
