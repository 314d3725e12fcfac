//! What is shown. Every claim is checked from outside, through the control sockets.

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use futures_util::future::{try_join, try_join_all};
use mesh_control::{
    ControlClient, DeliveryState, InboxQuery, InboxView, JoinProgress, JoinRequestBody, PeerView,
    RenameRequest, SendReply, SendRequest, TokenCreate,
};
use serde_json::{Value, json};

use super::agent::Agent;
use super::config;
use super::pushes;
use super::report::Report;
use super::stage::Stage;
use super::tables;
use super::wait::eventually;

/// Messages of each sender that wait for the agent that was killed.
const WAITING: u64 = 50;

/// How long a message may take to be acknowledged, seconds.
const ACK_WAIT: u64 = 15;

/// The name that oak gets.
const NEW_NAME: &str = "elm";

/// Plays every step; the first that fails ends it.
pub(super) async fn play(stage: &mut Stage, report: &mut Report<'_>) -> anyhow::Result<()> {
    report.step("three agents start", start(stage)).await?;
    {
        let Stage { baulder, mint, oak } = &*stage;
        let name = "baulder makes a token, mint joins with it";
        report.step(name, invite(baulder, mint)).await?;
        let name = "mint makes a token, oak joins with it: any member can invite";
        report.step(name, invite(mint, oak)).await?;
        report
            .step("everybody knows everybody", all_know(stage, ["baulder", "mint", "oak"]))
            .await?;
        report.step("messages arrive both ways", both_ways(mint, oak)).await?;
        report.step("a sealed message arrives", sealed(baulder, oak)).await?;
        report.step("a broadcast reaches everybody", broadcast(stage)).await?;
        tables::play(stage, report).await?;
        config::play(stage, report).await?;
        pushes::play(stage, report).await?;
        let name = "oak is renamed to elm, and everybody sees it";
        report.step(name, rename(stage)).await?;
        let name = "a message to the old name still arrives";
        report.step(name, old_name(baulder, oak)).await?;
    }
    let name = "mint is killed (kill -9) while messages are on their way to it";
    report.step(name, kill_with_messages(stage)).await?;
    report.step("mint starts again and is linked", restart(stage)).await?;
    let name = "every message is there once, in order";
    report.step(name, all_delivered(stage)).await?;
    let name = "mint is off: elm keeps a sealed copy of what baulder sends";
    report.step(name, kept(stage)).await?;
    let name = "baulder is off too, mint is back: the message comes from elm";
    report.step(name, comes_from_custodian(stage)).await?;
    let name = "baulder is back and learns that it arrived";
    report.step(name, learned(stage)).await?;
    Ok(())
}

async fn start(stage: &mut Stage) -> anyhow::Result<()> {
    for agent in stage.agents_mut() {
        agent.start()?;
    }
    try_join_all(stage.agents_mut().map(Agent::ready)).await?;
    Ok(())
}

async fn invite(member: &Agent, newcomer: &Agent) -> anyhow::Result<()> {
    let note = format!("for {}", newcomer.name());
    let request = TokenCreate { ttl_seconds: Some(600), note };
    let token = member.client.token_create(&request).await.context("making a token")?.token;
    let mut progress = newcomer.client.join(&JoinRequestBody { token }).await?;
    let mut steps = 0;
    while let Some(item) = progress.next().await {
        match item? {
            JoinProgress::Step { .. } => steps += 1,
            JoinProgress::Done { .. } => {
                ensure!(steps == 6, "the join reported {steps} of six steps");
                return Ok(());
            }
            JoinProgress::Failed { error } => bail!("{}: {error}", error.code),
        }
    }
    bail!("the join ended without a result")
}

