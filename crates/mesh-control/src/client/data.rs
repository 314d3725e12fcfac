use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::http::{self, Call, encode};
use super::{ControlClient, ControlStream, WAIT_DEFAULT, path_with};
use crate::{
    ChangeView, ClientError, ConflictQuery, ConflictRestore, ConflictView, ParkedAccept,
    ParkedAccepted, ParkedView, SqlItem, SqlReply, SqlStatement, StatementView, TableCreate,
    TableQuery, TableView, TransactionRequest, WatchQuery,
};

/// How long an answer may take for which every row is read or written.
const WAIT_ROWS: Duration = Duration::from_secs(600);

/// A backup on its way: an archive in the tar format.
pub struct BackupDownload {
    /// How many bytes it has; none when the agent does not know beforehand.
    pub bytes_total: Option<u64>,
    /// Its bytes, in order. When it ends without an error it is whole.
    pub chunks: ControlStream<Bytes>,
}

impl fmt::Debug for BackupDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupDownload")
            .field("bytes_total", &self.bytes_total)
            .finish_non_exhaustive()
    }
}

/// The replicated tables. Every method fails with [`ClientError`].
#[expect(clippy::missing_errors_doc, reason = "one error type, described with the type")]
impl ControlClient {
    /// The replicated tables, by name.
    pub async fn table_list(&self, query: TableQuery) -> Result<Vec<TableView>, ClientError> {
        if !query.checksum {
            return self.get("/v1/tables").await;
        }
        let call = Call::get("/v1/tables?checksum=true".to_owned());
        self.ask(call, WAIT_ROWS).await
    }

    /// Makes a replicated table.
    pub async fn table_create(&self, request: &TableCreate) -> Result<TableView, ClientError> {
        self.post("/v1/tables", request, WAIT_DEFAULT).await
    }

    /// Drops a replicated table with its rows, on every member.
    pub async fn table_drop(&self, name: &str) -> Result<TableView, ClientError> {
        let call = Call::delete(format!("/v1/tables/{}", encode(name)));
        self.ask(call, WAIT_ROWS).await
    }

    /// One statement that reads or writes; its answer is bounded.
    pub async fn sql(&self, statement: &SqlStatement) -> Result<SqlReply, ClientError> {
        self.post("/v1/sql", statement, WAIT_ROWS).await
    }

    /// One statement that reads or writes, row by row. Without a last [`SqlItem::Done`] it is not whole.
    pub async fn sql_rows(
        &self,
        statement: &SqlStatement,
    ) -> Result<ControlStream<SqlItem>, ClientError> {
        http::follow(&self.path, Call::post("/v1/sql/rows", statement)?).await
    }

    /// Statements in one transaction: all of them or none.
    pub async fn transaction(
        &self,
        request: &TransactionRequest,
    ) -> Result<Vec<StatementView>, ClientError> {
        self.post("/v1/transaction", request, WAIT_ROWS).await
    }

    /// The committed changes of a table from a position on, then every change as it is committed.
    pub async fn watch(
        &self,
        query: &WatchQuery,
    ) -> Result<ControlStream<ChangeView>, ClientError> {
        let WatchQuery { table, from } = query;
        let path = path_with("/v1/watch", [("table", &Some(table.clone())), ("from", from)]);
        http::follow(&self.path, Call::get(path)).await
    }

    /// Writes that lost against others and have not been settled, oldest first.
    pub async fn conflict_list(
        &self,
        query: &ConflictQuery,
    ) -> Result<Vec<ConflictView>, ClientError> {
        self.get(&path_with("/v1/conflicts", [("table", &query.table)])).await
    }

    /// Writes again what lost, and so settles the conflict everywhere.
    pub async fn conflict_restore(
        &self,
        request: &ConflictRestore,
    ) -> Result<ConflictView, ClientError> {
        self.post("/v1/conflicts/restore", request, WAIT_DEFAULT).await
    }

    /// What cannot be applied yet, in the order in which it came.
    pub async fn parked_list(&self) -> Result<Vec<ParkedView>, ClientError> {
        self.get("/v1/parked").await
    }

    /// Takes what a member wrote although its clock was ahead.
    pub async fn parked_accept(
        &self,
        request: &ParkedAccept,
    ) -> Result<ParkedAccepted, ClientError> {
        self.post("/v1/parked/accept", request, WAIT_ROWS).await
    }

    /// A copy of the tables as they are at one moment.
    pub async fn backup(&self) -> Result<BackupDownload, ClientError> {
        let call = Call::get("/v1/backup".to_owned());
        let (bytes_total, chunks) = http::download(&self.path, call, WAIT_ROWS).await?;
        Ok(BackupDownload { bytes_total, chunks })
    }
}
