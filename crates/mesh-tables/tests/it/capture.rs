//! What triggers note and what is sealed of it, statement by statement.

mod programs;
mod values;

use mesh_protocol::{DATA_PART_BYTES_MAX, RowChange, SqlValue};
use mesh_tables::TablesError;

use crate::setup::{AT, Setup, statement, text};

const T: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)";

#[tokio::test]
async fn insert_update_and_delete_are_sealed_one_by_one() {
    let setup = Setup::with(&[T]).await;
    assert_eq!(setup.run(&["INSERT INTO t VALUES (1, 'x', 2)"]).await, "put 1 life 1 a='x' b=2");
    assert_eq!(setup.run(&["UPDATE t SET b = 3 WHERE id = 1"]).await, "edit 1 life 1 b=3");
    assert_eq!(setup.run(&["UPDATE t SET a = 'y', b = 4"]).await, "edit 1 life 1 a='y' b=4");
    assert_eq!(setup.run(&["DELETE FROM t WHERE id = 1"]).await, "delete 1 life 2");
    assert_eq!(setup.run(&["INSERT INTO t (id) VALUES (1)"]).await, "put 1 life 3 a=NULL b=NULL");
}

#[tokio::test]
async fn what_changes_nothing_is_no_transaction() {
    let setup = Setup::with(&[T]).await;
    setup.run(&["INSERT INTO t VALUES (1, 'x', 2)"]).await;
    assert_eq!(setup.run(&["UPDATE t SET a = 'x', b = 2, id = 1"]).await, "");
    assert_eq!(setup.run(&["DELETE FROM t WHERE id = 2"]).await, "");
    assert_eq!(setup.run(&["INSERT OR IGNORE INTO t VALUES (1, 'z', 9)"]).await, "");
    let next = setup.tables.have().borrow().origins[0].upto;
    setup.run(&["UPDATE t SET b = 3"]).await;
    assert_eq!(setup.tables.have().borrow().origins[0].upto, next + 1);
}

#[tokio::test]
async fn a_transaction_holds_each_row_once_as_it_is_at_its_end() {
    let setup = Setup::with(&[T]).await;
    let sealed = setup
        .run(&[
            "INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2), (3, 'z', 3)",
            "UPDATE t SET b = 5 WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
            "UPDATE t SET b = 6 WHERE id = 1",
        ])
        .await;
    assert_eq!(sealed, "put 1 life 1 a='x' b=6; delete 2 life 2; put 3 life 1 a='z' b=3");
    // The row and its columns have one version.
    assert_eq!(setup.number("SELECT count(*) FROM t__mesh_cell").await, 0);
    let sealed =
        setup.run(&["UPDATE t SET b = 7 WHERE id = 1", "DELETE FROM t WHERE id = 1"]).await;
    assert_eq!(sealed, "delete 1 life 2");
    let again = ["DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (3, 'w', 1)"];
    assert_eq!(setup.run(&again).await, "put 3 life 3 a='w' b=1");
}

#[tokio::test]
async fn a_row_that_is_replaced_is_written_whole_in_the_same_life() {
    let setup = Setup::with(&[T]).await;
    setup.run(&["INSERT INTO t VALUES (1, 'x', 2)"]).await;
    setup.run(&["UPDATE t SET b = 3"]).await;
    assert_eq!(setup.number("SELECT count(*) FROM t__mesh_cell").await, 1);
    let replace = setup.run(&["INSERT OR REPLACE INTO t VALUES (1, 'x', 4)"]).await;
    assert_eq!(replace, "put 1 life 1 a='x' b=4");
    assert_eq!(setup.number("SELECT count(*) FROM t__mesh_cell").await, 0);
    assert_eq!(setup.run(&["REPLACE INTO t (id) VALUES (1)"]).await, "put 1 life 1 a=NULL b=NULL");
    setup.shell_runs("PRAGMA recursive_triggers = ON; REPLACE INTO t (id) VALUES (1)").await;
    assert_eq!(setup.noticed().await, "put 1 life 3 a=NULL b=NULL");
}

