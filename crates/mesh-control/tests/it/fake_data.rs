//! The replicated tables of the fake agent.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, BackupStream, ChangeOperation, ChangeView, ClockSkewView, ConflictQuery,
    ConflictRestore, ConflictSide, ConflictView, DataApi, DataState, DataView, NamedValues,
    ParkedAccept, ParkedAccepted, ParkedView, SqlItem, SqlJson, SqlReply, SqlStatement,
    StatementView, TableCreate, TableQuery, TableView, TransactionRequest, WatchQuery,
};
use mesh_protocol::{ErrorCode, OriginId, SqlValue};
use serde::Serialize;

use super::{FakeAgent, HOSTILE};

/// Bytes of the backup.
pub(crate) const BACKUP: &[u8] = b"an archive in two pieces";

pub(super) fn at_a_glance() -> DataView {
    DataView {
        state: DataState::Ok,
        detail: String::new(),
        tables: 2,
        log_bytes: 3 << 20,
        parked: 2,
        conflicts: 1,
        clock_skew: vec![ClockSkewView {
            hostname: HOSTILE.to_owned(),
            ahead_seconds: 300,
            transactions: 2,
        }],
        behind: 4,
        snapshot_percent: None,
    }
}

/// A question with its values, which their debug form hides.
fn question(name: &str, request: &impl Serialize) -> String {
    format!("{name} {}", serde_json::to_string(request).unwrap())
}

fn text(text: &str) -> SqlJson {
    SqlJson(SqlValue::Text(text.to_owned()))
}

