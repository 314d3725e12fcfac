//! What a test sees of a push, and what it does to it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::process::Command;

use mesh_protocol::{FileEntry, FolderEntry, LinkEntry};
use mesh_tree::{Refusal, Root, RootConfig, Staging, TreeError, View};

use crate::support::{
    Entry, Home, config, digests, entry, file, folder, link, path, program, push, stage, time, why,
};

fn entries() -> Vec<Entry> {
    vec![
        folder("jobs"),
        program("jobs/check.sh", "#!/bin/sh\ncat \"$1\"\n"),
        folder("jobs/data"),
        file("jobs/data/new\u{e9} \u{1f980}.txt", "a word"),
        link("jobs/data/up", "../check.sh"),
        file("top", ""),
    ]
}

fn add(view: &mut View, entries: &[Entry]) -> Result<(), TreeError> {
    for (number, entry) in (0..).zip(entries) {
        match entry {
            Entry::File(entry, _) => view.add_file(number, entry)?,
            Entry::Folder(entry) => view.add_folder(entry)?,
            Entry::Link(entry) => view.add_link(entry)?,
        }
    }
    Ok(())
}

fn staged(root: &Root) -> (Staging, View) {
    let entries = entries();
    let staging = stage(root, push(1), &entries);
    let mut view = staging.view().unwrap();
    add(&mut view, &entries).unwrap();
    (staging, view)
}

/// Where the staging of the first push is on disk.
fn own(home: &Home, name: &str) -> std::path::PathBuf {
    home.at(&format!(".mesh-tree/staging/{}/{name}", push(1)))
}

