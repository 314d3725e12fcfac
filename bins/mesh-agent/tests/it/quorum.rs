//! A mesh whose members can limit who may remove: several have to ask for it.

use std::fs;
use std::path::Path;

use mesh_control::{PeerView, PendingRemovalView, RemoveRequest};
use mesh_protocol::{
    Admission, ErrorCode, Frame, Record, Records, Removal, SignedRecord, TokenId, UnixMillis,
};
use mesh_transport::Lane;

use crate::agent::{Agent, Extra, NEWS, PATIENCE, bare_command, eventually, linked};
use crate::lifecycle::assert_refuses;
use crate::stranger::{Stranger, key};

/// A mesh in which two have to ask for a removal.
async fn careful<const N: usize>(dir: &Path, names: [&str; N]) -> [Agent; N] {
    let mut agents = Vec::with_capacity(N);
    for name in names {
        let agent = Agent::start_with(dir, name, Extra::new(&["--remove-quorum", "2"])).await;
        if let Some(founder) = agents.first() {
            agent.join(&Agent::token(founder).await).await.unwrap();
        }
        agents.push(agent);
    }
    let agents: [Agent; N] = agents.try_into().unwrap_or_else(|_| unreachable!("one per name"));
    linked(&agents.each_ref()).await;
    agents
}

async fn removal_of(agent: &Agent, name: &str) -> Option<PendingRemovalView> {
    let peers = agent.peers().await.into_iter();
    peers.filter(|peer| peer.hostname == name).find_map(|peer| peer.removal)
}

async fn ask(agent: &Agent, name: &str) -> PeerView {
    let request = RemoveRequest { host: name.to_owned(), reason: String::from("sold") };
    agent.client().peer_remove(&request).await.unwrap()
}

#[tokio::test]
async fn one_of_two_removals_is_shown_and_does_nothing_and_the_second_removes() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, two, three] = careful(dir.path(), ["one", "two", "three"]).await;
    let by_one = PendingRemovalView { asked_by: vec![String::from("one")], needed: 2 };
    for _again in 0..2 {
        assert_eq!(ask(&one, "three").await.removal.as_ref(), Some(&by_one));
    }
    for agent in [&two, &three] {
        let shown =
            async || (removal_of(agent, "three").await.as_ref() == Some(&by_one)).then_some(());
        eventually(NEWS, "the others see who asked", shown).await;
        assert_eq!(agent.status().await.pending_removals, ["three"]);
    }
    three.send_acked("one", "I am here").await;
    one.terminate().await;
    one.restart().await;
    linked(&[&one, &two, &three]).await;
    assert_eq!(removal_of(&one, "three").await, Some(by_one), "it survives a restart");

    assert_eq!(ask(&two, "three").await.removal, None);
    linked(&[&one, &two]).await;
    eventually(NEWS, "the third hears of it", async || three.status().await.removed.then_some(()))
        .await;
    assert!(one.status().await.pending_removals.is_empty());
    one.send_acked("two", "we are two").await;
}

#[tokio::test]
async fn who_was_not_admitted_by_the_founder_is_told_that_its_word_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = careful(dir.path(), ["one", "two"]).await;
    let guest = Agent::start(dir.path(), "guest").await;
    guest.join(&two.token().await).await.unwrap();
    linked(&[&one, &two, &guest]).await;
    let request = RemoveRequest { host: String::from("one"), reason: String::new() };
    let error = guest.client().peer_remove(&request).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadRequest);
    assert_eq!(removal_of(&guest, "one").await, None);
}

/// What a member signs that wants to be alone: puppets, and everybody's removal by it and them.
fn revolt(
    liar: &Stranger,
    puppets: &[Stranger],
    victims: &[&Agent],
    mesh_id: mesh_protocol::MeshId,
) -> Vec<SignedRecord> {
    let admissions = puppets.iter().map(|puppet| {
        liar.sign(Record::Admission(Admission {
            mesh_id,
            subject: puppet.peer_id(),
            sponsor: liar.peer_id(),
            token_id: TokenId::from_bytes([1; 16]),
            admitted_at: UnixMillis(1),
            overrides: Vec::new(),
        }))
    });
    let removals = [liar].into_iter().chain(puppets).flat_map(|signer| {
        victims.iter().map(|victim| {
            signer.sign(Record::Removal(Removal {
                mesh_id,
                subject: victim.peer_id(),
                remover: signer.peer_id(),
                removed_at: UnixMillis(1),
                reason: String::from("me first"),
                standing: Vec::new(),
            }))
        })
    });
    admissions.chain(removals).collect()
}

