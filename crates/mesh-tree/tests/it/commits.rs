//! A push in place: what it changes, and what stops it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, UNIX_EPOCH};

use mesh_tree::{Refusal, Staging, TreeError};

use crate::support::{
    Home, Seen, commit, file, folder, link, plan, program, push, stage, tree, why,
};

#[test]
fn files_folders_and_links_get_their_bytes_modes_and_times() {
    let home = Home::new();
    let root = home.open();
    let entries = [
        file("a", "one"),
        folder("d"),
        folder("d/empty"),
        program("d/run", "#!/bin/sh"),
        link("d/up", "../a"),
        file("implied/deep/f", ""),
    ];
    commit(&root, push(1), &entries).unwrap();
    let seen = home.tree();
    let modified = (1_500_000_000, 123_456_789);
    let text = b"one".to_vec();
    assert_eq!(seen["a"], Seen::File { text, mode: 0o644, modified });
    let text = b"#!/bin/sh".to_vec();
    assert_eq!(seen["d/run"], Seen::File { text, mode: 0o755, modified });
    assert_eq!(seen["d/up"], Seen::Link("../a".into()));
    let modified = (1_400_000_000, 123_456_789);
    assert_eq!(seen["d"], Seen::Folder { mode: 0o755, modified });
    assert_eq!(seen["d/empty"], Seen::Folder { mode: 0o755, modified });
    assert_eq!(seen.len(), 8);
    assert!(Staging::list(&root).unwrap().is_empty());
}

#[test]
fn whatever_stands_in_the_place_is_replaced_and_everything_else_stays() {
    let home = Home::new();
    home.write("file-to-folder", "old");
    home.write("folder-to-file/x/y", "old");
    home.write("folder-to-link/x", "old");
    home.write("stays/theirs", "theirs");
    std::os::unix::fs::symlink("stays", home.at("link-to-file")).unwrap();
    let root = home.open();
    let entries = [
        file("file-to-folder/in", "new"),
        file("folder-to-file", "new"),
        link("folder-to-link", "stays"),
        file("link-to-file", "new"),
        file("stays/ours", "new"),
    ];
    // A file on the way is replaced only by a folder that the push names.
    assert_eq!(why(commit(&root, push(1), &entries).unwrap_err()), Refusal::NotAFolder);
    let mut entries = entries.to_vec();
    entries.insert(0, folder("file-to-folder"));
    commit(&root, push(2), &entries).unwrap();
    assert_eq!(home.read("file-to-folder/in"), "new");
    assert_eq!(home.read("folder-to-file"), "new");
    assert_eq!(home.read("link-to-file"), "new");
    assert_eq!(home.read("stays/theirs"), "theirs");
    assert_eq!(home.read("folder-to-link/theirs"), "theirs");
}

