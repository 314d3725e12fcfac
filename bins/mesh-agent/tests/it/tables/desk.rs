//! What the tests of the tables do with an agent: ask it, write past it, and compare it with others.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mesh_control::{
    ClientError, ConflictQuery, ConflictView, SqlJson, SqlReply, SqlStatement, TableCreate,
    TableQuery, TableView, TransactionRequest,
};
use mesh_protocol::SqlValue;
use rustix::process::{Signal, kill_process};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::agent::{Agent, eventually};

/// For what is much work for a debug build on a busy machine.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// A table with two columns beside its key.
pub(super) const NOTES: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, title TEXT, body TEXT)";

/// Rows as texts, the values of a row separated by `|`, as the shell of SQLite prints them.
fn line(row: &[SqlJson]) -> String {
    let cells = row.iter().map(|value| match &value.0 {
        SqlValue::Null => String::new(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => number.to_string(),
        SqlValue::Text(text) => text.clone(),
        SqlValue::Blob(bytes) | SqlValue::RawText(bytes) => hex::encode(bytes),
    });
    cells.collect::<Vec<_>>().join("|")
}

pub(super) fn statement(sql: &str) -> SqlStatement {
    SqlStatement { sql: sql.to_owned(), params: Vec::new() }
}

impl Agent {
    pub(super) async fn create(&self, sql: &str) {
        let request = TableCreate { sql: sql.to_owned() };
        self.client().table_create(&request).await.unwrap();
    }

    pub(super) async fn try_sql(&self, sql: &str) -> Result<SqlReply, ClientError> {
        self.client().sql(&statement(sql)).await
    }

    /// Writes; how many rows were changed.
    pub(super) async fn write(&self, sql: &str) -> u64 {
        match self.try_sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")) {
            SqlReply::Changes { changes } => changes,
            SqlReply::Rows { changes, .. } => changes.unwrap(),
        }
    }

    /// Reads; none when it cannot be, such as when the table is not there yet.
    pub(super) async fn try_rows(&self, sql: &str) -> Option<Vec<String>> {
        match self.try_sql(sql).await.ok()? {
            SqlReply::Rows { rows, .. } => Some(rows.iter().map(|row| line(row)).collect()),
            SqlReply::Changes { .. } => None,
        }
    }

    pub(super) async fn rows(&self, sql: &str) -> Vec<String> {
        self.try_rows(sql).await.unwrap_or_else(|| panic!("{sql}"))
    }

    pub(super) async fn transaction(&self, statements: &[&str]) -> Result<(), ClientError> {
        let statements = statements.iter().map(|sql| statement(sql)).collect();
        self.client().transaction(&TransactionRequest { statements }).await.map(drop)
    }

    /// Waits until a query brings these rows.
    pub(super) async fn shows(&self, sql: &str, expected: &[&str]) {
        let what = format!("{} has {expected:?} for {sql}", self.name());
        eventually(LONG, &what, async || (self.try_rows(sql).await? == expected).then_some(()))
            .await;
    }

    pub(super) async fn conflicts(&self) -> Vec<ConflictView> {
        self.client().conflict_list(&ConflictQuery::default()).await.unwrap()
    }

    /// Every table with its checksum.
    pub(super) async fn tables(&self) -> Vec<TableView> {
        self.client().table_list(TableQuery { checksum: true }).await.unwrap()
    }

    pub(super) fn data_db(&self) -> PathBuf {
        self.data_dir().join("data.db")
    }

    /// Opens the database as any other program does.
    pub(super) async fn open(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.data_db());
        options.busy_timeout(Duration::from_secs(30)).connect().await.unwrap()
    }

    /// Writes as another program does, whether the agent runs or not.
    pub(super) async fn write_past(&self, sql: &str) {
        let mut conn = self.open().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    /// A number out of the database, read as another program does.
    pub(super) async fn number_past(&self, sql: &str) -> i64 {
        let mut conn = self.open().await;
        let number = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await;
        conn.close().await.unwrap();
        number.unwrap()
    }

    pub(super) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// Freezes it at a moment at which it does not write, so that others can write to its database.
    pub(super) async fn freeze_between_writes(&self) {
        let options = SqliteConnectOptions::new().filename(self.data_db());
        let mut conn = options.busy_timeout(Duration::ZERO).connect().await.unwrap();
        eventually(LONG, "it is frozen while it does not write", async || {
            self.freeze();
            let tried = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut conn).await;
            if tried.is_err() {
                self.thaw();
            }
            tried.ok().map(drop)
        })
        .await;
        conn.close().await.unwrap();
    }

    pub(super) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// Runs `mesh-ctl` against this agent.
    pub(super) fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(ctl_program());
        command.arg("--socket").arg(self.client().path()).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }
}

/// The program that is built beside the agent.
pub(super) fn ctl_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_mesh-agent")).with_file_name("mesh-ctl");
    let missing = "the test needs mesh-ctl beside mesh-agent: cargo build --package mesh-ctl";
    assert!(program.exists(), "{missing}");
    program
}

/// Whether a program of the system can be run; says so when not.
pub(super) fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let tried = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = tried.is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

/// Runs a program with a text on its standard input, which must take it.
pub(super) fn feed(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that ends early says why by itself.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The `sqlite3` shell with a script.
pub(super) fn shell(database: &Path, script: &str) -> Output {
    let mut command = Command::new("sqlite3");
    command.args(["-batch", "-bail", "-cmd", ".timeout 30000"]).arg(database);
    feed(&mut command, script)
}

/// Python's `sqlite3` with a script, in which `db` is the open database.
pub(super) fn python(database: &Path, script: &str) -> Output {
    let head = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], timeout=30)\n";
    let mut command = Command::new("python3");
    command.arg("-").arg(database);
    feed(&mut command, &format!("{head}{script}\n"))
}

/// Waits until all agents have the same rows in the same tables, and the same conflicts.
pub(super) async fn equal(agents: &[&Agent]) {
    equal_within(agents, LONG).await;
}

pub(super) async fn equal_within(agents: &[&Agent], deadline: Duration) {
    eventually(deadline, "all tables and conflicts are equal", async || {
        let mut first = None;
        for agent in agents {
            let conflicts = agent.conflicts().await.into_iter();
            let mut conflicts: Vec<String> = conflicts.map(|conflict| conflict.id).collect();
            conflicts.sort();
            let status = agent.status().await;
            if status.data.parked > 0 || status.data.behind > 0 {
                return None;
            }
            let found = (agent.tables().await, conflicts);
            if *first.get_or_insert_with(|| found.clone()) != found {
                return None;
            }
        }
        Some(())
    })
    .await;
}
