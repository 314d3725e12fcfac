//! What travels as it is, and what does not travel at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use mesh_control::{PushRequest, PushTargetState, PushView, RollbackRequest};
use mesh_protocol::{PushReason, PushStep};

use super::desk::{LONG, Pair, at, detail, followed, pair, pushed, states, tree, write};
use crate::agent::{PATIENCE, eventually};

impl Pair {
    async fn confirmed(&self, wanted: &PushRequest) -> PushView {
        let push = pushed(&self.baulder, wanted).await;
        assert_eq!(states(&push), [PushTargetState::Confirmed], "{push:?}");
        push
    }
}

fn set_time(path: &Path, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, nanos);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Name, bytes, whether its owner may run it, and when it was modified.
type Pushed = (PathBuf, Vec<u8>, bool, (i64, i64));

/// Everything in a folder.
fn as_pushed(folder: &Path) -> Vec<Pushed> {
    let all = tree(folder).into_iter().map(|(name, (bytes, mode, seconds, nanos))| {
        let is_link = mode & 0o170_000 == 0o120_000;
        // A link's own time does not travel.
        let time = if is_link { (0, 0) } else { (seconds, nanos) };
        let bytes = if is_link {
            fs::read_link(folder.join(&name)).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            bytes
        };
        (name, bytes, mode & 0o100 != 0, time)
    });
    all.collect()
}

#[tokio::test]
async fn everything_that_a_folder_may_hold_arrives_as_it_is() {
    let pair = pair().await;
    let folder = pair.dir.path().join("all");
    write(&folder.join("tool"), "#!/bin/sh\n", 0o755);
    write(&folder.join("secret-less"), "x", 0o600);
    write(&folder.join("raised"), "#!/bin/sh\n", 0o6755);
    write(&folder.join("empty"), "", 0o644);
    fs::create_dir_all(folder.join("nothing/in/here")).unwrap();
    let odd = OsStr::from_bytes(b"not-\xff\xfe-text");
    write(&folder.join(odd).join(odd), "odd", 0o644);
    let long: OsString = "l".repeat(255).into();
    write(&folder.join(&long), "long", 0o644);
    write(&folder.join("a name\nwith a line end"), "odd", 0o644);
    symlink("tool", folder.join("link")).unwrap();
    symlink("../tool", folder.join("nothing/link")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    let sparse = File::create(folder.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 32 << 20).unwrap();
    drop(sparse);
    set_time(&folder.join("tool"), 123_456_789);
    set_time(&folder.join("empty"), 1);
    set_time(&folder.join("sparse"), 999_999_999);
    set_time(&folder.join("nothing/in/here"), 42);
    set_time(&folder, 7);

    let push = pair.confirmed(&pair.request(&folder)).await;
    let there = pair.on_mint.join("all");
    assert_eq!(as_pushed(&there), as_pushed(&folder));
    let mode = fs::metadata(there.join("raised")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7000, 0, "set-user-id never travels: {mode:o}");
    assert_eq!(fs::metadata(&there).unwrap().mtime_nsec(), 7);
    let sparse = fs::metadata(there.join("sparse")).unwrap();
    assert_eq!(sparse.size(), 64 << 20);
    assert!(sparse.blocks() * 512 < 8 << 20, "{} blocks", sparse.blocks());
    assert!(push.bytes_sent < 8 << 20, "holes do not travel: {} bytes", push.bytes_sent);
    // The same again changes nothing, and costs next to nothing.
    let before = tree(&pair.on_mint);
    let again = pair.confirmed(&pair.request(&folder)).await;
    assert_eq!(at(&again, &pair.mint).replaced, Some(0));
    assert_eq!(tree(&pair.on_mint), before);
}

#[tokio::test]
async fn a_tree_a_thousand_deep_arrives_and_one_that_is_too_deep_is_refused_as_a_path() {
    let pair = pair().await;
    let deep = |depth: usize| ["d"].repeat(depth).join("/");
    let folder = pair.dir.path().join("deep");
    let place = folder.join(deep(1000));
    write(&place.join("bottom"), "reached", 0o644);
    pair.confirmed(&pair.request(&folder)).await;
    let there = pair.on_mint.join("deep").join(deep(1000)).join("bottom");
    assert_eq!(fs::read(there).unwrap(), b"reached");
    let folder = pair.dir.path().join("deeper");
    write(&folder.join(deep(1024)).join("bottom"), "too far", 0o644);
    let push = pair.push(&folder).await;
    let error = push.error.as_ref().unwrap();
    assert_eq!((error.step, error.reason), (PushStep::Prepare, PushReason::PathRefused));
    // A destination counts, too.
    let mut wanted = pair.request(&pair.dir.path().join("deep"));
    wanted.dest = Some(deep(100).into());
    let push = pushed(&pair.baulder, &wanted).await;
    assert_eq!(push.error.as_ref().unwrap().reason, PushReason::PathRefused, "{push:?}");
}

#[tokio::test]
async fn pipes_sockets_and_links_that_leave_stop_a_push_by_name() {
    let pair = pair().await;
    let folder = pair.dir.path().join("odd");
    write(&folder.join("fine"), "x", 0o644);
    let pipe = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let bad = folder.join("bad");
    let makes: [(&dyn Fn(), PushReason); 6] = [
        (&|| pipe(&bad), PushReason::KindRefused),
        (&|| drop(UnixListener::bind(&bad).unwrap()), PushReason::KindRefused),
        (&|| symlink("../../outside", &bad).unwrap(), PushReason::PathRefused),
        (&|| symlink("/etc/passwd", &bad).unwrap(), PushReason::PathRefused),
        (&|| symlink("fine/..", &bad).unwrap(), PushReason::PathRefused),
        (&|| symlink("..", &bad).unwrap(), PushReason::PathRefused),
    ];
    for (index, (make, reason)) in makes.into_iter().enumerate() {
        make();
        let mut wanted = pair.request(&folder);
        if index == 5 {
            // From a folder that is pushed without itself, one step up is out of the root.
            wanted = pair.request(&with_slash(&folder));
        }
        let push = pushed(&pair.baulder, &wanted).await;
        let error = push.error.as_ref().unwrap_or_else(|| panic!("{index}: {push:?}"));
        assert_eq!((error.step, error.reason), (PushStep::Prepare, reason), "{index}");
        assert!(error.detail.contains("bad"), "{index}: {}", error.detail);
        fs::remove_file(&bad).unwrap();
    }
    assert!(tree(&pair.on_mint).is_empty());
    // What stands in the way at the target is neither opened nor replaced.
    pipe(&pair.on_mint.join("odd"));
    let push = pair.push(&folder).await;
    let error = at(&push, &pair.mint).error.as_ref().unwrap();
    assert_eq!(error.reason, PushReason::KindRefused, "{error:?}");
    fs::remove_file(pair.on_mint.join("odd")).unwrap();
    let outside = pair.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, pair.on_mint.join("odd")).unwrap();
    let mut wanted = pair.request(&folder.join("fine"));
    wanted.dest = Some("odd".into());
    let push = pushed(&pair.baulder, &wanted).await;
    let error = at(&push, &pair.mint).error.as_ref().unwrap();
    assert_eq!(error.reason, PushReason::PathRefused, "{error:?}");
    assert!(tree(&outside).is_empty());
}