#[test]
fn the_mode_of_what_is_replaced_is_kept_but_for_what_may_run_and_never_more() {
    let home = Home::new();
    for (name, mode) in [("private", 0o600), ("set", 0o4755), ("group", 0o640)] {
        home.write(name, "old");
        fs::set_permissions(home.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let root = home.open();
    let entries = [program("group", "new"), file("private", "new"), program("set", "new")];
    commit(&root, push(1), &entries).unwrap();
    let mode = |name| fs::metadata(home.at(name)).unwrap().mode() & 0o7777;
    assert_eq!([mode("group"), mode("private"), mode("set")], [0o750, 0o600, 0o755]);
}

#[test]
fn a_file_that_somebody_edits_after_the_plan_is_named_and_nothing_changes() {
    for edit in ["write", "touch", "remove", "create", "replace", "mode"] {
        let home = Home::new();
        home.write("a", "old");
        home.write("b", "old");
        let root = home.open();
        let entries = [file("a", "new"), file("b", "new"), file("c", "new")];
        let planned = plan(&root, push(1), &entries).unwrap();
        match edit {
            "write" => home.write("b", "theirs"),
            "touch" => File::open(home.at("b")).unwrap().set_modified(UNIX_EPOCH).unwrap(),
            "remove" => fs::remove_file(home.at("b")).unwrap(),
            "create" => home.write("c", "theirs"),
            "replace" => {
                home.write("x", "old");
                fs::rename(home.at("x"), home.at("b")).unwrap();
            }
            _ => fs::set_permissions(home.at("b"), fs::Permissions::from_mode(0o600)).unwrap(),
        }
        let before = home.tree();
        let error = planned.commit(&mut |_| {}).unwrap_err();
        let named = if edit == "create" { "c" } else { "b" };
        assert!(matches!(&error, TreeError::Changed { path } if path == named), "{edit}: {error}");
        assert_eq!(home.tree(), before, "{edit}");
        // The staging is still there, to be planned again.
        commit(&root, push(1), &entries).unwrap();
        assert_eq!(home.read("b"), "new");
    }
}

#[test]
fn an_edit_in_the_middle_of_a_commit_undoes_all_of_it_and_is_not_lost() {
    let mut at = 0;
    loop {
        let home = Home::new();
        for name in ["a", "b", "c", "d"] {
            home.write(&format!("s/{name}"), "old");
        }
        let root = home.open();
        let entries = ["s/a", "s/b", "s/c", "s/d", "s/e"].map(|name| file(name, "new"));
        let planned = plan(&root, push(1), &entries).unwrap();
        let mut steps = 0;
        let mut is_edited = false;
        let result = planned.commit(&mut |_| {
            if steps == at {
                home.write("x", "theirs");
                fs::rename(home.at("x"), home.at("s/d")).unwrap();
                is_edited = true;
            }
            steps += 1;
        });
        if !is_edited {
            result.unwrap();
            break;
        }
        assert_eq!(home.read("s/d"), "theirs", "at {at}");
        let expected = if result.is_ok() { "new" } else { "old" };
        for name in ["s/a", "s/b", "s/c"] {
            assert_eq!(home.read(name), expected, "{name} at {at}");
        }
        assert_eq!(home.at("s/e").exists(), result.is_ok(), "at {at}");
        assert!(root.recover().unwrap().is_empty());
        at += 1;
    }
    assert!(at > 8, "{at}");
}

#[test]
fn entries_out_of_order_twice_or_beneath_a_file_are_refused() {
    let home = Home::new();
    let root = home.open();
    let error = commit(&root, push(1), &[file("b", ""), file("a", "")]).unwrap_err();
    assert!(matches!(error, TreeError::Order { .. }), "{error}");
    let error = commit(&root, push(2), &[file("a", ""), file("a", "")]).unwrap_err();
    assert!(matches!(error, TreeError::Order { .. }), "{error}");
    let error = commit(&root, push(3), &[file("a", ""), file("a/b", "")]).unwrap_err();
    assert_eq!(why(error), Refusal::NotAFolder);
    // Not beneath it, for all that the name begins the same.
    commit(&root, push(4), &[file("a", ""), file("a.b/c", ""), file("ab/c", "")]).unwrap();
}

#[test]
fn what_was_not_finished_or_was_touched_since_is_not_put_in_place() {
    let home = Home::new();
    let root = home.open();
    let entries = [file("a", "one"), file("b", "two")];
    let staging = stage(&root, push(1), &entries);
    let staged = home.at(&format!(".mesh-tree/staging/{}/items/1", push(1)));
    assert_eq!(fs::read_to_string(&staged).unwrap(), "two");
    drop(staging);
    fs::write(&staged, "TWO").unwrap();
    // Long after, and in the same second as the time that it has.
    let within_the_second = UNIX_EPOCH + Duration::new(1_500_000_000, 999_999_999);
    for touched in [None, Some(within_the_second)] {
        if let Some(touched) = touched {
            File::options().write(true).open(&staged).unwrap().set_modified(touched).unwrap();
        }
        let staging = Staging::open(&root, push(1)).unwrap();
        let mut plan = mesh_tree::Plan::begin(&staging, 0).unwrap();
        let crate::support::Entry::File(entry, _) = &entries[0] else { panic!() };
        plan.file(0, entry).unwrap();
        let crate::support::Entry::File(entry, _) = &entries[1] else { panic!() };
        let error = plan.file(1, entry).unwrap_err();
        assert!(matches!(&error, TreeError::Mismatch { path } if path == "b"), "{error}");
    }
}

#[test]
fn a_deep_tree_and_long_and_strange_names_go_through() {
    let home = Home::new();
    let root = home.open();
    let deep = vec!["d"; 1_000].join("/");
    let wide = [vec!["e".repeat(255); 15].join("/"), "f".repeat(200)].join("/");
    let entries =
        [file(b"\xff\xfe\n", "bytes"), file(format!("{deep}/f"), "deep"), file(&wide, "wide")];
    let mut entries = entries.to_vec();
    entries.sort_by(|one, other| one.path().cmp(other.path()));
    commit(&root, push(1), &entries).unwrap();
    let mut text = String::new();
    let file = root.file(&crate::support::path(format!("{deep}/f"))).unwrap();
    let mut piece = [0; 8];
    let read = file.read_at(&mut piece, 0).unwrap();
    text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    assert_eq!(text, "deep");
    assert!(root.file(&crate::support::path(&wide)).is_ok());
    crate::support::roll_back(&root, push(1), push(2), false).unwrap();
    assert!(tree(home.path()).is_empty());
}
