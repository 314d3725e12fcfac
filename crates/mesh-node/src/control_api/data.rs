//! The replicated tables over the local admin API.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, BackupStream, ChangeOperation, ChangeView, ClockSkewView, ConflictQuery,
    ConflictRestore, ConflictSide, ConflictView, DataApi, DataState, DataView, NamedValues,
    ParkedAccept, ParkedAccepted, ParkedView, SQL_BATCH_BYTES_TARGET, SQL_BYTES_MAX, SQL_ROWS_MAX,
    STATEMENTS_MAX, SqlItem, SqlJson, SqlReply, SqlStatement, StatementView, TableCreate,
    TableQuery, TableView, TransactionRequest, WatchQuery, hints,
};
use mesh_protocol::{ErrorCode, OriginId, PeerId, SqlValue, UnixMillis};
use mesh_tables::{
    CONFIG_HISTORY_TABLE, CONFIG_TABLE, ChangeEvent, ConflictInfo, FeedItem, Operation, ParkedInfo,
    Query, Rows, Statement, TableInfo, WriteInfo, Written,
};

use crate::clock;
use crate::error::NodeError;
use crate::node::Node;
use crate::shared::lock;

fn row_json(row: Vec<SqlValue>) -> Vec<SqlJson> {
    row.into_iter().map(SqlJson::from).collect()
}

fn rows_json(rows: Vec<Vec<SqlValue>>) -> Vec<Vec<SqlJson>> {
    rows.into_iter().map(row_json).collect()
}

fn named(values: Vec<(String, SqlValue)>) -> NamedValues {
    NamedValues(values.into_iter().map(|(name, value)| (name, value.into())).collect())
}

fn row_bytes(row: &[SqlValue]) -> usize {
    row.iter().map(SqlValue::bytes).sum()
}

fn statement(request: SqlStatement) -> Statement {
    let params = request.params.into_iter().map(SqlValue::from).collect();
    Statement { sql: request.sql, params }
}

/// Whether the table is one whose rows are shown by other commands.
fn is_of_config(table: &str) -> bool {
    [CONFIG_TABLE, CONFIG_HISTORY_TABLE].iter().any(|name| name.eq_ignore_ascii_case(table))
}

fn table_view(info: TableInfo, checksum: Option<String>) -> TableView {
    let TableInfo { name, columns, primary_key, rows, .. } = info;
    TableView { name, columns, primary_key, rows, checksum }
}

fn too_many() -> ApiError {
    ApiError::new(
        ErrorCode::TooManyRows,
        format!("the answer has more than {SQL_ROWS_MAX} rows or {SQL_BYTES_MAX} bytes"),
        hints::TOO_MANY_ROWS,
    )
}

/// How much of an answer has come.
#[derive(Default)]
struct Fill {
    rows: usize,
    bytes: usize,
}

impl Fill {
    fn add(&mut self, row: &[SqlValue]) -> Result<(), ApiError> {
        self.rows += 1;
        self.bytes += row_bytes(row);
        if self.rows > SQL_ROWS_MAX || self.bytes > SQL_BYTES_MAX {
            Err(too_many())
        } else {
            Ok(())
        }
    }
}

/// A query's answer on its way out.
enum Reading {
    Columns(Rows),
    Rows(Rows, u64),
    Over,
}

