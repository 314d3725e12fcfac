//! Copying back: files of a root that another member has opened for reading.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mesh_control::{PullRequest, PushTargetState};
use mesh_protocol::{ErrorCode, PushReason};

use super::desk::{at, followed, pushed, request, root, states, tree, write};
use crate::agent::{Agent, Extra, linked};

async fn pair(dir: &Path, rules: &str) -> (Agent, Agent, PathBuf) {
    let (path, extra) = root(dir, "mint", rules);
    let baulder = Agent::start_with(dir, "baulder", Extra::default()).await;
    let mint = Agent::start_with(dir, "mint", extra).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    (baulder, mint, path)
}

fn wish(root: &str, path: &str) -> PullRequest {
    PullRequest {
        from: "mint".to_owned(),
        root: Some(root.parse().unwrap()),
        path: Some(path.to_owned()),
    }
}

/// Everything but links, whose times nobody keeps.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let mut found = tree(folder);
    found.retain(|name, _| !name.ends_with("link"));
    found
}

async fn refused(agent: &Agent, wish: &PullRequest) -> ErrorCode {
    agent.client().pull(wish).await.unwrap_err().code()
}

#[tokio::test]
async fn a_folder_of_an_open_root_is_copied_back_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair(dir.path(), "allow_read = [\"baulder\"]").await;
    write(&on_mint.join("deploy/run.sh"), "exit 0\n", 0o755);
    write(&on_mint.join("deploy/lib/none"), "", 0o644);
    write(&on_mint.join("other"), "stays", 0o644);
    symlink("run.sh", on_mint.join("deploy/link")).unwrap();
    let begun = baulder.client().pull(&wish("scripts", "deploy/")).await.unwrap();
    let push = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
    assert_eq!(push.by, "mint");
    let arrived = at(&push, &baulder).location.clone().unwrap();
    assert_eq!(files(&Path::new(&arrived).join("deploy")), files(&on_mint.join("deploy")));
    let link = fs::read_link(Path::new(&arrived).join("deploy/link")).unwrap();
    assert_eq!(link, Path::new("run.sh"));
    assert_eq!(fs::read_dir(&arrived).unwrap().count(), 1, "nothing else came");
    assert!(
        baulder.client().roots().await.unwrap().iter().all(|one| one.name.as_str() == "default")
    );

    let begun = baulder.client().pull(&wish("scripts", "")).await.unwrap();
    let push = followed(&baulder, &begun, |_| false).await;
    let all = at(&push, &baulder).location.clone().unwrap();
    assert_eq!(files(Path::new(&all)), files(&on_mint));
    // What was not taken is gone with the next start.
    let mut baulder = baulder;
    baulder.kill9();
    baulder.restart().await;
    assert!(!Path::new(&arrived).exists() && !Path::new(&all).exists());
    drop(mint);
}

#[tokio::test]
async fn what_is_not_open_for_reading_is_not_copied_and_nothing_comes_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair(dir.path(), "allow_read = [\"baulder\"]").await;
    let secret = format!("token = \"ghp_{}\"\n", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    write(&on_mint.join("env"), &secret, 0o644);
    write(&on_mint.join("open"), "open", 0o644);
    let outside = dir.path().join("outside");
    write(&outside.join("passwd"), "not yours", 0o644);
    symlink(&outside, on_mint.join("way")).unwrap();
    symlink(outside.join("passwd"), on_mint.join("file")).unwrap();
    for (path, code) in [
        ("nothing", ErrorCode::NotFound),
        ("way/passwd", ErrorCode::PathRefused),
        ("way", ErrorCode::PathRefused),
        ("file", ErrorCode::PathRefused),
        ("../outside/passwd", ErrorCode::PathRefused),
        (".mesh-tree/lock", ErrorCode::PathRefused),
        ("env", ErrorCode::SecretFound),
    ] {
        assert_eq!(refused(&baulder, &wish("scripts", path)).await, code, "{path}");
    }
    // A root that nobody may read, and one that is not there, are the same.
    for root in ["default", "nowhere", "mesh.pulled"] {
        assert_eq!(refused(&baulder, &wish(root, "open")).await, ErrorCode::UnknownRoot, "{root}");
    }
    let from_other = PullRequest { from: "baulder".to_owned(), ..wish("scripts", "open") };
    assert_eq!(refused(&mint, &from_other).await, ErrorCode::UnknownRoot);
    let of_itself = PullRequest { from: "mint".to_owned(), ..wish("scripts", "open") };
    assert_eq!(refused(&mint, &of_itself).await, ErrorCode::BadRequest);

    let file = dir.path().join("unwanted");
    write(&file, "unwanted", 0o644);
    let mut unasked = request(&[&file], &[&mint]);
    unasked.root = Some("mesh.pulled".parse().unwrap());
    let push = pushed(&baulder, &unasked).await;
    assert_eq!(at(&push, &mint).error.as_ref().unwrap().reason, PushReason::SenderNotAllowed);
}
