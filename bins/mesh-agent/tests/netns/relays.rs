//! Two members that only a third one reaches.

use std::time::Duration;

use mesh_control::{DeliveryState, PingRequest, SendRequest};

use crate::agent::{Agent, PATIENCE, eventually, text_message};
use crate::memory::found_in_memory;
use crate::search::{Needle, files, found};
use crate::world::{Located, World, direct, reaches_through};

/// What goes through oak.
const FOR_MINT: &str = "what baulder tells mint and nobody else";

/// What goes to oak: it has to be found there, or the search is blind.
const FOR_OAK: &str = "what baulder tells oak in front of all";

/// Long enough that oak's memory has them all over the place.
const MESSAGES: usize = 50;

/// Baulder and mint, which cannot reach each other, and oak, which reaches both.
async fn apart(world: &mut World) -> [Located; 3] {
    let machines = [world.machine(), world.machine(), world.machine()];
    world.part(&machines[0], &machines[2]);
    let [to_baulder, to_oak, to_mint] = machines;
    let oak = world.start("oak", to_oak, "trace").await;
    let baulder = world.start("baulder", to_baulder, "mesh_node=debug,info").await;
    baulder.join(&oak.token().await).await.unwrap();
    let mint = world.start("mint", to_mint, "mesh_node=debug,info").await;
    mint.join(&oak.token().await).await.unwrap();
    for agent in [&baulder, &mint] {
        direct(agent, "oak", PATIENCE).await;
    }
    [baulder, oak, mint]
}

async fn sees_the_way(agent: &Agent, name: &str) {
    let what = format!("{} reaches {name} through oak", agent.name());
    let has_way = async || reaches_through(agent, name, &["oak"]).await.then_some(());
    eventually(PATIENCE, &what, has_way).await;
}

async fn send(agent: &Agent, to: &str, text: &str) -> Option<String> {
    let request = SendRequest { wait_seconds: Some(20), ..text_message(to, text) };
    let reply = agent.client().send(&request).await.unwrap();
    assert_eq!(reply.deliveries[0].state, DeliveryState::Acked, "{reply:?}");
    reply.deliveries[0].via.clone()
}

#[tokio::test]
async fn the_member_between_two_others_carries_their_messages_and_cannot_read_them() {
    let mut world = World::new();
    let [baulder, oak, mint] = apart(&mut world).await;
    sees_the_way(&baulder, "mint").await;
    sees_the_way(&mint, "baulder").await;
    send(&baulder, "oak", FOR_OAK).await;
    for number in 0..MESSAGES {
        let via = send(&baulder, "mint", &format!("{FOR_MINT} {number}")).await;
        assert_eq!(via.as_deref(), Some("oak"));
        if number == MESSAGES / 2 {
            oak_knows_only_its_own(&oak);
        }
    }
    oak_knows_only_its_own(&oak);

    let inbox = mint.inbox().await;
    assert_eq!(inbox.len(), MESSAGES);
    assert!(inbox.iter().all(|message| message.sealed), "what goes through others is sealed");
    let texts: Vec<String> = (0..MESSAGES).map(|number| format!("{FOR_MINT} {number}")).collect();
    assert_eq!(mint.texts().await, texts, "in order, each once");
    let ping = PingRequest { host: "mint".to_owned(), timeout_ms: None };
    assert_eq!(baulder.client().ping(&ping).await.unwrap().via, "oak");
}

/// Disk, memory and log of oak, with what is meant for it as the proof that the search finds.
fn oak_knows_only_its_own(oak: &Agent) {
    let needles = [Needle::bytes("mint's", FOR_MINT.as_bytes()), Needle::text("oak's", FOR_OAK)];
    let (in_memory, bytes) = found_in_memory(oak.pid(), &needles);
    assert_eq!(in_memory, ["oak's"], "in the {bytes} bytes of oak's memory");
    let mut on_disk = Vec::new();
    for path in files(oak.data_dir()) {
        on_disk.extend(found(&needles, &std::fs::read(path).unwrap()));
    }
    on_disk.dedup();
    assert_eq!(on_disk, ["oak's"], "in oak's files");
    let log = oak.log();
    assert!(log.contains("TRACE"), "the log is as talkative as can be");
    assert_eq!(found(&needles, log.as_bytes()), [""; 0], "in oak's log");
}

#[tokio::test]
async fn a_custodian_delivers_what_its_sender_cannot_deliver_any_more() {
    let mut world = World::new();
    let [mut baulder, oak, mut mint] = apart(&mut world).await;
    sees_the_way(&baulder, "mint").await;
    mint.kill9();
    let sent = baulder.client().send(&text_message("mint", FOR_MINT)).await.unwrap();
    let is_kept = async || {
        let outbox = baulder.client().outbox().await.unwrap();
        let mut rows = outbox.iter().filter(|row| row.message_id == sent.message_id);
        rows.any(|row| row.custodians == ["oak"]).then_some(())
    };
    eventually(Duration::from_secs(30), "baulder's outbox names oak as custodian", is_kept).await;
    baulder.kill9();

    mint.restart().await;
    let has_come = async || (!mint.inbox().await.is_empty()).then_some(());
    eventually(PATIENCE, "the message comes from oak", has_come).await;
    let is_dropped = async || (oak.status().await.custody.messages == 0).then_some(());
    eventually(PATIENCE, "oak drops its copy", is_dropped).await;
    baulder.restart().await;
    let is_settled = async || baulder.client().outbox().await.unwrap().is_empty().then_some(());
    eventually(PATIENCE, "baulder learns that it arrived", is_settled).await;
    let inbox = mint.inbox().await;
    assert_eq!(inbox.len(), 1, "it came once");
    assert_eq!((inbox[0].message_id, inbox[0].sealed), (sent.message_id, true));
    assert_eq!(mint.texts().await, [FOR_MINT]);
}
