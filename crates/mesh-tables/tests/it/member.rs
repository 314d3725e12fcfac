//! A database with the real rules, and what goes from one to another.

use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use mesh_protocol::{OriginId, PeerId, SqlValue, UnixMillis, VersionVector};
use mesh_tables::{IncomingPart, LogCursor, Query, Statement, Tables, TablesConfig, checksum};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, query};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::rules::RealRules;

/// A moment of the clocks that triggers read is close to any real one; this one is far enough ahead of them.
pub(crate) const AT: UnixMillis = UnixMillis(4_000_000_000_000);

pub(crate) struct Member {
    pub(crate) folder: TempDir,
    pub(crate) tables: Tables,
    tracker: TaskTracker,
}

pub(crate) fn origin(no: u8) -> OriginId {
    OriginId::from_bytes([no; 16])
}

impl Member {
    pub(crate) async fn new(no: u8) -> Self {
        Self::with(no, TablesConfig::default()).await
    }

    pub(crate) async fn with(no: u8, config: TablesConfig) -> Self {
        Self::in_folder(TempDir::new().unwrap(), no, config).await
    }

    pub(crate) async fn in_folder(folder: TempDir, fresh: u8, config: TablesConfig) -> Self {
        let path = folder.path().join("data.db");
        let tracker = TaskTracker::new();
        let rules = Arc::new(RealRules);
        let tables = Tables::open(&path, config, rules, origin(fresh), &tracker).await.unwrap();
        Self { folder, tables, tracker }
    }

    /// Closes the database and leaves its files.
    pub(crate) async fn close(self) -> TempDir {
        let Self { folder, tables, tracker } = self;
        drop(tables);
        tracker.close();
        tracker.wait().await;
        folder
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.run_all(&[sql]).await;
    }

    /// One transaction.
    pub(crate) async fn run_all(&self, statements: &[&str]) {
        let statements = statements.iter();
        let statements = statements.map(|sql| Statement { sql: (*sql).to_owned(), params: vec![] });
        self.tables.execute(statements.collect(), AT).await.unwrap();
    }

    /// As another program would.
    pub(crate) async fn shell(&self, sql: &str) {
        shell(self.tables.path(), sql).await;
    }

    pub(crate) async fn all(&self, sql: &str) -> Vec<Vec<SqlValue>> {
        let query = Query { sql: sql.to_owned(), ..Query::default() };
        self.tables.query(query).await.unwrap().try_collect().await.unwrap()
    }

    pub(crate) fn known(&self) -> VersionVector {
        VersionVector::of(&self.tables.have().borrow().origins)
    }

    /// Gives `other` everything that it lacks.
    pub(crate) async fn give(&self, other: &Self) {
        let known = other.known();
        let mut cursor = LogCursor(0);
        loop {
            let goal = self.known();
            let batch = self.tables.read_log(cursor, &known, &goal, 1 << 20).await.unwrap();
            let member = PeerId::from_bytes([9; 32]);
            let parts = batch.bodies.into_iter().map(|body| IncomingPart { body, member });
            let applied = other.tables.apply(parts.collect::<Vec<_>>(), AT).await.unwrap();
            other.tables.settle().await.unwrap();
            assert!(applied.missing.is_empty() && applied.parked.is_empty(), "{applied:?}");
            cursor = batch.cursor;
            if batch.is_done {
                break;
            }
        }
    }

    pub(crate) async fn checksums(&self) -> Vec<String> {
        self.tables.digests().await.unwrap().iter().map(checksum).collect()
    }

    /// The conflict list, as far as it is the same everywhere.
    pub(crate) async fn losers(&self) -> Vec<Vec<SqlValue>> {
        self.all("SELECT id FROM mesh_conflicts ORDER BY id").await
    }
}

pub(crate) async fn shell(path: &Path, sql: &str) {
    let mut conn = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    query(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
}

/// Gives each what the others have, until nobody lacks anything.
pub(crate) async fn meet(members: &[&Member]) {
    for _ in 0..2 {
        for one in members {
            for other in members.iter().filter(|other| !std::ptr::eq(**other, *one)) {
                one.give(other).await;
            }
        }
    }
}

/// Everybody has the same rows, versions and losers.
pub(crate) async fn assert_equal(members: &[&Member]) {
    let [first, others @ ..] = members else { return };
    let (checksums, losers) = (first.checksums().await, first.losers().await);
    for other in others {
        assert_eq!(checksums, other.checksums().await);
        assert_eq!(losers, other.losers().await);
    }
}