impl Reading {
    async fn next(self) -> Option<(Result<SqlItem, ApiError>, Self)> {
        match self {
            Self::Columns(rows) => {
                let columns = rows.columns().to_vec();
                Some((Ok(SqlItem::Columns { columns }), Self::Rows(rows, 0)))
            }
            Self::Rows(mut rows, mut count) => {
                let mut batch = Vec::new();
                let mut bytes = 0;
                while bytes < SQL_BATCH_BYTES_TARGET {
                    // The first row is waited for; what is not there yet goes with the next item.
                    let row = if batch.is_empty() {
                        rows.next().await
                    } else {
                        match futures_util::FutureExt::now_or_never(rows.next()) {
                            Some(row) => row,
                            None => break,
                        }
                    };
                    match row {
                        Some(Ok(row)) => {
                            bytes += row_bytes(&row);
                            batch.push(row_json(row));
                        }
                        Some(Err(error)) => {
                            return Some((Err(NodeError::from(error).into()), Self::Over));
                        }
                        None if batch.is_empty() => {
                            let done = SqlItem::Done { rows: count, changes: None };
                            return Some((Ok(done), Self::Over));
                        }
                        None => break,
                    }
                }
                count += batch.len() as u64;
                Some((Ok(SqlItem::Rows { rows: batch }), Self::Rows(rows, count)))
            }
            Self::Over => None,
        }
    }
}

impl Node {
    fn member_of(&self, origin: &OriginId, noted: Option<PeerId>) -> Option<String> {
        let member = noted.or_else(|| lock(&self.shared.core).member_of_origin(origin))?;
        Some(self.shared.view().label(&member))
    }

    fn change_view(&self, change: ChangeEvent) -> ChangeView {
        let operation = match change.operation {
            Operation::Insert => ChangeOperation::Insert,
            Operation::Update => ChangeOperation::Update,
            Operation::Delete => ChangeOperation::Delete,
        };
        ChangeView {
            position: change.position.to_string(),
            table: change.table,
            operation,
            key: named(change.key),
            data: named(change.data),
            origin: self.shared.origin_name(&change.origin, change.member),
            stamp: change.clock.0.to_string(),
            at: change.clock.time(),
        }
    }

    fn conflict_view(&self, conflict: ConflictInfo) -> ConflictView {
        let side = |value: SqlValue, deleted: bool, by: Option<WriteInfo>| ConflictSide {
            value: value.into(),
            deleted,
            by: by.map(|by| self.shared.origin_name(&by.origin, by.member)).unwrap_or_default(),
            at: by.map_or(UnixMillis(0), |by| by.clock.time()),
        };
        let kept = side(conflict.kept, !conflict.is_row_there, conflict.kept_by);
        let lost = side(conflict.lost, conflict.column.is_none(), Some(conflict.lost_by));
        ConflictView {
            id: conflict.id,
            table: conflict.table,
            key: named(conflict.key),
            column: conflict.column,
            at: kept.at.max(lost.at),
            kept,
            lost,
        }
    }

    fn parked_view(&self, parked: ParkedInfo, now: UnixMillis) -> ParkedView {
        ParkedView {
            origin: parked.dot.origin,
            member: self.member_of(&parked.dot.origin, parked.member),
            sequence: parked.dot.sequence,
            reason: parked.reason.as_str().to_owned(),
            detail: parked.detail,
            at: parked.at,
            ahead_seconds: parked.clock.time().since(now).as_secs(),
        }
    }

    /// The replicated tables at a glance.
    pub(super) async fn data_view(&self) -> Result<DataView, NodeError> {
        let replication = &self.shared.replication;
        let now = clock::now().wall;
        let stats = replication.tables.stats(now).await?;
        let have = Arc::clone(&replication.tables.have().borrow());
        let behind = lock(&self.shared.core).tables_behind();
        let clock_skew = stats.parked_ahead.iter().map(|ahead| ClockSkewView {
            hostname: self.shared.origin_name(&ahead.origin, ahead.member),
            ahead_seconds: ahead.ahead_millis / 1000,
            transactions: ahead.count,
        });
        let (state, detail) = match replication.trouble() {
            Some(trouble) => (trouble.state, trouble.detail),
            None if have.in_snapshot => (DataState::Snapshot, String::new()),
            None => (DataState::Ok, String::new()),
        };
        Ok(DataView {
            state,
            detail,
            tables: stats.tables,
            log_bytes: stats.log_bytes,
            parked: stats.parked,
            conflicts: stats.conflicts,
            clock_skew: clock_skew.collect(),
            behind: behind.iter().filter_map(|behind| behind.we).max().unwrap_or(0),
            snapshot_percent: have.in_snapshot.then(|| replication.snapshot_percent()),
        })
    }

