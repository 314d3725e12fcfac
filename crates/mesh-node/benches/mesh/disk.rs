//! Bare SQLite with the durability of a node's database and nothing on top.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection};

/// One table, one row per commit.
pub(crate) struct Disk {
    conn: SqliteConnection,
    content: Vec<u8>,
}

impl Disk {
    pub(crate) async fn create(path: &Path, bytes: usize) -> Self {
        let mut conn = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging()
            .connect()
            .await
            .unwrap();
        sqlx::query("CREATE TABLE message (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
            .execute(&mut conn)
            .await
            .unwrap();
        Self { conn, content: vec![7; bytes] }
    }

    /// Commits one row: a statement that is its own transaction.
    pub(crate) async fn commit(&mut self) {
        let insert = sqlx::query("INSERT INTO message (body) VALUES (?)");
        insert.bind(self.content.as_slice()).execute(&mut self.conn).await.unwrap();
    }

    pub(crate) async fn commits(mut self, count: usize) -> (Self, Vec<Duration>) {
        let committing = tokio::spawn(async move {
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let started = Instant::now();
                self.commit().await;
                times.push(started.elapsed());
            }
            (self, times)
        });
        committing.await.unwrap()
    }
}
