//! Files that steer a walk, put there by whoever may write beside what is pushed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use mesh_tree::{Kind, Refusal, Source, TreeError, Walk, WalkConfig, read_rules};

use crate::support::{Home, path};

const DEADLINE: Duration = Duration::from_secs(10);

/// Everything that is no small regular file, and what is said of it. The last is a device for whoever follows it.
const KINDS: [(&str, Option<Kind>); 4] = [
    ("a pipe", Some(Kind::Pipe)),
    ("a folder", Some(Kind::Folder)),
    ("two mebibytes", None),
    ("a link to zeros", Some(Kind::Link)),
];

fn put(what: &str, at: &Path) {
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    match what {
        "a pipe" => {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
            rustix::fs::mknodat(rustix::fs::CWD, at, kind, mode, 0).unwrap();
        }
        "a folder" => fs::create_dir(at).unwrap(),
        "two mebibytes" => fs::write(at, vec![b'\n'; 2 << 20]).unwrap(),
        _ => symlink("/dev/zero", at).unwrap(),
    }
}

fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(DEADLINE).unwrap()
}

fn walk(source: PathBuf, has_rules: bool) -> Vec<Result<String, TreeError>> {
    in_time(move || {
        let source = Source { path: source, name: path(""), beneath: None };
        Walk::new(vec![source], WalkConfig { has_rules, ..WalkConfig::default() })
            .unwrap()
            .map(|walked| walked.map(|walked| walked.path.to_string()))
            .collect()
    })
}

fn expected(kind: Option<Kind>) -> Refusal {
    kind.map_or(Refusal::TooLarge { bytes_max: 1 << 20 }, Refusal::Special)
}

fn refused(error: &TreeError, at: &Path, why: Refusal, what: &str) {
    let TreeError::Refused { path, why: told } = error else { panic!("{what}: {error}") };
    assert_eq!((path.as_str(), *told), (at.to_str().unwrap(), why), "{what}");
}

#[test]
fn rules_that_are_no_small_file_end_a_walk_and_are_named() {
    for name in [".gitignore", ".meshignore", "d/.gitignore", "d/e/.meshignore"] {
        for (what, kind) in KINDS {
            let home = Home::new();
            home.write("a", "");
            home.write("d/e/f", "");
            home.write("z/.gitignore", "");
            put(what, &home.at(name));
            let mut found = walk(home.path().to_owned(), true);
            let last = found.pop().unwrap().unwrap_err();
            refused(&last, &home.at(name), expected(kind), &format!("{what} as {name}"));
            let before: Vec<_> = found.into_iter().map(Result::unwrap).collect();
            assert!(!before.iter().any(|one| one.starts_with('z')), "{before:?}");
            // Without rules they are like everything else.
            assert!(walk(home.path().to_owned(), false).len() > 5, "{what} as {name}");
        }
    }
}

#[test]
fn rules_in_folders_that_are_left_out_are_not_looked_at() {
    let home = Home::new();
    home.write(".gitignore", "target/\n");
    put("a pipe", &home.at("target/.gitignore"));
    let found: Vec<_> = walk(home.path().to_owned(), true);
    assert_eq!(found.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [".gitignore"]);
}

#[test]
fn rules_above_a_source_and_those_of_git_are_looked_at_before_they_are_read() {
    for name in ["up/.gitignore", ".meshignore", "up/.git/info/exclude", "up/src/.git/info/exclude"]
    {
        for (what, kind) in KINDS {
            let home = Home::new();
            home.write("up/src/f", "");
            put(what, &home.at(name));
            let found = walk(home.at("up/src"), true);
            let [Err(error)] = &found[..] else { panic!("{what} as {name}: {found:?}") };
            // What a link leads to counts there.
            let kind = if kind == Some(Kind::Link) { Some(Kind::Device) } else { kind };
            refused(error, &home.at(name), expected(kind), &format!("{what} as {name}"));
        }
    }
    let home = Home::new();
    home.write("rules", "*.log\n");
    home.write("up/src/a.log", "");
    home.write("up/src/f", "");
    symlink("../rules", home.at("up/.gitignore")).unwrap();
    assert_eq!(walk(home.at("up/src"), true).into_iter().map(Result::unwrap).count(), 1);
}

#[test]
fn a_second_work_tree_leads_to_no_pipe() {
    let home = Home::new();
    home.write("src/f", "");
    home.write("src/.git", &format!("gitdir: {}\n", home.at("own").display()));
    home.write("own/commondir", "../common\n");
    put("a pipe", &home.at("common/info/exclude"));
    let found = walk(home.at("src"), true);
    assert!(matches!(&found[..], [Err(TreeError::Refused { why: Refusal::Special(_), .. })]));
    fs::remove_file(home.at("own/commondir")).unwrap();
    put("a pipe", &home.at("own/commondir"));
    let found = walk(home.at("src"), true);
    assert!(matches!(&found[..], [Err(TreeError::Refused { why: Refusal::Special(_), .. })]));
    fs::remove_file(home.at("own/commondir")).unwrap();
    assert_eq!(walk(home.at("src"), true).into_iter().map(Result::unwrap).count(), 1);
}

#[test]
fn a_small_file_is_read_whole_and_nothing_else_is() {
    let home = Home::new();
    assert_eq!(read_rules(home.path(), "list").unwrap(), None);
    assert_eq!(read_rules(&home.at("gone"), "list").unwrap(), None);
    home.write("list", &"x".repeat(1 << 20));
    assert_eq!(read_rules(home.path(), "list").unwrap().unwrap().len(), 1 << 20);
    for (what, kind) in KINDS {
        let home = Home::new();
        put(what, &home.at("list"));
        let folder = home.path().to_owned();
        let error = in_time(move || read_rules(&folder, "list")).unwrap_err();
        refused(&error, &home.at("list"), expected(kind), what);
    }
}
