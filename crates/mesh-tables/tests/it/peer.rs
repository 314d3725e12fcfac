//! Databases on real files that exchange transactions by hand, with the rules of the sync engine.

use std::sync::Arc;

use mesh_protocol::{OriginId, PeerId, SqlValue, UnixMillis, VersionVector};
use mesh_tables::{Applied, IncomingPart, LogCursor, Statement, Tables, TablesConfig, TablesError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection, query, query_scalar};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::rules::RealRules;

pub(crate) struct Peer {
    pub(crate) tables: Tables,
    folder: TempDir,
    no: u8,
    tracker: TaskTracker,
}

/// The table of most tests.
pub(crate) const NOTES: &str = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, a TEXT NOT NULL DEFAULT 'none', b INTEGER, \
     c BLOB, CHECK (b IS NULL OR b < 1000))";

/// What an incomparable list of conflicts comes down to.
pub(crate) type Conflict = (String, Option<String>, SqlValue, SqlValue);

impl Peer {
    pub(crate) async fn new(no: u8) -> Self {
        Self::with(no, TablesConfig::default()).await
    }

    pub(crate) async fn with(no: u8, config: TablesConfig) -> Self {
        let folder = TempDir::new().unwrap();
        let tracker = TaskTracker::new();
        let tables = open(&folder, no, config, &tracker).await;
        Self { tables, folder, no, tracker }
    }

    /// Several with the same table.
    pub(crate) async fn with_notes<const N: usize>() -> [Self; N] {
        let mut peers = Vec::new();
        for no in 1..=N {
            peers.push(Self::new(u8::try_from(no).unwrap()).await);
        }
        peers[0].run(NOTES).await;
        for peer in &peers[1..] {
            peers[0].give(peer).await;
        }
        peers.try_into().map_err(|_| "count").unwrap()
    }

    /// Closes the database and opens it again.
    pub(crate) async fn restart(self) -> Self {
        let Self { tables, folder, no, tracker } = self;
        let config = tables.config().clone();
        drop(tables);
        tracker.close();
        tracker.wait().await;
        let tracker = TaskTracker::new();
        let tables = open(&folder, no, config, &tracker).await;
        Self { tables, folder, no, tracker }
    }

    pub(crate) fn id(&self) -> PeerId {
        PeerId::from_bytes([self.no; 32])
    }

    /// Another program that has the file open.
    pub(crate) async fn shell(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.tables.path());
        options.connect().await.unwrap()
    }

    /// Puts the clock of the tables ahead by an hour.
    pub(crate) async fn run_ahead(&self) {
        let sql = "UPDATE mesh_state SET clock = clock + (3600000 << 16)";
        query(sql).execute(&mut self.shell().await).await.unwrap();
    }

    /// Whether its clock is ahead.
    pub(crate) async fn is_ahead(&self) -> bool {
        let soon = self.now().await.0 + 60_000;
        self.count(&format!("mesh_state WHERE clock >> 16 > {soon}")).await == 1
    }

    /// The moment by the clock that the triggers use.
    pub(crate) async fn now(&self) -> UnixMillis {
        let sql = "SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)";
        let now: i64 = query_scalar(sql).fetch_one(&mut self.shell().await).await.unwrap();
        UnixMillis(u64::try_from(now).unwrap())
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.try_run_all(&[sql]).await.unwrap();
    }

    /// Runs statements in one transaction.
    pub(crate) async fn try_run_all(&self, statements: &[&str]) -> Result<(), TablesError> {
        let statement = |sql: &&str| Statement { sql: (*sql).to_owned(), params: Vec::new() };
        let statements = statements.iter().map(statement).collect();
        self.tables.execute(statements, self.now().await).await.map(drop)
    }

    pub(crate) fn knows(&self) -> VersionVector {
        VersionVector::of(&self.tables.have().borrow().origins)
    }

    /// Everything that `to` lacks, as it lies in the log.
    pub(crate) async fn bodies_for(&self, to: &Self) -> Vec<Vec<u8>> {
        // What other programs wrote is sealed first.
        self.tables.notice(self.now().await).await.unwrap();
        let (have, goal) = (to.knows(), self.knows());
        let from = self.tables.cursor_for(&have).await.unwrap();
        let batch = self.tables.read_log(from, &have, &goal, usize::MAX).await.unwrap();
        assert!(batch.is_done);
        batch.bodies
    }

    /// The whole log.
    pub(crate) async fn log(&self) -> Vec<Vec<u8>> {
        let nothing = VersionVector::default();
        let goal = self.knows();
        self.tables.read_log(LogCursor(0), &nothing, &goal, usize::MAX).await.unwrap().bodies
    }

    pub(crate) async fn take(&self, bodies: Vec<Vec<u8>>, from: &Self) -> Applied {
        let member = from.id();
        let parts =
            bodies.into_iter().map(|body| IncomingPart { body, member }).collect::<Vec<_>>();
        let applied = self.tables.apply(parts, self.now().await).await.unwrap();
        self.tables.settle().await.unwrap();
        applied
    }

    pub(crate) async fn give(&self, to: &Self) -> Applied {
        to.take(self.bodies_for(to).await, self).await
    }

    /// The rows of a query as text.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let rows = query(AssertSqlSafe(sql)).fetch_all(&mut self.shell().await).await.unwrap();
        let bytes = |row: &SqliteRow| row.get_unchecked::<Vec<u8>, _>(0);
        let text = |row: &SqliteRow| String::from_utf8_lossy(&bytes(row)).into_owned();
        rows.iter().map(text).collect()
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {from}");
        query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.shell().await).await.unwrap()
    }

    /// The notes, each in one text.
    pub(crate) async fn notes(&self) -> Vec<String> {
        self.rows(
            "SELECT id || '|' || a || '|' || coalesce(b, '-') || '|' || iif(c IS NULL, '-', hex(c)) \
             FROM notes ORDER BY id",
        )
        .await
    }

    /// Key, column, kept and lost value of each conflict.
    pub(crate) async fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts: Vec<_> = (self.tables.conflicts(None).await.unwrap().into_iter())
            .map(|info| {
                let SqlValue::Text(key) = info.key[0].1.clone() else { unreachable!("key") };
                (info.id, key, info.column, info.kept, info.lost)
            })
            .collect();
        conflicts.sort_by(|one, two| one.0.cmp(&two.0));
        conflicts
            .into_iter()
            .map(|(_, key, column, kept, lost)| (key, column, kept, lost))
            .collect()
    }
}