#[tokio::test]
async fn an_upsert_is_what_became_of_it() {
    let setup = Setup::with(&[T]).await;
    let upsert = "INSERT INTO t VALUES (1, 'x', 1) ON CONFLICT (id) DO UPDATE SET b = b + 1";
    assert_eq!(setup.run(&[upsert]).await, "put 1 life 1 a='x' b=1");
    assert_eq!(setup.run(&[upsert]).await, "edit 1 life 1 b=2");
    assert_eq!(setup.run(&["INSERT INTO t VALUES (1, 'x', 1) ON CONFLICT DO NOTHING"]).await, "");
}

#[tokio::test]
async fn an_update_from_another_table_is_captured_where_it_writes() {
    let setup = Setup::with(&[T, "CREATE TABLE u (k TEXT NOT NULL PRIMARY KEY, v)"]).await;
    setup
        .run(&["INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)", "INSERT INTO u VALUES ('y', 9)"])
        .await;
    let sealed = setup.run(&["UPDATE t SET b = u.v FROM u WHERE u.k = t.a"]).await;
    assert_eq!(sealed, "edit 2 life 1 b=9");
    let with = "WITH more(k, v) AS (VALUES ('z', 1)) INSERT INTO u SELECT * FROM more";
    assert_eq!(setup.run(&[with]).await, "put 'z' life 1 v=1");
}

#[tokio::test]
async fn a_changed_key_is_a_death_and_a_birth() {
    let setup = Setup::with(&[T]).await;
    setup.run(&["INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)"]).await;
    setup.run(&["UPDATE t SET b = 7 WHERE id = 1"]).await;
    let moved = setup.run(&["UPDATE t SET id = 5, a = 'z' WHERE id = 1"]).await;
    assert_eq!(moved, "delete 1 life 2; put 5 life 1 a='z' b=7");
    // The row number has other names.
    let moved = setup.run(&["UPDATE t SET rowid = 1 WHERE id = 5"]).await;
    assert_eq!(moved, "put 1 life 3 a='z' b=7; delete 5 life 2");
    let moved = setup.run(&["UPDATE OR REPLACE t SET id = 2 WHERE id = 1"]).await;
    assert_eq!(moved, "delete 1 life 4; put 2 life 1 a='z' b=7");
    setup.run(&["INSERT INTO t VALUES (3, 'n', 3)"]).await;
    let shifted =
        setup.run(&["UPDATE t SET id = id + 1 WHERE id = 3", "UPDATE t SET id = 3 WHERE id = 2"]);
    assert_eq!(shifted.await, "delete 2 life 2; put 3 life 3 a='z' b=7; put 4 life 1 a='n' b=3");
}

#[tokio::test]
async fn a_key_of_other_bytes_that_is_equal_is_followed() {
    let create = "CREATE TABLE t (k TEXT NOT NULL COLLATE NOCASE PRIMARY KEY, v)";
    let setup = Setup::with(&[create]).await;
    assert_eq!(setup.run(&["INSERT INTO t VALUES ('a', 1)"]).await, "put 'a' life 1 v=1");
    assert_eq!(setup.run(&["UPDATE t SET k = 'A'"]).await, "put 'A' life 3 v=1");
    let key = "SELECT hex(k) = hex('A') FROM t__mesh_row";
    assert_eq!(setup.number(key).await, 1);
    assert_eq!(setup.run(&["REPLACE INTO t VALUES ('a', 2)"]).await, "put 'a' life 3 v=2");
    assert_eq!(setup.run(&["UPDATE t SET v = 3 WHERE k = 'A'"]).await, "edit 'a' life 3 v=3");
    assert_eq!(setup.run(&["DELETE FROM t WHERE k = 'A'"]).await, "delete 'a' life 4");
    assert_eq!(setup.run(&["INSERT INTO t VALUES ('A', 2)"]).await, "put 'A' life 5 v=2");
}

