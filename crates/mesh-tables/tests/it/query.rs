//! Queries: what comes back, and that none can hurt.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use mesh_protocol::{OriginId, SqlValue};
use mesh_tables::{Query, Rows, Tables, TablesConfig, TablesError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection, query, query_scalar};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::rules::NoRules;

struct Setup {
    folder: TempDir,
    tables: Tables,
}

impl Setup {
    async fn new() -> Self {
        Self::with(TablesConfig::default()).await
    }

    async fn with(config: TablesConfig) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data.db");
        let fresh = OriginId::from_bytes([1; 16]);
        let tracker = TaskTracker::new();
        let tables = Tables::open(&path, config, Arc::new(NoRules), fresh, &tracker).await.unwrap();
        Self { folder, tables }
    }

    fn path(&self) -> &Path {
        self.tables.path()
    }

    /// Another program that has the file open.
    async fn shell(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }

    async fn ask(&self, sql: &str) -> Result<Rows, TablesError> {
        self.tables.query(ask(sql)).await
    }

    /// Every row, or the first error.
    async fn all(&self, sql: &str) -> Result<Vec<Vec<SqlValue>>, TablesError> {
        self.ask(sql).await?.try_collect().await
    }

    async fn answers(&self) {
        assert_eq!(self.all("SELECT 7").await.unwrap(), [[SqlValue::Integer(7)]]);
    }
}

fn ask(sql: &str) -> Query {
    Query { sql: sql.to_owned(), ..Query::default() }
}

async fn run(conn: &mut SqliteConnection, sql: &str) {
    query(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

const ENDLESS: &str =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c";

#[tokio::test]
async fn columns_are_known_without_rows() {
    let setup = Setup::new().await;
    let rows = setup.ask("SELECT 1 AS a, 2 AS \"B c\", 3 AS a WHERE 0").await.unwrap();
    assert_eq!(rows.columns(), ["a", "B c", "a"]);
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap(), Vec::<Vec<SqlValue>>::new());
}

#[tokio::test]
async fn values_of_every_type_come_back_as_they_are() {
    let setup = Setup::new().await;
    let params = vec![
        SqlValue::Null,
        SqlValue::Integer(i64::MIN),
        SqlValue::Real(-0.0),
        SqlValue::Real(1.0),
        text("żółw\0x"),
        text(""),
        SqlValue::Blob(vec![0, 255]),
        SqlValue::Blob(Vec::new()),
    ];
    let sql = "SELECT ?, ?, ?, ?, ?, ?, ?, ?, CAST(x'ff41' AS TEXT) ".to_owned();
    let rows = setup.tables.query(Query { sql, params: params.clone(), ..Query::default() });
    let rows: Vec<_> = rows.await.unwrap().try_collect().await.unwrap();
    let mut expected = params;
    expected.push(SqlValue::RawText(vec![0xff, 0x41]));
    assert_eq!(rows, [expected]);
}

#[tokio::test]
async fn parameters_that_are_missing_are_null_and_more_are_an_error() {
    let setup = Setup::new().await;
    let raw = SqlValue::RawText(vec![0xff]);
    let query = Query { params: vec![raw.clone()], ..ask("SELECT $a, $b, typeof($a)") };
    let rows: Vec<_> = setup.tables.query(query).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows, [[raw, SqlValue::Null, text("text")]]);
    let query = Query { params: vec![SqlValue::Null; 2], ..ask("SELECT ?") };
    let error = setup.tables.query(query).await.unwrap_err();
    assert!(matches!(error, TablesError::Statement { .. }), "{error}");
}

#[tokio::test]
async fn what_sqlite_does_not_know_is_an_error_of_the_statement() {
    let setup = Setup::new().await;
    for sql in ["SELECT * FROM missing", "SELECT no_function(1)", "SELECT json('{')"] {
        let error = setup.all(sql).await.unwrap_err();
        assert!(matches!(error, TablesError::Statement { .. }), "{sql}: {error:?}");
    }
    setup.answers().await;
}

