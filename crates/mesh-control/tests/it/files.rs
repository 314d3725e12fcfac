//! Pushes: every method of the client reaches the method of the same name, and brings its answer back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use futures_util::StreamExt as _;
use mesh_control::{
    FilesApi as _, PUSHES_MAX, PushCancel, PushDecision, PushRequest, PushState, PushesQuery,
    RollbackRequest,
};

use crate::harness::{Server, within};

#[tokio::test]
async fn a_push_is_begun_followed_to_its_end_and_told_whole() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    let name = PathBuf::from(OsStr::from_bytes(b"/srv/caf\xe9"));
    let request = PushRequest {
        paths: vec![name.clone()],
        to: vec!["mint".to_owned()],
        rename: Some(name.file_name().unwrap().into()),
        ..PushRequest::default()
    };
    let begun = client.push(&request).await.unwrap();
    assert_eq!(begun, agent.push(request).await.unwrap());
    let asked = agent.asked();
    // The agent read what the client wrote, also where it is no text.
    assert_eq!(asked.first(), asked.last());
    let id = begun.push_id.to_string();
    let followed = client.push_follow(&id).await.unwrap();
    let followed: Vec<_> = within(followed.map(Result::unwrap).collect()).await;
    let expected: Vec<_> = agent.push_follow(id.clone()).map(Result::unwrap).collect().await;
    assert_eq!(followed, expected);
    assert_eq!(followed.last().unwrap().state, PushState::Ended);
    assert_eq!(client.push_detail(&id).await.unwrap(), agent.push_detail(id).await.unwrap());
    let unknown = client.push_detail("f/..%2f?").await.unwrap_err();
    assert_eq!(unknown.code().as_str(), "unknown_push");
    assert_eq!(agent.asked().last().unwrap(), "push_detail f/..%2f?");
}

#[tokio::test]
async fn pushes_are_listed_decided_upon_cancelled_and_taken_back() {
    let server = Server::start().await;
    let (client, agent) = (server.client(), &server.agent);
    let query = PushesQuery { limit: Some(2) };
    assert_eq!(client.pushes(&query).await.unwrap(), agent.pushes(query).await.unwrap());
    let id = || "0197a1b2c3d4".to_owned();
    let request = PushDecision { push_id: id(), deny: Some("why".to_owned()) };
    let decided = client.push_decide(&request).await.unwrap();
    assert_eq!(decided, agent.push_decide(request).await.unwrap());
    let request = PushCancel { push_id: id() };
    let cancelled = client.push_cancel(&request).await.unwrap();
    assert_eq!(cancelled, agent.push_cancel(request).await.unwrap());
    let request = RollbackRequest { push_id: id(), to: vec![], force: true, message: None };
    let begun = client.rollback(&request).await.unwrap();
    assert_eq!(begun, agent.rollback(request).await.unwrap());
    assert_eq!(client.roots().await.unwrap(), agent.roots().await.unwrap());
}

#[tokio::test]
async fn what_names_nothing_or_nobody_is_refused_before_the_agent_is_asked() {
    let server = Server::start().await;
    let path = || vec![PathBuf::from("/a")];
    let to = || vec!["mint".to_owned()];
    for request in [
        PushRequest { to: to(), ..PushRequest::default() },
        PushRequest { paths: path(), ..PushRequest::default() },
        PushRequest { paths: path(), to: to(), all: true, ..PushRequest::default() },
    ] {
        let error = server.client().push(&request).await.unwrap_err();
        assert_eq!(error.code().as_str(), "bad_request");
    }
    assert!(server.agent.asked().is_empty());
    server.client().pushes(&PushesQuery { limit: Some(u64::MAX) }).await.unwrap();
    assert_eq!(server.agent.asked().last().unwrap(), &format!("pushes {{\"limit\":{PUSHES_MAX}}}"));
}
