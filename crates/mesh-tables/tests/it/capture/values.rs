//! Values as SQLite stores them.

use mesh_protocol::SqlValue;

use crate::setup::{Setup, text};

#[tokio::test]
async fn values_travel_as_the_column_holds_them() {
    let create =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, n NUMERIC, b BLOB, x)";
    let setup = Setup::with(&[create]).await;
    let insert = "INSERT INTO t VALUES (1, ?1, ?1, ?1, ?1, ?1, ?1)";
    assert_eq!(
        setup.run_with(insert, &[text("7")]).await,
        "put 1 life 1 i=7 r=7.0 s='7' n=7 b='7' x='7'"
    );
    let update = "UPDATE t SET i = ?1, r = ?1, s = ?1, n = ?1, b = ?1, x = ?1";
    assert_eq!(
        setup.run_with(update, &[SqlValue::Real(7.0)]).await,
        "edit 1 life 1 s='7.0' b=7.0 x=7.0"
    );
    assert_eq!(
        setup.run_with(update, &[SqlValue::Null]).await,
        "edit 1 life 1 i=NULL r=NULL s=NULL n=NULL b=NULL x=NULL"
    );
    assert_eq!(setup.run_with(update, &[SqlValue::Null]).await, "");
    assert_eq!(
        setup.run_with(update, &[SqlValue::Blob(vec![0x61])]).await,
        "edit 1 life 1 i=x[61] r=x[61] s=x[61] n=x[61] b=x[61] x=x[61]"
    );
}

#[tokio::test]
async fn one_and_one_point_zero_are_different_values() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, x)"]).await;
    assert_eq!(setup.run(&["INSERT INTO t VALUES (1, 1)"]).await, "put 1 life 1 x=1");
    assert_eq!(setup.run(&["UPDATE t SET x = 1.0"]).await, "edit 1 life 1 x=1.0");
    assert_eq!(setup.run(&["UPDATE t SET x = '1.0'"]).await, "edit 1 life 1 x='1.0'");
    assert_eq!(setup.run(&["UPDATE t SET x = x'312e30'"]).await, "edit 1 life 1 x=x[31, 2e, 30]");
}

#[tokio::test]
async fn letters_of_another_case_are_a_change_whatever_the_collation() {
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE, r COLLATE RTRIM)";
    let setup = Setup::with(&[create]).await;
    setup.run(&["INSERT INTO t VALUES (1, 'a', 'b')"]).await;
    assert_eq!(setup.run(&["UPDATE t SET n = 'A'"]).await, "edit 1 life 1 n='A'");
    assert_eq!(setup.run(&["UPDATE t SET r = 'b '"]).await, "edit 1 life 1 r='b '");
}

#[tokio::test]
async fn minus_zero_and_what_is_no_number_travel_as_they_are_stored() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, x, r REAL)"]).await;
    let insert = "INSERT INTO t VALUES (1, ?1, ?1)";
    assert_eq!(setup.run_with(insert, &[SqlValue::Real(-0.0)]).await, "put 1 life 1 x=-0.0 r=0.0");
    let update = "UPDATE t SET x = ?1, r = ?1";
    assert_eq!(setup.run_with(update, &[SqlValue::Real(0.0)]).await, "edit 1 life 1 x=0.0");
    assert_eq!(setup.run_with(update, &[SqlValue::Real(-0.0)]).await, "edit 1 life 1 x=-0.0");
    let none = setup.run_with(update, &[SqlValue::Real(f64::NAN)]).await;
    assert_eq!(none, "edit 1 life 1 x=NULL r=NULL");
    let endless = setup.run(&["UPDATE t SET x = 9e999, r = -9e999"]).await;
    assert_eq!(endless, "edit 1 life 1 x=inf r=-inf");
}

#[tokio::test]
async fn text_that_is_not_utf8_and_zero_bytes_are_kept() {
    let setup = Setup::with(&["CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, x)"]).await;
    let raw = SqlValue::RawText(vec![0x61, 0xff]);
    let put = setup.run_with("INSERT INTO t VALUES (?1, ?1)", std::slice::from_ref(&raw)).await;
    assert_eq!(put, "put raw[61, ff] life 1 x=raw[61, ff]");
    assert_eq!(
        setup.run_with("UPDATE t SET x = 1 WHERE k = ?", &[raw]).await,
        "edit raw[61, ff] life 1 x=1"
    );
    let zero = setup.run_with("UPDATE t SET x = ?", &[text("a\0b")]).await;
    assert_eq!(zero, "edit raw[61, ff] life 1 x='a\0b'");
}

#[tokio::test]
async fn generated_columns_do_not_travel() {
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, v AS (a + 1), s AS (a + 2) STORED, b)";
    let setup = Setup::with(&[create]).await;
    assert_eq!(
        setup.run(&["INSERT INTO t (id, a) VALUES (1, 1)"]).await,
        "put 1 life 1 a=1 b=NULL"
    );
    assert_eq!(setup.run(&["UPDATE t SET a = 5"]).await, "edit 1 life 1 a=5");
    assert_eq!(
        setup.run(&["REPLACE INTO t (id, b) VALUES (1, 2)"]).await,
        "put 1 life 1 a=NULL b=2"
    );
}

#[tokio::test]
async fn values_that_defaults_compute_travel_as_values() {
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, d TEXT DEFAULT (lower('ABC')), n NOT NULL DEFAULT 5)";
    let setup = Setup::with(&[create]).await;
    assert_eq!(setup.run(&["INSERT INTO t (id) VALUES (1)"]).await, "put 1 life 1 d='abc' n=5");
}

#[tokio::test]
async fn a_strict_table_with_keys_of_any_kind_tells_them_apart() {
    let create = "CREATE TABLE t (k ANY NOT NULL PRIMARY KEY, v ANY) STRICT";
    let setup = Setup::with(&[create]).await;
    let sealed = setup.run(&["INSERT INTO t VALUES ('1', 1), (1, '1'), (x'31', 1.5)"]).await;
    assert_eq!(sealed, "put 1 life 1 v='1'; put '1' life 1 v=1; put x[31] life 1 v=1.5");
    assert_eq!(setup.run(&["DELETE FROM t WHERE k = '1'"]).await, "delete '1' life 2");
    assert_eq!(setup.run(&["UPDATE t SET k = 1.0 WHERE k = 1"]).await, "put 1.0 life 3 v='1'");
}

#[tokio::test]
async fn a_table_of_many_columns_and_pages_is_sealed_whole() {
    let columns: String = (0..500).map(|no| format!(", c{no}")).collect();
    let setup = Setup::with(&[&format!("CREATE TABLE t (id INTEGER PRIMARY KEY{columns})")]).await;
    setup.run(&["INSERT INTO t (id, c499) VALUES (1, 'x')"]).await;
    let sets: Vec<_> = (0..500).map(|no| format!("c{no} = {no}")).collect();
    let sealed = setup.run(&[&format!("UPDATE t SET {}", sets.join(", "))]).await;
    assert!(sealed.starts_with("edit 1 life 1 c0=0 c1=1 ") && sealed.ends_with(" c499=499"));
    assert_eq!(sealed.matches('=').count(), 500);
}
