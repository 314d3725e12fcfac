//! Pushes that travel in one message: the same steps and rules, also where there is no link.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_control::{
    PushCancel, PushDecision, PushMethodName, PushRequest, PushState, PushTargetState, PushView,
    RollbackRequest,
};
use mesh_protocol::{PushReason, PushStep};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::desk::{LONG, at, detail, followed, pushed, request, root, states, story, tree, write};
use crate::agent::{Agent, Extra, PATIENCE, eventually, linked};

/// Nobody listens on the discard port of loopback.
const NOWHERE: &str = "127.0.0.1:9";

async fn pair(dir: &Path, rules: &str) -> (Agent, Agent, PathBuf) {
    let (path, extra) = root(dir, "mint", rules);
    let baulder = Agent::start_with(dir, "baulder", Extra::default()).await;
    let mint = Agent::start_with(dir, "mint", extra).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    (baulder, mint, path)
}

fn by_message(paths: &[&Path], to: &[&Agent]) -> PushRequest {
    PushRequest { method: Some(PushMethodName::Message), ..request(paths, to) }
}

fn is_waiting_for_approval(push: &PushView) -> bool {
    states(push) == [PushTargetState::WaitingForApproval]
}

/// What an agent keeps of pushes that came in messages.
fn kept(agent: &Agent) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(agent.data_dir().join("pushes")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending != "pages")).collect()
}

