//! Members that cannot reach each other: messages go through others, and wait with others.
//!
//! An agent that advertises an address where nobody listens can dial but not be dialled, so two of
//! them never link, as if a firewall stood between them.

use std::path::Path;
use std::time::Duration;

use mesh_control::{DeliveryState, PingRequest, SendRequest};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::agent::{Agent, Extra, PATIENCE, eventually, free_port, mesh, text_message};

/// Nobody listens on the discard port of loopback.
const NOWHERE: &str = "127.0.0.1:9";

async fn hidden(dir: &Path, name: &str) -> Agent {
    Agent::start_with(dir, name, Extra::new(&["--advertise", NOWHERE])).await
}

async fn is_linked(agent: &Agent, name: &str) -> bool {
    agent.peers().await.iter().any(|peer| peer.hostname == name && peer.rtt_ms.is_some())
}

/// Baulder and mint, which only oak reaches.
async fn apart(dir: &Path) -> (Agent, Agent, Agent) {
    let oak = Agent::start(dir, "oak").await;
    let baulder = hidden(dir, "baulder").await;
    baulder.join(&oak.token().await).await.unwrap();
    let mint = hidden(dir, "mint").await;
    mint.join(&oak.token().await).await.unwrap();
    for agent in [&baulder, &mint] {
        let what = format!("{} is linked with oak", agent.name());
        eventually(PATIENCE, &what, async || is_linked(agent, "oak").await.then_some(())).await;
    }
    (baulder, oak, mint)
}

#[tokio::test]
async fn a_message_goes_through_the_member_that_reaches_both_and_arrives_sealed() {
    let dir = TempDir::new().unwrap();
    let (baulder, _oak, mint) = apart(dir.path()).await;
    let request = SendRequest { wait_seconds: Some(20), ..text_message("mint", "over the hill") };
    let reply = baulder.client().send(&request).await.unwrap();
    let delivery = &reply.deliveries[0];
    assert_eq!(delivery.state, DeliveryState::Acked, "{reply:?}");
    assert_eq!(delivery.via.as_deref(), Some("oak"));
    assert!(!is_linked(&baulder, "mint").await, "they were not to be linked");

    let inbox = mint.inbox().await;
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].sealed, "what goes through others is sealed");
    assert_eq!(inbox[0].via, "oak");
    assert_eq!(mint.texts().await, ["over the hill"]);

    let ping = PingRequest { host: "mint".to_owned(), timeout_ms: None };
    let pong = baulder.client().ping(&ping).await.unwrap();
    assert_eq!(pong.via, "oak");
}

#[tokio::test]
async fn two_members_that_others_reach_are_active_to_each_other() {
    let dir = TempDir::new().unwrap();
    let (baulder, _oak, mint) = apart(dir.path()).await;
    for (agent, other) in [(&baulder, "mint"), (&mint, "baulder")] {
        let what = format!("{} sees {other} as active", agent.name());
        let is_active = async || agent.members().await.get(other).copied().unwrap_or(false);
        eventually(PATIENCE, &what, async || is_active().await.then_some(())).await;
    }
}

#[tokio::test]
async fn a_message_for_a_member_that_is_off_comes_from_a_custodian_when_its_sender_is_off_too() {
    let dir = TempDir::new().unwrap();
    let (mut baulder, oak, mut mint) = apart(dir.path()).await;
    mint.kill9();
    let sent = baulder.client().send(&text_message("mint", "for later")).await.unwrap();
    let holds = async || {
        let outbox = baulder.client().outbox().await.unwrap();
        outbox.iter().any(|row| row.message_id == sent.message_id && row.custodians == ["oak"])
    };
    eventually(PATIENCE, "oak keeps the message", async || holds().await.then_some(())).await;
    baulder.kill9();

    mint.restart().await;
    let texts = async || {
        let texts = mint.texts().await;
        (!texts.is_empty()).then_some(texts)
    };
    assert_eq!(eventually(PATIENCE, "the message comes from oak", texts).await, ["for later"]);
    let kept = async || (oak.status().await.custody.messages == 0).then_some(());
    eventually(PATIENCE, "oak drops its copy", kept).await;

    baulder.restart().await;
    let is_done = async || baulder.client().outbox().await.unwrap().is_empty().then_some(());
    eventually(PATIENCE, "its sender learns that it arrived", is_done).await;
    assert_eq!(mint.texts().await, ["for later"], "it came once");
}

#[tokio::test]
async fn kept_messages_survive_the_death_of_their_custodian() {
    let dir = TempDir::new().unwrap();
    let (mut baulder, mut oak, mut mint) = apart(dir.path()).await;
    mint.kill9();
    for number in 0..5 {
        baulder.client().send(&text_message("mint", &number.to_string())).await.unwrap();
    }
    let kept = async || (oak.status().await.custody.messages == 5).then_some(());
    eventually(PATIENCE, "oak keeps all of them", kept).await;
    baulder.kill9();
    oak.kill9();
    oak.restart().await;
    mint.restart().await;
    let all = async || (mint.inbox().await.len() == 5).then_some(());
    eventually(Duration::from_secs(40), "all of them arrive", all).await;
    assert_eq!(mint.texts().await, ["0", "1", "2", "3", "4"], "in order");
}

#[tokio::test]
async fn a_receiver_that_lost_the_pairs_secret_gets_its_messages_sealed_anew() {
    let dir = TempDir::new().unwrap();
    let [_oak, mut baulder, mut mint] = mesh(dir.path(), ["oak", "baulder", "mint"]).await;
    baulder.send_acked("mint", "while linked").await;
    for agent in [&mut baulder, &mut mint] {
        agent.terminate().await;
        // Where the other one knows it, it is not any more.
        agent.move_to(free_port());
        agent.add_arguments(&["--advertise", NOWHERE]);
    }
    // As after a restore from a backup that is older than the link.
    let database = mint.data_dir().join("mesh.db");
    let mut db = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
    sqlx::query("DELETE FROM peer_keys").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    baulder.restart().await;
    mint.restart().await;
    let apart = async || {
        let is_relayed = async |agent: &Agent, name: &str| {
            let peers = agent.peers().await;
            let peer = peers.into_iter().find(|peer| peer.hostname == name).unwrap();
            peer.via.is_some_and(|via| via == ["oak"])
        };
        let both = is_relayed(&baulder, "mint").await && is_relayed(&mint, "baulder").await;
        both.then_some(())
    };
    eventually(PATIENCE, "the two reach each other through oak alone", apart).await;
    let reply = baulder.send_acked("mint", "with other keys").await;
    assert_eq!(reply.deliveries[0].via.as_deref(), Some("oak"));
    assert_eq!(mint.texts().await, ["while linked", "with other keys"]);
}
