//! Programs that know nothing of the mesh write to the database: the shell of SQLite, and Python.

use std::path::Path;
use std::process::Output;

use super::desk::{NOTES, equal, is_installed, python, shell};
use crate::agent::mesh;

const ALL: &str = "SELECT * FROM notes ORDER BY id";

fn done(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Something of everything: two rows stay, one is edited, one replaced, one moved, one deleted; what is
/// rolled back never was.
const SCRIPT: &str = "\
BEGIN; INSERT INTO notes VALUES (1, 'a', 'a'), (2, 'b', 'b'), (3, 'c', 'c'), (4, 'd', 'd'); COMMIT;
UPDATE notes SET body = 'edited' WHERE id = 1;
INSERT OR REPLACE INTO notes VALUES (2, 'replaced', NULL);
UPDATE notes SET id = 30 WHERE id = 3;
DELETE FROM notes WHERE id = 4;
INSERT INTO notes VALUES (1, 'x', 'x') ON CONFLICT (id) DO UPDATE SET title = 'upserted';
BEGIN; DELETE FROM notes; ROLLBACK;
";

const OUTCOME: [&str; 3] = ["1|upserted|edited", "2|replaced|", "30|c|c"];

fn by_python(database: &Path) -> Output {
    let script = SCRIPT.lines().map(|line| format!("db.executescript('''{line}''')\n"));
    python(database, &script.collect::<String>())
}

async fn writes_are_noticed(program: &str, run: impl Fn(&Path) -> Output) {
    if !is_installed(program) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [one, mut two, mut three] = mesh(dir.path(), ["one", "two", "three"]).await;
    one.create(NOTES).await;
    two.shows("SELECT count(*) FROM notes", &["0"]).await;

    // While the agent runs.
    done(&run(&two.data_db()));
    for agent in [&one, &two, &three] {
        agent.shows(ALL, &OUTCOME).await;
    }
    two.write("DELETE FROM notes").await;
    one.shows(ALL, &[]).await;

    // While it is stopped, and so is one that is to get it.
    let _stopped = two.terminate().await;
    three.kill9();
    done(&run(&two.data_db()));
    two.restart().await;
    one.shows(ALL, &OUTCOME).await;
    three.restart().await;
    three.shows(ALL, &OUTCOME).await;
    equal(&[&one, &two, &three]).await;
    assert_eq!(one.conflicts().await, []);
}

#[tokio::test]
async fn what_the_shell_of_sqlite_writes_is_on_all_peers_whether_the_agent_runs_or_not() {
    writes_are_noticed("sqlite3", |database| shell(database, SCRIPT)).await;
}

#[tokio::test]
async fn what_python_writes_is_on_all_peers_whether_the_agent_runs_or_not() {
    writes_are_noticed("python3", by_python).await;
}

#[tokio::test]
async fn the_shell_joins_the_tables_with_the_members() {
    if !is_installed("sqlite3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = mesh(dir.path(), ["one", "two"]).await;
    one.create("CREATE TABLE duties (host TEXT PRIMARY KEY NOT NULL, duty TEXT)").await;
    one.write("INSERT INTO duties VALUES ('two', 'mail')").await;
    two.shows("SELECT count(*) FROM duties", &["1"]).await;
    let join = "SELECT hostname, duty, is_self FROM agent_peers JOIN duties ON host = hostname;";
    let joined = shell(&two.data_db(), join);
    assert_eq!(String::from_utf8_lossy(&joined.stdout), "two|mail|1\n");
    assert_eq!(one.rows(join.trim_end_matches(';')).await, ["two|mail|0"]);
}