#[tokio::test]
async fn keys_of_several_columns_and_of_bytes_are_captured() {
    let create = "CREATE TABLE \"odd \"\"name\" (v, \"k 1\" BLOB NOT NULL, n REAL NOT NULL, \
                  s TEXT NOT NULL COLLATE RTRIM, PRIMARY KEY (s, \"k 1\", n)) WITHOUT ROWID";
    let setup = Setup::with(&[create]).await;
    let insert = "INSERT INTO \"odd \"\"name\" VALUES (1, x'00ff', 2, 'b '), (2, x'', 1.5, 'a')";
    assert_eq!(
        setup.run(&[insert]).await,
        "put 'a',x[],1.5 life 1 v=2; put 'b ',x[00, ff],2.0 life 1 v=1"
    );
    let update = "UPDATE \"odd \"\"name\" SET v = 5 WHERE s = 'b'";
    assert_eq!(setup.run(&[update]).await, "edit 'b ',x[00, ff],2.0 life 1 v=5");
    let rekey = "UPDATE \"odd \"\"name\" SET n = 3 WHERE s = 'b'";
    assert_eq!(
        setup.run(&[rekey]).await,
        "delete 'b ',x[00, ff],2.0 life 2; put 'b ',x[00, ff],3.0 life 1 v=5"
    );
    assert_eq!(
        setup.run(&["DELETE FROM \"odd \"\"name\""]).await,
        "delete 'a',x[],1.5 life 2; delete 'b ',x[00, ff],3.0 life 2"
    );
}

#[tokio::test]
async fn what_a_statement_says_of_conflicts_does_not_reach_the_bookkeeping() {
    let setup = Setup::with(&[T]).await;
    for word in ["IGNORE", "REPLACE", "FAIL", "ABORT", "ROLLBACK"] {
        setup.run(&["DELETE FROM t", "INSERT INTO t VALUES (1, 'x', 1)"]).await;
        let update = setup.run(&[&format!("UPDATE OR {word} t SET b = 2")]).await;
        assert!(update.ends_with(" b=2"), "{word}: {update}");
        let twice = format!("UPDATE OR {word} t SET b = b + 1");
        let update = setup.run(&[&twice, &twice]).await;
        assert!(update.ends_with(" b=4"), "{word}: {update}");
        setup.run(&["DELETE FROM t"]).await;
        let insert = setup.run(&[&format!("INSERT OR {word} INTO t VALUES (1, 'x', 1)")]).await;
        assert!(insert.starts_with("put 1"), "{word}: {insert}");
    }
}

#[tokio::test]
async fn rows_come_back_from_statements() {
    let setup = Setup::with(&[T]).await;
    let insert = "INSERT INTO t (a, b) VALUES (:a, ?2), (:a, ?2 + 1) RETURNING id, a || b AS both";
    let values = [text("n"), SqlValue::Integer(4)];
    let written = setup.tables.execute(vec![statement(insert, &values)], AT).await.unwrap();
    assert_eq!(written[0].changes, 2);
    assert_eq!(written[0].columns, ["id", "both"]);
    let one = SqlValue::Integer(1);
    assert_eq!(written[0].rows, [[one, text("n4")], [SqlValue::Integer(2), text("n5")]]);
    assert_eq!(setup.sealed().await, "put 1 life 1 a='n' b=4; put 2 life 1 a='n' b=5");
}

#[tokio::test]
async fn many_statements_of_one_text_each_get_their_values_and_their_answer() {
    let setup = Setup::with(&[T]).await;
    let insert = "INSERT INTO t (id, b) VALUES (?, ?2) RETURNING b;";
    let numbered = |id: i64| statement(insert, &[SqlValue::Integer(id), SqlValue::Integer(-id)]);
    let written = setup.tables.execute((1..=19).map(numbered).collect(), AT).await.unwrap();
    assert_eq!(written.len(), 19);
    for (written, id) in written.iter().zip(1..) {
        assert_eq!((written.changes, &written.rows), (1, &vec![vec![SqlValue::Integer(-id)]]));
    }
    assert_eq!(setup.number("SELECT count(*) FROM t WHERE b = -id").await, 19);
    let twice = [20, 21, 22, 5, 23, 24, 25, 26, 27, 28].map(numbered).to_vec();
    let error = setup.tables.execute(twice, AT).await.unwrap_err();
    assert!(matches!(error, TablesError::Constraint { .. }), "{error:?}");
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 19);
}