#[tokio::test]
async fn a_member_that_removes_everybody_with_its_puppets_achieves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = careful(dir.path(), ["one", "two"]).await;
    let liar = Stranger::new(key(33));
    liar.redeem(&one.parsed_token().await, "liar").await.unwrap();
    let known = async || two.members().await.contains_key("liar").then_some(());
    eventually(NEWS, "the other knows the new member", known).await;
    let mesh_id = one.status().await.mesh_id;
    let puppets = [Stranger::new(key(34)), Stranger::new(key(35))];
    let records = revolt(&liar, &puppets, &[&one, &two], mesh_id);
    let link = liar.link((two.peer_id(), two.address()), mesh_id).await.unwrap();
    link.sender().send(Lane::Urgent, &Frame::Records(Records { records })).await.unwrap();
    for (agent, other) in [(&one, "two"), (&two, "one")] {
        let alone = |removal: PendingRemovalView| (removal.asked_by == ["liar"]).then_some(());
        let shown = async || removal_of(agent, other).await.and_then(alone);
        eventually(PATIENCE, "the lie is shown with its author alone", shown).await;
        assert!(!agent.status().await.removed);
    }
    one.send_acked("two", "still here").await;
    two.send_acked("one", "so am I").await;

    // The two that it wanted to be rid of are enough to be rid of it, and of what it asked for.
    let _first = ask(&one, "liar").await;
    let shown = async || removal_of(&two, "liar").await;
    eventually(NEWS, "the other sees who asked", shown).await;
    assert_eq!(ask(&two, "liar").await.removal, None);
    for agent in [&one, &two] {
        let gone = async || (!agent.members().await.contains_key("liar")).then_some(());
        eventually(NEWS, "the liar is no member", gone).await;
        let quiet = async || agent.status().await.pending_removals.is_empty().then_some(());
        eventually(NEWS, "what the liar asked for is void", quiet).await;
    }
}

#[tokio::test]
async fn a_quorum_out_of_bounds_is_refused_and_nothing_is_made_or_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (data_dir, log) = (dir.path().join("none"), dir.path().join("refused.log"));
    let config = dir.path().join("agent.toml");
    fs::write(&config, "remove_quorum = 17\n").unwrap();
    let refused = async |data_dir: &Path| {
        let command = || {
            let mut command = bare_command();
            command.arg("--data-dir").arg(data_dir);
            command
        };
        let (mut flag, mut variable, mut file) = (command(), command(), command());
        flag.args(["--remove-quorum", "17"]);
        variable.env("MESH_REMOVE_QUORUM", "17");
        file.arg("--config").arg(&config);
        for command in [flag, variable, file] {
            assert_refuses(command, &log, &["need 16 members at the most, not 17"]).await;
        }
    };
    refused(&data_dir).await;
    assert!(!data_dir.exists(), "nothing was created");

    // A mesh keeps what it was founded with, whatever its agents are started with later.
    let environment = vec![("MESH_REMOVE_QUORUM", "2".into())];
    let extra = Extra { environment, ..Extra::default() };
    let mut one = Agent::start_with(dir.path(), "one", extra).await;
    let two = Agent::start(dir.path(), "two").await;
    let guest = Agent::start(dir.path(), "guest").await;
    for newcomer in [&two, &guest] {
        newcomer.join(&one.token().await).await.unwrap();
    }
    linked(&[&one, &two, &guest]).await;
    one.terminate().await;
    let database = fs::read(one.data_dir().join("mesh.db")).unwrap();
    refused(one.data_dir()).await;
    assert_eq!(fs::read(one.data_dir().join("mesh.db")).unwrap(), database);
    one.add_arguments(&["--remove-quorum", "1"]);
    one.restart().await;
    linked(&[&one, &two, &guest]).await;
    let by_one = PendingRemovalView { asked_by: vec![String::from("one")], needed: 2 };
    assert_eq!(ask(&one, "guest").await.removal, Some(by_one));
}