/// It is over, and nothing of it is left where it came through.
async fn nothing_is_left(agents: &[&Agent]) {
    for agent in agents {
        let what = format!("nothing is left of the push at {}", agent.name());
        eventually(LONG, &what, async || {
            (kept(agent).is_empty() && agent.inbox().await.is_empty()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_push_in_a_message_is_tested_confirmed_and_taken_back_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "test_commands = [\"sh {file}\"]\nrequire_test = true";
    let (baulder, mint, on_mint) = pair(dir.path(), rules).await;
    let scripts = dir.path().join("scripts");
    write(&scripts.join("backup.sh"), "exit 0\n", 0o755);
    write(&scripts.join("lib/big.sh"), &"exit 0\n".repeat(20_000), 0o644);
    write(&scripts.join("lib/none.sh"), "", 0o644);
    write(&on_mint.join("scripts/backup.sh"), "exit 1\n", 0o644);
    let before = tree(&on_mint);
    let mut wanted = by_message(&[&scripts], &[&mint]);
    wanted.test = Some("sh {file}".to_owned());
    let push = pushed(&baulder, &wanted).await;
    assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
    assert_eq!(tree(&on_mint.join("scripts")), tree(&scripts));
    assert_eq!((push.method, at(&push, &mint).replaced), (PushMethodName::Message, Some(1)));
    assert_eq!(at(&push, &mint).bytes_done, push.bytes_total);
    assert_eq!(detail(&mint, &push).await.push.method, PushMethodName::Message);
    let steps = ["accepted", "staged", "verified", "confirmed"];
    assert_eq!(story(&mint, &push).await, steps);
    assert_eq!(story(&baulder, &push).await, [&["prepared", "announced"][..], &steps].concat());
    nothing_is_left(&[&baulder, &mint]).await;

    // A script that fails its test is not put in place.
    write(&scripts.join("backup.sh"), "exit 3\n", 0o755);
    let failed = pushed(&baulder, &wanted).await;
    let error = at(&failed, &mint).error.as_ref().unwrap();
    assert_eq!((error.step, error.reason), (PushStep::Verify, PushReason::TestFailed));
    assert_eq!(error.test.as_ref().unwrap().exit_code, Some(3));
    // One that asks for no test is refused.
    wanted.test = None;
    let refused = pushed(&baulder, &wanted).await;
    assert_eq!(at(&refused, &mint).error.as_ref().unwrap().reason, PushReason::TestRequired);
    assert_eq!(fs::read(on_mint.join("scripts/backup.sh")).unwrap(), b"exit 0\n");
    nothing_is_left(&[&baulder, &mint]).await;

    let back = RollbackRequest {
        push_id: push.push_id.to_string(),
        to: Vec::new(),
        force: false,
        message: None,
    };
    let begun = baulder.client().rollback(&back).await.unwrap();
    let rollback = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&rollback), [PushTargetState::Confirmed], "{rollback:?}");
    assert_eq!(tree(&on_mint), before);
}

#[tokio::test]
async fn a_push_in_a_message_reaches_a_member_through_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let (on_mint, mut extra) = root(dir.path(), "mint", "");
    extra.arguments.extend(["--advertise".to_owned(), NOWHERE.to_owned()]);
    let oak = Agent::start(dir.path(), "oak").await;
    let hidden = Extra::new(&["--advertise", NOWHERE]);
    let baulder = Agent::start_with(dir.path(), "baulder", hidden).await;
    baulder.join(&oak.token().await).await.unwrap();
    let mint = Agent::start_with(dir.path(), "mint", extra).await;
    mint.join(&oak.token().await).await.unwrap();
    let is_linked = async |agent: &Agent, name: &str| {
        let peers = agent.peers().await;
        peers.iter().any(|peer| peer.hostname == name && peer.rtt_ms.is_some())
    };
    for agent in [&baulder, &mint] {
        let what = format!("{} is linked with oak", agent.name());
        eventually(PATIENCE, &what, async || is_linked(agent, "oak").await.then_some(())).await;
    }
    let knows = async || baulder.members().await.contains_key("mint").then_some(());
    eventually(PATIENCE, "baulder knows mint", knows).await;
    let file = dir.path().join("notes.txt");
    write(&file, "over the hill", 0o644);
    let push = pushed(&baulder, &by_message(&[&file], &[&mint])).await;
    assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
    assert_eq!(fs::read(on_mint.join("notes.txt")).unwrap(), b"over the hill");
    assert!(!is_linked(&baulder, "mint").await, "they were not to be linked");
    nothing_is_left(&[&baulder, &mint]).await;
}

#[tokio::test]
async fn what_is_more_than_a_message_takes_is_told_before_anybody_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair(dir.path(), "").await;
    let large = dir.path().join("large");
    write(&large.join("one"), &"x".repeat(200 << 10), 0o644);
    write(&large.join("two"), &"y".repeat((56 << 10) + 1), 0o644);
    let many = dir.path().join("many");
    for number in 0..5000 {
        write(&many.join(format!("{number}{}", "n".repeat(240))), "", 0o644);
    }
    for folder in [&large, &many] {
        let push = pushed(&baulder, &by_message(&[folder], &[&mint])).await;
        let error = push.error.as_ref().unwrap();
        assert_eq!((error.step, error.reason), (PushStep::Prepare, PushReason::QuotaExceeded));
        assert!(error.detail.contains("262144"), "{error:?}");
        assert_eq!(story(&baulder, &push).await, ["ended"]);
    }
    write(&large.join("two"), &"y".repeat(56 << 10), 0o644);
    let push = pushed(&baulder, &by_message(&[&large], &[&mint])).await;
    assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
    assert_eq!(tree(&on_mint.join("large")), tree(&large));
    let told = mint.client().events(1000).await.unwrap();
    assert_eq!(told.iter().filter(|event| event.kind == "push_announced").count(), 1);
}

#[tokio::test]
async fn a_secret_does_not_leave_in_a_message_either() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair(dir.path(), "").await;
    let file = dir.path().join("notes.txt");
    write(&file, &format!("token = \"ghp_{}\"\n", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"), 0o644);
    let push = pushed(&baulder, &by_message(&[&file], &[&mint])).await;
    let error = push.error.as_ref().unwrap();
    assert_eq!((error.step, error.reason), (PushStep::Prepare, PushReason::SecretFound));
    assert!(kept(&baulder).is_empty() && tree(&on_mint).is_empty());
}

#[tokio::test]
async fn a_target_that_is_away_finds_the_message_when_it_is_back_unless_it_was_called_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut baulder, mut mint, on_mint) = pair(dir.path(), "").await;
    let [file, other] = ["notes.txt", "other.txt"].map(|name| dir.path().join(name));
    write(&file, "for later", 0o644);
    write(&other, "not wanted any more", 0o644);
    mint.kill9();
    let is_waiting = |push: &PushView| states(push) == [PushTargetState::Waiting];
    let begun = baulder.client().push(&by_message(&[&file], &[&mint])).await.unwrap();
    followed(&baulder, &begun, is_waiting).await;
    // What is sent is what was prepared.
    write(&file, "changed since", 0o644);
    let unwanted = baulder.client().push(&by_message(&[&other], &[&mint])).await.unwrap();
    followed(&baulder, &unwanted, is_waiting).await;
    let cancel = PushCancel { push_id: unwanted.push_id.to_string() };
    baulder.client().push_cancel(&cancel).await.unwrap();
    let cancelled = followed(&baulder, &unwanted, |_| false).await;
    assert_eq!(at(&cancelled, &mint).error.as_ref().unwrap().reason, PushReason::Cancelled);
    let is_told = async || {
        let outbox = baulder.client().outbox().await.unwrap();
        // Two announcements, two pushes, and the last word about one of them.
        (outbox.len() == 5).then_some(())
    };
    eventually(LONG, "everything is in the outbox", is_told).await;
    baulder.kill9();
    baulder.restart().await;
    mint.restart().await;
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    nothing_is_left(&[&baulder, &mint]).await;
    assert_eq!(fs::read(on_mint.join("notes.txt")).unwrap(), b"for later");
    assert!(!on_mint.join("other.txt").exists(), "it was called back");
}

