//! Pushes that wait: for a target that is away, or for somebody who approves.

use mesh_control::{PushCancel, PushDecision, PushState, PushTargetState};
use mesh_protocol::{ErrorCode, PushReason};

use super::desk::{LONG, at, followed, pair_in, pushed, request, states, tree, write};
use crate::agent::{Agent, eventually, linked};

#[tokio::test]
async fn a_target_that_is_away_gets_its_push_when_it_is_back_whoever_restarted_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (mut baulder, mut mint, on_mint) = pair_in(dir.path(), "").await;
    let file = dir.path().join("notes.txt");
    write(&file, "for later", 0o644);
    mint.kill9();
    let begun = baulder.client().push(&request(&[&file], &[&mint])).await.unwrap();
    let waiting =
        followed(&baulder, &begun, |push| states(push) == [PushTargetState::Waiting]).await;
    assert_eq!(waiting.state, PushState::Running);
    baulder.kill9();
    baulder.restart().await;
    assert!(tree(&on_mint).is_empty());
    mint.restart().await;
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    assert_eq!(std::fs::read(on_mint.join("notes.txt")).unwrap(), b"for later");
}

#[tokio::test]
async fn a_push_ends_with_its_lifetime_and_can_be_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mut mint, on_mint) = pair_in(dir.path(), "").await;
    let file = dir.path().join("notes.txt");
    write(&file, "for later", 0o644);
    mint.kill9();
    let mut short = request(&[&file], &[&mint]);
    short.ttl_s = Some(2);
    let ended = pushed(&baulder, &short).await;
    assert_eq!(at(&ended, &mint).error.as_ref().unwrap().reason, PushReason::Expired);

    let begun = baulder.client().push(&request(&[&file], &[&mint])).await.unwrap();
    followed(&baulder, &begun, |push| states(push) == [PushTargetState::Waiting]).await;
    let cancel = PushCancel { push_id: begun.push_id.to_string() };
    baulder.client().push_cancel(&cancel).await.unwrap();
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(at(&ended, &mint).error.as_ref().unwrap().reason, PushReason::Cancelled);
    mint.restart().await;
    linked(&[&baulder, &mint]).await;
    let over = baulder.client().push_cancel(&cancel).await.unwrap_err();
    assert_eq!(over.code(), ErrorCode::BadRequest);
    assert!(tree(&on_mint).is_empty());
}

#[tokio::test]
async fn a_root_that_wants_a_second_opinion_takes_nothing_before_it_has_one() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair_in(dir.path(), "approve = true").await;
    let frigg = Agent::start(dir.path(), "frigg").await;
    frigg.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint, &frigg]).await;
    let file = dir.path().join("notes.txt");
    write(&file, "approved", 0o644);
    let is_waiting =
        |push: &mesh_control::PushView| states(push) == [PushTargetState::WaitingForApproval];
    // Somebody at the target; somebody at neither; and one who says no.
    for (who, deny) in [(&mint, None), (&frigg, None), (&frigg, Some("not today".to_owned()))] {
        let begun = baulder.client().push(&request(&[&file], &[&mint])).await.unwrap();
        followed(&baulder, &begun, is_waiting).await;
        let mut decision = PushDecision { push_id: begun.push_id.to_string(), deny: None };
        let own = baulder.client().push_decide(&decision).await.unwrap_err();
        assert_eq!(own.code(), ErrorCode::BadRequest, "a sender cannot approve");
        decision.deny = deny.clone();
        eventually(LONG, "it has heard of the push", async || {
            who.client().push_decide(&decision).await.ok()
        })
        .await;
        let ended = followed(&baulder, &begun, |_| false).await;
        match deny {
            None => {
                assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
                assert_eq!(std::fs::read(on_mint.join("notes.txt")).unwrap(), b"approved");
                std::fs::remove_file(on_mint.join("notes.txt")).unwrap();
            }
            Some(why) => {
                let error = at(&ended, &mint).error.as_ref().unwrap();
                assert_eq!(error.reason, PushReason::ApprovalDenied);
                assert!(error.detail.contains(&why), "{error:?}");
                assert!(tree(&on_mint).is_empty());
            }
        }
    }
}

/// Its sender offers it again as soon as the link is up, which may be while the target still starts.
#[tokio::test]
async fn a_push_that_waits_for_approval_is_one_push_after_a_slow_start() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mut mint, on_mint) = pair_in(dir.path(), "approve = true").await;
    let file = dir.path().join("notes.txt");
    write(&file, "approved", 0o644);
    let begun = baulder.client().push(&request(&[&file], &[&mint])).await.unwrap();
    followed(&baulder, &begun, |push| states(push) == [PushTargetState::WaitingForApproval]).await;
    mint.kill9();
    // The start removes what a former run has thrown away.
    let trash = on_mint.join(".mesh-tree/trash/old");
    std::fs::create_dir(&trash).unwrap();
    for number in 0..20_000 {
        std::fs::File::create(trash.join(number.to_string())).unwrap();
    }
    mint.restart().await;
    linked(&[&baulder, &mint]).await;
    let decision = PushDecision { push_id: begun.push_id.to_string(), deny: None };
    mint.client().push_decide(&decision).await.unwrap();
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    assert_eq!(std::fs::read(on_mint.join("notes.txt")).unwrap(), b"approved");
}
