//! Data directories of earlier builds and of newer ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection,
};

use super::replay::replay;
use super::transcript::{DATA_FILES, transcripts};
use crate::agent::Agent;

/// A schema that no program has.
const NEWER: i64 = 9999;

/// The schemas of `mesh.db`, oldest first, as they were made.
fn migrations() -> Vec<(i64, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/mesh-store/migrations");
    let mut migrations: Vec<(i64, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let version = name.split('_').next().unwrap().parse().unwrap();
            (version, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    migrations.sort();
    migrations
}

async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.unwrap()
}

async fn execute(conn: &mut SqliteConnection, sql: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(conn).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn texts(conn: &mut SqliteConnection, sql: String) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(conn).await.unwrap()
}

/// Makes `mesh.db` one that the program of an earlier schema wrote: its tables, with what they can hold of
/// what is there.
async fn make_older(path: &Path, schema: i64) {
    let newest = path.with_extension("newest");
    fs::rename(path, &newest).unwrap();
    let mut conn = open(path).await;
    let older = migrations().into_iter().filter(|(version, _)| *version <= schema);
    let older = older.map(|(version, sql)| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, "older".into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(older.collect()).run_direct(None, &mut conn, false).await.unwrap();
    execute(&mut conn, format!("ATTACH '{}' AS newest", newest.display())).await;
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'
                  AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    for table in texts(&mut conn, tables.to_owned()).await {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns = texts(&mut conn, columns).await.join(", ");
        let copy = format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newest.{table}"
        );
        execute(&mut conn, copy).await;
    }
    conn.close().await.unwrap();
    fs::remove_file(newest).unwrap();
}

async fn schema_of(path: &Path) -> i64 {
    let mut conn = open(path).await;
    let newest = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
    let newest = newest.fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    newest
}

/// The program of a newer schema was here.
async fn make_newer(path: &Path) {
    let mut conn = open(path).await;
    let sql = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ({NEWER}, 'newer', 1, x'00', 0)"
    );
    execute(&mut conn, sql).await;
    conn.close().await.unwrap();
}

fn bytes(data_dir: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    DATA_FILES.into_iter().map(|name| (name, fs::read(data_dir.join(name)).unwrap())).collect()
}

#[tokio::test]
async fn an_agent_starts_on_a_database_of_every_schema_and_works_with_what_is_in_it() {
    let newest = migrations().last().unwrap().0;
    let mut played = 0;
    for transcript in transcripts() {
        let recorded = schema_of_copy(&transcript.join("new/mesh.db")).await;
        for schema in 1..recorded {
            eprintln!("schema {schema} of {}", transcript.display());
            // Members, keys, inbox and everything else have to be there for what is played to be understood.
            replay(&transcript, async |data_dir: &Path| {
                let path = data_dir.join("mesh.db");
                make_older(&path, schema).await;
                assert_eq!(schema_of(&path).await, schema);
            })
            .await;
            played += 1;
        }
    }
    assert!(played >= newest - 1, "{played} of the {newest} schemas");
}

/// The fixture itself is not opened: SQLite writes beside it.
async fn schema_of_copy(path: &Path) -> i64 {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("mesh.db");
    fs::copy(path, &copy).unwrap();
    schema_of(&copy).await
}

/// Starts the agent on what is there, and returns what it says before it ends.
fn refused(agent: &Agent) -> String {
    let output = agent.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_with_what_to_do_and_nothing_is_changed() {
    let newest = migrations().last().unwrap().0;
    for (file, ours) in [("mesh.db", newest), ("data.db", 2)] {
        let dir = tempfile::tempdir().unwrap();
        let mut agent = Agent::start(dir.path(), "one").await;
        assert!(agent.terminate().await.success());
        let path = agent.data_dir().join(file);
        // The other one is older, and is not brought to this program's schema either.
        if file == "data.db" {
            make_older(&agent.data_dir().join("mesh.db"), newest - 1).await;
        }
        let sound = bytes(agent.data_dir());
        make_newer(&path).await;
        let before = bytes(agent.data_dir());
        let said = refused(&agent);
        let words = [
            format!("{}", path.display()),
            format!("has schema {NEWER}, this program knows schemas up to {ours};"),
            String::from("nothing was changed"),
            String::from("install the newer program again, or restore the backup"),
        ];
        for word in words {
            assert!(said.contains(&word), "{word:?} is not in {said}");
        }
        assert!(bytes(agent.data_dir()) == before, "{file}: something was changed");
        // The newer program finds everything as it was: here the same one, without the mark.
        fs::write(&path, &sound[file]).unwrap();
        agent.restart().await;
        assert_eq!(agent.peers().await.len(), 1);
    }
}
