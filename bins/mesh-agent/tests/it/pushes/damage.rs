//! Bytes that turn into others: on the sender's disk, on the wire, and where a push is put together.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mesh_control::{PushDecision, PushErrorView, PushTargetState, PushView};
use mesh_protocol::{PushReason, PushStep};

use super::desk::{
    LONG, at, cleaned, detail, flip, followed, noise, pushed, request, root, staged, states, tree,
    wired, write,
};
use crate::agent::{Agent, Extra, eventually, linked};

const MIB: u64 = 1 << 20;

async fn pair(dir: &Path, rules: &str) -> (Agent, Agent, PathBuf) {
    let (path, extra) = root(dir, "mint", rules);
    let baulder = Agent::start(dir, "baulder").await;
    let mint = Agent::start_with(dir, "mint", extra).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    (baulder, mint, path)
}

/// What both sides say about a push that failed at the target, which is the same.
async fn failed(push: &PushView, mint: &Agent) -> PushErrorView {
    let error = at(push, mint).error.clone().unwrap();
    let there = eventually(LONG, "the target knows that it failed", async || {
        detail(mint, push).await.push.targets[0].error.clone()
    })
    .await;
    assert_eq!(there.reason, error.reason);
    error
}

/// A flip that no time of the file tells.
fn flip_unseen(path: &Path, offset: u64) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    flip(path, offset);
    File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// Two files, one of some chunks and a small one before it.
fn folder(dir: &Path) -> PathBuf {
    let folder = dir.join("tools");
    write(&folder.join("a-first.txt"), "it is right", 0o644);
    noise(&folder.join("image.bin"), 3 * MIB, 1);
    folder
}

#[tokio::test]
async fn a_file_that_changes_while_its_push_waits_for_approval_is_named_and_nothing_is_placed() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair(dir.path(), "approve = true").await;
    let tools = folder(dir.path());
    write(&on_mint.join("tools/image.bin"), "the old version", 0o644);
    let before = tree(&on_mint);
    let begun = baulder.client().push(&request(&[&tools], &[&mint])).await.unwrap();
    let is_held = |push: &PushView| states(push) == [PushTargetState::WaitingForApproval];
    followed(&baulder, &begun, is_held).await;
    flip_unseen(&tools.join("image.bin"), 2 * MIB);
    let decision = PushDecision { push_id: begun.push_id.to_string(), deny: None };
    mint.client().push_decide(&decision).await.unwrap();
    let ended = followed(&baulder, &begun, |_| false).await;
    let error = ended.error.clone().unwrap();
    assert_eq!(error.reason, PushReason::SourceChanged, "{error:?}");
    assert!(error.detail.contains("tools/image.bin"), "{error:?}");
    cleaned(&on_mint).await;
    assert_eq!(tree(&on_mint), before);
    assert_eq!(failed(&ended, &mint).await.reason, PushReason::SourceChanged);
}

#[tokio::test]
async fn a_small_file_that_changes_while_its_target_is_off_is_named_and_nothing_is_placed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut baulder, mut mint, on_mint) = pair(dir.path(), "").await;
    let tools = folder(dir.path());
    mint.kill9();
    let begun = baulder.client().push(&request(&[&tools], &[&mint])).await.unwrap();
    followed(&baulder, &begun, |push| states(push) == [PushTargetState::Waiting]).await;
    flip_unseen(&tools.join("a-first.txt"), 3);
    baulder.kill9();
    baulder.restart().await;
    mint.restart().await;
    let ended = followed(&baulder, &begun, |_| false).await;
    let error = ended.error.clone().unwrap();
    assert_eq!(error.reason, PushReason::SourceChanged, "{error:?}");
    assert!(error.detail.contains("tools/a-first.txt"), "{error:?}");
    cleaned(&on_mint).await;
    assert!(tree(&on_mint).is_empty());
    // What it is by then can be pushed.
    let again = pushed(&baulder, &request(&[&tools], &[&mint])).await;
    assert_eq!(states(&again), [PushTargetState::Confirmed], "{again:?}");
    assert_eq!(fs::read(on_mint.join("tools/a-first.txt")).unwrap(), b"it hs right");
}

