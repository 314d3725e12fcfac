//! Other programs that write to the file.

use std::path::Path;
use std::process::Command;

use crate::setup::{AT, Setup};

const T: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)";

/// Runs a program of the system. Says so where it is not installed.
#[expect(clippy::print_stderr, reason = "a test that proves less says so")]
fn ran(program: &str, arguments: &[&str], path: &Path) -> bool {
    let command = Command::new(program).args(arguments).env("DATABASE", path).output();
    match command {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            eprintln!("not tested with {program}: {error}");
            false
        }
    }
}

fn shell(path: &Path, sql: &str) -> bool {
    ran("sqlite3", &["-bail", "-cmd", ".timeout 5000", path.to_str().unwrap(), sql], path)
}

fn python(path: &Path, sql: &str) -> bool {
    let script = "import os, sqlite3, sys\n\
                  with sqlite3.connect(os.environ['DATABASE']) as connection:\n\
                  \x20   connection.executescript(sys.argv[1])\n";
    ran("python3", &["-c", script, sql], path)
}

#[tokio::test]
async fn what_another_program_writes_is_found_while_the_agent_runs() {
    let setup = Setup::with(&[T]).await;
    for (number, write) in (1..).zip([shell, python]) {
        let before = setup.tables.file_mark();
        let insert =
            format!("BEGIN; INSERT INTO t VALUES ({number}, 'x', 1); UPDATE t SET b = 2; COMMIT;");
        if !write(&setup.path(), &insert) {
            continue;
        }
        assert_ne!(setup.tables.file_mark(), before);
        let sealed = setup.noticed().await;
        assert!(sealed.ends_with(&format!("put {number} life 1 a='x' b=2")), "{sealed}");
        write(&setup.path(), &format!("UPDATE t SET a = 'y' WHERE id = {number}"));
        assert_eq!(setup.noticed().await, format!("edit {number} life 1 a='y'"));
        write(&setup.path(), &format!("DELETE FROM t WHERE id = {number}"));
        assert_eq!(setup.noticed().await, format!("delete {number} life 2"));
    }
}

#[tokio::test]
async fn what_another_program_writes_is_found_when_the_agent_starts_again() {
    for write in [shell, python] {
        let mut setup = Setup::with(&[T]).await;
        setup.run(&["INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2)"]).await;
        let path = setup.path();
        let mut is_there = false;
        setup = setup
            .closed(async || {
                is_there =
                    write(&path, "UPDATE t SET b = 9 WHERE id = 1; DELETE FROM t WHERE id = 2;");
            })
            .await;
        if is_there {
            assert_eq!(setup.noticed().await, "edit 1 life 1 b=9; delete 2 life 2");
        }
    }
}

#[tokio::test]
async fn what_another_program_took_back_is_not_found() {
    let setup = Setup::with(&[T]).await;
    setup.shell_runs("BEGIN; INSERT INTO t (id) VALUES (1); ROLLBACK").await;
    assert!(!setup.tables.notice(AT).await.unwrap().is_new);
    assert_eq!(setup.sealed().await, "");
}

#[tokio::test]
async fn several_transactions_of_other_programs_become_one_before_the_agents_own() {
    let setup = Setup::with(&[T]).await;
    setup.shell_runs("INSERT INTO t (id) VALUES (1)").await;
    setup.shell_runs("UPDATE t SET b = 1").await;
    let sealed = setup.run(&["UPDATE t SET b = 2"]).await;
    assert_eq!(sealed, "put 1 life 1 a=NULL b=1 | edit 1 life 1 b=2");
}

#[tokio::test]
async fn own_writes_are_not_taken_for_those_of_others() {
    let setup = Setup::with(&[T]).await;
    setup.noticed().await;
    setup.run(&["INSERT INTO t (id) VALUES (1)"]).await;
    assert!(!setup.tables.notice(AT).await.unwrap().is_new);
    let before = setup.tables.file_mark();
    assert!(!setup.tables.notice(AT).await.unwrap().is_new);
    assert_eq!(setup.tables.file_mark(), before);
}

