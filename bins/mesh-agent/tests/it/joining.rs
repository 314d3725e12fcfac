//! Joining through any member, and the mesh without the member that admitted.

use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_control::{JoinProgress, JoinRequestBody, JoinStep};

use crate::agent::{Agent, NEWS, PATIENCE, eventually, linked, mesh, within};

#[tokio::test]
async fn a_member_that_joined_admits_others_who_are_known_everywhere_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = mesh(dir.path(), ["first", "second"]).await;
    let third = Agent::start(dir.path(), "third").await;

    let token = second.token().await;
    let peers = third.join(&token).await.unwrap();

    let names: Vec<&str> = peers.iter().map(|peer| peer.hostname.as_str()).collect();
    assert_eq!(names, ["third", "first", "second"], "the newcomer has all of them at once");
    let everybody = ["first", "second", "third"];
    for agent in [&first, &second, &third] {
        let what = format!("{} is linked with everybody", agent.name());
        eventually(NEWS, &what, async || agent.is_linked_with(&everybody).await.then_some(()))
            .await;
    }
    let mesh_id = first.status().await.mesh_id;
    assert_eq!(third.status().await.mesh_id, mesh_id);
    for (from, to) in [(&first, &third), (&third, &first), (&third, &second)] {
        from.send_acked(to.name(), "welcome").await;
    }
}

#[tokio::test]
async fn a_join_tells_its_six_steps_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Agent::start(dir.path(), "issuer").await;
    let joiner = Agent::start(dir.path(), "joiner").await;
    let request = JoinRequestBody { token: issuer.token().await };
    let mut progress = within(joiner.client().join(&request)).await.unwrap();
    let mut steps = Vec::new();
    while let Some(step) = within(progress.next()).await {
        match step.unwrap() {
            JoinProgress::Step { step, number, total, .. } => steps.push((number, total, step)),
            JoinProgress::Done { peers, .. } => assert_eq!(peers.len(), 2),
            JoinProgress::Failed { error } => panic!("{error:?}"),
        }
    }
    let expected = [
        (1, 6, JoinStep::TokenChecked),
        (2, 6, JoinStep::IssuerReached),
        (3, 6, JoinStep::Admitted),
        (4, 6, JoinStep::PeersReceived),
        (5, 6, JoinStep::PeersStored),
        (6, 6, JoinStep::MembersLinked),
    ];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn an_ordinary_join_warns_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut agents = vec![Agent::start(dir.path(), "founder").await];
    // Often enough that the newcomer's key is now the smaller and now the larger one.
    for number in 0..5 {
        let joiner = Agent::start(dir.path(), &format!("joiner-{number}")).await;
        let token = agents[0].token().await;
        joiner.join(&token).await.unwrap();
        agents.push(joiner);
    }
    linked(&agents.iter().collect::<Vec<&Agent>>()).await;
    for agent in &agents {
        let log = agent.log();
        let odd: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            .collect();
        assert!(odd.is_empty(), "{} says {odd:#?}", agent.name());
        let events = agent.client().events(1000).await.unwrap();
        assert!(events.iter().all(|event| event.kind != "refused_by_member"), "{events:#?}");
    }
}

/// The members besides the issuer, when the issuer is gone.
async fn assert_meets(newcomer: &Agent, old: &Agent) {
    for (agent, other) in [(newcomer, old), (old, newcomer)] {
        let what = format!("{} is linked with {}", agent.name(), other.name());
        eventually(PATIENCE, &what, async || {
            agent.members().await.get(other.name()).copied().unwrap_or(false).then_some(())
        })
        .await;
    }
    newcomer.send_acked(old.name(), "the issuer is gone").await;
    old.send_acked(newcomer.name(), "we go on").await;
}

#[tokio::test]
async fn the_mesh_goes_on_when_the_issuer_is_killed_right_after_the_join() {
    let dir = tempfile::tempdir().unwrap();
    let [old, mut issuer, other] = mesh(dir.path(), ["old", "issuer", "other"]).await;
    let newcomer = Agent::start(dir.path(), "newcomer").await;
    let token = issuer.token().await;
    newcomer.join(&token).await.unwrap();
    issuer.kill9();
    assert_meets(&newcomer, &old).await;
    assert_meets(&newcomer, &other).await;
}

#[tokio::test]
async fn a_newcomer_introduces_itself_to_members_that_never_heard_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let [mut old, mut issuer] = mesh(dir.path(), ["old", "issuer"]).await;
    let newcomer = Agent::start(dir.path(), "newcomer").await;
    // Away during the whole join, so that the issuer, the only one who knows, cannot tell it.
    old.kill9();
    let request = JoinRequestBody { token: issuer.token().await };
    let mut progress = within(newcomer.client().join(&request)).await.unwrap();
    loop {
        match within(progress.next()).await.unwrap().unwrap() {
            JoinProgress::Step { step: JoinStep::PeersStored, .. } => break,
            JoinProgress::Step { .. } => {}
            JoinProgress::Done { .. } | JoinProgress::Failed { .. } => panic!("too far"),
        }
    }
    issuer.kill9();
    old.restart().await;
    assert_meets(&newcomer, &old).await;
    // And the issuer finds both when it is back.
    issuer.restart().await;
    linked(&[&old, &issuer, &newcomer]).await;
}

#[tokio::test]
async fn a_mesh_of_five_is_linked_in_full_whoever_admitted_whom() {
    let dir = tempfile::tempdir().unwrap();
    let mut agents: Vec<Agent> = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let agent = Agent::start(dir.path(), name).await;
        // Each is admitted by the one before it, which may have been a member for milliseconds.
        if let Some(latest) = agents.last() {
            let token = latest.token().await;
            agent.join(&token).await.unwrap();
        }
        agents.push(agent);
    }
    let all: Vec<&Agent> = agents.iter().collect();
    linked(&all).await;
    let behind = "nobody is behind";
    eventually(Duration::from_secs(5), behind, async || {
        for agent in &all {
            if agent.status().await.sync.behind > 0 {
                return None;
            }
        }
        Some(())
    })
    .await;
}
