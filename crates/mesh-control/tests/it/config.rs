//! The shared configuration: both ends against each other, and the bounds.

use futures_util::StreamExt as _;
use mesh_control::{
    CONFIG_HISTORY_DEFAULT, CONFIG_HISTORY_MAX, ConfigApi as _, ConfigHistoryQuery, ConfigImport,
    ConfigQuery, ConfigRevert, ConfigSeal, ConfigSet, ConfigUnset, ConfigWatchQuery,
};
use mesh_protocol::ErrorCode;
use serde_json::{Value, json};

use crate::harness::{Server, within};

fn last(server: &Server) -> String {
    server.agent.asked().last().unwrap().clone()
}

#[tokio::test]
async fn the_configuration_is_read_whole_in_parts_and_opened() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    let queries = [
        (None, false),
        (Some("agents"), false),
        (Some("databases.main.password"), true),
        (Some("notes.\"a b\""), false),
    ];
    for (key, reveal) in queries {
        let query = ConfigQuery { key: key.map(str::to_owned), reveal };
        let view = client.config_get(&query).await.unwrap();
        let asked = format!("config {}", serde_json::to_string(&query).unwrap());
        assert_eq!(last(&server), asked);
        assert_eq!(view, agent.config_get(query).await.unwrap());
    }
    let query = ConfigQuery { key: Some("wrong".to_owned()), reveal: false };
    let error = client.config_get(&query).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownKey);
}

#[tokio::test]
async fn changes_arrive_with_their_values_and_name_what_they_changed() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    let key = || "notes.\"a b\"".to_owned();
    let note = Some("a note".to_owned());
    for value in [Value::Null, json!(1.0), json!("é"), json!({"a": [{}]})] {
        let request = ConfigSet { key: key(), value, note: note.clone() };
        let reply = client.config_set(&request).await.unwrap();
        assert_eq!(last(&server), format!("set {}", serde_json::to_string(&request).unwrap()));
        assert_eq!(reply, agent.config_set(request).await.unwrap());
        assert_eq!((reply.version, reply.changed), (Some(18), vec![key()]));
    }
    let request = ConfigUnset { key: "same".to_owned(), note: note.clone() };
    assert_eq!(client.config_unset(&request).await.unwrap().version, None);
    assert_eq!(last(&server), r#"unset {"key":"same","note":"a note"}"#);
    let to = vec!["mint".to_owned(), "oak".to_owned()];
    let request = ConfigSeal { key: "a".to_owned(), to, value: json!("x"), note: None };
    client.config_seal(&request).await.unwrap();
    assert_eq!(last(&server), r#"seal {"key":"a","to":["mint","oak"],"value":"x","note":null}"#);
    let request = ConfigRevert { version: 17, by: Some("oak".to_owned()), force: true };
    client.config_revert(&request).await.unwrap();
    assert_eq!(last(&server), r#"revert {"version":17,"by":"oak","force":true}"#);
    let request = ConfigRevert { version: 5, by: None, force: false };
    let error = client.config_revert(&request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AmbiguousVersion);
}

#[tokio::test]
async fn a_value_that_nobody_could_read_is_refused_before_the_agent_is_asked() {
    let server = Server::start().await;
    let request = ConfigSeal { key: "a".to_owned(), to: vec![], value: json!("x"), note: None };
    let error = server.client().config_seal(&request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadRequest);
    assert!(server.agent.asked().is_empty());
}

#[tokio::test]
async fn as_many_changes_are_listed_as_were_asked_for_and_never_more_than_the_bound() {
    let server = Server::start().await;
    let client = server.client();
    let cases =
        [(None, CONFIG_HISTORY_DEFAULT), (Some(2), 2), (Some(usize::MAX), CONFIG_HISTORY_MAX)];
    for (limit, expected) in cases {
        let query = ConfigHistoryQuery { key: Some("notes & more?".to_owned()), limit };
        client.config_history(&query).await.unwrap();
        assert_eq!(
            last(&server),
            format!(r#"history {{"key":"notes & more?","limit":{expected}}}"#)
        );
    }
    let everything = ConfigHistoryQuery { key: None, limit: Some(10) };
    let history = client.config_history(&everything).await.unwrap();
    assert_eq!(history, server.agent.config_history(everything).await.unwrap());
    assert_eq!(history[2].old, Some(Value::Null));
    assert_eq!(history[1].old, None);
}

#[tokio::test]
async fn members_are_compared_and_templates_leave_and_enter() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    for mend in [false, true] {
        if mend {
            agent.mend();
        }
        let check = client.config_check().await.unwrap();
        assert_eq!(check.in_sync, mend);
        assert_eq!(check, agent.config_check().await.unwrap());
    }
    assert_eq!(client.config_state().await.unwrap(), agent.config_state().await.unwrap());
    let template = client.config_template_export().await.unwrap();
    assert_eq!(template, agent.config_template_export().await.unwrap());
    for dry_run in [true, false] {
        let request = ConfigImport { template: template.clone(), dry_run, note: None };
        let imported = client.config_template_import(&request).await.unwrap();
        assert_eq!(imported.version.is_none(), dry_run);
        assert_eq!(imported, agent.config_template_import(request).await.unwrap());
    }
}

#[tokio::test]
async fn changes_are_followed_until_something_fails() {
    let server = Server::start().await;
    let client = server.client();
    let query = ConfigWatchQuery { prefix: Some("notes.\"a b\"".to_owned()) };
    let changes = client.config_watch(&query).await.unwrap();
    let changes: Vec<_> = within(changes.take(3).map(Result::unwrap).collect()).await;
    assert_eq!(last(&server), r#"config_watch {"prefix":"notes.\"a b\""}"#);
    let expected: Vec<_> =
        server.agent.config_watch(query.clone()).take(3).map(Result::unwrap).collect().await;
    assert_eq!(changes, expected);
    server.agent.refuse(ErrorCode::PositionGone);
    let mut changes = client.config_watch(&query).await.unwrap();
    let error = within(changes.next()).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::PositionGone);
}