#[tokio::test]
async fn a_push_in_a_message_waits_for_approval_also_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mut mint, on_mint) = pair(dir.path(), "approve = true").await;
    let file = dir.path().join("notes.txt");
    write(&file, "approved", 0o644);
    for deny in [None, Some("not today".to_owned())] {
        let begun = baulder.client().push(&by_message(&[&file], &[&mint])).await.unwrap();
        followed(&baulder, &begun, is_waiting_for_approval).await;
        mint.kill9();
        mint.restart().await;
        let decision = PushDecision { push_id: begun.push_id.to_string(), deny: deny.clone() };
        mint.client().push_decide(&decision).await.unwrap();
        let ended = followed(&baulder, &begun, |_| false).await;
        let Some(why) = deny else {
            assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
            assert_eq!(fs::read(on_mint.join("notes.txt")).unwrap(), b"approved");
            fs::remove_file(on_mint.join("notes.txt")).unwrap();
            continue;
        };
        let error = at(&ended, &mint).error.as_ref().unwrap();
        assert_eq!((error.reason, &error.detail), (PushReason::ApprovalDenied, &why));
    }
    let begun = baulder.client().push(&by_message(&[&file], &[&mint])).await.unwrap();
    followed(&baulder, &begun, is_waiting_for_approval).await;
    let cancel = PushCancel { push_id: begun.push_id.to_string() };
    baulder.client().push_cancel(&cancel).await.unwrap();
    eventually(LONG, "mint hears that it was given up", async || {
        let push = detail(&mint, &begun).await.push;
        let error = push.targets.first()?.error.as_ref()?;
        (push.state == PushState::Ended && error.reason == PushReason::Cancelled).then_some(())
    })
    .await;
    nothing_is_left(&[&baulder, &mint]).await;
    assert!(tree(&on_mint).is_empty());
}

#[tokio::test]
async fn a_target_that_dies_between_the_commit_and_its_reply_says_it_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut baulder, mut mint, on_mint) = pair(dir.path(), "approve = true").await;
    let file = dir.path().join("notes.txt");
    write(&file, "in place", 0o644);
    let begun = baulder.client().push(&by_message(&[&file], &[&mint])).await.unwrap();
    followed(&baulder, &begun, is_waiting_for_approval).await;
    let [held] = kept(&mint).try_into().unwrap();
    let bytes = fs::read(&held).unwrap();
    baulder.kill9();
    let decision = PushDecision { push_id: begun.push_id.to_string(), deny: None };
    mint.client().push_decide(&decision).await.unwrap();
    let is_replied = async || kept(&mint).is_empty().then_some(());
    eventually(LONG, "mint has replied", is_replied).await;
    mint.kill9();
    // As it is when the power goes just before that: the reply is not in the outbox, and the push is not forgotten.
    let database = mint.data_dir().join("mesh.db");
    let mut db = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
    let gone = sqlx::query("DELETE FROM outbox").execute(&mut db).await.unwrap();
    assert!(gone.rows_affected() > 0, "there was a reply");
    db.close().await.unwrap();
    fs::write(&held, bytes).unwrap();
    let placed = tree(&on_mint);
    mint.restart().await;
    baulder.restart().await;
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    nothing_is_left(&[&baulder, &mint]).await;
    assert_eq!(tree(&on_mint), placed, "it was put in place once");
}
