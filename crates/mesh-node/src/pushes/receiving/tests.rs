//! Two nodes on loopback, real files, and pushes between them.

mod leftovers;
mod support;

use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use mesh_files::Phase;
use mesh_protocol::{PushAnswer, PushReason, PushStep};

use support::{Pair, push, root, write_all};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_stands_in_the_root_and_what_it_replaced_is_counted() {
    let pair = Pair::start(root("site")).await;
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let program: &[u8] = b"#!/bin/sh\n";
    let files = [("a/empty", &b""[..]), ("a/text", b"hello"), ("large", &large), ("run", program)];
    write_all(&pair.source, &files);
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(pair.source.join("run"), executable).unwrap();
    std::os::unix::fs::symlink("a/text", pair.source.join("link")).unwrap();

    let push_id = pair.push(push("site")).await;
    let confirmed = pair.confirmed(push_id).await;
    assert_eq!(confirmed.replaced, 0);
    for (name, bytes) in files {
        assert_eq!(std::fs::read(pair.root.join(name)).unwrap(), bytes, "{name}");
    }
    let link = std::fs::read_link(pair.root.join("link")).unwrap();
    assert_eq!(link.to_str(), Some("a/text"));
    let found = std::fs::metadata(pair.root.join("run")).unwrap();
    assert_eq!(found.mode() & 0o777, 0o755);
    let source = std::fs::metadata(pair.source.join("large")).unwrap();
    let found = std::fs::metadata(pair.root.join("large")).unwrap();
    assert_eq!((found.mtime(), found.mtime_nsec()), (source.mtime(), source.mtime_nsec()));

    // What is the same stays where it is; the changed file alone is replaced.
    let inode = found.ino();
    write_all(&pair.source, &[("a/text", b"hello again")]);
    let again = pair.push(push("site")).await;
    assert_eq!(pair.confirmed(again).await.replaced, 1);
    assert_eq!(std::fs::metadata(pair.root.join("large")).unwrap().ino(), inode);
    assert_eq!(std::fs::read(pair.root.join("a/text")).unwrap(), b"hello again");
    assert!(pair.wire_bytes(again).await < 100_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_a_large_file_and_a_new_name_of_one_need_not_travel_whole() {
    let pair = Pair::start(root("site")).await;
    let mut large = noise(8_000_000);
    write_all(&pair.source, &[("large", &large)]);
    let first = pair.push(push("site")).await;
    pair.confirmed(first).await;
    assert!(pair.wire_bytes(first).await > 7_000_000);

    large.splice(4_000_000..4_000_000, *b"a few bytes more");
    std::fs::remove_file(pair.source.join("large")).unwrap();
    write_all(&pair.source, &[("large", &large), ("renamed", &large)]);
    let second = pair.push(push("site")).await;
    pair.confirmed(second).await;
    assert_eq!(std::fs::read(pair.root.join("large")).unwrap(), large);
    assert_eq!(std::fs::read(pair.root.join("renamed")).unwrap(), large);
    let wire = pair.wire_bytes(second).await;
    assert!(wire < 1_000_000, "{wire}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_no_push_brought_is_cut_for_what_it_has_in_common() {
    let pair = Pair::start(root("site")).await;
    let old = noise(8_000_000);
    std::fs::write(pair.root.join("large"), &old).unwrap();
    let mut new = old;
    new.splice(1_000_000..1_000_100, *b"other");
    write_all(&pair.source, &[("large", &new)]);
    let push_id = pair.push(push("site")).await;
    assert_eq!(pair.confirmed(push_id).await.replaced, 1);
    assert_eq!(std::fs::read(pair.root.join("large")).unwrap(), new);
    let wire = pair.wire_bytes(push_id).await;
    assert!(wire < 1_000_000, "{wire}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_looks_the_same_and_is_not_is_replaced() {
    let pair = Pair::start(root("site")).await;
    let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut other = bytes.clone();
    other[399_990] ^= 1;
    write_all(&pair.source, &[("same", &bytes), ("small", b"one")]);
    write_all(&pair.root, &[("same", &other), ("small", b"two")]);
    for name in ["same", "small"] {
        let time = std::fs::metadata(pair.source.join(name)).unwrap().modified().unwrap();
        std::fs::File::options()
            .write(true)
            .open(pair.root.join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    let push_id = pair.push(push("site")).await;
    assert_eq!(pair.confirmed(push_id).await.replaced, 2);
    assert_eq!(std::fs::read(pair.root.join("same")).unwrap(), bytes);
    assert_eq!(std::fs::read(pair.root.join("small")).unwrap(), b"one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_files_that_look_the_same_those_that_are_not_are_replaced() {
    let pair = Pair::start(root("site")).await;
    let names: Vec<String> = (0..300).map(|number| format!("d/f{number:03}")).collect();
    for name in &names {
        // Some have the same bytes.
        let bytes = name.as_bytes().repeat(20)[..60].to_vec();
        let bytes = if name.ends_with('7') { vec![7; 60] } else { bytes };
        write_all(&pair.source, &[(name, &bytes)]);
    }
    let first = pair.push(push("site")).await;
    pair.confirmed(first).await;
    let inode = |name: &str| std::fs::metadata(pair.root.join(name)).unwrap().ino();
    let before: Vec<u64> = names.iter().map(|name| inode(name)).collect();
    let damaged = ["d/f000", "d/f007", "d/f150", "d/f299"];
    for name in damaged {
        let file = std::fs::File::options().write(true).open(pair.root.join(name)).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        file.write_at(b"!", 30).unwrap();
        file.set_modified(time).unwrap();
    }
    let second = pair.push(push("site")).await;
    assert_eq!(pair.confirmed(second).await.replaced, 4);
    for (name, before) in names.iter().zip(before) {
        let of_source = std::fs::read(pair.source.join(name)).unwrap();
        assert_eq!(std::fs::read(pair.root.join(name)).unwrap(), of_source, "{name}");
        assert_eq!(inode(name) == before, !damaged.contains(&name.as_str()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_sees_the_files_under_their_names_and_its_no_places_nothing() {
    let mut settings = root("site");
    settings.test_commands = vec!["grep -q good {file}".to_owned(), "sh check".to_owned()];
    let pair = Pair::start(settings).await;
    write_all(
        &pair.source,
        &[("check", b"test \"$(cat sub/value)\" = good"), ("sub/value", b"good")],
    );
    let mut request = push("site");
    request.test = Some("sh check".to_owned());
    let passed = pair.push(request.clone()).await;
    pair.confirmed(passed).await;

    write_all(&pair.source, &[("sub/value", b"bad")]);
    let failed = pair.push(request.clone()).await;
    let problem = pair.failed(failed).await;
    assert_eq!((problem.step, problem.reason), (PushStep::Verify, PushReason::TestFailed));
    assert!(!problem.test.unwrap().is_passed());
    assert_eq!(std::fs::read(pair.root.join("sub/value")).unwrap(), b"good");
    pair.nothing_is_staged().await;

    request.test = Some("grep -q good {file}".to_owned());
    let problem = pair.failed(pair.push(request).await).await;
    assert_eq!(problem.reason, PushReason::TestFailed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_changes_what_is_staged_or_takes_too_long_places_nothing() {
    let mut settings = root("site");
    let commands = ["sh -c 'echo more >> value'", "sleep 1000"];
    settings.test_commands = commands.map(str::to_owned).to_vec();
    settings.test_timeout = Duration::from_millis(200);
    let pair = Pair::start(settings).await;
    write_all(&pair.source, &[("value", b"good")]);
    for (command, reason) in
        commands.into_iter().zip([PushReason::ChecksumMismatch, PushReason::TestTimedOut])
    {
        let mut request = push("site");
        request.test = Some(command.to_owned());
        let problem = pair.failed(pair.push(request).await).await;
        assert_eq!((problem.step, problem.reason), (PushStep::Verify, reason), "{problem:?}");
        assert!(!pair.root.join("value").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_right_at_a_root_is_refused_and_leaves_nothing() {
    let mut settings = root("site");
    settings.allow_from = vec!["somebody-else".to_owned()];
    let pair = Pair::start(settings).await;
    write_all(&pair.source, &[("file", b"bytes")]);
    let reason = pair.turned_away(pair.push(push("site")).await).await;
    assert_eq!(reason, PushReason::SenderNotAllowed);
    let reason = pair.turned_away(pair.push(push("nothing")).await).await;
    assert_eq!(reason, PushReason::RootUnknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_or_a_quota_in_the_way_is_told_by_name() {
    let mut settings = root("site");
    settings.tree.files_max = 12;
    let pair = Pair::start(settings).await;
    write_all(&pair.source, &[("folder/file", b"bytes")]);
    write_all(&pair.root, &[("folder", b"a file")]);
    // A file gives way to a folder; it is kept.
    assert_eq!(pair.confirmed(pair.push(push("site")).await).await.replaced, 1);
    for number in 0..6 {
        write_all(&pair.source, &[(&format!("n{number}"), b"bytes")]);
    }
    let problem = pair.failed(pair.push(push("site")).await).await;
    assert_eq!(problem.reason, PushReason::QuotaExceeded, "{problem:?}");
    assert!(!pair.root.join("n0").exists());
    pair.nothing_is_staged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_waits_until_somebody_else_approves_it_or_says_no() {
    let mut settings = root("site");
    settings.approve = true;
    let pair = Pair::start(settings).await;
    write_all(&pair.source, &[("file", b"bytes")]);
    let (sender, target) = (pair.one.peer_id(), pair.two.peer_id());
    let push_id = pair.push(push("site")).await;
    pair.reaches(push_id, Phase::WaitingForApproval).await;
    let shared = &pair.two.shared;
    assert!(shared.decide_push(push_id, sender, None).await.is_err());
    assert!(!pair.root.join("file").exists());
    shared.decide_push(push_id, target, None).await.unwrap();
    pair.confirmed(push_id).await;
    assert!(shared.decide_push(push_id, target, None).await.is_err());

    let denied = pair.push(push("site")).await;
    pair.reaches(denied, Phase::WaitingForApproval).await;
    shared.decide_push(denied, target, Some("not today".to_owned())).await.unwrap();
    let problem = pair.failed(denied).await;
    assert_eq!((problem.reason, &*problem.detail), (PushReason::ApprovalDenied, "not today"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_comes_back_unless_somebody_changed_it() {
    let pair = Pair::start(root("site")).await;
    write_all(&pair.root, &[("file", b"before")]);
    write_all(&pair.source, &[("file", b"after"), ("new", b"new")]);
    let push_id = pair.push(push("site")).await;
    pair.confirmed(push_id).await;
    write_all(&pair.root, &[("new", b"changed by hand")]);
    let problem = pair.failed(pair.roll_back(push_id, false).await).await;
    assert!(problem.detail.contains("new"), "{problem:?}");
    assert_eq!(std::fs::read(pair.root.join("file")).unwrap(), b"after");

    let back = pair.roll_back(push_id, true).await;
    pair.confirmed(back).await;
    assert_eq!(std::fs::read(pair.root.join("file")).unwrap(), b"before");
    assert!(!pair.root.join("new").exists());
    pair.reaches(push_id, Phase::RolledBack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_restarts_goes_on_with_what_it_has() {
    let pair = Pair::start(root("site")).await;
    let large = noise(12_000_000);
    write_all(&pair.source, &[("large", &large), ("other", b"small")]);
    let mut request = push("site");
    request.limit_bytes_per_second = Some(4_000_000);
    let push_id = pair.push(request).await;
    pair.has(push_id, 4_000_000).await;
    let pair = pair.restart_two().await;
    pair.confirmed(push_id).await;
    assert_eq!(std::fs::read(pair.root.join("large")).unwrap(), large);
    let wire = pair.wire_bytes(push_id).await;
    assert!(wire < 9_500_000, "what was there came again: {wire}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_breaks_costs_nothing_twice() {
    let pair = Pair::start(root("site")).await;
    let large = noise(9_000_000);
    write_all(&pair.source, &[("large", &large)]);
    let mut request = push("site");
    request.limit_bytes_per_second = Some(4_000_000);
    let push_id = pair.push(request).await;
    for bytes in [2_000_000, 4_000_000] {
        pair.has(push_id, bytes).await;
        pair.two.shared.link(&pair.one.peer_id()).unwrap().close();
    }
    pair.confirmed(push_id).await;
    assert_eq!(std::fs::read(pair.root.join("large")).unwrap(), large);
    let wire = pair.wire_bytes(push_id).await;
    assert!(wire < 12_000_000, "{wire}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_given_up_leaves_nothing() {
    let pair = Pair::start(root("site")).await;
    write_all(&pair.source, &[("large", &noise(9_000_000))]);
    let mut request = push("site");
    request.limit_bytes_per_second = Some(2_000_000);
    let push_id = pair.push(request).await;
    pair.has(push_id, 1_000_000).await;
    assert!(pair.one.shared.cancel_push(push_id));
    pair.reaches(push_id, Phase::Failed).await;
    pair.nothing_is_staged().await;
    assert!(!pair.root.join("large").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_serves_another_one_what_it_has() {
    let pair = Pair::start(root("site")).await;
    let (three, third_root) = pair.third().await;
    let large = noise(3_000_000);
    write_all(&pair.source, &[("folder/large", &large), ("small", b"few")]);
    let mut request = push("site");
    request.paths = vec![pair.source.join("")];
    request.to = vec!["two".to_owned(), "three".to_owned()];
    let push_id = pair.one.shared.start_push(request).await.unwrap();
    pair.reaches(push_id, Phase::Confirmed).await;
    pair.eventually("the third has it too", async || {
        std::fs::read(third_root.join("folder/large")).is_ok_and(|found| found == large)
    })
    .await;

    // What stands in the root is read for another target, and for nobody else.
    let stored = pair.two.shared.store.load_push(push_id).await.unwrap().pop().unwrap();
    let offer = stored.row.offer;
    let fetched = pair.fetch(&three, offer.push_id, offer.manifest, offer.totals.chunks).await;
    assert_eq!(fetched.unwrap(), large.len() as u64 + 3);
    let refused = pair.fetch(&pair.one, offer.push_id, offer.manifest, 1).await;
    assert_eq!(refused.unwrap_err().reason, PushReason::NotAMember);
    let refused = pair.fetch(&three, offer.push_id, [1; 32], 1).await;
    assert_eq!(refused.unwrap_err().reason, PushReason::NotAMember);
    let refused = pair.fetch(&three, offer.push_id, offer.manifest, offer.totals.chunks + 1).await;
    assert_eq!(refused.unwrap_err().reason, PushReason::ManifestInvalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_of_another_push_under_the_same_id_is_refused() {
    let pair = Pair::start(root("site")).await;
    write_all(&pair.source, &[("file", b"bytes")]);
    let push_id = pair.push(push("site")).await;
    pair.confirmed(push_id).await;
    let stored = pair.two.shared.store.load_push(push_id).await.unwrap().pop().unwrap();
    let mut offer = stored.row.offer;
    offer.manifest = [9; 32];
    let answer = pair.offer(offer.clone()).await;
    assert!(
        matches!(answer, PushAnswer::Refused(problem) if problem.reason == PushReason::ManifestInvalid)
    );
    offer.by = pair.two.peer_id();
    let answer = pair.offer(offer).await;
    assert!(
        matches!(answer, PushAnswer::Refused(problem) if problem.reason == PushReason::NotAMember)
    );
}

/// Bytes that do not get smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_small_files_cost_little_more_than_their_names_and_bytes() {
    let pair = Pair::start(root("site")).await;
    for number in 0..2000 {
        let name = format!("d{:02}/f{number}", number % 50);
        write_all(&pair.source, &[(&name, format!("content of {number}").as_bytes())]);
    }
    let push_id = pair.push(push("site")).await;
    pair.confirmed(push_id).await;
    for number in 0..2000 {
        let found = std::fs::read(pair.root.join(format!("d{:02}/f{number}", number % 50)));
        assert_eq!(found.unwrap(), format!("content of {number}").as_bytes());
    }
    let wire = pair.wire_bytes(push_id).await;
    assert!(wire < 400_000, "{wire}");
    let again = pair.push(push("site")).await;
    assert_eq!(pair.confirmed(again).await.replaced, 0);
    let wire = pair.wire_bytes(again).await;
    assert!(wire < 10_000, "{wire}");
}
