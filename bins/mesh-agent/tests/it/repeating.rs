//! A joiner that lost the answer, or its life, asks again and is in.

use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_control::{JoinProgress, JoinRequestBody};
use mesh_crypto::JoinToken;
use mesh_protocol::ErrorCode;
use tokio::time::timeout;

use crate::agent::{Agent, linked, within};
use crate::stranger::{Stranger, key};

#[tokio::test]
async fn a_joiner_that_lost_the_reply_repeats_and_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    let mut joiner = Agent::start(dir.path(), "joiner").await;
    joiner.kill9();
    let text = issuer.token().await;
    let token = JoinToken::parse(&text).unwrap();
    // The joiner itself by its key, but the reply goes nowhere.
    let as_joiner = Stranger::new(joiner.keys().node_key);
    as_joiner.redeem(&token, "joiner").await.unwrap();
    joiner.restart().await;
    assert_eq!(joiner.peers().await.len(), 1, "the joiner knows nothing of it");

    joiner.join(&text).await.unwrap();
    linked(&[&issuer, &joiner]).await;
    joiner.send_acked("issuer", "in at last").await;
    issuer.send_acked("joiner", "welcome").await;

    // Repeating is harmless for the one, and no use for anybody else.
    joiner.join(&text).await.unwrap();
    let thief = Stranger::new(key(66));
    assert_eq!(thief.redeem(&token, "thief").await.unwrap_err(), ErrorCode::TokenUsed);
}

#[tokio::test]
async fn the_same_peer_gets_the_same_answer_as_often_as_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    let token = issuer.parsed_token().await;
    let joiner = Stranger::new(key(7));
    let first = joiner.redeem(&token, "joiner").await.unwrap();
    let second = joiner.redeem(&token, "joiner").await.unwrap();
    assert_eq!(first, second);
    assert_eq!(issuer.peers().await.len(), 2);
}

/// Starts a join that is not seen to its end: `until` of the steps, or as long as it takes.
async fn begin_join(joiner: &Agent, token: &str, until: usize) {
    let request = JoinRequestBody { token: token.to_owned() };
    let mut progress = joiner.client().join(&request).await.unwrap();
    for _ in 0..until {
        match within(progress.next()).await.unwrap().unwrap() {
            JoinProgress::Step { .. } | JoinProgress::Done { .. } => {}
            JoinProgress::Failed { error } => panic!("{error:?}"),
        }
    }
}

async fn assert_gets_in(mut joiner: Agent, issuer: &Agent, token: &str) {
    joiner.kill9();
    joiner.restart().await;
    joiner.join(token).await.unwrap();
    joiner.send_acked(issuer.name(), joiner.name()).await;
    assert_eq!(joiner.status().await.mesh_id, issuer.status().await.mesh_id);
}

#[tokio::test]
async fn a_joiner_killed_after_any_step_repeats_and_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    for steps in 0..=6 {
        let joiner = Agent::start(dir.path(), &format!("joiner-{steps}")).await;
        let token = issuer.token().await;
        begin_join(&joiner, &token, steps).await;
        assert_gets_in(joiner, &issuer, &token).await;
    }
    assert_eq!(issuer.peers().await.len(), 8);
}

#[tokio::test]
async fn a_joiner_killed_at_any_moment_repeats_and_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    for millis in [2, 4, 7, 11, 16, 22] {
        let joiner = Agent::start(dir.path(), &format!("joiner-{millis}")).await;
        let token = issuer.token().await;
        // Where the join is then depends on the machine, which is the point.
        let _cut_off = timeout(Duration::from_millis(millis), begin_join(&joiner, &token, 7)).await;
        assert_gets_in(joiner, &issuer, &token).await;
    }
    let texts = issuer.texts().await;
    assert_eq!(texts, ["joiner-2", "joiner-4", "joiner-7", "joiner-11", "joiner-16", "joiner-22"]);
}
