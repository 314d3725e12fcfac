//! What a push that went no further leaves, and what a sender that was removed can still do.

use std::time::Duration;

use mesh_files::Phase;
use mesh_protocol::{ErrorCode, PushEvent, PushFact, PushId, PushReason, PushStep};
use mesh_tree::Staging;

use super::support::{Pair, push, root, write_all};
use crate::clock;
use crate::pushes::ledger::Side;
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::roots::problem;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_closed_as_failed_has_left_neither_files_nor_pages() {
    let mut settings = root("site");
    settings.test_commands = vec!["false".to_owned()];
    let pair = Pair::start(settings).await;
    write_all(&pair.source, &[("file", b"bytes")]);
    let mut request = push("site");
    request.test = Some("false".to_owned());
    let push_id = pair.push(request).await;
    assert_eq!(pair.failed(push_id).await.reason, PushReason::TestFailed);
    let staging = pair.root.join(".mesh-tree/staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
    assert!(!pair.has_pages(push_id));
    // A push that came to its end keeps them for the next one.
    let push_id = pair.push(push("site")).await;
    pair.confirmed(push_id).await;
    assert!(pair.has_pages(push_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_removes_what_failed_and_forgotten_pushes_have_staged() {
    let pair = Pair::start(root("site")).await;
    write_all(&pair.source, &[("file", b"bytes")]);
    let push_id = pair.push(push("site")).await;
    pair.confirmed(push_id).await;

    // As if the node had been killed between the record of the failure and the removal.
    let shared = &pair.two.shared;
    let mut row = shared.store.load_push(push_id).await.unwrap().pop().unwrap().row;
    let [failed, forgotten] = [7, 8].map(|byte| PushId::from_bytes([byte; 16]));
    (row.push_id, row.offer.push_id, row.is_open) = (failed, failed, true);
    shared.begin_push(row).await.unwrap();
    let (target, problem) = (pair.two.peer_id(), problem(PushReason::Expired, "a test"));
    let event = PushEvent { at: clock::now().wall, fact: PushFact::Failed { target, problem } };
    shared.record_push(failed, Side::Target, &event).await.unwrap();
    drop(ManifestFile::create(shared.data_dir.path(), failed).unwrap());
    let site = shared.pushes.roots.open(&"site".parse().unwrap()).unwrap().root;
    for left in [failed, forgotten] {
        drop(Staging::open(&site, left).unwrap());
    }
    drop(site);

    let pair = pair.restart_two().await;
    let store = &pair.two.shared.store;
    pair.eventually("the push is closed", async || {
        !store.load_push(failed).await.unwrap().pop().unwrap().row.is_open
    })
    .await;
    let staging = pair.root.join(".mesh-tree/staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
    assert!(!pair.has_pages(failed));
    assert!(pair.has_pages(push_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_approves_a_push_of_a_member_that_was_removed() {
    let mut settings = root("site");
    settings.approve = true;
    let pair = Pair::start(settings).await;
    write_all(&pair.source, &[("file", b"bytes")]);
    let push_id = pair.push(push("site")).await;
    pair.reaches(push_id, Phase::WaitingForApproval).await;
    pair.two.remove_peer("one", "a test").await.unwrap();
    let decided = pair.two.shared.decide_push(push_id, pair.two.peer_id(), None).await;
    assert_eq!(decided.unwrap_err().code, ErrorCode::NotAMember);
    pair.reaches(push_id, Phase::Failed).await;
    pair.nothing_is_staged().await;
    assert!(!pair.root.join("file").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_removed_during_the_test_places_nothing() {
    let gate = tempfile::tempdir().unwrap();
    let (begun, go) = (gate.path().join("begun"), gate.path().join("go"));
    let script = format!(
        "sh -c 'touch {}; until test -e {}; do sleep 0.05; done'",
        begun.display(),
        go.display()
    );
    let mut settings = root("site");
    settings.test_commands = vec![script.clone()];
    settings.test_timeout = Duration::from_secs(60);
    let pair = Pair::start(settings).await;
    write_all(&pair.source, &[("file", b"bytes")]);
    let mut request = push("site");
    request.test = Some(script);
    let push_id = pair.push(request).await;
    pair.eventually("the test runs", async || begun.exists()).await;
    pair.two.remove_peer("one", "a test").await.unwrap();
    std::fs::write(go, "").unwrap();
    pair.reaches(push_id, Phase::Failed).await;
    let events = pair.two.shared.store.load_push(push_id).await.unwrap().pop().unwrap().events;
    let Some(PushFact::Failed { problem, .. }) = events.last().map(|event| &event.fact) else {
        panic!("{events:?}")
    };
    assert_eq!((problem.step, problem.reason), (PushStep::Confirm, PushReason::NotAMember));
    assert!(!pair.root.join("file").exists());
}
