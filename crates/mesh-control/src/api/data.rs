use std::fmt;
use std::future::Future;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::ApiError;
use crate::{
    ChangeView, ConflictQuery, ConflictRestore, ConflictView, ParkedAccept, ParkedAccepted,
    ParkedView, SqlItem, SqlReply, SqlStatement, StatementView, TableCreate, TableQuery, TableView,
    TransactionRequest, WatchQuery,
};

/// A backup under way: an archive in the tar format.
pub struct BackupStream {
    /// How many bytes it will have; none when that is not known beforehand.
    pub bytes_total: Option<u64>,
    /// Its bytes, in order. After an error nothing follows, and what came is worthless.
    pub chunks: BoxStream<'static, Result<Bytes, ApiError>>,
}

impl fmt::Debug for BackupStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupStream")
            .field("bytes_total", &self.bytes_total)
            .finish_non_exhaustive()
    }
}

/// What an agent can be asked about its replicated tables. Every future and stream may be dropped half-way.
pub trait DataApi: Clone + Send + Sync + 'static {
    /// The replicated tables, by name.
    fn table_list(
        &self,
        query: TableQuery,
    ) -> impl Future<Output = Result<Vec<TableView>, ApiError>> + Send;

    /// Makes a replicated table. The same definition again changes nothing.
    fn table_create(
        &self,
        request: TableCreate,
    ) -> impl Future<Output = Result<TableView, ApiError>> + Send;

    /// Drops a replicated table with its rows, on every member; answers with what it was.
    fn table_drop(&self, name: String) -> impl Future<Output = Result<TableView, ApiError>> + Send;

    /// One statement that reads or writes. The answer is bounded by [`SQL_ROWS_MAX`](crate::SQL_ROWS_MAX)
    /// and [`SQL_BYTES_MAX`](crate::SQL_BYTES_MAX): beyond them it is `too_many_rows`, and nothing is written.
    fn sql(
        &self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<SqlReply, ApiError>> + Send;

    /// The same, row by row and without those bounds: [`SqlItem::Columns`], any number of
    /// [`SqlItem::Rows`] of about [`SQL_BATCH_BYTES_TARGET`](crate::SQL_BATCH_BYTES_TARGET), and
    /// [`SqlItem::Done`], which comes after the commit. An error ends the stream at any point.
    fn sql_rows(&self, statement: SqlStatement) -> BoxStream<'static, Result<SqlItem, ApiError>>;

    /// Statements in one transaction: all of them or none. As many answers, bounded together as in
    /// [`DataApi::sql`].
    fn transaction(
        &self,
        request: TransactionRequest,
    ) -> impl Future<Output = Result<Vec<StatementView>, ApiError>> + Send;

    /// The committed changes of a table from a position on, then every change as it is committed.
    fn watch(&self, query: WatchQuery) -> BoxStream<'static, Result<ChangeView, ApiError>>;

    /// Writes that lost against others and have not been settled, oldest first.
    fn conflict_list(
        &self,
        query: ConflictQuery,
    ) -> impl Future<Output = Result<Vec<ConflictView>, ApiError>> + Send;

    /// Writes again what lost, and so settles the conflict everywhere; answers with what it was.
    fn conflict_restore(
        &self,
        request: ConflictRestore,
    ) -> impl Future<Output = Result<ConflictView, ApiError>> + Send;

    /// What cannot be applied yet, in the order in which it came.
    fn parked_list(&self) -> impl Future<Output = Result<Vec<ParkedView>, ApiError>> + Send;

    /// Takes what a member wrote although its clock was ahead.
    fn parked_accept(
        &self,
        request: ParkedAccept,
    ) -> impl Future<Output = Result<ParkedAccepted, ApiError>> + Send;

    /// A copy of the tables as they are at one moment.
    fn backup(&self) -> impl Future<Output = Result<BackupStream, ApiError>> + Send;
}