#[test]
fn a_program_runs_in_a_view_of_what_is_staged() {
    let home = Home::new();
    let root = home.open();
    let (staging, view) = staged(&root);
    assert!(view.path().is_absolute() && view.path().starts_with(root.path()));
    assert_eq!(view.path(), own(&home, "view"));
    view.check_place().unwrap();
    let said = Command::new(view.path_of(&path("jobs/data/up")))
        .arg(view.path_of(&path("jobs/data/new\u{e9} \u{1f980}.txt")))
        .current_dir(view.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "a word", "{said:?}");
    let seen = fs::metadata(view.path_of(&path("jobs/check.sh"))).unwrap();
    assert_eq!(seen.permissions().mode() & 0o777, 0o755);
    assert_eq!(seen.mtime(), 1_500_000_000);
    assert_eq!(fs::metadata(view.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(home.tree().is_empty(), "nothing is in place");
    fs::write(view.path_of(&path("jobs/left-behind")), "by the test").unwrap();
    view.remove().unwrap();
    assert!(!own(&home, "view").exists());
    for (number, entry) in (0..).zip(entries()) {
        if let Entry::File(entry, text) = entry {
            staging.check(number, &entry, &digests(&text)).unwrap();
        }
    }
}

type Tamper = fn(&std::path::Path);

#[test]
fn whatever_a_test_does_to_a_staged_file_is_found() {
    let changes: [(&str, Tamper); 5] = [
        ("its bytes", |path| {
            let before = fs::metadata(path).unwrap().modified().unwrap();
            fs::write(path, "A WORD").unwrap();
            fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
        }),
        ("its length", |path| {
            let before = fs::metadata(path).unwrap().modified().unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(3).unwrap();
            file.set_modified(before).unwrap();
        }),
        ("its time", |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }),
        ("who may run it", |path| {
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }),
        ("as whom it runs", |path| {
            fs::set_permissions(path, PermissionsExt::from_mode(0o4644)).unwrap();
        }),
    ];
    for (what, change) in changes {
        let home = Home::new();
        let root = home.open();
        let (staging, view) = staged(&root);
        let entry = entry("jobs/data/new\u{e9} \u{1f980}.txt", 6);
        staging.check(3, &entry, &digests(b"a word")).unwrap();
        change(&view.path_of(&entry.path));
        let error = staging.check(3, &entry, &digests(b"a word")).unwrap_err();
        assert!(matches!(&error, TreeError::Mismatch { .. }), "{what}: {error}");
        assert!(!staging.is_finished(3), "{what}");
        let mut plan = mesh_tree::Plan::begin(&staging, 0).unwrap();
        let error = plan.file(3, &entry).unwrap_err();
        assert!(matches!(&error, TreeError::Mismatch { .. }), "{what}: {error}");
    }
}

#[test]
fn what_replaces_a_file_in_the_view_leaves_the_staged_one_as_it_was() {
    let home = Home::new();
    let root = home.open();
    let (staging, view) = staged(&root);
    let entry = entry("top", 0);
    let seen = view.path_of(&entry.path);
    fs::remove_file(&seen).unwrap();
    fs::write(&seen, "evil").unwrap();
    staging.check(5, &entry, &digests(b"")).unwrap();
    // Nor does anything count that was never finished.
    let error = staging.check(4, &entry, &digests(b"")).unwrap_err();
    assert!(matches!(error, TreeError::Mismatch { .. }), "{error}");
    // Somebody puts something else in the file's own place.
    let item = own(&home, "items/5");
    fs::remove_file(&item).unwrap();
    symlink("/dev/zero", &item).unwrap();
    let error = staging.check(5, &entry, &digests(b"")).unwrap_err();
    assert!(matches!(error, TreeError::Mismatch { .. }), "{error}");
}

#[test]
fn nothing_in_a_view_leads_out_of_it() {
    let home = Home::new();
    let outside = Home::new();
    outside.write("f", "outside");
    let root = home.open();
    let (_staging, mut view) = staged(&root);
    let new = |name: &str| FileEntry { modified: time(1_500_000_000), ..entry(name, 0) };
    let folder_entry =
        |name: &str| FolderEntry { path: path(name), is_listable: true, modified: time(0) };
    let link_entry =
        |name: &str, target: &str| LinkEntry { path: path(name), target: target.into() };
    for (name, target) in [("l", ".."), ("a/l", "../.."), ("l", "/etc"), ("l", "x/../..")] {
        let error = view.add_link(&link_entry(name, target)).unwrap_err();
        assert_eq!(why(error), Refusal::LinkLeaves, "{name} {target}");
    }
    // Somebody with our rights lays links while the view is filled.
    symlink(outside.path(), view.path().join("out")).unwrap();
    symlink(".", view.path().join("in")).unwrap();
    for name in ["out/f", "in/f", "out/deep/f"] {
        assert_eq!(why(view.add_file(5, &new(name)).unwrap_err()), Refusal::Link, "{name}");
        assert_eq!(why(view.add_folder(&folder_entry(name)).unwrap_err()), Refusal::Link);
        assert_eq!(why(view.add_link(&link_entry(name, "x")).unwrap_err()), Refusal::Link);
    }
    assert_eq!(why(view.add_folder(&folder_entry("out")).unwrap_err()), Refusal::Link);
    assert_eq!(why(view.add_file(5, &new("top/f")).unwrap_err()), Refusal::NotAFolder);
    assert_eq!(why(view.add_file(5, &new(".mesh-tree/f")).unwrap_err()), Refusal::Reserved);
    for name in ["top", "in", "jobs"] {
        assert!(view.add_file(5, &new(name)).is_err(), "{name} is taken");
        assert!(view.add_link(&link_entry(name, "x")).is_err(), "{name} is taken");
    }
    assert_eq!(outside.tree().len(), 1);
    view.remove().unwrap();
    assert_eq!(outside.read("f"), "outside", "a link is removed itself");
}

#[test]
fn a_path_that_leads_elsewhere_is_noticed() {
    let home = Home::new();
    home.write("root/f", "old");
    let root = Root::open(&home.at("root"), config()).unwrap();
    let staging = stage(&root, push(1), &entries());
    let view = staging.view().unwrap();
    view.check_place().unwrap();
    // Whoever may rename the root's folder puts another one in its place.
    let name = format!(".mesh-tree/staging/{}/view", push(1));
    fs::create_dir_all(home.at("theirs").join(&name)).unwrap();
    fs::rename(home.at("root"), home.at("away")).unwrap();
    assert!(matches!(view.check_place(), Err(TreeError::Changed { .. })));
    fs::rename(home.at("theirs"), home.at("root")).unwrap();
    assert!(matches!(view.check_place(), Err(TreeError::Changed { .. })));
    assert!(matches!(staging.view(), Err(TreeError::Changed { .. })));
    assert!(home.at("root").join(&name).exists(), "theirs is left alone");
}

#[test]
fn a_link_in_place_of_the_view_is_not_followed() {
    let home = Home::new();
    let outside = Home::new();
    outside.write("f", "outside");
    let root = home.open();
    let (staging, view) = staged(&root);
    fs::remove_dir_all(own(&home, "view")).unwrap();
    symlink(outside.path(), own(&home, "view")).unwrap();
    assert!(matches!(view.check_place(), Err(TreeError::Changed { .. })));
    // What is open stays what it is, although it has no place any more.
    drop(view);
    let mut view = staging.view().unwrap();
    add(&mut view, &entries()).unwrap();
    view.remove().unwrap();
    assert_eq!(outside.read("f"), "outside");
    assert_eq!(outside.tree().len(), 1);
}

#[test]
fn views_go_with_their_staging_and_when_a_root_is_opened_again() {
    let home = Home::new();
    let root = home.open();
    let (staging, view) = staged(&root);
    // As a kill leaves it, with something that a test made unreadable.
    fs::create_dir(view.path().join("closed")).unwrap();
    fs::set_permissions(view.path().join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    drop((staging, view, root));
    let root = home.open();
    root.recover().unwrap();
    assert!(!own(&home, "view").exists());
    let staging = Staging::open(&root, push(1)).unwrap();
    assert!(staging.is_finished(5), "what was staged is still there");
    let mut view = staging.view().unwrap();
    add(&mut view, &entries()).unwrap();
    drop(view);
    let seconds = staging.view().unwrap();
    assert_eq!(fs::read_dir(seconds.path()).unwrap().count(), 0, "a new view is empty");
    drop(seconds);
    Staging::discard(&root, push(1)).unwrap();
    assert!(!own(&home, "").exists());
    assert_eq!(fs::read_dir(home.at(".mesh-tree/trash")).unwrap().count(), 0);
}

#[test]
fn a_view_that_a_test_looks_at_outlives_what_recovers_other_pushes() {
    let home = Home::new();
    let root = home.open();
    let (_staging, view) = staged(&root);
    root.recover().unwrap();
    assert!(view.path_of(&path("top")).exists());
    view.check_place().unwrap();
}

#[test]
fn second_names_do_not_count_against_the_quota() {
    let home = Home::new();
    let config = RootConfig { bytes_max: 1_000, ..config() };
    let root = Root::open(home.path(), config).unwrap();
    let entries = [file("a", "x".repeat(600))];
    let staging = stage(&root, push(1), &entries);
    let mut view = staging.view().unwrap();
    add(&mut view, &entries).unwrap();
    fs::write(view.path().join("log"), "y".repeat(600)).unwrap();
    assert!((600..1_000).contains(&root.usage().unwrap().bytes), "{:?}", root.usage());
    // What has that name elsewhere is as anything else.
    home.write("view/f", &"w".repeat(500));
    home.write("a/staging/b/view/f", &"w".repeat(500));
    assert!(root.usage().unwrap().bytes >= 1_600, "{:?}", root.usage());
}

#[test]
fn a_deep_view_is_made_and_removed() {
    let home = Home::new();
    let root = home.open();
    let deep = vec!["d"; 1_000].join("/");
    let entries = [file(deep, "deep")];
    let staging = stage(&root, push(1), &entries);
    let mut view = staging.view().unwrap();
    add(&mut view, &entries).unwrap();
    view.remove().unwrap();
    assert!(!own(&home, "view").exists());
}

#[test]
fn a_staged_file_is_read_to_be_passed_on_and_a_committed_push_is_known() {
    let home = Home::new();
    let root = home.open();
    let staging = stage(&root, push(1), &[file("f", "a word")]);
    let read = staging.open_file(0, &entry("f", 6)).unwrap();
    let mut word = [0; 9];
    assert_eq!(read.read_at(&mut word, 2).unwrap(), 4);
    assert_eq!(word, *b"word\0\0\0\0\0");
    let error = staging.open_file(1, &entry("missing", 6)).unwrap_err();
    assert!(matches!(&error, TreeError::Io { path, .. } if path == "missing"), "{error}");
    assert!(!Staging::is_committed(&root, push(1)).unwrap());
    let mut plan = mesh_tree::Plan::begin(&staging, 0).unwrap();
    plan.file(0, &entry("f", 6)).unwrap();
    plan.finish().unwrap().commit(&mut |_| {}).unwrap();
    assert!(Staging::is_committed(&root, push(1)).unwrap());
    assert!(!Staging::is_committed(&root, push(2)).unwrap());
    assert!(matches!(Staging::open(&root, push(1)), Err(TreeError::Push { .. })));
}
