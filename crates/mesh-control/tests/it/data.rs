//! The replicated tables: both ends against each other, and the bounds.

use futures_util::StreamExt as _;
use mesh_control::{
    ClientError, ConflictQuery, ConflictRestore, DataApi as _, ParkedAccept, STATEMENTS_MAX,
    SqlItem, SqlJson, SqlReply, SqlStatement, StatementView, TableCreate, TableQuery,
    TransactionRequest, WatchQuery,
};
use mesh_protocol::{ErrorCode, SqlValue};

use crate::fake::BACKUP;
use crate::harness::{Server, within};

fn statement(sql: &str) -> SqlStatement {
    let params = vec![
        SqlJson(SqlValue::Integer(i64::MIN)),
        SqlJson(SqlValue::Real(1.0)),
        SqlJson(SqlValue::Blob(vec![1, 2])),
    ];
    SqlStatement { sql: sql.to_owned(), params }
}

fn last(server: &Server) -> String {
    server.agent.asked().last().unwrap().clone()
}

#[tokio::test]
async fn tables_are_made_listed_and_dropped() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    for checksum in [false, true] {
        let query = TableQuery { checksum };
        let tables = client.table_list(query).await.unwrap();
        assert_eq!(tables, agent.table_list(query).await.unwrap());
        assert!(tables.iter().all(|table| table.checksum.is_some() == checksum));
    }
    let request = TableCreate { sql: "CREATE TABLE é(id PRIMARY KEY)".to_owned() };
    let created = client.table_create(&request).await.unwrap();
    assert_eq!(created, agent.table_create(request).await.unwrap());
    assert_eq!(client.table_drop("a/b c%").await.unwrap().name, "a/b c%");
    assert_eq!(last(&server), "drop a/b c%");
}

#[tokio::test]
async fn a_statement_and_its_values_arrive_unchanged_and_so_does_its_answer() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    for sql in ["SELECT 1", "DELETE FROM notes"] {
        let statement = statement(sql);
        let reply = client.sql(&statement).await.unwrap();
        let asked = format!(
            "sql {{\"sql\":\"{sql}\",\"params\":[-9223372036854775808,1.0,{{\"$blob\":\"AQI=\"}}]}}"
        );
        assert_eq!(last(&server), asked);
        assert_eq!(reply, agent.sql(statement).await.unwrap());
    }
    let request =
        TransactionRequest { statements: vec![statement("SELECT 1"), statement("INSERT …")] };
    let views: Vec<StatementView> = client.transaction(&request).await.unwrap();
    assert_eq!(views, agent.transaction(request).await.unwrap());
    let (status, document) = server.ask("POST", "/v1/sql", r#"{"sql":"DELETE"}"#).await;
    assert_eq!((status, document.to_string().as_str()), (200, r#"{"changes":2}"#));
}

#[tokio::test]
async fn rows_come_in_pieces_between_columns_and_an_end() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    for (sql, pieces) in [("SELECT 1", 4), ("DELETE FROM notes", 2)] {
        let items = client.sql_rows(&statement(sql)).await.unwrap();
        let items: Vec<SqlItem> = within(items.map(Result::unwrap).collect()).await;
        let expected = agent.sql_rows(statement(sql)).map(Result::unwrap);
        assert_eq!(items, expected.collect::<Vec<_>>().await);
        assert_eq!(items.len(), pieces, "{items:?}");
        assert!(matches!(items.first(), Some(SqlItem::Columns { .. })), "{items:?}");
        assert!(matches!(items.last(), Some(SqlItem::Done { .. })), "{items:?}");
    }
}

#[tokio::test]
async fn rows_that_break_off_end_with_the_reason() {
    let server = Server::start().await;
    let items = server.client().sql_rows(&statement("SELECT half")).await.unwrap();
    let items: Vec<_> = within(items.collect()).await;
    let Some(Err(ClientError::Api(error))) = items.last() else { panic!("{items:?}") };
    assert_eq!((items.len(), error.code), (4, ErrorCode::QueryTooLong));
    assert!(!error.hint.is_empty());
}

#[tokio::test]
async fn an_item_beyond_the_bound_is_an_error_and_not_a_lost_connection() {
    let server = Server::start().await;
    let items = server.client().sql_rows(&statement("SELECT large")).await.unwrap();
    let items: Vec<_> = within(items.take(2).collect()).await;
    let Some(Err(ClientError::Api(error))) = items.last() else { panic!("{items:?}") };
    assert_eq!(error.code, ErrorCode::MessageTooLarge);
}

#[tokio::test]
async fn statements_may_be_larger_than_other_requests_up_to_their_own_bound() {
    let server = Server::start().await;
    let blob = SqlJson(SqlValue::Blob(vec![7; 4 << 20]));
    let large = SqlStatement { sql: "INSERT".to_owned(), params: vec![blob] };
    let reply = within(server.client().sql(&large)).await.unwrap();
    assert_eq!(reply, SqlReply::Changes { changes: 2 });
    let body = format!("{{\"sql\":\"{}\"}}", "x".repeat(32 << 20));
    for path in ["/v1/sql", "/v1/sql/rows", "/v1/transaction"] {
        let (status, document) = server.ask("POST", path, &body).await;
        assert_eq!(status, 413, "{path}");
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("33554432"), "{path}: {message}");
    }
    let request = TableCreate { sql: "x".repeat(3 << 20) };
    let error = within(server.client().table_create(&request)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::MessageTooLarge);
    assert_eq!(server.agent.asked().len(), 1);
}

