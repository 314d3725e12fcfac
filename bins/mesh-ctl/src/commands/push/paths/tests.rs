use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{absolute, beneath};

#[test]
fn a_path_is_whole_and_keeps_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    std::fs::create_dir_all(dir.join("a/b")).unwrap();
    std::os::unix::fs::symlink("a", dir.join("link")).unwrap();
    let text = |path: &str| {
        let path = absolute(&dir.join(path)).unwrap();
        path.strip_prefix(&dir).unwrap().as_os_str().to_str().map(str::to_owned).unwrap()
            + if path.as_os_str().as_bytes().ends_with(b"/") { "/" } else { "" }
    };
    assert_eq!(text("a/b"), "a/b");
    assert_eq!(text("a/b/"), "a/b/");
    assert_eq!(text("a/b/."), "a/b/");
    assert_eq!(text("a/./b"), "a/b");
    assert_eq!(text("a/b/../b/"), "a/b/");
    assert_eq!(text("a/b/.."), "a");
    assert_eq!(text("a/../link"), "link");
    let here = std::env::current_dir().unwrap();
    assert_eq!(absolute(Path::new(".")).unwrap(), here);
    assert_eq!(absolute(Path::new("src")).unwrap(), here.join("src"));
}

#[test]
fn a_place_beneath_a_root_is_without_dots_and_dots_alone_are_the_root() {
    assert_eq!(beneath(Path::new("./deploy/./now")).as_deref(), Some(Path::new("deploy/now")));
    assert_eq!(beneath(Path::new(".")), None);
    assert_eq!(beneath(Path::new("../up")).as_deref(), Some(Path::new("../up")));
}

#[test]
fn a_name_that_is_no_text_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(OsStr::from_bytes(b"a\xff"));
    std::fs::write(&file, "").unwrap();
    assert_eq!(absolute(&file).unwrap(), file);
}

#[test]
fn what_is_not_there_is_refused() {
    assert!(absolute(Path::new("/nowhere/at/all")).is_err());
    assert!(absolute(Path::new("")).is_err());
}