/// Waits until every agent lists exactly `names`, all of them linked.
async fn all_know(stage: &Stage, names: [&str; 3]) -> anyhow::Result<()> {
    let knows = async |agent: &Agent| {
        let what = format!("{} knows {} and is linked with them", agent.name(), names.join(", "));
        eventually(&what, async || {
            let peers = agent.client.peers().await?;
            let is_direct = |via: &Vec<String>| via.is_empty();
            let is_linked = |peer: &PeerView| peer.via.as_ref().is_some_and(is_direct);
            let is_there = |name: &&str| peers.iter().any(|peer| peer.hostname == **name);
            let all = peers.len() == names.len() && names.iter().all(is_there);
            Ok((all && peers.iter().all(is_linked)).then_some(()))
        })
        .await
    };
    try_join_all(stage.agents().map(knows)).await?;
    Ok(())
}

async fn both_ways(one: &Agent, other: &Agent) -> anyhow::Result<()> {
    let (there, back) = (json!({"text": "are you there?"}), json!({"text": "I am"}));
    acked(&one.client, message(other.name(), "demo.ask", there.clone())).await?;
    arrived(other, "demo.ask", &there).await?;
    acked(&other.client, message(one.name(), "demo.answer", back.clone())).await?;
    arrived(one, "demo.answer", &back).await?;
    Ok(())
}

async fn sealed(from: &Agent, to: &Agent) -> anyhow::Result<()> {
    let secret = json!({"text": "for you alone"});
    let request = message(to.name(), "demo.sealed", secret.clone());
    acked(&from.client, SendRequest { seal: true, ..request }).await?;
    let message = arrived(to, "demo.sealed", &secret).await?;
    ensure!(message.sealed, "the message was not sealed");
    Ok(())
}

async fn broadcast(stage: &Stage) -> anyhow::Result<()> {
    let data = json!({"text": "good morning"});
    let request = message("", "demo.broadcast", data.clone());
    let request = SendRequest { to: None, broadcast: true, ..request };
    let reply = acked(&stage.baulder.client, request).await?;
    ensure!(reply.deliveries.len() == 2, "it went to {} members", reply.deliveries.len());
    try_join(
        arrived(&stage.mint, "demo.broadcast", &data),
        arrived(&stage.oak, "demo.broadcast", &data),
    )
    .await?;
    Ok(())
}

async fn rename(stage: &Stage) -> anyhow::Result<()> {
    let request = RenameRequest { hostname: NEW_NAME.to_owned() };
    stage.oak.client.rename(&request).await?;
    all_know(stage, ["baulder", "mint", NEW_NAME]).await
}

async fn old_name(from: &Agent, to: &Agent) -> anyhow::Result<()> {
    let data = json!({"text": "to your old name"});
    let reply = acked(&from.client, message("oak", "demo.former", data.clone())).await?;
    ensure!(!reply.warnings.is_empty(), "nobody was warned that the name is an old one");
    arrived(to, "demo.former", &data).await?;
    Ok(())
}

/// Half of the messages are sent before the kill, so that some are under way when it comes.
async fn kill_with_messages(stage: &mut Stage) -> anyhow::Result<()> {
    let Stage { baulder, mint, oak } = stage;
    let (half, senders) = (WAITING / 2, [&baulder.client, &oak.client]);
    try_join_all(senders.map(|sender| send_numbers(sender, 0..half))).await?;
    mint.kill().await?;
    try_join_all(senders.map(|sender| send_numbers(sender, half..WAITING))).await?;
    for sender in [&*baulder, &*oak] {
        let waiting = sender.client.outbox().await?.len();
        let least = usize::try_from(WAITING - half)?;
        ensure!(waiting >= least, "{} has {waiting} messages waiting", sender.name());
    }
    Ok(())
}

/// One after the other: their order is what is checked later.
async fn send_numbers(sender: &ControlClient, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    for number in numbers {
        let request = message("mint", "demo.waiting", json!({"number": number}));
        sender.send(&SendRequest { wait_seconds: None, ..request }).await?;
    }
    Ok(())
}