#[tokio::test]
async fn a_body_of_unknown_length_has_the_same_bound() {
    let server = Server::start().await;
    let head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = format!("{{\"sql\":\"{}\"}}", "x".repeat(3 << 20));
    for (path, status) in [("/v1/sql", "200"), ("/v1/tables", "413")] {
        let request = format!("POST {path} {head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn more_statements_than_allowed_are_refused_before_the_agent_is_asked() {
    let server = Server::start().await;
    let request = |count| TransactionRequest { statements: vec![SqlStatement::default(); count] };
    let error = server.client().transaction(&request(STATEMENTS_MAX + 1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadRequest);
    assert!(server.agent.asked().is_empty());
    let views = server.client().transaction(&request(STATEMENTS_MAX)).await.unwrap();
    assert_eq!(views.len(), STATEMENTS_MAX);
}

#[tokio::test]
async fn changes_are_followed_from_a_position() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    let query = WatchQuery { table: "a&b".to_owned(), from: Some("1 2".to_owned()) };
    let changes = client.watch(&query).await.unwrap();
    let changes: Vec<_> = within(changes.take(4).map(Result::unwrap).collect()).await;
    assert_eq!(last(&server), r#"watch {"table":"a&b","from":"1 2"}"#);
    let expected = agent.watch(query).take(4).map(Result::unwrap);
    assert_eq!(changes, expected.collect::<Vec<_>>().await);
    agent.refuse(ErrorCode::PositionGone);
    let query = WatchQuery { table: "notes".to_owned(), from: None };
    let mut changes = client.watch(&query).await.unwrap();
    let error = within(changes.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::PositionGone);
}

#[tokio::test]
async fn columns_keep_their_order() {
    let server = Server::start().await;
    let event = server.first_event("GET", "/v1/watch?table=notes", "").await;
    assert!(event.contains(r#""data":{"title":"b","a":"c"}"#), "{event}");
}

#[tokio::test]
async fn what_lost_and_what_waits_is_listed_and_settled() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    for (table, count) in [(None, 2), (Some("notes"), 2), (Some("no table"), 0)] {
        let query = ConflictQuery { table: table.map(str::to_owned) };
        let conflicts = client.conflict_list(&query).await.unwrap();
        assert_eq!(conflicts.len(), count);
        assert_eq!(conflicts, agent.conflict_list(query).await.unwrap());
    }
    let request = ConflictRestore { id: "c0ffee00".to_owned() };
    let restored = client.conflict_restore(&request).await.unwrap();
    assert_eq!(restored, agent.conflict_restore(request).await.unwrap());
    assert_eq!(client.parked_list().await.unwrap(), agent.parked_list().await.unwrap());
    let request = ParkedAccept { host: "mint".to_owned() };
    let accepted = client.parked_accept(&request).await.unwrap();
    assert_eq!(accepted, agent.parked_accept(request).await.unwrap());
}

#[tokio::test]
async fn a_backup_comes_whole_whether_or_not_its_size_is_known() {
    for knows_size in [true, false] {
        let server = Server::start_with(|agent| agent.knows_size = knows_size).await;
        let backup = server.client().backup().await.unwrap();
        assert_eq!(backup.bytes_total, knows_size.then_some(BACKUP.len() as u64));
        let chunks: Vec<_> = within(backup.chunks.map(Result::unwrap).collect()).await;
        assert_eq!(chunks.concat(), BACKUP);
        let head = b"GET /v1/backup HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = server.raw(head).await;
        assert!(answer.contains("content-type: application/x-tar"), "{answer}");
    }
}

#[tokio::test]
async fn a_backup_that_breaks_off_is_an_error_whether_or_not_its_size_is_known() {
    for knows_size in [true, false] {
        let server = Server::start_with(|agent| agent.knows_size = knows_size).await;
        server.agent.break_backups(1);
        // What was not yet on its way when the connection broke is lost with it, the head included.
        let error = match server.client().backup().await {
            Err(error) => error,
            Ok(backup) => {
                within(backup.chunks.collect::<Vec<_>>()).await.pop().unwrap().unwrap_err()
            }
        };
        assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_backup_that_fails_before_its_first_byte_says_why() {
    let server = Server::start().await;
    server.agent.break_backups(0);
    let error = server.client().backup().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StorageError);
    server.agent.refuse(ErrorCode::DiskFull);
    let error = server.client().backup().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DiskFull);
}

#[tokio::test]
async fn nothing_is_begun_for_a_follower_that_is_refused() {
    let server = Server::start().await;
    let client = server.client();
    let mut followers = Vec::new();
    for _ in 0..128 {
        followers.push(client.events_follow(0).await.unwrap());
    }
    let asked = server.agent.asked().len();
    let error = client.sql_rows(&statement("DELETE FROM notes")).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::RateLimited);
    let error = client.backup().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RateLimited);
    assert_eq!(server.agent.asked().len(), asked);
}
