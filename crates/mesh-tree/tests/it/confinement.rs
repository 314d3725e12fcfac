//! Everything that could lead out of a root.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_tree::{Kind, Refusal, Root, TreeError};

use crate::support::{Home, commit, config, file, folder, link, path, push, why};

#[test]
fn links_on_the_way_are_refused_wherever_they_lead() {
    let home = Home::new();
    let outside = Home::new();
    outside.write("f", "outside");
    home.write("inside/f", "inside");
    symlink(outside.path(), home.at("out")).unwrap();
    symlink("inside", home.at("in")).unwrap();
    symlink("loop", home.at("loop")).unwrap();
    let root = home.open();
    for (number, name) in (1..).zip(["out/f", "in/f", "loop/f", "out/new/f"]) {
        let error = commit(&root, push(number), &[file(name, "evil")]).unwrap_err();
        assert_eq!(why(error), Refusal::Link, "{name}");
        assert_eq!(why(root.file(&path(name)).unwrap_err()), Refusal::Link, "{name}");
    }
    assert_eq!(why(root.file(&path("out")).unwrap_err()), Refusal::Link);
    assert_eq!(outside.read("f"), "outside");
    assert_eq!(outside.tree().len(), 1);
}

#[test]
fn a_link_is_replaced_itself_not_what_it_leads_to() {
    let home = Home::new();
    let outside = Home::new();
    outside.write("f", "outside");
    symlink(outside.at("f"), home.at("f")).unwrap();
    symlink(outside.path(), home.at("d")).unwrap();
    let root = home.open();
    commit(&root, push(1), &[folder("d"), file("d/f", "new"), file("f", "new")]).unwrap();
    assert_eq!(home.read("d/f"), "new");
    assert_eq!(home.read("f"), "new");
    assert_eq!(outside.read("f"), "outside");
    assert_eq!(outside.tree().len(), 1);
}

#[test]
fn links_that_could_lead_out_are_refused() {
    let home = Home::new();
    let root = home.open();
    for target in ["/etc/passwd", "../../x", "a/../../../x", "a/../b", "", "../..", "../a/.."] {
        let error = commit(&root, push(1), &[link("d/l", target)]).unwrap_err();
        assert_eq!(why(error), Refusal::LinkLeaves, "{target}");
    }
    commit(&root, push(2), &[link("d/l", ".."), link("d/m", "../x//./y/")]).unwrap();
}

#[test]
fn devices_pipes_and_sockets_are_neither_opened_nor_replaced() {
    let home = Home::new();
    let _socket = UnixListener::bind(home.at("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        home.at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let root = home.open();
    for (name, kind) in [("socket", Kind::Socket), ("pipe", Kind::Pipe)] {
        let refused = Refusal::Special(kind);
        assert_eq!(why(commit(&root, push(1), &[file(name, "x")]).unwrap_err()), refused);
        assert_eq!(why(root.file(&path(name)).unwrap_err()), refused);
        let error = commit(&root, push(2), &[file(format!("{name}/x"), "x")]).unwrap_err();
        assert_eq!(why(error), refused);
    }
}

#[test]
fn the_roots_own_folder_is_nobodys() {
    let home = Home::new();
    let root = home.open();
    for name in [".mesh-tree", ".mesh-tree/lock", ".MESH-tree/x"] {
        assert_eq!(why(commit(&root, push(1), &[file(name, "x")]).unwrap_err()), Refusal::Reserved);
        assert_eq!(why(root.file(&path(name)).unwrap_err()), Refusal::Reserved);
    }
    drop(root);
    fs::remove_dir_all(home.at(".mesh-tree")).unwrap();
    let outside = Home::new();
    symlink(outside.path(), home.at(".mesh-tree")).unwrap();
    assert!(Root::open(home.path(), config()).is_err());
    assert!(outside.tree().is_empty());
    fs::remove_file(home.at(".mesh-tree")).unwrap();
    fs::create_dir(home.at(".mesh-tree")).unwrap();
    assert_eq!(why(Root::open(home.path(), config()).unwrap_err()), Refusal::Reserved);
}

#[test]
fn a_root_belongs_to_one_process_at_a_time() {
    let home = Home::new();
    let root = home.open();
    let error = Root::open(home.path(), config()).unwrap_err();
    assert!(matches!(error, TreeError::Busy { .. }), "{error}");
    drop(root);
    home.open();
}

#[test]
fn a_link_that_changes_places_with_a_folder_all_the_time_leads_nowhere() {
    let home = Home::new();
    let outside = Home::new();
    outside.write("f", "outside");
    home.write("d/f", "old");
    symlink(outside.path(), home.at("l")).unwrap();
    let root = home.open();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let (one, other) = (home.at("d"), home.at("l"));
            let mut swaps = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                let cwd = rustix::fs::CWD;
                rustix::fs::renameat_with(cwd, &one, cwd, &other, exchange).unwrap();
                swaps += 1;
            }
            swaps
        });
        let stopped = Stop(&stop);
        let mut done = 0;
        let mut refused = 0;
        for round in 0..5_000 {
            match root.file(&path("d/f")) {
                Ok(file) => {
                    let mut text = [0; 8];
                    let read = file.read_at(&mut text, 0).unwrap();
                    assert_ne!(&text[..read], b"outside");
                    done += 1;
                }
                Err(TreeError::Refused { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
            if round % 10 == 0 {
                let id = mesh_protocol::PushId::from_bytes(u128::to_be_bytes(round + 1));
                let entries = [file("d/f", "new"), file(format!("d/g{round}"), "new")];
                commit(&root, id, &entries).ok();
            }
        }
        drop(stopped);
        let swaps = swapper.join().unwrap();
        assert!(swaps > 2_000, "{swaps}");
        assert!(done > 0 && refused > 0, "{done} {refused}");
    });
    assert_eq!(outside.read("f"), "outside");
    assert_eq!(outside.tree().len(), 1);
}

/// Stops the other thread also when this one fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
