//! A folder of scripts that goes to two others: told to all, tested, put in place, and taken back.

use std::fs;
use std::process::Command;

use mesh_control::{
    PushRequest, PushState, PushTargetState, PushView, PushesQuery, RollbackRequest,
};
use mesh_protocol::{PushReason, PushStep};

use super::desk::{at, detail, followed, pushed, request, root, states, story, tree, write};
use crate::agent::{Agent, Extra, NEWS, eventually, linked};

const TEST: &str = "sh {file} --help";
const RULES: &str = "test_commands = [\"sh {file} --help\"]\nrequire_test = true";

/// Three agents, of which the last two open a root.
async fn three(dir: &std::path::Path) -> ([Agent; 3], [std::path::PathBuf; 2]) {
    let (on_mint, mint) = root(dir, "mint", RULES);
    let (on_oak, oak) = root(dir, "oak", RULES);
    let baulder = Agent::start_with(dir, "baulder", Extra::default()).await;
    let mint = Agent::start_with(dir, "mint", mint).await;
    let oak = Agent::start_with(dir, "oak", oak).await;
    mint.join(&baulder.token().await).await.unwrap();
    oak.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint, &oak]).await;
    ([baulder, mint, oak], [on_mint, on_oak])
}

#[tokio::test]
async fn a_folder_of_scripts_is_announced_tested_confirmed_and_taken_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (mut agents, roots) = three(dir.path()).await;
    let scripts = dir.path().join("scripts");
    write(&scripts.join("backup.sh"), "#!/bin/sh\necho first; exit 0\n", 0o755);
    write(&scripts.join("lib/common.sh"), "exit 0\n", 0o644);
    roots.iter().for_each(|root| before_the_push(root));
    let before = roots.each_ref().map(|root| tree(root));

    let [baulder, mint, oak] = &agents;
    let mut wanted = request(&[&scripts], &[mint, oak]);
    wanted.test = Some(TEST.to_owned());
    wanted.message = Some("the nightly backup".to_owned());
    let push = pushed(baulder, &wanted).await;
    assert_eq!(states(&push), [PushTargetState::Confirmed; 2], "{push:?}");
    for (agent, root) in [mint, oak].into_iter().zip(&roots) {
        let script = root.join("scripts/backup.sh");
        let ran = Command::new(&script).output().unwrap();
        assert_eq!(ran.stdout, b"first\n");
        assert_eq!(at(&push, agent).replaced, Some(1));
        assert!(at(&push, agent).location.as_ref().unwrap().starts_with(root.to_str().unwrap()));
        assert_eq!(fs::read(root.join("untouched")).unwrap(), b"stays");
        eventually(NEWS, "the announcement is an event everywhere", async || {
            let events = agent.client().events(1000).await.unwrap();
            let told = events.into_iter().find(|event| event.kind == "push_announced")?;
            (told.fields["message"] == "the nightly backup").then_some(())
        })
        .await;
        let steps = story(agent, &push).await;
        assert_eq!(steps, ["accepted", "staged", "verified", "confirmed"]);
    }
    let steps = story(baulder, &push).await;
    assert_eq!(&steps[..2], ["prepared", "announced"]);
    assert_eq!(steps.iter().filter(|step| *step == "confirmed").count(), 2);

    let failed = nothing_is_placed_that_fails(&agents, &roots, &wanted, &scripts).await;
    let back = RollbackRequest {
        push_id: push.push_id.to_string(),
        to: Vec::new(),
        force: false,
        message: None,
    };
    let begun = baulder.client().rollback(&back).await.unwrap();
    let rollback = followed(baulder, &begun, |_| false).await;
    assert_eq!(states(&rollback), [PushTargetState::Confirmed; 2], "{rollback:?}");
    assert_eq!(rollback.rollback_of, Some(push.push_id));
    for (root, before) in roots.iter().zip(&before) {
        assert_eq!(&tree(root), before);
    }
    // Everybody concerned has the whole story, after a restart too.
    for agent in &mut agents {
        agent.kill9();
        agent.restart().await;
    }
    let [baulder, mint, oak] = &agents;
    assert_eq!(states(&detail(baulder, &push).await.push), [PushTargetState::RolledBack; 2]);
    for agent in [mint, oak] {
        let listed = agent.client().pushes(&PushesQuery::default()).await.unwrap();
        let ids: Vec<_> = listed.iter().map(|one| one.push_id).collect();
        assert_eq!(ids, [rollback.push_id, failed.push_id, push.push_id]);
        assert_eq!(listed[2].targets[0].state, PushTargetState::RolledBack);
        assert!(listed.iter().all(|one| one.by == "baulder" && one.state == PushState::Ended));
        assert_eq!(story(agent, &push).await.last().unwrap(), "rolled_back");
    }
    // It is a push itself, and can be taken back.
    linked(&[baulder, mint, oak]).await;
    let forth = RollbackRequest { push_id: rollback.push_id.to_string(), ..back };
    let begun = baulder.client().rollback(&forth).await.unwrap();
    let again = followed(baulder, &begun, |_| false).await;
    assert_eq!(states(&again), [PushTargetState::Confirmed; 2], "{again:?}");
    for root in &roots {
        let ran = Command::new(root.join("scripts/backup.sh")).output().unwrap();
        assert_eq!(ran.stdout, b"first\n");
    }
}

