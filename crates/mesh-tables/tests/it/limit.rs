//! Writes that do not end by themselves, or take the connection with them.

use std::time::Duration;

use mesh_protocol::SqlValue;
use mesh_tables::{Query, Statement, TablesConfig, TablesError};

use crate::peer::{NOTES, Peer, converge};

const ENDLESS: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) \
                       INSERT INTO notes (id) SELECT max(x) FROM c";

async fn with(config: TablesConfig) -> [Peer; 2] {
    let peers = [Peer::with(1, config).await, Peer::new(2).await];
    peers[0].run(NOTES).await;
    peers[0].give(&peers[1]).await;
    peers
}

async fn fails(peer: &Peer, statements: Vec<Statement>) -> TablesError {
    peer.tables.execute(statements, peer.now().await).await.unwrap_err()
}

fn statement(sql: &str) -> Statement {
    Statement { sql: sql.to_owned(), params: Vec::new() }
}

#[tokio::test]
async fn a_write_that_takes_too_long_is_stopped_and_leaves_nothing() {
    let config = TablesConfig { write_time_max: Duration::from_millis(100), ..Default::default() };
    let [one, two] = with(config).await;
    let first = statement("INSERT INTO notes (id) VALUES ('first')");
    let error = fails(&one, vec![first, statement(ENDLESS)]).await;
    assert!(matches!(error, TablesError::TookTooLong { is_write: true, .. }), "{error:?}");
    assert_eq!(error.to_string(), "the write was stopped after 0 seconds; nothing was written");
    assert!(one.notes().await.is_empty());
    one.run("INSERT INTO notes (id, b) VALUES ('x', 1)").await;
    two.run("INSERT INTO notes (id, b) VALUES ('y', 2)").await;
    assert_eq!(two.give(&one).await.applied.len(), 1);
    converge(&[&one, &two]).await;
    assert_eq!(two.notes().await, ["x|none|1|-", "y|none|2|-"]);
}

#[tokio::test]
async fn many_short_statements_are_bounded_together() {
    let config = TablesConfig { write_time_max: Duration::ZERO, ..Default::default() };
    let [one, _] = with(config).await;
    let sql = "INSERT INTO notes (id, b) VALUES (?, ?)";
    let each = |no| Statement {
        sql: sql.to_owned(),
        params: vec![SqlValue::Text(format!("{no}")), SqlValue::Integer(no % 1000)],
    };
    let error = fails(&one, (0..20_000_i64).map(each).collect()).await;
    assert!(matches!(error, TablesError::TookTooLong { is_write: true, .. }), "{error:?}");
    assert!(one.notes().await.is_empty());
}

#[tokio::test]
async fn closing_ends_a_write_that_runs() {
    let [one, _] = with(TablesConfig::default()).await;
    let now = one.now().await;
    let write = one.tables.execute(vec![statement(ENDLESS)], now);
    let close = async {
        // Whoever wants to write as well cannot: the write has begun.
        let mut shell = one.shell().await;
        sqlx::query("PRAGMA busy_timeout = 0").execute(&mut shell).await.unwrap();
        while sqlx::query("BEGIN IMMEDIATE").execute(&mut shell).await.is_ok() {
            sqlx::query("ROLLBACK").execute(&mut shell).await.unwrap();
        }
        one.tables.close();
    };
    let (written, ()) = tokio::join!(write, close);
    let error = written.unwrap_err();
    assert!(matches!(error, TablesError::Closed), "{error:?}");
    let one = one.restart().await;
    assert!(one.notes().await.is_empty());
    one.run("INSERT INTO notes (id) VALUES ('x')").await;
}

#[tokio::test]
async fn a_writing_connection_that_runs_out_of_memory_is_opened_anew() {
    let config = TablesConfig { heap_bytes_max: 64 << 20, ..Default::default() };
    let [one, two] = with(config).await;
    // The bound holds from the first query on.
    drop(one.tables.query(Query { sql: "SELECT 1".to_owned(), ..Default::default() }).await);
    let returning = "INSERT INTO notes (id) VALUES ('lost') RETURNING zeroblob(40000000)";
    let error = fails(&one, vec![statement(returning)]).await;
    assert!(format!("{error:?}").contains("WorkerCrashed"), "{error:?}");
    one.run("INSERT INTO notes (id, b) VALUES ('x', 1)").await;
    two.run("INSERT INTO notes (id, b) VALUES ('y', 2)").await;
    converge(&[&one, &two]).await;
    assert_eq!(one.notes().await, ["x|none|1|-", "y|none|2|-"]);
}
