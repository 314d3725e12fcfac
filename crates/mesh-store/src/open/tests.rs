use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

use super::{numbers, open, reader_options};
use crate::StoreConfig;

async fn pragma(conn: &mut SqliteConnection, name: &str) -> String {
    let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
    sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
}

#[tokio::test]
async fn connections_are_set_up_for_durability_and_small_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.db");
    let config = StoreConfig { database_bytes_max: 40_960_000, ..StoreConfig::default() };
    let mut opened = open(&path, &config).await.unwrap();
    let expected = [
        ("journal_mode", "wal"),
        // 2 is FULL.
        ("synchronous", "2"),
        ("secure_delete", "1"),
        ("foreign_keys", "1"),
        ("cache_size", "-1024"),
        ("max_page_count", "10000"),
        ("application_id", "1296388936"),
    ];
    for (name, value) in expected {
        assert_eq!(pragma(&mut opened.conn, name).await, value, "{name}");
    }
    let mut reader = reader_options(&path).connect().await.unwrap();
    assert_eq!(pragma(&mut reader, "cache_size").await, "-256");
    let refused = sqlx::query("DELETE FROM outbox").execute(&mut reader).await;
    assert!(refused.is_err(), "readers cannot write");
}

#[test]
fn versions_are_compared_as_numbers() {
    assert!(numbers("3.51.3") < numbers("3.51.10"));
    assert!(numbers("3.9.0") < numbers("3.51.3"));
    assert!(numbers("4.0") > numbers("3.51.3"));
}