#[tokio::test]
async fn a_byte_that_flips_on_the_wire_costs_the_link_and_the_push_goes_on_and_ends_right() {
    let dir = tempfile::tempdir().unwrap();
    let (on_mint, mint) = root(dir.path(), "mint", "");
    let (baulder, wire) = wired(dir.path(), "baulder", Extra::default()).await;
    let (mint, other) = wired(dir.path(), "mint", mint).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    let wires = [wire, other];
    let passed = || wires.iter().map(|wire| wire.passed()).sum::<u64>();
    let file = dir.path().join("image.bin");
    let bytes = 24 * MIB;
    noise(&file, bytes, 2);
    let before = passed();
    let begun = baulder.client().push(&request(&[&file], &[&mint])).await.unwrap();
    let flips = 3;
    for quarter in 1..=flips {
        let next = before + bytes / 4 * quarter;
        eventually(LONG, "it is under way", async || (passed() >= next).then_some(())).await;
        wires.iter().for_each(|wire| wire.flip());
        eventually(LONG, "a byte was flipped", async || {
            wires.iter().any(|wire| !wire.is_to_flip()).then_some(())
        })
        .await;
    }
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    assert!(fs::read(on_mint.join("image.bin")).unwrap() == fs::read(&file).unwrap());
    let travelled = passed() - before;
    eprintln!("{flips} flips, {travelled} bytes on the wire for {bytes}");
    assert!(travelled <= bytes / 10 * 11 + flips * 2 * MIB);
    let broken = baulder.log().matches("link down").count() as u64;
    assert!(broken >= flips, "{broken} links went down");
}

/// A staged file that has `bytes`.
fn staged_file(root: &Path, bytes: u64) -> Option<PathBuf> {
    let mut files = staged(root).into_iter();
    files.find(|path| {
        let facts = fs::metadata(path);
        facts.is_ok_and(|facts| facts.is_file() && facts.len() == bytes)
    })
}

fn begins_like(path: &Path, model: &Path) -> bool {
    let begin = |path| {
        let mut bytes = vec![0; 64 << 10];
        File::open(path).and_then(|file| file.read_exact_at(&mut bytes, 0)).map(|()| bytes).ok()
    };
    begin(path).is_some_and(|bytes| Some(bytes) == begin(model))
}

#[tokio::test]
async fn a_byte_that_flips_where_a_push_is_put_together_is_found_and_the_old_version_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (mut baulder, mut mint, on_mint) = pair(dir.path(), "").await;
    let tools = dir.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let [first, second] = ["a-first.bin", "b-second.bin"].map(|name| tools.join(name));
    noise(&first, MIB, 3);
    noise(&second, 3 * MIB, 4);
    let years_ago = UNIX_EPOCH + Duration::from_secs(1 << 30);
    File::options().write(true).open(&first).unwrap().set_modified(years_ago).unwrap();
    write(&on_mint.join("tools/a-first.bin"), "the old version", 0o644);
    write(&on_mint.join("tools/b-second.bin"), "the old version", 0o600);
    let before = tree(&on_mint);
    let mut slow = request(&[&tools], &[&mint]);
    slow.limit_bytes_per_second = Some(3 * MIB);

    for (damaged, bytes) in [(&first, MIB), (&second, 3 * MIB)] {
        let is_first = damaged == &first;
        let begun = baulder.client().push(&slow).await.unwrap();
        let is_ready = |path: &Path| match is_first {
            // Compared with its digests, and done, while the other one is still coming.
            true => fs::metadata(path).unwrap().modified().unwrap() == years_ago,
            // Some chunks of it are verified.
            false => begins_like(path, damaged),
        };
        let item = eventually(LONG, "the file is staged", async || {
            staged_file(&on_mint, bytes).filter(|path| is_ready(path))
        })
        .await;
        flip(&item, 5);
        if is_first {
            // As if that had happened in the second of the file's own time.
            let same_second = years_ago + Duration::from_nanos(1);
            File::options().write(true).open(&item).unwrap().set_modified(same_second).unwrap();
        }
        let ended = followed(&baulder, &begun, |_| false).await;
        assert_eq!(states(&ended), [PushTargetState::Failed], "{ended:?}");
        let error = failed(&ended, &mint).await;
        assert_eq!(error.reason, PushReason::ChecksumMismatch, "{error:?}");
        assert!(matches!(error.step, PushStep::Verify | PushStep::Confirm), "{error:?}");
        let name = damaged.file_name().unwrap().to_str().unwrap();
        assert!(error.detail.contains(name), "{error:?}");
        cleaned(&on_mint).await;
        assert_eq!(tree(&on_mint), before);
    }
    // While neither of them runs.
    let begun = baulder.client().push(&slow).await.unwrap();
    let item = eventually(LONG, "the file is staged", async || {
        staged_file(&on_mint, 3 * MIB).filter(|path| begins_like(path, &second))
    })
    .await;
    mint.kill9();
    baulder.kill9();
    flip(&item, 5);
    baulder.restart().await;
    mint.restart().await;
    let ended = followed(&baulder, &begun, |_| false).await;
    let error = failed(&ended, &mint).await;
    assert_eq!(error.reason, PushReason::ChecksumMismatch, "{error:?}");
    assert!(error.detail.contains("b-second.bin"), "{error:?}");
    cleaned(&on_mint).await;
    assert_eq!(tree(&on_mint), before);
    slow.limit_bytes_per_second = None;
    let again = pushed(&baulder, &slow).await;
    assert_eq!(states(&again), [PushTargetState::Confirmed], "{again:?}");
    assert!(fs::read(on_mint.join("tools/b-second.bin")).unwrap() == fs::read(&second).unwrap());
}
