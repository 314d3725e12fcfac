//! Every error has one shape, whoever found it.

use futures_util::StreamExt as _;
use mesh_control::{ClientError, InboxQuery, JoinProgress, JoinRequestBody};
use mesh_protocol::ErrorCode;

use crate::harness::{Server, within};

#[tokio::test]
async fn every_code_of_the_agent_arrives_with_its_text_and_hint() {
    let server = Server::start().await;
    for &code in ErrorCode::ALL {
        server.agent.refuse(code);
        let (status, document) = server.ask("GET", "/v1/status", "").await;
        assert!((400..600).contains(&status), "{code}: {status}");
        let error = &document["error"];
        assert_eq!(error["code"], code.as_str());
        assert_eq!(error["message"], format!("refused with {code}"));
        assert_eq!(error["hint"], "try something else");
        let error = server.client().status().await.unwrap_err();
        assert!(matches!(&error, ClientError::Api(api) if api.code == code), "{error:?}");
        assert_eq!(error.code(), code);
    }
}

#[tokio::test]
async fn what_is_no_request_of_this_api_is_told_so() {
    let server = Server::start().await;
    let cases = [
        ("GET", "/", "", 404, "not_found"),
        ("GET", "/v1/nothing", "", 404, "not_found"),
        ("GET", "/v1/tokens/", "", 404, "not_found"),
        ("DELETE", "/v1/status", "", 400, "bad_request"),
        ("GET", "/v1/join", "", 400, "bad_request"),
        ("POST", "/v1/messages", "{", 400, "bad_request"),
        ("POST", "/v1/messages", "\u{0}", 400, "bad_request"),
        ("POST", "/v1/messages", "[]", 400, "bad_request"),
        ("POST", "/v1/messages", "{\"to\":5}", 400, "bad_request"),
        ("POST", "/v1/hostname", "", 400, "bad_request"),
        ("POST", "/v1/join", "{}", 400, "bad_request"),
        ("POST", "/v1/inbox/ack", "{\"message_ids\":[\"x\"]}", 400, "bad_request"),
        ("GET", "/v1/inbox?limit=many", "", 400, "bad_request"),
        ("GET", "/v1/inbox/follow?limit=-1", "", 400, "bad_request"),
        ("GET", "/v1/events?limit=1&limit=2", "", 400, "bad_request"),
        ("DELETE", "/v1/tokens/%ff", "", 400, "bad_request"),
        ("POST", "/v1/tables", "", 400, "bad_request"),
        ("GET", "/v1/tables?checksum=maybe", "", 400, "bad_request"),
        ("DELETE", "/v1/tables/%ff", "", 400, "bad_request"),
        ("GET", "/v1/tables/notes", "", 400, "bad_request"),
        ("POST", "/v1/sql", "", 400, "bad_request"),
        ("POST", "/v1/sql", "{\"sql\":\"SELECT ?\",\"params\":[[]]}", 400, "bad_request"),
        (
            "POST",
            "/v1/sql",
            "{\"sql\":\"SELECT ?\",\"params\":[{\"$blob\":\"*\"}]}",
            400,
            "bad_request",
        ),
        ("POST", "/v1/sql/rows", "{\"params\":[]}", 400, "bad_request"),
        ("POST", "/v1/transaction", "[]", 400, "bad_request"),
        ("GET", "/v1/watch", "", 400, "bad_request"),
        ("POST", "/v1/conflicts/restore", "{}", 400, "bad_request"),
        ("POST", "/v1/parked/accept", "{}", 400, "bad_request"),
        ("GET", "/v1/config?reveal=maybe", "", 400, "bad_request"),
        ("POST", "/v1/config", "{\"key\":\"a\"}", 400, "bad_request"),
        ("POST", "/v1/config/seal", "{\"key\":\"a\",\"value\":1}", 400, "bad_request"),
        ("POST", "/v1/config/seal", "{\"key\":\"a\",\"to\":[],\"value\":1}", 400, "bad_request"),
        ("POST", "/v1/config/unset", "", 400, "bad_request"),
        ("GET", "/v1/config/history?limit=-1", "", 400, "bad_request"),
        ("POST", "/v1/config/revert", "{\"version\":\"x\"}", 400, "bad_request"),
        ("POST", "/v1/config/template", "{}", 400, "bad_request"),
        ("POST", "/v1/config/check", "", 400, "bad_request"),
        ("POST", "/v1/backup", "", 400, "bad_request"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = server.ask(method, path, body).await;
        let error = &answer.1["error"];
        assert_eq!((answer.0, error["code"].as_str()), (status, Some(code)), "{method} {path}");
        assert_ne!(error["message"], "", "{method} {path}");
        assert_ne!(error["hint"], "", "{method} {path}");
    }
    assert!(server.agent.asked().is_empty(), "{:?}", server.agent.asked());
}

#[tokio::test]
async fn an_empty_body_reads_as_no_wishes() {
    let server = Server::start().await;
    let (status, created) = server.ask("POST", "/v1/tokens", "").await;
    assert_eq!((status, created["token"].as_str()), (200, Some("mesh-token-text")));
}

#[tokio::test]
async fn a_join_that_fails_ends_its_stream_with_the_reason() {
    let server = Server::start().await;
    server.agent.refuse(ErrorCode::TokenUsed);
    let request = JoinRequestBody { token: "secret".to_owned() };
    let progress = server.client().join(&request).await.unwrap();
    let progress: Vec<_> = within(progress.map(Result::unwrap).collect()).await;
    let Some(JoinProgress::Failed { error }) = progress.last() else {
        panic!("{progress:?}");
    };
    assert_eq!(error.code, ErrorCode::TokenUsed);
}

#[tokio::test]
async fn an_error_on_the_way_of_a_stream_ends_it_with_the_reason() {
    let server = Server::start().await;
    server.agent.refuse(ErrorCode::StorageError);
    let mut messages = server.client().inbox_follow(&InboxQuery::default()).await.unwrap();
    let error = within(messages.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::StorageError);
    assert!(within(messages.next()).await.is_none());
}

#[test]
fn what_goes_wrong_before_an_answer_says_what_to_do() {
    let path = std::path::PathBuf::from("/x/control.sock");
    let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let cases = [
        (ClientError::NotRunning { path: path.clone() }, ErrorCode::AgentUnreachable, "mesh-agent"),
        (ClientError::Unreachable { path, source }, ErrorCode::AgentUnreachable, "user"),
        (ClientError::Lost { source: None }, ErrorCode::AgentUnreachable, "carried out"),
        (
            ClientError::Protocol { what: "x", source: None },
            ErrorCode::ProtocolError,
            "same version",
        ),
        (
            ClientError::TimedOut { after: std::time::Duration::from_secs(1) },
            ErrorCode::TimedOut,
            "again",
        ),
    ];
    for (error, code, hint) in cases {
        let error = error.to_api_error();
        assert_eq!(error.code, code);
        assert!(error.hint.contains(hint), "{error:?}");
    }
}