#[tokio::test]
async fn only_one_statement_that_reads_is_let_through() {
    let setup = Setup::new().await;
    run(&mut setup.shell().await, "CREATE TABLE t (a)").await;
    let copy = setup.folder.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    for sql in [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE t",
        &format!("ATTACH '{copy}' AS other"),
        "DETACH main",
        "PRAGMA query_only = OFF",
        "PRAGMA user_version",
        "EXPLAIN PRAGMA hard_heap_limit = 1000",
        "EXPLAIN QUERY PLAN PRAGMA hard_heap_limit = 1000",
        &format!("EXPLAIN ATTACH '{copy}' AS other"),
        "VACUUM",
        &format!("VACUUM INTO '{copy}'"),
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) RETURNING a",
        "WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c RETURNING a",
        "WITH c AS (SELECT 1) DELETE FROM t RETURNING a",
        "UPDATE t SET a = 1 RETURNING a",
        "REPLACE INTO t VALUES (1)",
        "CREATE TEMP TABLE x (a)",
        "CREATE TABLE x (a)",
        "DROP TABLE t",
        "ANALYZE",
        "REINDEX",
        "",
        "-- nothing",
    ] {
        let error = setup.all(sql).await.unwrap_err();
        assert!(matches!(error, TablesError::Refused { .. }), "{sql}: {error:?}");
    }
    assert!(!Path::new(copy).exists());
    setup.answers().await;
}

#[tokio::test]
async fn functions_reach_neither_files_nor_settings() {
    let setup = Setup::new().await;
    for sql in [
        "SELECT load_extension('/tmp/x')",
        "SELECT writefile('x', 'y')",
        "SELECT readfile('/etc/passwd')",
        "SELECT * FROM pragma_query_only(0)",
        "SELECT * FROM pragma_hard_heap_limit(1000)",
        "SELECT fts3_tokenizer('simple', x'0000000000000000')",
    ] {
        let error = setup.all(sql).await.unwrap_err();
        assert!(matches!(error, TablesError::Statement { .. }), "{sql}: {error:?}");
    }
    setup.answers().await;
}

#[tokio::test]
async fn a_query_without_end_is_stopped() {
    let setup = Setup::new().await;
    for sql in [
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 10000) \
         SELECT count(*) FROM c, c AS d, c AS e WHERE c.x + d.x = e.x - 20001",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c) SELECT x FROM c WHERE x < 0",
    ] {
        let query = Query { time_max: Some(Duration::from_millis(200)), ..ask(sql) };
        let rows = setup.tables.query(query).await.unwrap();
        let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(error, TablesError::TookTooLong { .. }), "{sql}: {error:?}");
    }
    setup.answers().await;
}

#[tokio::test]
async fn stopped_queries_leave_room_for_others() {
    let config = TablesConfig { readers: 1, ..TablesConfig::default() };
    let setup = Setup::with(config).await;
    for _ in 0..3 {
        let rows = setup.ask(ENDLESS).await.unwrap();
        drop(rows);
        setup.answers().await;
    }
}

#[tokio::test]
async fn the_first_rows_come_before_the_error_that_there_are_more() {
    let setup = Setup::new().await;
    let query = Query { rows_max: Some(3), ..ask(ENDLESS) };
    let mut rows = setup.tables.query(query).await.unwrap();
    for number in 1..=3 {
        assert_eq!(rows.next().await.unwrap().unwrap(), [SqlValue::Integer(number)]);
    }
    let error = rows.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TablesError::TooManyRows { rows_max: 3 }), "{error:?}");
    assert!(rows.next().await.is_none());
    let exactly = Query { rows_max: Some(3), ..ask("VALUES (1), (2), (3)") };
    let rows = setup.tables.query(exactly).await.unwrap();
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 3);
}

#[tokio::test]
async fn callers_cannot_widen_the_bounds() {
    let config = TablesConfig {
        query_rows_max: 2,
        query_time_max: Duration::from_millis(200),
        ..TablesConfig::default()
    };
    let setup = Setup::with(config).await;
    let wide = Query {
        rows_max: Some(1000),
        time_max: Some(Duration::from_secs(1000)),
        ..ask("VALUES (1), (2), (3)")
    };
    let rows = setup.tables.query(wide.clone()).await.unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, TablesError::TooManyRows { rows_max: 2 }), "{error:?}");
    let endless = Query { sql: ENDLESS.replace("SELECT x FROM", "SELECT max(x) FROM"), ..wide };
    let rows = setup.tables.query(endless).await.unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(error, TablesError::TookTooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn values_that_take_too_much_memory_are_refused() {
    let setup = Setup::new().await;
    for sql in [
        "SELECT zeroblob(1000000000)",
        "SELECT hex(zeroblob(400000000))",
        "SELECT zeroblob(100000000)",
        "WITH RECURSIVE c(x) AS (SELECT 'abcdefgh' UNION ALL SELECT x || x FROM c) \
         SELECT max(length(x)) FROM c",
        "SELECT randomblob(2000000000)",
    ] {
        let error = setup.all(sql).await.unwrap_err();
        assert!(matches!(error, TablesError::Refused { .. }), "{sql}: {error:?}");
    }
    setup.answers().await;
    run(&mut setup.shell().await, "CREATE TABLE t (a)").await;
}

#[tokio::test]
async fn results_larger_than_memory_are_streamed() {
    let setup = Setup::new().await;
    let sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 500) \
               SELECT zeroblob(1000000) FROM c";
    let mut rows = setup.ask(sql).await.unwrap();
    let mut bytes = 0;
    while let Some(row) = rows.next().await {
        bytes += row.unwrap().iter().map(SqlValue::bytes).sum::<usize>();
    }
    assert!(bytes > 499_000_000, "{bytes}");
}