async fn restart(stage: &mut Stage) -> anyhow::Result<()> {
    stage.mint.start()?;
    stage.mint.ready().await?;
    all_know(stage, ["baulder", "mint", NEW_NAME]).await
}

async fn all_delivered(stage: &Stage) -> anyhow::Result<()> {
    for sender in [&stage.baulder, &stage.oak] {
        eventually(&format!("{}'s outbox is empty", sender.name()), async || {
            Ok(sender.client.outbox().await?.is_empty().then_some(()))
        })
        .await?;
    }
    let expected: Vec<Value> = (0..WAITING).map(|number| json!({"number": number})).collect();
    for sender in ["baulder", NEW_NAME] {
        let query = InboxQuery { from: Some(sender.to_owned()), ..query("demo.waiting") };
        let messages = stage.mint.client.inbox(&query).await?;
        let found: Vec<Value> = messages.into_iter().map(|message| message.data).collect();
        ensure!(found == expected, "from {sender} came {}", Value::from(found));
    }
    Ok(())
}

async fn kept(stage: &mut Stage) -> anyhow::Result<()> {
    stage.mint.kill().await?;
    let request = message("mint", "demo.kept", json!({"text": "for when you are back"}));
    let client = &stage.baulder.client;
    let sent = client.send(&SendRequest { wait_seconds: None, ..request }).await?;
    eventually(&format!("{NEW_NAME} keeps the message"), async || {
        let outbox = client.outbox().await?;
        let row = outbox.iter().find(|row| row.message_id == sent.message_id);
        Ok(row.is_some_and(|row| row.custodians == [NEW_NAME]).then_some(()))
    })
    .await
}

async fn comes_from_custodian(stage: &mut Stage) -> anyhow::Result<()> {
    stage.baulder.kill().await?;
    stage.mint.start()?;
    stage.mint.ready().await?;
    let data = json!({"text": "for when you are back"});
    let message = arrived(&stage.mint, "demo.kept", &data).await?;
    ensure!(message.sealed, "the message was not sealed");
    ensure!(message.via == NEW_NAME, "the message came {}", message.via);
    Ok(())
}

async fn learned(stage: &mut Stage) -> anyhow::Result<()> {
    stage.baulder.start()?;
    stage.baulder.ready().await?;
    eventually("baulder's outbox is empty", async || {
        Ok(stage.baulder.client.outbox().await?.is_empty().then_some(()))
    })
    .await
}

fn message(to: &str, app_type: &str, data: Value) -> SendRequest {
    SendRequest {
        to: Some(to.to_owned()),
        app_type: app_type.to_owned(),
        data,
        wait_seconds: Some(ACK_WAIT),
        ..SendRequest::default()
    }
}

fn query(app_type: &str) -> InboxQuery {
    InboxQuery { app_type: Some(app_type.to_owned()), ..InboxQuery::default() }
}

/// Sends `request` and checks that every receiver has committed it.
async fn acked(client: &ControlClient, request: SendRequest) -> anyhow::Result<SendReply> {
    let reply = client.send(&request).await?;
    ensure!(!reply.deliveries.is_empty(), "the message went to nobody");
    for delivery in &reply.deliveries {
        let state = delivery.state;
        ensure!(state == DeliveryState::Acked, "the message to {} is {state:?}", delivery.to);
    }
    Ok(reply)
}

/// Waits until `agent` has exactly one message of this type, and it says `data`.
async fn arrived(agent: &Agent, app_type: &str, data: &Value) -> anyhow::Result<InboxView> {
    let query = query(app_type);
    let what = format!("{} has a message of type {app_type}", agent.name());
    let mut messages = eventually(&what, async || {
        let messages = agent.client.inbox(&query).await?;
        Ok((!messages.is_empty()).then_some(messages))
    })
    .await?;
    ensure!(messages.len() == 1, "{} messages of type {app_type} arrived", messages.len());
    let message = messages.swap_remove(0);
    ensure!(message.data == *data, "it says {}", message.data);
    Ok(message)
}
