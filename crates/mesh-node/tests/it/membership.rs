//! Members as the façade shows them.

use mesh_node::{ErrorCode, JoinStep, JoinStepDone, StartError};
use std::sync::Mutex;

use crate::support::{builder, eventually, free_port, linked, pair, restart, start, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_join_tells_every_step_and_what_it_led_to() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (start(dir.path(), "one").await, start(dir.path(), "two").await);
    let token = one.create_token(None, "").await.unwrap();
    let steps = Mutex::new(Vec::new());
    let told = |done: JoinStepDone| steps.lock().unwrap().push(done.step);
    let joined = within(two.join_with(&token.text, &told)).await.unwrap();
    assert_eq!((joined.mesh_id, joined.members, joined.linked), (one.mesh_id(), 2, 1));
    let expected = [
        JoinStep::TokenChecked,
        JoinStep::IssuerReached,
        JoinStep::Admitted,
        JoinStep::PeersReceived,
        JoinStep::PeersStored,
        JoinStep::MembersLinked,
    ];
    assert_eq!(*steps.lock().unwrap(), expected);
    let names: Vec<String> = two.peers().iter().map(|peer| peer.hostname.to_string()).collect();
    assert_eq!(names, ["two", "one"], "this node first");
    linked(&[&one, &two]).await;
    let trip = one.ping("two", None).await.unwrap();
    assert!(trip.rtt.as_secs() == 0 && trip.clock_offset_ms.abs() < 1000, "{trip:?}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_the_same_after_a_restart_and_alone_on_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let error = builder(dir.path(), "one", free_port()).start().await.unwrap_err();
    assert!(
        matches!(&error, StartError::Locked { pid, .. } if *pid == std::process::id().to_string()),
        "{error:?}"
    );
    let before = (one.peer_id(), one.mesh_id(), one.hostname());
    let one = restart(dir.path(), "one", one).await;
    assert_eq!((one.peer_id(), one.mesh_id(), one.hostname()), before);
    linked(&[&one, &two]).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_knows_it_and_is_told_so_in_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let (_, mut events) = two.follow_events(0);
    one.remove_peer("two", "a test").await.unwrap();
    let removed = async {
        loop {
            if events.recv().await.unwrap().kind == "removed_from_mesh" {
                return;
            }
        }
    };
    within(removed).await;
    assert_eq!(two.hostname(), None);
    let error = two.create_token(None, "").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotAMember);
    let error = two.ping("one", None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotAMember);
    eventually("it has no link", async || two.peers().iter().all(|peer| !peer.is_active)).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_newcomers_of_one_name_at_two_members_end_with_two_names() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let here = start(&dir.path().join("here"), "twin").await;
    let there = start(&dir.path().join("there"), "twin").await;
    let (at_one, at_two) =
        (one.create_token(None, "").await.unwrap(), two.create_token(None, "").await.unwrap());
    // Neither issuer knows of the other's newcomer; the set of records decides.
    let (first, second) =
        tokio::join!(within(here.join(&at_one.text)), within(there.join(&at_two.text)));
    let admitted = usize::from(first.is_ok()) + usize::from(second.is_ok());
    for outcome in [&first, &second] {
        if let Err(error) = outcome {
            assert_eq!(error.code, ErrorCode::HostnameTaken);
        }
    }
    assert!(admitted >= 1);
    let names = |node: &mesh_node::Node| {
        let peers = node.peers().into_iter();
        let mut names: Vec<String> = peers.map(|peer| peer.hostname.to_string()).collect();
        names.sort();
        names
    };
    eventually("all agree, and no name is there twice", async || {
        let of_one = names(&one);
        let mut distinct = of_one.clone();
        distinct.dedup();
        of_one.len() == 2 + admitted
            && distinct.len() == of_one.len()
            && names(&two) == of_one
            && (first.is_err() || names(&here) == of_one)
            && (second.is_err() || names(&there) == of_one)
    })
    .await;
    for node in [one, two, here, there] {
        node.stop().await;
    }
}