/// What stands in a root already.
fn before_the_push(root: &std::path::Path) {
    write(&root.join("scripts/backup.sh"), "#!/bin/sh\necho old\n", 0o750);
    write(&root.join("untouched"), "stays", 0o600);
}

/// One that fails its test is not put in place anywhere, and the one before still runs.
async fn nothing_is_placed_that_fails(
    [baulder, mint, oak]: &[Agent; 3],
    roots: &[std::path::PathBuf; 2],
    wanted: &PushRequest,
    scripts: &std::path::Path,
) -> PushView {
    write(&scripts.join("backup.sh"), "#!/bin/sh\necho broken >&2; exit 3\n", 0o755);
    let failed = pushed(baulder, wanted).await;
    assert_eq!(states(&failed), [PushTargetState::Failed; 2]);
    for (agent, root) in [mint, oak].into_iter().zip(roots) {
        let error = at(&failed, agent).error.as_ref().unwrap();
        assert_eq!((error.step, error.reason), (PushStep::Verify, PushReason::TestFailed));
        let test = error.test.as_ref().unwrap();
        assert_eq!((test.exit_code, test.output.as_str()), (Some(3), "broken\n"));
        let ran = Command::new(root.join("scripts/backup.sh")).output().unwrap();
        assert_eq!(ran.stdout, b"first\n");
    }
    failed
}

#[tokio::test]
async fn what_was_changed_since_is_not_rolled_back_unless_somebody_insists() {
    let dir = tempfile::tempdir().unwrap();
    let (agents, roots) = three(dir.path()).await;
    let [baulder, mint, _] = &agents;
    let script = dir.path().join("tool.sh");
    write(&script, "exit 0\n", 0o644);
    let mut wanted = request(&[&script], &[mint]);
    wanted.test = Some(TEST.to_owned());
    let push = pushed(baulder, &wanted).await;
    assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
    write(&roots[0].join("tool.sh"), "# mine\n", 0o644);
    let mut back = RollbackRequest {
        push_id: push.push_id.to_string(),
        to: vec!["mint".to_owned()],
        force: false,
        message: None,
    };
    let begun = baulder.client().rollback(&back).await.unwrap();
    let refused = followed(baulder, &begun, |_| false).await;
    let error = refused.targets[0].error.as_ref().unwrap();
    assert!(error.detail.contains("tool.sh"), "{error:?}");
    assert_eq!(fs::read(roots[0].join("tool.sh")).unwrap(), b"# mine\n");
    back.force = true;
    let begun = baulder.client().rollback(&back).await.unwrap();
    let forced = followed(baulder, &begun, |_| false).await;
    assert_eq!(states(&forced), [PushTargetState::Confirmed], "{forced:?}");
    assert!(!roots[0].join("tool.sh").exists(), "it was not there before the push");
    // What was there is kept.
    let again = RollbackRequest { push_id: forced.push_id.to_string(), force: false, ..back };
    let begun = baulder.client().rollback(&again).await.unwrap();
    let ended = followed(baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    assert_eq!(fs::read(roots[0].join("tool.sh")).unwrap(), b"# mine\n");
}

#[tokio::test]
async fn rules_of_a_root_refuse_with_their_reason_and_nothing_is_put_there() {
    let dir = tempfile::tempdir().unwrap();
    let (agents, roots) = three(dir.path()).await;
    let [baulder, mint, _] = &agents;
    let script = dir.path().join("tool.sh");
    write(&script, "exit 0\n", 0o644);
    let plain = request(&[&script], &[mint]);
    let mut unknown = plain.clone();
    unknown.test = Some("rm -rf {file}".to_owned());
    let mut elsewhere = plain.clone();
    elsewhere.root = Some("nowhere".parse().unwrap());
    for (wanted, reason) in [
        (plain, PushReason::TestRequired),
        (unknown, PushReason::TestUnknown),
        (elsewhere, PushReason::RootUnknown),
    ] {
        let push = pushed(baulder, &wanted).await;
        let error = at(&push, mint).error.as_ref().unwrap();
        assert_eq!(error.reason, reason, "{error:?}");
        // Who has no right there at all leaves nothing but an event.
        let is_kept = reason != PushReason::RootUnknown;
        let recorded = mint.client().push_detail(&push.push_id.to_string()).await;
        assert_eq!(recorded.is_ok(), is_kept, "{reason}");
        let events = mint.client().events(1000).await.unwrap();
        let kind = if is_kept { "push_failed" } else { "push_refused" };
        assert!(events.iter().any(|event| event.kind == kind), "{reason}");
    }
    assert!(tree(&roots[0]).is_empty());
}
