//! Every method of the client reaches the method of the same name, and brings its answer back.

use futures_util::StreamExt as _;
use mesh_control::{
    ControlApi as _, DeliveryState, InboxQuery, JoinProgress, JoinRequestBody, PingRequest,
    RemoveRequest, RenameRequest, SendRequest, SyncProgress, SyncRequest, TokenCreate,
};
use mesh_protocol::MessageId;
use serde_json::json;

use crate::harness::{Server, within};

#[tokio::test]
async fn what_is_asked_about_the_agent_and_its_members_comes_back_unchanged() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    assert_eq!(client.status().await.unwrap(), agent.status().await.unwrap());
    assert_eq!(client.peers().await.unwrap(), agent.peers().await.unwrap());
    assert_eq!(client.outbox().await.unwrap(), agent.outbox().await.unwrap());
    assert_eq!(client.events(1).await.unwrap(), agent.events(1).await.unwrap());
    let request = RemoveRequest { host: "oak".to_owned(), reason: "sold".to_owned() };
    let removed = client.peer_remove(&request).await.unwrap();
    assert_eq!(removed, agent.peer_remove(request).await.unwrap());
    let request = RenameRequest { hostname: "elm".to_owned() };
    assert_eq!(client.rename(&request).await.unwrap().hostname, "elm");
    let request = PingRequest { host: "mint".to_owned(), timeout_ms: Some(100) };
    assert_eq!(client.ping(&request).await.unwrap(), agent.ping(request).await.unwrap());
}

#[tokio::test]
async fn tokens_are_made_listed_and_withdrawn() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    let request = TokenCreate { ttl_seconds: Some(60), note: "é".to_owned() };
    let created = client.token_create(&request).await.unwrap();
    assert_eq!(created, agent.token_create(request).await.unwrap());
    assert_eq!(client.token_list().await.unwrap(), agent.token_list().await.unwrap());
    client.token_revoke("a/b c%").await.unwrap();
    assert_eq!(agent.asked().last().unwrap(), "token_revoke a/b c%");
}

#[tokio::test]
async fn a_join_reports_its_steps_and_its_end() {
    let server = Server::start().await;
    let request = JoinRequestBody { token: "secret".to_owned() };
    let progress = server.client().join(&request).await.unwrap();
    let progress: Vec<_> = within(progress.map(Result::unwrap).collect()).await;
    let expected: Vec<_> = server.agent.join(request).collect().await;
    assert_eq!(progress, expected);
    assert_eq!(progress.len(), 7);
    assert!(matches!(progress.last(), Some(JoinProgress::Done { .. })), "{progress:?}");
}

#[tokio::test]
async fn the_doctor_is_asked_and_a_sync_reports_its_steps_and_its_end() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    assert_eq!(client.doctor().await.unwrap(), agent.doctor().await.unwrap());
    let request = SyncRequest { force: true };
    let progress = client.sync(&request).await.unwrap();
    let progress: Vec<_> = within(progress.map(Result::unwrap).collect()).await;
    assert_eq!(agent.asked().last().unwrap(), "SyncRequest { force: true }");
    let expected: Vec<_> = agent.sync(request).collect().await;
    assert_eq!(progress, expected);
    assert_eq!(progress.len(), 4);
    assert!(matches!(progress.last(), Some(SyncProgress::Done(_))), "{progress:?}");
}

#[tokio::test]
async fn messages_are_sent_read_and_acknowledged() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    let request = SendRequest {
        to: Some("mint".to_owned()),
        app_type: "text".to_owned(),
        data: json!({"text": "hi"}),
        wait_seconds: Some(1),
        ..SendRequest::default()
    };
    let reply = client.send(&request).await.unwrap();
    assert_eq!(reply.deliveries.first().unwrap().state, DeliveryState::Acked);
    assert_eq!(reply, agent.send(request).await.unwrap());

    let everything = InboxQuery::default();
    let messages = client.inbox(&everything).await.unwrap();
    assert_eq!(messages, agent.inbox(everything).await.unwrap());
    let query = InboxQuery {
        app_type: Some("text & more?".to_owned()),
        from: Some("mint".to_owned()),
        limit: Some(3),
    };
    assert!(client.inbox(&query).await.unwrap().is_empty());
    assert_eq!(agent.asked().last().unwrap(), &format!("{query:?}"));

    let ids = messages.iter().map(|message| message.message_id).collect();
    assert_eq!(client.inbox_ack(ids).await.unwrap().acked, 3);
}

#[tokio::test]
async fn followers_get_what_is_there_and_the_limit_ends_them() {
    let server = Server::start().await;
    let client = server.client();
    let query = InboxQuery { limit: Some(2), ..InboxQuery::default() };
    let messages = client.inbox_follow(&query).await.unwrap();
    let messages: Vec<_> = within(messages.map(Result::unwrap).collect()).await;
    assert_eq!(messages, client.inbox(&query).await.unwrap());

    let events = client.events_follow(2).await.unwrap();
    let events: Vec<_> = within(events.take(2).map(Result::unwrap).collect()).await;
    assert_eq!(events, client.events(2).await.unwrap());
}

#[tokio::test]
async fn more_ids_than_allowed_are_refused_before_the_agent_is_asked() {
    let server = Server::start().await;
    let ids = vec![MessageId::from_bytes([1; 16]); 10_001];
    let error = server.client().inbox_ack(ids).await.unwrap_err();
    assert_eq!(error.code().as_str(), "bad_request");
    assert!(server.agent.asked().is_empty());
}