#[tokio::test]
async fn more_than_may_come_back_is_an_error_and_nothing_is_written() {
    let setup = Setup::with(&[T]).await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= 10000) \
                INSERT INTO t (id) SELECT i FROM n RETURNING id";
    let error = setup.try_run(&[many]).await.unwrap_err();
    assert!(matches!(error, TablesError::TooManyRows { .. }), "{error:?}");
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn a_transaction_that_fails_leaves_nothing() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, b CHECK (b > 0))"]).await;
    for bad in [
        "INSERT INTO t VALUES (2, 0)",
        "INSERT OR ROLLBACK INTO t VALUES (1, 1)",
        "INSERT INTO t VALUES (1, 2)",
    ] {
        let error = setup.try_run(&["INSERT INTO t VALUES (1, 1)", bad]).await.unwrap_err();
        assert!(matches!(error, TablesError::Constraint { .. }), "{error:?}");
    }
    assert_eq!(setup.sealed().await, "");
    assert_eq!(setup.number("SELECT count(*) FROM t").await, 0);
    assert_eq!(setup.number("SELECT dirty FROM mesh_state").await, 0);
    assert_eq!(setup.run(&["INSERT INTO t VALUES (1, 1)"]).await, "put 1 life 1 b=1");
}

#[tokio::test]
async fn only_rows_of_replicated_tables_are_written() {
    let setup = Setup::with(&[T]).await;
    setup.shell_runs("CREATE TABLE mine (a)").await;
    for (sql, why) in [
        ("INSERT INTO mine VALUES (1)", "no table"),
        ("INSERT INTO nowhere VALUES (1)", "no table"),
        ("DELETE FROM mesh_log", "reserved"),
        ("DELETE FROM t__mesh_row", "reserved"),
        ("SELECT 1", "only reads"),
        ("COMMIT", "one transaction"),
        ("INSERT INTO t VALUES (1, 2, 3); COMMIT", "more than one"),
    ] {
        let error = setup.try_run(&[sql]).await.unwrap_err().to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
    let error =
        setup.try_run(&["INSERT INTO t (id) VALUES (1)", "DROP TABLE t"]).await.unwrap_err();
    assert!(error.to_string().contains("stands alone"));
    assert_eq!(setup.noticed().await, "");
}

#[tokio::test]
async fn what_other_programs_wrote_comes_before_a_statement_with_parameters() {
    let setup = Setup::with(&[T]).await;
    let insert = "INSERT INTO t (id, b) VALUES (?, ?)";
    let [one, two] = [1, 2].map(SqlValue::Integer);
    assert_eq!(
        setup.run_with(insert, &[one.clone(), one.clone()]).await,
        "put 1 life 1 a=NULL b=1"
    );
    setup.shell_runs("UPDATE t SET b = 7").await;
    assert_eq!(
        setup.run_with(insert, &[two.clone(), one.clone()]).await,
        "edit 1 life 1 b=7 | put 2 life 1 a=NULL b=1"
    );
    setup.shell_runs("UPDATE t SET b = 8 WHERE id = 1").await;
    let again = vec![statement(insert, &[two.clone(), two.clone()])];
    setup.tables.execute(again, AT).await.unwrap_err();
    assert_eq!(
        setup.noticed().await,
        "edit 1 life 1 b=8",
        "the one that failed took nothing with it"
    );
    // A column that is not known yet, and a table whose triggers do not know it.
    setup.shell_runs("ALTER TABLE t ADD COLUMN c").await;
    let sealed = setup.run_with("UPDATE t SET c = ? WHERE id = 2", &[one]).await;
    assert!(sealed.ends_with(" | edit 2 life 1 c=1"), "{sealed}");
}

#[tokio::test]
async fn clocks_grow_from_write_to_write_even_when_the_last_one_is_ahead() {
    let setup = Setup::with(&[T]).await;
    let ahead = (1_i64 << 62) + 5;
    setup.shell_runs(&format!("UPDATE mesh_state SET clock = {ahead}")).await;
    let mut last = ahead.cast_unsigned();
    for number in 0..3 {
        setup.try_run(&[&format!("REPLACE INTO t (id, b) VALUES (1, {number})")]).await.unwrap();
        let parts = setup.parts().await;
        let header = parts[0].header.as_ref().unwrap();
        let RowChange::Put { clock, .. } = &parts[0].sections[0].changes[0] else { panic!() };
        assert_eq!(header.clock, *clock);
        assert!(clock.0 > last);
        last = clock.0;
    }
}

#[tokio::test]
async fn a_large_transaction_travels_in_parts_of_bounded_size() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, a)"]).await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                INSERT INTO t SELECT i, hex(zeroblob(i % 100)) FROM n";
    setup.try_run(&[many, "UPDATE t SET a = 'late' WHERE id % 1000 = 0"]).await.unwrap();
    let parts = setup.parts().await;
    assert!(parts.len() > 4, "{}", parts.len());
    let mut next = 1;
    for (number, part) in (0..).zip(&parts) {
        assert_eq!((part.part, part.header.is_some()), (number, number == 0));
        assert_eq!(part.is_last, part.part as usize == parts.len() - 1);
        assert!(part.encode().unwrap().len() < 300 << 10);
        for change in &part.sections[0].changes {
            let RowChange::Put { key, values, .. } = change else { panic!("{change:?}") };
            assert_eq!(key, &[SqlValue::Integer(next)]);
            assert_eq!(values[0] == text("late"), next % 1000 == 0);
            next += 1;
        }
    }
    assert_eq!(next, 20_001);
}