fn named(values: &[(&str, SqlJson)]) -> NamedValues {
    NamedValues(values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn table(name: &str, rows: u64) -> TableView {
    TableView {
        name: name.to_owned(),
        columns: vec!["id".to_owned(), "title".to_owned()],
        primary_key: vec!["id".to_owned()],
        rows,
        checksum: None,
    }
}

fn columns() -> Vec<String> {
    vec!["id".to_owned(), "title".to_owned(), "size".to_owned(), "data".to_owned()]
}

/// One of every kind of value.
fn rows() -> Vec<Vec<SqlJson>> {
    let row = |values: [SqlValue; 4]| values.map(SqlJson).into();
    vec![
        row([
            SqlValue::Integer(1),
            SqlValue::Text("a, \"b\"".to_owned()),
            SqlValue::Real(1.0),
            SqlValue::Blob(vec![0, 0xff]),
        ]),
        row([
            SqlValue::Integer(-2),
            SqlValue::Text(HOSTILE.to_owned()),
            SqlValue::Real(f64::INFINITY),
            SqlValue::Null,
        ]),
        row([
            SqlValue::Integer(i64::MAX),
            SqlValue::Text(String::new()),
            SqlValue::Null,
            SqlValue::RawText(vec![0xff]),
        ]),
    ]
}

/// What starts with SELECT reads.
fn is_query(sql: &str) -> bool {
    sql.starts_with("SELECT")
}

impl FakeAgent {
    fn conflict(&self) -> ConflictView {
        let side = |value: SqlJson, by: &str, seconds| ConflictSide {
            value,
            deleted: false,
            by: by.to_owned(),
            at: self.ago(seconds),
        };
        ConflictView {
            id: "c0ffee00c0ffee00".to_owned(),
            table: "notes".to_owned(),
            key: named(&[("id", text("a"))]),
            column: Some("title".to_owned()),
            kept: side(text("kept"), "baulder", 60),
            lost: side(text(HOSTILE), HOSTILE, 61),
            at: self.ago(60),
        }
    }

    fn changes(&self) -> Vec<ChangeView> {
        let change = |number: u8, operation, data| ChangeView {
            position: number.to_string(),
            table: "notes".to_owned(),
            operation,
            key: named(&[("id", text("a"))]),
            data,
            origin: if number == 2 { HOSTILE.to_owned() } else { "mint".to_owned() },
            stamp: format!("11665408000000000{number}"),
            at: self.ago(60),
        };
        let resync = ChangeView {
            key: NamedValues::default(),
            origin: String::new(),
            stamp: "0".to_owned(),
            ..change(4, ChangeOperation::Resync, NamedValues::default())
        };
        vec![
            change(1, ChangeOperation::Insert, named(&[("title", text("b")), ("a", text("c"))])),
            change(2, ChangeOperation::Update, named(&[("title", text(HOSTILE))])),
            change(3, ChangeOperation::Delete, NamedValues::default()),
            resync,
        ]
    }
}

impl DataApi for FakeAgent {
    async fn table_list(&self, query: TableQuery) -> Result<Vec<TableView>, ApiError> {
        let checksum = query.checksum.then(|| "5f3a0b".to_owned());
        let tables = [("notes", 2), (HOSTILE, 1_000_000)];
        let tables = tables
            .map(|(name, rows)| TableView { checksum: checksum.clone(), ..table(name, rows) });
        self.answer(question("tables", &query), tables.into())
    }

    async fn table_create(&self, request: TableCreate) -> Result<TableView, ApiError> {
        self.answer(question("create", &request), table("notes", 0))
    }

    async fn table_drop(&self, name: String) -> Result<TableView, ApiError> {
        self.answer(format!("drop {name}"), table(&name, 2))
    }

    async fn sql(&self, statement: SqlStatement) -> Result<SqlReply, ApiError> {
        let reply = if is_query(&statement.sql) {
            SqlReply::Rows { columns: columns(), rows: rows(), changes: None }
        } else {
            SqlReply::Changes { changes: 2 }
        };
        self.answer(question("sql", &statement), reply)
    }

    /// `SELECT half` breaks off behind the rows, `SELECT cut` ends there without a word, `SELECT large`
    /// brings more than an item may hold, and `SELECT many` brings 2,500 rows.
    fn sql_rows(&self, statement: SqlStatement) -> BoxStream<'static, Result<SqlItem, ApiError>> {
        let is_query = is_query(&statement.sql);
        let (columns, mut rows) = if is_query { (columns(), rows()) } else { (vec![], vec![]) };
        if statement.sql == "SELECT large" {
            rows = vec![vec![text(&"\u{1}".repeat(3 << 20))]];
        }
        if statement.sql == "SELECT many" {
            rows = (0..2_500).map(|id| vec![SqlJson(SqlValue::Integer(id)); 4]).collect();
        }
        let count = rows.len() as u64;
        let changes = (!is_query).then_some(2);
        let mut items = vec![Ok(SqlItem::Columns { columns })];
        let piece = if count > 1_000 { 700 } else { 2 };
        items.extend(rows.chunks(piece).map(|rows| Ok(SqlItem::Rows { rows: rows.to_vec() })));
        match statement.sql.as_str() {
            "SELECT half" => items.push(Err(ApiError::new(
                ErrorCode::QueryTooLong,
                "the query was stopped after 30 s",
                mesh_control::hints::QUERY_TOO_LONG,
            ))),
            "SELECT cut" => {}
            _ => items.push(Ok(SqlItem::Done { rows: count, changes })),
        }
        match self.answer(question("rows", &statement), items) {
            Ok(items) => stream::iter(items).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn transaction(
        &self,
        request: TransactionRequest,
    ) -> Result<Vec<StatementView>, ApiError> {
        let view = |statement: &SqlStatement| match is_query(&statement.sql) {
            true => StatementView { changes: 0, columns: columns(), rows: rows() },
            false => StatementView { changes: 1, columns: vec![], rows: vec![] },
        };
        let views = request.statements.iter().map(view).collect();
        self.answer(question("transaction", &request), views)
    }

    fn watch(&self, query: WatchQuery) -> BoxStream<'static, Result<ChangeView, ApiError>> {
        match self.answer(question("watch", &query), self.changes()) {
            Ok(changes) => stream::iter(changes).map(Ok).chain(stream::pending()).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn conflict_list(&self, query: ConflictQuery) -> Result<Vec<ConflictView>, ApiError> {
        let whole_row = ConflictView {
            id: "decaf000decaf000".to_owned(),
            column: None,
            lost: ConflictSide { deleted: true, ..self.conflict().kept },
            ..self.conflict()
        };
        let is_other = query.table.as_ref().is_some_and(|table| table != "notes");
        let conflicts = if is_other { vec![] } else { vec![self.conflict(), whole_row] };
        self.answer(question("conflicts", &query), conflicts)
    }

    async fn conflict_restore(&self, request: ConflictRestore) -> Result<ConflictView, ApiError> {
        self.answer(question("restore", &request), self.conflict())
    }

    async fn parked_list(&self) -> Result<Vec<ParkedView>, ApiError> {
        let view = |sequence, member: Option<&str>, reason: &str, ahead_seconds| ParkedView {
            origin: OriginId::from_bytes([7; 16]),
            member: member.map(str::to_owned),
            sequence,
            reason: reason.to_owned(),
            detail: HOSTILE.to_owned(),
            at: self.ago(120),
            ahead_seconds,
        };
        let parked =
            vec![view(8, Some("mint"), "clock_skew", 300), view(9, None, "unknown_table", 0)];
        self.answer("parked".to_owned(), parked)
    }

    async fn parked_accept(&self, request: ParkedAccept) -> Result<ParkedAccepted, ApiError> {
        let accepted = if request.host == "oak" { 0 } else { 2 };
        let reply = ParkedAccepted { accepted, applied: accepted };
        self.answer(question("accept", &request), reply)
    }

    async fn backup(&self) -> Result<BackupStream, ApiError> {
        let (head, tail) = BACKUP.split_at(10);
        let mut chunks = vec![Ok(Bytes::from_static(head)), Ok(Bytes::from_static(tail))];
        if let Some(chunk) = *self.breaking.lock().unwrap() {
            chunks[chunk] = Err(ApiError::new(ErrorCode::StorageError, "the disk is gone", ""));
        }
        let bytes_total = self.knows_size.then_some(BACKUP.len() as u64);
        let backup = BackupStream { bytes_total, chunks: stream::iter(chunks).boxed() };
        self.answer("backup".to_owned(), backup)
    }
}
