//! What cannot be kept in step is refused with the reason, and nothing of it is done.

use mesh_control::SqlReply;

use super::desk::{NOTES, equal};
use crate::agent::{Agent, mesh};

/// A statement that is refused, and a word of the reason.
type Refused = (&'static str, &'static str);

const TABLES: [Refused; 7] = [
    ("CREATE TABLE t (id INTEGER PRIMARY KEY, mail TEXT UNIQUE)", "UNIQUE"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY, note INTEGER REFERENCES notes (id))", "foreign key"),
    ("CREATE TABLE t (title TEXT)", "primary key"),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", "AUTOINCREMENT"),
    ("CREATE TABLE mesh_things (id INTEGER PRIMARY KEY)", "mesh_"),
    ("CREATE TABLE t__mesh_row (id INTEGER PRIMARY KEY)", "__mesh_"),
    ("CREATE TABLE agent_peers (id INTEGER PRIMARY KEY)", "agent_peers"),
];

const STATEMENTS: [Refused; 11] = [
    ("ALTER TABLE notes DROP COLUMN body", "cannot be dropped"),
    ("ALTER TABLE notes RENAME TO papers", "renaming"),
    ("ALTER TABLE notes RENAME COLUMN body TO content", "renaming"),
    ("ALTER TABLE notes ADD COLUMN mail TEXT UNIQUE", "UNIQUE"),
    ("INSERT INTO notes VALUES (7, 'a', 'b'); DELETE FROM notes", "one statement"),
    ("ATTACH DATABASE '/tmp/other.db' AS other", "ATTACH"),
    ("PRAGMA journal_mode = DELETE", "settings of the database"),
    ("BEGIN", "transaction"),
    ("UPDATE mesh_state SET applying = 1", "mesh_"),
    ("DELETE FROM notes__mesh_row", "__mesh_"),
    ("CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM notes; END", "TRIGGER"),
];

async fn untouched(agents: &[&Agent]) {
    for agent in agents {
        let tables = agent.tables().await;
        let found: Vec<_> = tables.iter().map(|table| (table.name.as_str(), table.rows)).collect();
        assert_eq!(found, [("notes", 1)]);
        assert_eq!(tables[0].columns, ["id", "title", "body"]);
        assert_eq!(agent.rows("SELECT * FROM notes").await, ["1|title|body"]);
    }
}

/// What `mesh-ctl` says, and that it fails for it.
fn refusal(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.ctl(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn what_cannot_be_kept_in_step_is_refused_with_the_reason_and_nothing_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let agents = mesh(dir.path(), ["one", "two"]).await;
    let [one, two] = &agents;
    one.create(NOTES).await;
    one.write("INSERT INTO notes VALUES (1, 'title', 'body')").await;
    equal(&[one, two]).await;
    let schema = "SELECT count(*) FROM sqlite_schema";
    let before = one.number_past(schema).await;
    let mut missing = Vec::new();
    for (sql, reason) in TABLES {
        let said = refusal(one, &["table", "create", sql]);
        if !said.to_lowercase().contains(&reason.to_lowercase()) {
            missing.push((sql, said));
        }
    }
    for (sql, reason) in STATEMENTS {
        let said = refusal(one, &["sql", sql]);
        if !said.to_lowercase().contains(&reason.to_lowercase()) {
            missing.push((sql, said));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(one.number_past(schema).await, before);
    untouched(&[one, two]).await;
    // The connection is as it was: nothing is left open, attached or switched off.
    one.write("UPDATE notes SET title = 'again'").await;
    two.shows("SELECT title FROM notes", &["again"]).await;
}

#[tokio::test]
async fn a_transaction_that_fails_half_way_leaves_nothing_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    one.create(NOTES).await;
    one.write("INSERT INTO notes VALUES (1, 'title', 'body')").await;
    equal(&[&one, &two]).await;
    for second in [
        "INSERT INTO notes VALUES (2, 'twice', '')",
        "INSERT INTO nothing VALUES (1)",
        "COMMIT",
        "DROP TABLE notes",
        "SELECT 1; SELECT 2",
    ] {
        let insert = "INSERT INTO notes VALUES (2, 'never', 'never')";
        let refused = one.transaction(&[insert, "DELETE FROM notes WHERE id = 1", second]).await;
        assert!(refused.is_err(), "{second}");
    }
    untouched(&[&one, &two]).await;
    one.transaction(&["INSERT INTO notes VALUES (2, 'a', 'b')", "DELETE FROM notes WHERE id = 2"])
        .await
        .unwrap();
    one.write("INSERT INTO notes VALUES (3, 'last', '')").await;
    two.shows("SELECT id FROM notes ORDER BY id", &["1", "3"]).await;
}

#[tokio::test]
async fn queries_cannot_write_and_are_ended() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.toml");
    std::fs::write(&config, "[tables]\nquery_seconds_max = 1\nquery_rows_max = 100\n").unwrap();
    let extra = crate::agent::Extra::new(&["--config", config.to_str().unwrap()]);
    let one = Agent::start_with(dir.path(), "one", extra).await;
    one.create(NOTES).await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT";
    let error = one.try_sql(&format!("{endless} count(*) FROM n")).await.unwrap_err();
    assert_eq!(error.code().as_str(), "query_too_long", "{error:?}");
    let error = one.try_sql(&format!("{endless} i FROM n LIMIT 101")).await.unwrap_err();
    assert_eq!(error.code().as_str(), "too_many_rows", "{error:?}");
    let reply = one.try_sql("SELECT id FROM notes").await.unwrap();
    assert!(matches!(reply, SqlReply::Rows { changes: None, .. }), "{reply:?}");
}
