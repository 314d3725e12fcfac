//! What was replaced: kept, counted, brought back.

use std::fs;

use mesh_tree::{KeepConfig, Plan, TreeError};

use crate::support::{
    Home, NOW, Seeded, commit, file, folder, link, path, program, push, roll_back, stage,
};

#[test]
fn a_rollback_brings_back_bytes_modes_and_times_and_can_be_rolled_back() {
    let home = Home::new();
    home.write("a", "old");
    home.write("d/b", "old");
    home.write("to-file/x/y", "old");
    home.write("to-folder", "old");
    std::os::unix::fs::symlink("a", home.at("l")).unwrap();
    fs::File::open(home.at("d")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let before = home.tree();
    let root = home.open();
    let entries = [
        program("a", "new"),
        file("d/b", "new"),
        file("d/c/e", "new"),
        link("l", "d"),
        file("to-file", "new"),
        folder("to-folder"),
        file("to-folder/in", "new"),
    ];
    commit(&root, push(1), &entries).unwrap();
    let after = home.tree();
    assert_ne!(before, after);
    roll_back(&root, push(1), push(2), false).unwrap();
    assert_eq!(home.tree(), before);
    assert_eq!(root.backups().unwrap().len(), 1);
    roll_back(&root, push(2), push(3), false).unwrap();
    assert_eq!(home.tree(), after);
    roll_back(&root, push(3), push(4), false).unwrap();
    assert_eq!(home.tree(), before);
    let error = roll_back(&root, push(1), push(5), false).unwrap_err();
    assert!(matches!(error, TreeError::Push { .. }), "{error}");
}

#[test]
fn a_rollback_is_refused_by_name_when_a_file_changed_since_and_forced_keeps_that_too() {
    for what in ["edited", "removed", "added", "mode"] {
        let home = Home::new();
        home.write("a", "old");
        let root = home.open();
        commit(&root, push(1), &[file("a", "new"), file("d/n", "new")]).unwrap();
        match what {
            "edited" => home.write("a", "theirs"),
            "removed" => fs::remove_file(home.at("a")).unwrap(),
            "mode" => fs::set_permissions(
                home.at("a"),
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .unwrap(),
            _ => home.write("d/theirs", "theirs"),
        }
        let changed = home.tree();
        let result = roll_back(&root, push(1), push(2), false);
        if what == "added" {
            // A folder with something of theirs in it stays; what was pushed goes.
            result.unwrap();
            assert_eq!(home.read("d/theirs"), "theirs");
            assert!(!home.at("d/n").exists());
            continue;
        }
        let error = result.unwrap_err();
        assert!(matches!(&error, TreeError::Changed { path } if path == "a"), "{what}: {error}");
        assert_eq!(home.tree(), changed);
        roll_back(&root, push(1), push(3), true).unwrap();
        assert_eq!(home.read("a"), "old");
        assert!(!home.at("d").exists());
        roll_back(&root, push(3), push(4), false).unwrap();
        assert_eq!(home.tree().keys().collect::<Vec<_>>(), changed.keys().collect::<Vec<_>>());
        if what == "edited" {
            assert_eq!(home.read("a"), "theirs");
        }
    }
}

#[test]
fn a_folder_that_took_the_place_of_a_file_is_not_replaced_with_something_of_theirs_in_it() {
    let home = Home::new();
    home.write("d", "old");
    let root = home.open();
    commit(&root, push(1), &[folder("d"), file("d/n", "new")]).unwrap();
    home.write("d/theirs", "theirs");
    let error = roll_back(&root, push(1), push(2), false).unwrap_err();
    assert!(matches!(&error, TreeError::Changed { path } if path == "d"), "{error}");
    roll_back(&root, push(1), push(3), true).unwrap();
    assert_eq!(home.read("d"), "old");
    roll_back(&root, push(3), push(4), false).unwrap();
    assert_eq!(home.read("d/theirs"), "theirs");
    assert_eq!(home.read("d/n"), "new");
}

#[test]
fn backups_are_kept_by_count_and_age_and_their_size_is_known() {
    let home = Home::new();
    home.write("a", &"x".repeat(1_000));
    let root = home.open();
    for number in 1..=5 {
        let entry = file("a", "y".repeat(usize::from(number) * 100));
        let staging = stage(&root, push(number), std::slice::from_ref(&entry));
        let mut plan = Plan::begin(&staging, NOW + i64::from(number)).unwrap();
        let crate::support::Entry::File(entry, _) = &entry else { panic!() };
        plan.file(0, entry).unwrap();
        plan.finish().unwrap().commit(&mut |_| {}).unwrap();
    }
    let pushes = || root.backups().unwrap().iter().map(|it| it.push).collect::<Vec<_>>();
    assert_eq!(pushes(), [5, 4, 3, 2, 1].map(push));
    assert_eq!(root.backup_usage(push(1)).unwrap().bytes, 1_000);
    assert_eq!(root.backup_usage(push(5)).unwrap().bytes, 400);
    let keep = KeepConfig { backups_max: 4, age_seconds_max: 3 };
    assert_eq!(root.prune(&keep, NOW + 6, push(5)).unwrap(), [2, 1].map(push));
    assert_eq!(pushes(), [5, 4, 3].map(push));
    let keep = KeepConfig { backups_max: 0, age_seconds_max: 0 };
    assert_eq!(root.prune(&keep, NOW + 100, push(4)).unwrap(), [5, 3].map(push));
    assert!(matches!(root.backup_usage(push(5)), Err(TreeError::Push { .. })));
    assert_eq!(pushes(), [push(4)], "what was put in place just now is spared");
    assert_eq!(root.backup_usage(push(4)).unwrap().bytes, 300);
}

#[test]
fn seeded_pushes_upon_each_other_roll_back_one_after_the_other() {
    for seed in 0..12 {
        let mut seeded = Seeded(seed);
        let home = Home::new();
        let root = home.open();
        let mut states = vec![home.tree()];
        for number in 0..6_u8 {
            let mut entries = std::collections::BTreeMap::new();
            let mut is_file = std::collections::BTreeSet::new();
            for _ in 0..seeded.below(12) + 1 {
                let depth = seeded.below(3) + 1;
                let names: Vec<_> = (0..depth).map(|_| seeded.below(3).to_string()).collect();
                let blocked = (1..names.len()).any(|end| is_file.contains(&names[..end].join("/")));
                let name = names.join("/");
                let is_folder = entries
                    .keys()
                    .any(|other: &mesh_protocol::RelativePath| other.starts_with(&path(&name)));
                if blocked || is_folder {
                    continue;
                }
                for end in 1..names.len() {
                    let way = names[..end].join("/");
                    entries.insert(path(&way), folder(&way));
                }
                let entry = match seeded.below(4) {
                    0 => link(&name, "x"),
                    1 => program(&name, &seeded.next().to_string()),
                    _ => file(&name, seeded.next().to_string()),
                };
                is_file.insert(name.clone());
                entries.insert(path(&name), entry);
            }
            let entries: Vec<_> = entries.into_values().collect();
            commit(&root, push(number + 1), &entries).unwrap();
            states.push(home.tree());
        }
        for number in (0..6_u8).rev() {
            states.pop();
            roll_back(&root, push(number + 1), push(number + 101), false).unwrap();
            assert_eq!(&home.tree(), states.last().unwrap(), "seed {seed}, push {number}");
        }
    }
}
