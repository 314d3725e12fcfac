//! A database in a folder of its own, and what it sealed as text.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_protocol::{
    OriginId, RowChange, SchemaChange, Section, SqlValue, TransactionPart, UnixMillis,
};
use mesh_tables::{Statement, Tables, TablesConfig, TablesError, Written};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection, query};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::rules::NoRules;

pub(crate) const AT: UnixMillis = UnixMillis(1_800_000_000_000);

pub(crate) struct Setup {
    folder: TempDir,
    pub(crate) tables: Tables,
    tracker: TaskTracker,
    /// The last transaction that [`Setup::sealed`] told of.
    told: AtomicU64,
}

impl Setup {
    /// Creates the tables, and forgets that it did.
    pub(crate) async fn with(creates: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let (tables, tracker) = open(&folder.path().join("data.db")).await;
        let setup = Self { folder, tables, tracker, told: AtomicU64::new(0) };
        for sql in creates {
            setup.tables.create_table(sql, AT).await.unwrap();
        }
        setup.sealed().await;
        setup
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("data.db")
    }

    /// Closes the database, lets `meanwhile` do what it likes, and opens it again.
    pub(crate) async fn closed<F: AsyncFnOnce()>(self, meanwhile: F) -> Self {
        let Self { folder, tables, tracker, told } = self;
        drop(tables);
        tracker.close();
        tracker.wait().await;
        meanwhile().await;
        let (tables, tracker) = open(&folder.path().join("data.db")).await;
        Self { folder, tables, tracker, told }
    }

    /// Another program that has the file open.
    pub(crate) async fn shell(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }

    /// Another program runs one text of statements.
    pub(crate) async fn shell_runs(&self, sql: &str) {
        let mut shell = self.shell().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut shell).await.unwrap();
    }

    pub(crate) async fn try_run(&self, statements: &[&str]) -> Result<Vec<Written>, TablesError> {
        let statements = statements.iter().map(|sql| statement(sql, &[])).collect();
        self.tables.execute(statements, AT).await
    }

    /// Runs the statements as one transaction and says what was sealed.
    pub(crate) async fn run(&self, statements: &[&str]) -> String {
        self.try_run(statements).await.unwrap();
        self.sealed().await
    }

    /// Runs one statement with parameters and says what was sealed.
    pub(crate) async fn run_with(&self, sql: &str, params: &[SqlValue]) -> String {
        self.tables.execute(vec![statement(sql, params)], AT).await.unwrap();
        self.sealed().await
    }

    /// Lets the database take up what other programs wrote, and says what was sealed.
    pub(crate) async fn noticed(&self) -> String {
        self.tables.notice(AT).await.unwrap();
        self.sealed().await
    }

    /// The parts that were sealed since the last call.
    pub(crate) async fn parts(&self) -> Vec<TransactionPart> {
        let mut shell = self.shell().await;
        let told = self.told.load(Ordering::Relaxed).cast_signed();
        let rows = query("SELECT body, part, is_last FROM mesh_log WHERE sequence > ? ORDER BY id")
            .bind(told)
            .fetch_all(&mut shell)
            .await
            .unwrap();
        let parts: Vec<_> = rows
            .iter()
            .map(|row| {
                let part = TransactionPart::decode(row.get::<&[u8], _>("body")).unwrap();
                assert_eq!(part.part, row.get::<u32, _>("part"));
                assert_eq!(part.is_last, row.get::<bool, _>("is_last"));
                part
            })
            .collect();
        if let Some(last) = parts.last() {
            self.told.store(last.dot.sequence, Ordering::Relaxed);
        }
        parts
    }

    /// What was sealed since the last call, as text: transactions by " | ", changes by "; ".
    pub(crate) async fn sealed(&self) -> String {
        let mut text = String::new();
        for part in self.parts().await {
            let header = part.header.iter();
            let schema = header.flat_map(|header| &header.schema).map(schema_text);
            let rows = part.sections.iter().flat_map(section_text);
            let changes: Vec<String> = schema.chain(rows).collect();
            if !text.is_empty() {
                text.push_str(if part.part == 0 { " | " } else { "; " });
            }
            text.push_str(&changes.join("; "));
        }
        text
    }

    /// One number that a query of another program finds.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut shell = self.shell().await;
        query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut shell).await.unwrap().get(0)
    }
}

async fn open(path: &std::path::Path) -> (Tables, TaskTracker) {
    let tracker = TaskTracker::new();
    let fresh = OriginId::from_bytes([1; 16]);
    let config = TablesConfig::default();
    let tables = Tables::open(path, config, Arc::new(NoRules), fresh, &tracker).await.unwrap();
    (tables, tracker)
}

pub(crate) fn statement(sql: &str, params: &[SqlValue]) -> Statement {
    Statement { sql: sql.to_owned(), params: params.to_vec() }
}

pub(crate) fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

fn schema_text(change: &SchemaChange) -> String {
    match change {
        SchemaChange::CreateTable { name, .. } => format!("create {name}"),
        SchemaChange::AddColumn { definition, .. } => format!("add {definition}"),
        SchemaChange::CreateIndex { name, .. } => format!("index {name}"),
        SchemaChange::DropTable { name, .. } => format!("drop {name}"),
    }
}

fn section_text(section: &Section) -> Vec<String> {
    let changes = section.changes.iter();
    let texts = changes.map(|change| match change {
        RowChange::Put { key, life, values, .. } => {
            let values = section.columns.iter().zip(values);
            format!("put {} life {life}{}", values_text(key), cells_text(values))
        }
        RowChange::Delete { key, life, .. } => format!("delete {} life {life}", values_text(key)),
        RowChange::Edit { key, life, cells } => {
            let cells =
                cells.iter().map(|cell| (&section.columns[usize::from(cell.column)], &cell.value));
            format!("edit {} life {life}{}", values_text(key), cells_text(cells))
        }
    });
    texts.collect()
}

fn cells_text<'a>(cells: impl Iterator<Item = (&'a String, &'a SqlValue)>) -> String {
    let mut text = String::new();
    for (column, value) in cells {
        write!(text, " {column}={}", value_text(value)).unwrap();
    }
    text
}

fn values_text(values: &[SqlValue]) -> String {
    values.iter().map(value_text).collect::<Vec<_>>().join(",")
}

fn value_text(value: &SqlValue) -> String {
    match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => format!("'{text}'"),
        SqlValue::Blob(bytes) if bytes.len() > 16 => format!("blob of {}", bytes.len()),
        SqlValue::Blob(bytes) => format!("x{bytes:02x?}"),
        SqlValue::RawText(bytes) => format!("raw{bytes:02x?}"),
    }
}