async fn open(folder: &TempDir, no: u8, config: TablesConfig, tracker: &TaskTracker) -> Tables {
    let path = folder.path().join("data.db");
    let fresh = OriginId::from_bytes([no; 16]);
    Tables::open(&path, config, Arc::new(RealRules), fresh, tracker).await.unwrap()
}

/// Everybody gives everybody what they lack, and all operators accept whatever clock is ahead.
pub(crate) async fn accept(peers: &[&Peer]) {
    for from in peers {
        for to in peers {
            from.give(to).await;
            let origins = peers.iter().map(|peer| peer.tables.have().borrow().database).collect();
            to.tables.accept_ahead(origins, to.now().await).await.unwrap();
        }
    }
}

/// Everybody gives everybody what they lack, and is then equal in rows, versions and conflicts.
pub(crate) async fn converge(peers: &[&Peer]) {
    for _ in 0..2 {
        for from in peers {
            for to in peers {
                from.give(to).await;
            }
        }
    }
    let mut ids = Vec::new();
    for peer in peers {
        let of = peer.tables.conflicts(None).await.unwrap();
        ids.push(of.into_iter().map(|info| info.id).collect::<std::collections::BTreeSet<_>>());
        assert_eq!(peer.notes().await, peers[0].notes().await);
        assert_eq!(versions(peer).await, versions(peers[0]).await);
        assert_eq!(losers(peer).await, losers(peers[0]).await);
        assert_eq!(peer.count("mesh_spool").await, 0);
    }
    assert!(ids.iter().all(|of| *of == ids[0]), "{ids:?}");
}

/// Every loser, those that are not shown included.
async fn losers(peer: &Peer) -> Vec<String> {
    peer.rows(
        "SELECT l.id || ' ' || coalesce(k.name, 'row') || ' ' || life || ' ' || l.clock || ' ' || \
         hex(o.origin) || ' ' || l.sequence \
         FROM mesh_conflicts l JOIN mesh_origins o ON o.id = l.origin \
         LEFT JOIN mesh_columns k ON k.table_no = l.table_no AND k.no = l.column ORDER BY l.id",
    )
    .await
}

/// Every version, in a form that does not depend on the numbers of origins and columns.
async fn versions(peer: &Peer) -> Vec<String> {
    peer.rows(
        "SELECT r.id || ' ' || r.life || ' ' || r.clock || ' ' || hex(o.origin) || ' ' || r.seq AS v \
         FROM notes__mesh_row r JOIN mesh_origins o ON o.id = r.origin \
         UNION ALL \
         SELECT c.id || '.' || k.name || ' ' || c.clock || ' ' || hex(o.origin) || ' ' || c.seq \
         FROM notes__mesh_cell c JOIN mesh_origins o ON o.id = c.origin \
         JOIN mesh_tables t ON t.name = 'notes' \
         JOIN mesh_columns k ON k.table_no = t.no AND k.no = c.col ORDER BY v",
    )
    .await
}

pub(crate) fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}
