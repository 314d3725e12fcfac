//! What is found to be pushed.

use std::fs;
use std::os::unix::fs::symlink;

use mesh_tree::{Kind, Refusal, Source, Sources, TreeError, Walk, WalkConfig};

use crate::support::{Home, path};

fn walk(home: &Home, config: WalkConfig) -> Vec<Result<String, TreeError>> {
    let source = Source { path: home.path().to_owned(), name: path(""), beneath: None };
    Walk::new(vec![source], config)
        .unwrap()
        .map(|walked| walked.map(|walked| walked.path.to_string()))
        .collect()
}

fn names(home: &Home, has_rules: bool) -> Vec<String> {
    let config = WalkConfig { has_rules, ..WalkConfig::default() };
    walk(home, config).into_iter().map(Result::unwrap).collect()
}

#[test]
fn rules_leave_out_what_they_name_and_no_more() {
    let home = Home::new();
    for name in ["src/a", "target/x", "src/b.log", ".hidden", ".git/HEAD", "private/k", "keep.log"]
    {
        home.write(name, "");
    }
    home.write(".gitignore", "target/\n*.log\n!keep.log\n");
    home.write(".meshignore", "private\n");
    let found = [".gitignore", ".hidden", ".meshignore", "keep.log", "src", "src/a"];
    assert_eq!(names(&home, true), found);
    assert_eq!(names(&home, false).len(), 13);
}

#[test]
fn entries_come_in_the_order_of_their_places() {
    let home = Home::new();
    for name in ["a/z", "a-b", "a.b/c", "b", "a/b/c"] {
        home.write(name, "");
    }
    let found = names(&home, true);
    let mut sorted = found.clone();
    sorted.sort_by_key(|one| path(one));
    assert_eq!(found, sorted);
}

#[test]
fn links_are_told_and_not_followed_and_what_is_no_file_is_named() {
    let home = Home::new();
    let outside = Home::new();
    outside.write("secret", "");
    home.write("f", "text");
    symlink(outside.path(), home.at("l")).unwrap();
    let pipe = home.at("pipe");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    let source = Source { path: home.path().to_owned(), name: path("to"), beneath: None };
    let found: Vec<_> = Walk::new(vec![source], WalkConfig::default()).unwrap().collect();
    assert_eq!(found.len(), 4);
    assert_eq!(found[0].as_ref().unwrap().path, path("to"));
    assert_eq!(found[1].as_ref().unwrap().path, path("to/f"));
    let link = found[2].as_ref().unwrap();
    assert_eq!(link.facts.kind, Kind::Link);
    assert_eq!(link.target.as_deref(), Some(outside.path().as_os_str().as_encoded_bytes()));
    let TreeError::Refused { path, why } = found[3].as_ref().unwrap_err() else { panic!() };
    assert_eq!((path.as_str(), *why), ("pipe", Refusal::Special(Kind::Pipe)));
}

#[test]
fn single_files_and_links_are_sources_too() {
    let home = Home::new();
    home.write("f", "text");
    symlink("f", home.at("l")).unwrap();
    let source = |file: &str, name| Source { path: home.at(file), name: path(name), beneath: None };
    let found: Vec<_> =
        Walk::new(vec![source("l", "z"), source("f", "x/y")], WalkConfig::default())
            .unwrap()
            .map(Result::unwrap)
            .collect();
    assert_eq!(found[0].path, path("x/y"));
    assert_eq!(found[1].target.as_deref(), Some(&b"f"[..]));
    let file = found[0].open().unwrap();
    let mut text = [0; 3];
    assert_eq!(file.read_at(&mut text, 1).unwrap(), 3);
    assert_eq!(&text, b"ext");
    let both = vec![source("f", "x"), source("l", "x/y")];
    assert!(matches!(Walk::new(both, WalkConfig::default()), Err(TreeError::Order { .. })));
    let gone: Vec<_> =
        Walk::new(vec![source("gone", "x")], WalkConfig::default()).unwrap().collect();
    assert!(matches!(&gone[..], [Err(TreeError::Io { .. })]));
}