    async fn read(&self, request: SqlStatement) -> Result<Rows, NodeError> {
        let Statement { sql, params } = statement(request);
        self.query(Query { sql, params, ..Query::default() }).await
    }

    async fn write_one(&self, request: SqlStatement) -> Result<Written, NodeError> {
        let written = self.execute(vec![statement(request)]).await?;
        Ok(written.into_iter().next().unwrap_or_default())
    }

    async fn named_table(&self, name: &str) -> Result<TableInfo, ApiError> {
        let tables = self.tables().await?;
        tables.into_iter().find(|table| table.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let message = format!("there is no replicated table {name:?}; nothing was changed");
            ApiError::new(ErrorCode::UnknownTable, message, hints::UNKNOWN_TABLE)
        })
    }
}

impl DataApi for Node {
    async fn table_list(&self, query: TableQuery) -> Result<Vec<TableView>, ApiError> {
        let tables = self.tables().await?;
        let digests = if query.checksum {
            self.shared.replication.tables.digests().await.map_err(NodeError::from)?
        } else {
            Vec::new()
        };
        let checksum = |info: &TableInfo| {
            let digest = digests.iter().find(|digest| digest.table == info.id);
            digest.map(mesh_tables::checksum)
        };
        let view = |info: TableInfo| {
            let checksum = checksum(&info);
            table_view(info, checksum)
        };
        Ok(tables.into_iter().map(view).collect())
    }

    async fn table_create(&self, request: TableCreate) -> Result<TableView, ApiError> {
        let name = self.create_table(&request.sql).await?;
        Ok(table_view(self.named_table(&name).await?, None))
    }

    async fn table_drop(&self, name: String) -> Result<TableView, ApiError> {
        let info = self.named_table(&name).await?;
        self.drop_table(&info.name).await?;
        Ok(table_view(info, None))
    }

    async fn sql(&self, request: SqlStatement) -> Result<SqlReply, ApiError> {
        if !mesh_tables::only_reads(&request.sql) {
            let Written { changes, columns, rows } = self.write_one(request).await?;
            return Ok(if columns.is_empty() {
                SqlReply::Changes { changes }
            } else {
                SqlReply::Rows { columns, rows: rows_json(rows), changes: Some(changes) }
            });
        }
        let mut answer = self.read(request).await?;
        let columns = answer.columns().to_vec();
        let mut fill = Fill::default();
        let mut rows = Vec::new();
        while let Some(row) = answer.next().await {
            let row = row.map_err(NodeError::from)?;
            fill.add(&row)?;
            rows.push(row_json(row));
        }
        Ok(SqlReply::Rows { columns, rows, changes: None })
    }

