use std::path::Path;

use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use crate::{StoreConfig, open};

/// The same check as at every start, but it names the statement.
#[tokio::test]
async fn every_statement_fits_the_migrated_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.db");
    let mut opened = open::open(&path, &StoreConfig::default()).await.unwrap();
    for sql in super::all() {
        let prepared = opened.conn.prepare(AssertSqlSafe(sql).into_sql_str()).await;
        assert!(prepared.is_ok(), "{sql}: {:?}", prepared.err());
    }
    assert!(super::check(&mut opened.conn).await.is_ok());
}

/// A statement that is written outside `statements!` would escape the check.
#[test]
fn no_module_hides_a_statement() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = 0;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("statements! {") && !path.ends_with("statements/tests.rs") {
                found += 1;
            }
        }
    }
    let listed = include_str!("../statements.rs").matches("::STATEMENTS,").count();
    // Those of the writer are collected in writer.rs.
    assert_eq!(found, listed + crate::writer::ALL_STATEMENTS.len());
}