#[tokio::test]
async fn what_is_sorted_does_not_have_to_fit_into_memory() {
    let config = TablesConfig { heap_bytes_max: 32 << 20, ..TablesConfig::default() };
    let setup = Setup::with(config).await;
    let sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 20000) \
               SELECT x, length(b) FROM (SELECT x, randomblob(5000) AS b FROM c ORDER BY b)";
    assert_eq!(setup.all(sql).await.unwrap().len(), 20_000);
}

#[tokio::test]
async fn what_one_statement_writes_does_not_have_to_fit_into_memory() {
    let config = TablesConfig { heap_bytes_max: 32 << 20, ..TablesConfig::default() };
    let setup = Setup::with(config).await;
    let run = async |sql: &str| {
        let statement = mesh_tables::Statement { sql: sql.to_owned(), params: vec![] };
        let at = mesh_protocol::UnixMillis(1_800_000_000_000);
        setup.tables.execute(vec![statement], at).await.unwrap().remove(0).changes
    };
    // The bound holds from the first query on.
    assert_eq!(setup.all("SELECT 1").await.unwrap().len(), 1);
    run("CREATE TABLE big (id INTEGER PRIMARY KEY, a TEXT)").await;
    let fill = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 200000) \
                INSERT INTO big SELECT x, printf('%0100d', x) FROM c";
    assert_eq!(run(fill).await, 200_000);
    assert_eq!(run("UPDATE big SET a = a || 'x'").await, 200_000);
    assert_eq!(setup.all("SELECT 1 FROM big WHERE a LIKE '%x'").await.unwrap().len(), 200_000);
}

#[tokio::test]
async fn a_column_that_is_added_shows_in_the_next_query() {
    let config = TablesConfig { readers: 1, ..TablesConfig::default() };
    let setup = Setup::with(config).await;
    let mut shell = setup.shell().await;
    run(&mut shell, "CREATE TABLE t (a)").await;
    run(&mut shell, "INSERT INTO t VALUES (1)").await;
    assert_eq!(setup.ask("SELECT * FROM t").await.unwrap().columns(), ["a"]);
    run(&mut shell, "ALTER TABLE t ADD COLUMN b DEFAULT 5").await;
    let rows = setup.ask("SELECT * FROM t").await.unwrap();
    assert_eq!(rows.columns(), ["a", "b"]);
    let rows: Vec<_> = rows.try_collect().await.unwrap();
    assert_eq!(rows, [[SqlValue::Integer(1), SqlValue::Integer(5)]]);
}

#[tokio::test]
async fn a_consumer_that_stalls_does_not_stop_checkpoints_for_ever() {
    let config = TablesConfig { query_time_max: Duration::from_secs(2), ..TablesConfig::default() };
    let setup = Setup::with(config).await;
    let mut shell = setup.shell().await;
    run(&mut shell, "PRAGMA busy_timeout = 10000").await;
    run(&mut shell, "CREATE TABLE t (a)").await;
    let fill = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000) \
                INSERT INTO t SELECT randomblob(10000) FROM c";
    run(&mut shell, fill).await;
    let mut stalled = setup.ask("SELECT a FROM t").await.unwrap();
    assert!(stalled.next().await.unwrap().is_ok());
    for _ in 0..5 {
        run(&mut shell, fill).await;
    }
    let wal = setup.path().with_file_name("data.db-wal");
    assert!(wal.metadata().unwrap().len() > 50_000_000);
    // Waits for the reader, for as long as the busy timeout at most.
    let busy: i64 =
        query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut shell).await.unwrap();
    assert_eq!(busy, 0);
    assert_eq!(wal.metadata().unwrap().len(), 0);
    let rest = stalled.filter_map(async |row| row.err()).collect::<Vec<_>>().await;
    assert!(
        matches!(rest[..], [TablesError::TookTooLong { is_write: false, seconds: 2 }]),
        "{rest:?}"
    );
}

#[tokio::test]
async fn a_query_ends_with_the_database() {
    let setup = Setup::new().await;
    let rows = setup.ask(ENDLESS).await.unwrap();
    drop(setup.tables);
    let end = rows.filter_map(async |row| row.err()).collect::<Vec<_>>().await;
    assert!(matches!(end[..], [TablesError::Closed]), "{end:?}");
}