fn with_slash(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push("/");
    path.into()
}

#[tokio::test]
async fn a_slash_behind_a_folder_leaves_the_folder_out_and_a_single_file_may_get_another_name() {
    let pair = pair().await;
    let folder = pair.dir.path().join("conf");
    write(&folder.join("one.txt"), "1", 0o644);
    write(&folder.join("sub/two.txt"), "2", 0o644);
    let names = || tree(&pair.on_mint).into_keys().collect::<Vec<_>>();
    let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    pair.confirmed(&pair.request(&folder)).await;
    let with = ["conf", "conf/one.txt", "conf/sub", "conf/sub/two.txt"];
    assert_eq!(names(), paths(&with));
    fs::remove_dir_all(pair.on_mint.join("conf")).unwrap();
    pair.confirmed(&pair.request(&with_slash(&folder))).await;
    assert_eq!(names(), paths(&["one.txt", "sub", "sub/two.txt"]));
    for name in ["one.txt", "sub/two.txt"] {
        fs::remove_file(pair.on_mint.join(name)).unwrap();
    }
    fs::remove_dir(pair.on_mint.join("sub")).unwrap();
    let mut renamed = pair.request(&folder.join("one.txt"));
    renamed.dest = Some("to/here".into());
    renamed.rename = Some("uno.txt".into());
    pair.confirmed(&renamed).await;
    assert_eq!(names(), paths(&["to", "to/here", "to/here/uno.txt"]));
    // A name is one name.
    for name in ["../uno.txt", "a/b", "..", "", "/uno.txt"] {
        renamed.rename = Some(name.into());
        assert!(pair.baulder.client().push(&renamed).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn rules_leave_files_out_unless_they_are_not_wanted() {
    let pair = pair().await;
    let folder = pair.dir.path().join("work");
    write(&folder.join(".gitignore"), "*.log\n!keep.log\n/build/\n", 0o644);
    write(&folder.join(".meshignore"), "private/\n", 0o644);
    write(&folder.join("sub/.gitignore"), "local\n", 0o644);
    for name in [
        ".git/HEAD",
        "main.rs",
        "a.log",
        "keep.log",
        "build/out",
        "private/x",
        "sub/local",
        "sub/b.log",
        "sub/kept",
        ".hidden",
    ] {
        write(&folder.join(name), "x", 0o644);
    }
    let files = || {
        let there = tree(&pair.on_mint.join("work"));
        let files = there.into_iter().filter(|(_, (_, mode, _, _))| mode & 0o40000 == 0);
        files.map(|(name, _)| name.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    pair.confirmed(&pair.request(&folder)).await;
    let kept = [
        ".gitignore",
        ".hidden",
        ".meshignore",
        "keep.log",
        "main.rs",
        "sub/.gitignore",
        "sub/kept",
    ];
    assert_eq!(files(), kept);
    let mut wanted = pair.request(&folder);
    wanted.no_ignore = true;
    pair.confirmed(&wanted).await;
    assert_eq!(files().len(), kept.len() + 6, "{:?}", files());
    assert!(pair.on_mint.join("work/.git/HEAD").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_swapped_in_for_a_folder_leads_no_push_out_of_the_root() {
    let pair = pair().await;
    let (there, aside) = (pair.on_mint.join("to"), pair.dir.path().join("aside"));
    let outside = pair.dir.path().join("outside");
    write(&outside.join("deep/canary"), "untouched", 0o600);
    write(&there.join("deep/old"), "old", 0o644);
    let source = pair.dir.path().join("deep");
    let is_over = AtomicBool::new(false);
    let (mut confirmed, mut refused) = (0, 0);
    let swapping = || {
        while !is_over.load(Ordering::Relaxed) {
            // A push that comes in between may have made the folder anew.
            let _in_between = fs::rename(&there, &aside);
            let _in_between = symlink(&outside, &there);
            let _in_between = fs::remove_file(&there);
            let _in_between = fs::rename(&aside, &there);
        }
    };
    let pushing = async {
        let mut count = 0;
        while confirmed < 3 || refused < 3 || count < 12 {
            count += 1;
            for file in 0..4 {
                write(&source.join(format!("evil-{file}")), &format!("push {count}"), 0o644);
            }
            let mut wanted = pair.request(&source);
            wanted.dest = Some("to".into());
            let push = pushed(&pair.baulder, &wanted).await;
            if at(&push, &pair.mint).state == PushTargetState::Confirmed {
                confirmed += 1;
            } else {
                refused += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        let swapper = scope.spawn(swapping);
        let pushing = tokio::time::timeout(LONG, pushing);
        let pushed =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(pushing));
        is_over.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
        pushed.expect("some pushes go through, and some do not");
    });
    let outside: Vec<PathBuf> = tree(&outside).into_keys().collect();
    assert_eq!(outside, [PathBuf::from("deep"), PathBuf::from("deep/canary")]);
}

#[tokio::test]
async fn a_rollback_by_somebody_else_is_told_to_whoever_pushed() {
    let pair = pair().await;

    let file = pair.dir.path().join("notes.txt");
    write(&file, "x", 0o644);
    let push = pair.confirmed(&pair.request(&file)).await;
    // The target's own operator takes it back.
    let back = RollbackRequest {
        push_id: push.push_id.to_string(),
        to: vec!["mint".to_owned()],
        force: false,
        message: None,
    };
    let begun = pair.mint.client().rollback(&back).await.unwrap();
    let ended = followed(&pair.mint, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    assert!(!pair.on_mint.join("notes.txt").exists());
    eventually(PATIENCE, "the one who pushed hears of it", async || {
        let known = detail(&pair.baulder, &push).await.push;
        (states(&known) == [PushTargetState::RolledBack]).then_some(())
    })
    .await;
}