#[tokio::test]
async fn one_mebibyte_travels_and_what_is_too_large_is_refused() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)"]).await;
    let sealed = setup.run(&["INSERT INTO t VALUES (1, zeroblob(1 << 20), 1)"]).await;
    assert_eq!(sealed, "put 1 life 1 a=blob of 1048576 b=1");
    assert_eq!(setup.run(&["UPDATE t SET b = 2"]).await, "edit 1 life 1 b=2");
    let error =
        setup.try_run(&["INSERT INTO t VALUES (2, zeroblob(2 << 20), 1)"]).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    let error = setup.try_run(&["UPDATE t SET b = zeroblob(3000000)"]).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    let most = DATA_PART_BYTES_MAX - (32 << 10);
    let insert = format!("INSERT INTO t VALUES (3, zeroblob({most}), 1)");
    assert_eq!(setup.run(&[&insert]).await, format!("put 3 life 1 a=blob of {most} b=1"));
}

#[tokio::test]
async fn a_row_of_another_program_that_is_too_large_stays_and_goes_when_it_fits() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)"]).await;
    setup.shell_runs("INSERT INTO t VALUES (1, zeroblob(3000000), 1), (2, 'x', 2)").await;
    assert_eq!(setup.noticed().await, "put 2 life 1 a='x' b=2");
    assert_eq!(setup.number("SELECT count(*) FROM mesh_unsent").await, 1);
    setup.shell_runs("UPDATE t SET b = 5 WHERE id = 1").await;
    assert_eq!(setup.noticed().await, "");
    assert_eq!(setup.number("SELECT count(*) FROM mesh_unsent").await, 1);
    let fits = setup.run(&["UPDATE t SET a = 'y' WHERE id = 1"]).await;
    assert_eq!(fits, "put 1 life 1 a='y' b=5");
    assert_eq!(setup.number("SELECT count(*) FROM mesh_unsent").await, 0);
}

#[tokio::test]
async fn statements_of_a_transaction_are_bounded() {
    let setup = Setup::with(&[T]).await;
    let many = vec![statement("DELETE FROM t", &[]); 100_001];
    let error = setup.tables.execute(many, AT).await.unwrap_err();
    assert!(error.to_string().contains("at most 100000"), "{error}");
}
