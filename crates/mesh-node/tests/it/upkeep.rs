//! What must not be left half done: joins that are repeated or given up, returns, stops.

use std::path::Path;

use mesh_node::{DeliveryOutcome, Filter, JoinStep, NodeError, Outgoing, StartError, Target};

use crate::support::{
    builder, eventually, free_port, is_linked, join, linked, message, number_of, outcome, pair,
    send_acked, start, within,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_joins_again_spends_no_token_and_loses_no_message() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let three = start(dir.path(), "three").await;
    join(&three, &one).await;
    linked(&[&one, &two, &three]).await;
    let port = three.listening()[0].port();
    three.stop().await;
    eventually("the third is gone", async || !is_linked(&two, &three)).await;
    two.send(message("three", "any", 1)).await.unwrap();

    let token = one.create_token(None, "twice").await.unwrap();
    let joined = within(two.join(&token.text)).await.unwrap();
    assert_eq!(joined.members, 3);
    // The token was not needed, so it still admits a newcomer.
    let four = start(dir.path(), "four").await;
    within(four.join(&token.text)).await.unwrap();

    let three = within(builder(dir.path(), "three", port).start()).await.unwrap();
    let mut inbox = three.subscribe(Filter::Everything);
    assert_eq!(number_of(&within(inbox.next()).await.unwrap()), 1);
    for node in [one, two, three, four] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_is_given_up_while_it_is_stored_is_whole_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (start(dir.path(), "one").await, start(dir.path(), "two").await);
    let token = one.create_token(None, "").await.unwrap();
    let (give_up, given_up) = tokio::sync::watch::channel(false);
    let told = |done: mesh_node::JoinStepDone| {
        if done.step == JoinStep::PeersReceived {
            give_up.send_replace(true);
        }
    };
    let mut given_up = given_up;
    let joined: Option<Result<_, NodeError>> = tokio::select! {
        biased;
        joined = two.join_with(&token.text, &told) => Some(joined),
        _ = given_up.wait_for(|up| *up) => None,
    };
    assert!(joined.is_none(), "{joined:?}");
    eventually("it is in the new mesh", async || two.mesh_id() == one.mesh_id()).await;
    linked(&[&one, &two]).await;
    send_acked(&two, message("one", "any", 1)).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_that_comes_back_by_a_token_is_sent_sealed_messages_again() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let sealed = |to: &str, number| Outgoing { seal: true, ..message(to, "any", number) };
    send_acked(&one, sealed("two", 1)).await;
    one.remove_peer("two", "for a while").await.unwrap();
    eventually("it knows", async || two.hostname().is_none()).await;
    join(&two, &one).await;
    send_acked(&one, sealed("two", 2)).await;
    send_acked(&two, sealed("one", 3)).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stopped_frees_its_directory_though_a_handle_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kept = start(dir.path(), "one").await;
    within(kept.stop()).await;
    let again = within(builder(dir.path(), "one", free_port()).start()).await.unwrap();
    assert_eq!(again.peer_id(), kept.peer_id());
    let error = builder(dir.path(), "one", free_port()).start().await.unwrap_err();
    assert!(matches!(error, StartError::Locked { .. }), "{error:?}");
    again.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_node_says_of_itself_prevails_over_what_it_said_before() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let port = two.listening()[0].port();
    two.stop().await;
    copy(&dir.path().join("two"), &dir.path().join("saved"));
    let two = within(builder(dir.path(), "two", port).start()).await.unwrap();
    linked(&[&one, &two]).await;
    for name in ["zwei", "deux"] {
        two.rename(name.parse().unwrap()).await.unwrap();
        eventually("the name is known", async || {
            one.peers().iter().any(|peer| peer.hostname.as_str() == name)
        })
        .await;
    }
    two.stop().await;
    // The saved directory knows nothing of the last two profiles, and the machine has moved.
    let port = free_port();
    let two = within(builder(dir.path(), "saved", port).start()).await.unwrap();
    eventually("the new address is known", async || {
        let peers = one.peers();
        let known = peers.iter().find(|peer| peer.peer_id == two.peer_id()).unwrap();
        known.addresses.iter().any(|address| address.port() == port)
    })
    .await;
    linked(&[&one, &two]).await;
    send_acked(
        &one,
        Outgoing { seal: true, ..message(two.hostname().unwrap().as_str(), "any", 1) },
    )
    .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_of_a_node_that_is_alone_warns_that_nobody_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let one = start(dir.path(), "one").await;
    let broadcast = Outgoing { to: Target::Broadcast, ..message("", "any", 1) };
    let sent = one.send(broadcast).await.unwrap();
    assert_eq!(sent.warnings.len(), 1);
    assert!(sent.wait(std::time::Duration::ZERO).await.is_empty());
    assert_eq!(outcome(&one, message("one", "any", 2)).await, DeliveryOutcome::Acked);
    one.stop().await;
}

/// A program starts and joins wherever it likes, in a task of its own for one.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "that a program does this is what is tested")]
async fn a_node_can_be_started_used_and_stopped_within_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let one = start(dir.path(), "one").await;
    let (issuer, builder) = (one.clone(), builder(dir.path(), "two", free_port()));
    let starting = tokio::spawn(async move {
        let two = builder.start().await.unwrap();
        let token = issuer.create_token(None, "a test").await.unwrap();
        two.join(&token.text).await.unwrap();
        two
    });
    let two = within(starting).await.unwrap();
    linked(&[&one, &two]).await;
    let sending = tokio::spawn(async move {
        one.send(message("two", "task", 1)).await.unwrap();
        one.ping("two", None).await.unwrap();
        one.rename("first".parse().unwrap()).await.unwrap();
        one.remove_peer("two", "a test").await.unwrap();
        one.stop().await;
    });
    within(sending).await.unwrap();
    within(two.stop()).await;
}