#[test]
fn files_are_found_again_by_their_places_and_through_no_link() {
    let home = Home::new();
    home.write("f", "one");
    home.write("d/e/g", "two");
    let source = |file: &str, name| Source { path: home.at(file), name: path(name), beneath: None };
    let mut sources = Sources::new(vec![source("f", "x"), source("d", "y")]);
    let mut text = [0; 3];
    for (place, content) in [("x", b"one"), ("y/e/g", b"two"), ("x", b"one")] {
        let file = sources.open(&path(place)).unwrap();
        assert_eq!(file.read_at(&mut text, 0).unwrap(), 3);
        assert_eq!(&text, content);
    }
    for place in ["z", "y", "y/e", "x/f"] {
        assert!(matches!(sources.open(&path(place)), Err(TreeError::Refused { .. })), "{place}");
    }
    fs::rename(home.at("d/e"), home.at("e")).unwrap();
    symlink("../e", home.at("d/e")).unwrap();
    let refused = sources.open(&path("y/e/g"));
    assert!(matches!(refused, Err(TreeError::Refused { why: Refusal::Link, .. })));
}

#[test]
fn files_are_found_in_a_folder_that_took_the_place_of_the_one_before() {
    let home = Home::new();
    home.write("d/f", "one");
    let source = Source { path: home.path().to_owned(), name: path(""), beneath: None };
    let mut sources = Sources::new(vec![source]);
    let mut text = [0; 3];
    sources.open(&path("d/f")).unwrap();
    fs::rename(home.at("d"), home.at("old")).unwrap();
    home.write("d/f", "two");
    home.write("d/g", "two");
    for place in ["d/f", "d/g"] {
        sources.open(&path(place)).unwrap().read_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"two", "{place}");
    }
    fs::remove_dir_all(home.at("old")).unwrap();
    fs::remove_file(home.at("d/f")).unwrap();
    let gone = sources.open(&path("d/f")).unwrap_err();
    assert!(
        matches!(&gone, TreeError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    );
}

#[test]
fn a_source_beneath_a_folder_is_reached_through_no_link_from_there() {
    let (home, outside) = (Home::new(), Home::new());
    home.write("root/d/e/f", "one");
    outside.write("e/f", "two");
    let source = |within: &str| Source {
        path: home.at("root").join(within),
        name: path("x"),
        beneath: Some(home.at("root")),
    };
    let walked = |within: &str| {
        Walk::new(vec![source(within)], WalkConfig::default())
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
    };
    assert_eq!(walked("d/e").unwrap().len(), 2);
    assert_eq!(walked("d/e/f").unwrap().len(), 1);
    Sources::new(vec![source("d/e")]).open(&path("x/f")).unwrap();
    fs::rename(home.at("root/d"), home.at("d")).unwrap();
    symlink(outside.path(), home.at("root/d")).unwrap();
    for within in ["d/e", "d/e/f"] {
        let refused = walked(within).unwrap_err();
        assert!(matches!(refused, TreeError::Refused { why: Refusal::Link, .. }), "{refused}");
    }
    for (within, place) in [("d/e", "x/f"), ("d/e/f", "x")] {
        let refused = Sources::new(vec![source(within)]).open(&path(place)).unwrap_err();
        assert!(matches!(refused, TreeError::Refused { why: Refusal::Link, .. }), "{refused}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    let home = Home::new();
    home.write("d/f", "text");
    let walked = || {
        let source = Source { path: home.path().to_owned(), name: path(""), beneath: None };
        Walk::new(vec![source], WalkConfig::default()).unwrap().map(Result::unwrap).last().unwrap()
    };
    let before = walked();
    let file = before.open().unwrap();
    file.check_unchanged().unwrap();
    home.write("d/f", "TEXT");
    let error = file.check_unchanged().unwrap_err();
    assert!(matches!(&error, TreeError::Changed { path } if path == "d/f"), "{error}");
    assert!(matches!(before.open(), Err(TreeError::Changed { .. })));
    // A folder that became a link leads nowhere.
    let before = walked();
    let outside = Home::new();
    fs::rename(home.at("d"), outside.at("d")).unwrap();
    symlink(outside.at("d"), home.at("d")).unwrap();
    assert!(matches!(before.open(), Err(TreeError::Refused { why: Refusal::Link, .. })));
}

#[test]
fn a_walk_has_an_end() {
    let home = Home::new();
    for number in 0..20 {
        home.write(&number.to_string(), "");
    }
    let found = walk(&home, WalkConfig { entries_max: 7, ..WalkConfig::default() });
    assert_eq!(found.len(), 8);
    assert!(matches!(found[7], Err(TreeError::Quota { max: 7, .. })));
}