    fn sql_rows(&self, request: SqlStatement) -> BoxStream<'static, Result<SqlItem, ApiError>> {
        let node = self.clone();
        let items = async move {
            if mesh_tables::only_reads(&request.sql) {
                return match node.read(request).await {
                    Ok(rows) => stream::unfold(Reading::Columns(rows), Reading::next).boxed(),
                    Err(error) => stream::iter([Err(error.into())]).boxed(),
                };
            }
            match node.write_one(request).await {
                Ok(Written { changes, columns, rows }) => {
                    let count = rows.len() as u64;
                    let rows = rows_json(rows);
                    stream::iter([
                        Ok(SqlItem::Columns { columns }),
                        Ok(SqlItem::Rows { rows }),
                        Ok(SqlItem::Done { rows: count, changes: Some(changes) }),
                    ])
                    .boxed()
                }
                Err(error) => stream::iter([Err(error.into())]).boxed(),
            }
        };
        stream::once(items).flatten().boxed()
    }

    async fn transaction(
        &self,
        request: TransactionRequest,
    ) -> Result<Vec<StatementView>, ApiError> {
        if request.statements.len() > STATEMENTS_MAX {
            let message =
                format!("a transaction has at most {STATEMENTS_MAX} statements; nothing was done");
            return Err(ApiError::new(ErrorCode::BadRequest, message, ""));
        }
        let statements = request.statements.into_iter().map(statement).collect();
        let written = self.execute(statements).await?;
        let view = |written: Written| StatementView {
            changes: written.changes,
            columns: written.columns,
            rows: rows_json(written.rows),
        };
        Ok(written.into_iter().map(view).collect())
    }

    fn watch(&self, query: WatchQuery) -> BoxStream<'static, Result<ChangeView, ApiError>> {
        let node = self.clone();
        let opened = async move {
            let position = match query.from.as_deref().map(str::parse::<i64>) {
                None => None,
                Some(Ok(position)) => Some(position),
                Some(Err(_)) => {
                    let message = "the position is none that `watch` has shown";
                    let error = ApiError::new(ErrorCode::BadRequest, message, hints::POSITION_GONE);
                    return stream::iter([Err(error)]).boxed();
                }
            };
            match node.changes(position, Some(query.table)).await {
                Err(error) => stream::iter([Err(error.into())]).boxed(),
                Ok(feed) => feed
                    .into_stream()
                    .map(move |item| match item {
                        Ok(FeedItem::Change(change)) => Ok(node.change_view(change)),
                        Ok(FeedItem::Resync { position, table }) => Ok(ChangeView {
                            position: position.to_string(),
                            table,
                            operation: ChangeOperation::Resync,
                            key: NamedValues::default(),
                            data: NamedValues::default(),
                            origin: String::new(),
                            stamp: String::from("0"),
                            at: clock::now().wall,
                        }),
                        Err(error) => Err(NodeError::from(error).into()),
                    })
                    .boxed(),
            }
        };
        stream::once(opened).flatten().boxed()
    }

    async fn conflict_list(&self, query: ConflictQuery) -> Result<Vec<ConflictView>, ApiError> {
        let of_config = match &query.table {
            Some(name) if !is_of_config(name) => Vec::new(),
            Some(_) | None => self.shared.config_conflicts().await?,
        };
        let conflicts = self.conflicts(query.table).await?;
        let conflicts = conflicts.into_iter().filter(|conflict| !is_of_config(&conflict.table));
        let of_config =
            of_config.into_iter().map(|conflict| self.shared.config_conflict_view(conflict));
        Ok(conflicts.map(|conflict| self.conflict_view(conflict)).chain(of_config).collect())
    }

    async fn conflict_restore(&self, request: ConflictRestore) -> Result<ConflictView, ApiError> {
        if let Some(conflict) = self.shared.restore_config_conflict(&request.id).await? {
            return Ok(self.shared.config_conflict_view(conflict));
        }
        let before = self.conflicts(None).await?;
        let restored = self.restore_conflict(request.id).await?;
        let was = before.into_iter().find(|conflict| conflict.id == restored.id);
        was.map(|conflict| self.conflict_view(conflict)).ok_or_else(|| {
            // It came in and was restored between the two looks.
            let message = format!("conflict {} was restored", restored.id);
            ApiError::new(ErrorCode::UnknownConflict, message, hints::UNKNOWN_CONFLICT)
        })
    }

    async fn parked_list(&self) -> Result<Vec<ParkedView>, ApiError> {
        let now = clock::now().wall;
        let parked = self.parked().await?;
        Ok(parked.into_iter().map(|parked| self.parked_view(parked, now)).collect())
    }

    async fn parked_accept(&self, request: ParkedAccept) -> Result<ParkedAccepted, ApiError> {
        Ok(self.accept_clock(&request.host).await?)
    }

    async fn backup(&self) -> Result<BackupStream, ApiError> {
        Ok(self.shared.backup().await?)
    }
}
