//! The replicated tables over the local admin API.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, BackupStream, ChangeView, ConflictQuery, ConflictRestore, ConflictView, DataApi,
    ParkedAccept, ParkedAccepted, ParkedView, SqlItem, SqlReply, SqlStatement, StatementView,
    TableCreate, TableQuery, TableView, TransactionRequest, WatchQuery,
};
use mesh_protocol::ErrorCode;

use crate::node::Node;

fn closed() -> ApiError {
    ApiError::new(ErrorCode::StorageError, "the database of the tables is not open", "")
}

impl DataApi for Node {
    async fn table_list(&self, _: TableQuery) -> Result<Vec<TableView>, ApiError> {
        Err(closed())
    }

    async fn table_create(&self, _: TableCreate) -> Result<TableView, ApiError> {
        Err(closed())
    }

    async fn table_drop(&self, _: String) -> Result<TableView, ApiError> {
        Err(closed())
    }

    async fn sql(&self, _: SqlStatement) -> Result<SqlReply, ApiError> {
        Err(closed())
    }

    fn sql_rows(&self, _: SqlStatement) -> BoxStream<'static, Result<SqlItem, ApiError>> {
        stream::iter([Err(closed())]).boxed()
    }

    async fn transaction(&self, _: TransactionRequest) -> Result<Vec<StatementView>, ApiError> {
        Err(closed())
    }

    fn watch(&self, _: WatchQuery) -> BoxStream<'static, Result<ChangeView, ApiError>> {
        stream::iter([Err(closed())]).boxed()
    }

    async fn conflict_list(&self, _: ConflictQuery) -> Result<Vec<ConflictView>, ApiError> {
        Err(closed())
    }

    async fn conflict_restore(&self, _: ConflictRestore) -> Result<ConflictView, ApiError> {
        Err(closed())
    }

    async fn parked_list(&self) -> Result<Vec<ParkedView>, ApiError> {
        Err(closed())
    }

    async fn parked_accept(&self, _: ParkedAccept) -> Result<ParkedAccepted, ApiError> {
        Err(closed())
    }

    async fn backup(&self) -> Result<BackupStream, ApiError> {
        Err(closed())
    }
}
