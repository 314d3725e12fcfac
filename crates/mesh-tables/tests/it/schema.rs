//! Tables that are created, widened and dropped, here and by other programs.

use mesh_protocol::{SchemaChange, SqlValue};
use mesh_tables::TablesError;

use crate::setup::{AT, Setup, text};

const T: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)";

async fn refusal(setup: &Setup, sql: &str) -> String {
    let error = setup.try_run(&[sql]).await.unwrap_err();
    assert!(
        matches!(error, TablesError::Refused { .. } | TablesError::Statement { .. }),
        "{error:?}"
    );
    error.to_string()
}

#[tokio::test]
async fn a_table_that_is_created_is_a_transaction_and_can_be_written() {
    let setup = Setup::with(&[]).await;
    assert_eq!(setup.run(&[T]).await, "create t");
    assert_eq!(setup.run(&["INSERT INTO T VALUES (1, 'x')"]).await, "put 1 life 1 a='x'");
    let infos = setup.tables.tables().await.unwrap();
    assert_eq!(infos.len(), 1);
    assert_eq!(infos[0].columns, ["id", "a"]);
    assert_eq!((infos[0].primary_key.as_slice(), infos[0].rows), (["id".to_owned()].as_slice(), 1));
    assert_eq!(infos[0].aside, None);
}

#[tokio::test]
async fn creating_the_same_table_again_does_nothing() {
    let setup = Setup::with(&[T]).await;
    for sql in [T, "create table if not exists T (id integer primary key, a text) -- again"] {
        assert_eq!(setup.run(&[sql]).await, "");
    }
    let other = "CREATE TABLE t (id INTEGER PRIMARY KEY, b)";
    assert!(refusal(&setup, other).await.contains("another definition"));
    assert_eq!(setup.run(&["CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, b)"]).await, "");
    assert_eq!(setup.number("SELECT dirty FROM mesh_state").await, 0);
}

#[tokio::test]
async fn a_refused_table_leaves_nothing() {
    let setup = Setup::with(&[]).await;
    let before = setup.number("SELECT count(*) FROM sqlite_schema").await;
    for sql in [
        "CREATE TABLE t (a)",
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)",
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b REFERENCES u (c))",
        "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)",
        "CREATE TABLE mesh_x (a INTEGER PRIMARY KEY)",
        "CREATE VIEW v AS SELECT 1",
    ] {
        assert!(!refusal(&setup, sql).await.is_empty());
    }
    assert_eq!(setup.number("SELECT count(*) FROM sqlite_schema").await, before);
    assert_eq!(setup.sealed().await, "");
    setup.shell_runs("CREATE TABLE t (x)").await;
    assert!(refusal(&setup, T).await.contains("not replicated"));
}

#[tokio::test]
async fn an_added_column_sends_no_rows_and_is_captured_from_then_on() {
    let setup = Setup::with(&[T]).await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
                INSERT INTO t (id) SELECT i FROM n";
    setup.run(&[many]).await;
    let add = "ALTER TABLE t ADD COLUMN n INTEGER NOT NULL DEFAULT 7";
    assert_eq!(setup.run(&[add]).await, "add n INTEGER NOT NULL DEFAULT 7");
    assert_eq!(setup.number("SELECT count(*) FROM t__mesh_cell").await, 0);
    assert_eq!(setup.run(&["UPDATE t SET n = 8 WHERE id = 5"]).await, "edit 5 life 1 n=8");
    let put = setup.run(&["REPLACE INTO t (id) VALUES (6)"]).await;
    assert_eq!(put, "put 6 life 1 a=NULL n=7");
    // Whole rows of this database cover the column from the transaction of its making on.
    assert_eq!(setup.number("SELECT sequence FROM mesh_coverage").await, 3);
    assert!(refusal(&setup, add).await.contains("already"));
    let key = "ALTER TABLE t ADD COLUMN ID TEXT";
    assert!(refusal(&setup, key).await.contains("already"));
}

#[tokio::test]
async fn columns_and_captured_rows_are_known_after_a_restart() {
    let setup = Setup::with(&[T]).await;
    setup.run(&["ALTER TABLE t ADD n DEFAULT 1"]).await;
    let setup = setup.closed(async || {}).await;
    assert_eq!(setup.noticed().await, "");
    assert_eq!(setup.run(&["INSERT INTO t (id) VALUES (1)"]).await, "put 1 life 1 a=NULL n=1");
    assert!(setup.tables.notice(AT).await.unwrap().oddities.is_empty());
}