#[tokio::test]
async fn a_row_with_bookkeeping_that_others_would_refuse_stays_here_and_the_rest_travels() {
    let setup = Setup::with(&[T]).await;
    setup
        .shell_runs(
            "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3); \
             UPDATE t__mesh_row SET clock = clock + (1 << 40) WHERE id = 1; \
             UPDATE t__mesh_row SET life = 0 WHERE id = 3",
        )
        .await;
    assert_eq!(setup.noticed().await, "put 2 life 1 a='b' b=2");
    assert_eq!(setup.number("SELECT count(*) FROM mesh_unsent").await, 2);
    assert_eq!(setup.tables.stats(AT).await.unwrap().unsent, 2);
    // It goes when it is written again, and whole.
    assert_eq!(setup.run(&["UPDATE t SET b = 5 WHERE id = 1"]).await, "put 1 life 1 a='a' b=5");
    assert_eq!(setup.number("SELECT count(*) FROM mesh_unsent").await, 1);
    assert_eq!(setup.run(&["DELETE FROM t WHERE id = 2"]).await, "delete 2 life 2");
}

#[tokio::test]
async fn what_was_captured_while_a_table_could_not_be_used_is_of_the_transaction_that_tells_it() {
    let setup = Setup::with(&[
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE TABLE u (id INTEGER PRIMARY KEY)",
    ])
    .await;
    setup.run(&["INSERT INTO t VALUES (1, 'x', 0), (2, 'x', 0)"]).await;
    setup.shell_runs("ALTER TABLE t RENAME COLUMN a TO c").await;
    setup.shell_runs("UPDATE t SET b = 1 WHERE id = 1; INSERT INTO t VALUES (3, 'y', 0)").await;
    for id in 1..4 {
        let sealed = setup.run(&[&format!("INSERT INTO u VALUES ({id})")]).await;
        assert_eq!(sealed, format!("put {id} life 1"));
    }
    setup.shell_runs("ALTER TABLE t RENAME COLUMN c TO a").await;
    let noticed = setup.noticed().await;
    assert_eq!(noticed, "edit 1 life 1 b=1; put 3 life 1 a='y' b=0");
    let last = setup.number("SELECT max(sequence) FROM mesh_log").await;
    assert_eq!(setup.number("SELECT seq FROM t__mesh_cell WHERE id = 1").await, last);
    assert_eq!(setup.number("SELECT seq FROM t__mesh_row WHERE id = 3").await, last);
    assert!(setup.number("SELECT seq FROM t__mesh_row WHERE id = 1").await < last - 3);
    assert_eq!(setup.number("SELECT count(*) FROM t__mesh_new").await, 0);
}

#[tokio::test]
async fn triggers_of_other_programs_are_told_until_they_are_gone() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, a)"]).await;
    setup
        .shell_runs("CREATE TRIGGER stamp AFTER INSERT ON t BEGIN UPDATE t SET a = 1 WHERE id = NEW.id; END")
        .await;
    for setup in [setup.tables.notice(AT).await.unwrap(), setup.tables.notice(AT).await.unwrap()] {
        assert_eq!(setup.oddities.len(), 1, "{setup:?}");
        assert!(setup.oddities[0].what.contains("\"stamp\""), "{setup:?}");
    }
    // It is there still: to compare the tables mends nothing.
    assert_eq!(setup.tables.forget_oddities(AT).await.unwrap().oddities.len(), 1);
    setup.shell_runs("DROP TRIGGER stamp").await;
    assert!(setup.tables.notice(AT).await.unwrap().oddities.is_empty());
}

#[tokio::test]
async fn what_is_mended_is_told_no_more_after_the_tables_were_compared() {
    let setup = Setup::with(&["CREATE TABLE t (id INTEGER PRIMARY KEY, a)"]).await;
    setup.shell_runs("DROP TRIGGER t__mesh_insert").await;
    assert_eq!(setup.tables.notice(AT).await.unwrap().oddities.len(), 1);
    assert_eq!(setup.tables.notice(AT).await.unwrap().oddities.len(), 1);
    assert!(setup.tables.forget_oddities(AT).await.unwrap().oddities.is_empty());
    assert!(setup.tables.notice(AT).await.unwrap().oddities.is_empty());
}