#[tokio::test]
async fn an_index_travels_and_its_name_is_given_once() {
    let setup = Setup::with(&[T]).await;
    assert_eq!(setup.run(&["CREATE INDEX t_a ON t (a)"]).await, "index t_a");
    assert_eq!(setup.run(&["CREATE INDEX IF NOT EXISTS t_a ON t (a)"]).await, "");
    assert!(refusal(&setup, "CREATE INDEX t_a ON t (id)").await.contains("already"));
    assert!(refusal(&setup, "CREATE INDEX t_b ON t (nothing)").await.contains("nothing"));
    let there = "SELECT count(*) FROM sqlite_schema WHERE name IN ('t_a', 't_b')";
    assert_eq!(setup.number(there).await, 1);
}

#[tokio::test]
async fn a_dropped_table_is_gone_with_everything_and_its_name_is_free() {
    let setup = Setup::with(&[T]).await;
    let first = setup.tables.tables().await.unwrap()[0].id;
    setup.run(&["INSERT INTO t VALUES (1, 'x')"]).await;
    setup.run(&["ALTER TABLE t ADD n"]).await;
    setup.run(&["CREATE INDEX t_a ON t (a)"]).await;
    assert_eq!(setup.run(&["DROP TABLE t"]).await, "drop t");
    let left =
        "SELECT count(*) FROM sqlite_schema WHERE name LIKE 't\\_%' ESCAPE '\\' OR name = 't'";
    assert_eq!(setup.number(left).await, 0);
    assert_eq!(setup.number("SELECT count(*) FROM mesh_columns").await, 0);
    let error = setup.try_run(&["DROP TABLE t"]).await.unwrap_err();
    assert!(matches!(error, TablesError::Unknown { .. }));
    assert_eq!(setup.run(&["DROP TABLE IF EXISTS t"]).await, "");
    setup.tables.create_table(T, AT).await.unwrap();
    let parts = setup.parts().await;
    let change = &parts[0].header.as_ref().unwrap().schema[0];
    let SchemaChange::CreateTable { table, replaces, .. } = change else { panic!("{change:?}") };
    assert_eq!(*replaces, Some(first));
    assert_ne!(*table, first);
    setup.tables.drop_table("T", AT).await.unwrap();
    assert!(setup.tables.tables().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_column_that_another_program_added_is_adopted_with_what_was_written_to_it() {
    let setup = Setup::with(&[T]).await;
    setup.run(&["INSERT INTO t VALUES (1, 'x'), (2, 'y')"]).await;
    setup
        .shell_runs(
            "UPDATE t SET a = 'z' WHERE id = 1; \
             ALTER TABLE t ADD COLUMN n TEXT COLLATE NOCASE DEFAULT 'd'; \
             UPDATE t SET n = 'e' WHERE id = 2; INSERT INTO t VALUES (3, 'w', 'f'), (4, 'v', 'd')",
        )
        .await;
    let sealed = setup.noticed().await;
    assert_eq!(
        sealed,
        "edit 1 life 1 a='z'; put 3 life 1 a='w'; put 4 life 1 a='v' | \
         add \"n\" TEXT COLLATE NOCASE DEFAULT ('d'); edit 2 life 1 n='e'; edit 3 life 1 n='f'"
    );
    assert_eq!(setup.run(&["UPDATE t SET n = 'E' WHERE id = 2"]).await, "edit 2 life 1 n='E'");
    assert!(setup.tables.notice(AT).await.unwrap().oddities.is_empty());
}

#[tokio::test]
async fn a_column_added_by_another_program_is_adopted_before_an_own_write() {
    let setup = Setup::with(&[T]).await;
    setup.shell_runs("ALTER TABLE t ADD COLUMN n").await;
    let sealed = setup.run_with("INSERT INTO t VALUES (1, 'x', ?)", &[text("y")]).await;
    assert_eq!(sealed, "add \"n\" | put 1 life 1 a='x' n='y'");
}

#[tokio::test]
async fn what_another_program_did_and_cannot_travel_is_told() {
    let setup = Setup::with(&[T, "CREATE TABLE u (id INTEGER PRIMARY KEY, a)"]).await;
    for (sql, why) in [
        ("ALTER TABLE t ADD COLUMN c CHECK (c > 0)", "CHECK"),
        ("DROP TRIGGER t__mesh_insert", "triggers"),
        ("ALTER TABLE t RENAME COLUMN a TO b", "changed its columns"),
        ("DROP TABLE t", "dropped or renamed"),
    ] {
        setup.shell_runs(sql).await;
        let noticed = setup.tables.notice(AT).await.unwrap();
        assert!(
            noticed.oddities.iter().any(|odd| odd.table == "t" && odd.what.contains(why)),
            "{sql}"
        );
        assert!(setup.run(&["REPLACE INTO u VALUES (1, 1)"]).await.ends_with("put 1 life 1 a=1"));
    }
    let error = setup.try_run(&["INSERT INTO t VALUES (1, 1)"]).await.unwrap_err();
    assert!(matches!(error, TablesError::Unknown { .. }));
    assert_eq!(setup.tables.tables().await.unwrap()[0].rows, 0);
    assert_eq!(
        setup.run_with("REPLACE INTO u VALUES (2, ?)", &[SqlValue::Null]).await,
        "put 2 life 1 a=NULL"
    );
}

#[tokio::test]
async fn triggers_that_were_removed_are_made_again() {
    let setup = Setup::with(&[T]).await;
    setup.shell_runs("DROP TRIGGER t__mesh_insert; DROP TRIGGER t__mesh_edit_1").await;
    assert_eq!(setup.run(&["INSERT INTO t VALUES (1, 'x')"]).await, "put 1 life 1 a='x'");
    assert_eq!(setup.run(&["UPDATE t SET a = 'y'"]).await, "edit 1 life 1 a='y'");
}

#[tokio::test]
async fn rows_that_came_or_went_without_triggers_are_captured_when_they_are_back() {
    let setup = Setup::with(&[T]).await;
    setup.run(&["INSERT INTO t VALUES (1, 'x'), (2, 'x'), (3, 'x'), (4, 'x')"]).await;
    setup
        .try_run(&["UPDATE t SET a = 'y' WHERE id = 2", "DELETE FROM t WHERE id = 3"])
        .await
        .unwrap();
    setup
        .shell_runs(
            "DROP TRIGGER t__mesh_insert; DROP TRIGGER t__mesh_delete; \
             DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 'back'), (5, 'new')",
        )
        .await;
    let captured = "delete 2 life 2; put 3 life 3 a='back'; put 5 life 1 a='new'";
    let noticed = setup.noticed().await;
    assert!(noticed.ends_with(captured), "{noticed}");
    assert_eq!(setup.run(&["UPDATE t SET a = 'z' WHERE id = 5"]).await, "edit 5 life 1 a='z'");
    assert_eq!(setup.number("SELECT count(*) FROM t__mesh_cell WHERE id = 2").await, 0);
}

#[tokio::test]
async fn a_statement_that_names_no_columns_returns_those_that_there_are() {
    let setup = Setup::with(&[T]).await;
    let insert = "REPLACE INTO t (id, a) VALUES (1, 'x') RETURNING *";
    for columns in [2, 3] {
        let written = setup.try_run(&[insert]).await.unwrap();
        assert_eq!((written[0].columns.len(), written[0].rows[0].len()), (columns, columns));
        setup.try_run(&[&format!("ALTER TABLE t ADD COLUMN n{columns}")]).await.unwrap();
    }
    setup.shell_runs("ALTER TABLE t ADD COLUMN last").await;
    let written = setup.try_run(&[insert]).await.unwrap();
    assert_eq!(written[0].columns, ["id", "a", "n2", "n3", "last"]);
}

#[tokio::test]
async fn what_is_too_long_to_travel_is_refused_or_told_and_blocks_nothing() {
    let setup = Setup::with(&[T]).await;
    let (fits, long) = ("n".repeat(256), "n".repeat(257));
    let text = "x".repeat(64 << 10);
    for sql in [
        format!("CREATE TABLE {long} (id INTEGER PRIMARY KEY)"),
        format!("CREATE TABLE u (id INTEGER PRIMARY KEY, {long})"),
        format!("CREATE TABLE u ({long} INTEGER PRIMARY KEY)"),
        format!("ALTER TABLE t ADD COLUMN {long}"),
        format!("CREATE INDEX {long} ON t (a)"),
    ] {
        assert!(refusal(&setup, &sql).await.contains("longer than 256"), "{sql}");
    }
    for sql in [
        format!("CREATE TABLE u (id INTEGER PRIMARY KEY, a DEFAULT '{text}')"),
        format!("ALTER TABLE t ADD COLUMN b DEFAULT '{text}'"),
        format!("CREATE INDEX t_a ON t (a) WHERE a <> '{text}'"),
    ] {
        assert!(refusal(&setup, &sql).await.contains("at most 65536"));
    }
    assert_eq!(setup.sealed().await, "");
    for sql in [
        format!("ALTER TABLE t ADD COLUMN {long}"),
        format!("ALTER TABLE t ADD COLUMN b DEFAULT '{text}'"),
    ] {
        setup.shell_runs(&sql).await;
        let noticed = setup.tables.notice(AT).await.unwrap();
        assert!(noticed.oddities.iter().any(|odd| odd.table == "t"), "{noticed:?}");
        let sealed = setup.run(&["REPLACE INTO t (id) VALUES (1)"]).await;
        assert_eq!(sealed, "put 1 life 1 a=NULL");
    }
    setup.run(&[&format!("CREATE TABLE {fits} (id INTEGER PRIMARY KEY, {fits})")]).await;
    setup.run(&[&format!("CREATE INDEX {} ON t (a)", "i".repeat(256))]).await;
    let sealed = setup.run(&[&format!("INSERT INTO {fits} (id) VALUES (1)")]).await;
    assert_eq!(sealed, format!("put 1 life 1 {fits}=NULL"));
}

#[tokio::test]
async fn a_table_that_another_program_dropped_or_altered_can_be_dropped_everywhere() {
    for sql in [
        "DROP TABLE t",
        "ALTER TABLE t RENAME COLUMN a TO c",
        "ALTER TABLE t RENAME TO s",
        "DROP TABLE t; CREATE VIEW t AS SELECT 1 AS id",
        "DROP TABLE t; DROP TABLE t__mesh_row; DROP TABLE t__mesh_cell",
    ] {
        let setup = Setup::with(&[T]).await;
        setup.run(&["INSERT INTO t VALUES (1, 'x')"]).await;
        setup.shell_runs(sql).await;
        assert_eq!(setup.tables.notice(AT).await.unwrap().oddities.len(), 1, "{sql}");
        assert_eq!(setup.run(&["DROP TABLE t"]).await, "drop t", "{sql}");
        let left = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 't\\_\\_mesh%' ESCAPE '\\'";
        assert_eq!(setup.number(left).await, 0, "{sql}");
        assert!(setup.tables.notice(AT).await.unwrap().oddities.is_empty(), "{sql}");
        // What another program made of it works on without triggers of ours.
        setup
            .shell_runs("CREATE TABLE IF NOT EXISTS s (id, a); INSERT INTO s VALUES (2, 'y')")
            .await;
    }
}

#[tokio::test]
async fn a_table_that_another_program_dropped_is_the_same_when_it_is_created_again() {
    let index = "CREATE INDEX t_a ON t (a)";
    for drops in ["DROP TABLE t", "DROP TABLE t; DROP TABLE t__mesh_new; DROP TABLE t__mesh_cell"] {
        let setup = Setup::with(&[T]).await;
        setup.run(&["INSERT INTO t VALUES (1, 'x'), (2, 'y')"]).await;
        setup.run(&["ALTER TABLE t ADD COLUMN n DEFAULT 7"]).await;
        setup.run(&[index]).await;
        let id = setup.tables.tables().await.unwrap()[0].id;
        // Not even sealed: it goes with the table.
        setup.shell_runs("UPDATE t SET a = 'z' WHERE id = 1; REPLACE INTO t (id) VALUES (2)").await;
        setup.shell_runs(drops).await;
        let other = "CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT)";
        assert!(refusal(&setup, other).await.contains("another definition"), "{drops}");
        assert_eq!(setup.run(&[T]).await, "", "{drops}");
        assert_eq!(setup.tables.tables().await.unwrap()[0].id, id);
        assert_eq!(setup.number("SELECT count(*) FROM t__mesh_row").await, 2);
        assert_eq!(setup.number("SELECT count(*) FROM sqlite_schema WHERE name = 't_a'").await, 1);
        let put = setup.run(&["INSERT INTO t (id, a) VALUES (1, 'w')"]).await;
        assert_eq!(put, "put 1 life 1 a='w' n=7");
        let noticed = setup.tables.notice(AT).await.unwrap();
        assert!(noticed.oddities[0].what.contains("sync --force"), "{noticed:?}");
    }
}
