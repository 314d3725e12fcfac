use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// What came: a script, and a folder.
fn came(dir: &Path) -> PathBuf {
    let from = dir.join("came");
    fs::create_dir_all(from.join("lib/deep")).unwrap();
    fs::write(from.join("run.sh"), "exit 0\n").unwrap();
    fs::set_permissions(from.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(from.join("lib/deep/a"), "new").unwrap();
    symlink("deep/a", from.join("lib/link")).unwrap();
    from
}

#[test]
fn what_came_goes_into_a_folder_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (came(dir.path()), dir.path().join("to"));
    fs::create_dir_all(to.join("lib/deep")).unwrap();
    fs::write(to.join("lib/deep/a"), "old").unwrap();
    fs::write(to.join("lib/own"), "stays").unwrap();
    take(&from, &to, true).unwrap();
    assert_eq!(fs::read(to.join("lib/link")).unwrap(), b"new");
    assert_eq!(fs::read(to.join("lib/own")).unwrap(), b"stays");
    assert_eq!(fs::metadata(to.join("run.sh")).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(!from.exists());
}

#[test]
fn a_single_file_takes_the_name_of_its_destination() {
    let dir = tempfile::tempdir().unwrap();
    let from = came(dir.path());
    fs::remove_dir_all(from.join("lib")).unwrap();
    // A link there is replaced, and not what it leads to.
    let (to, other) = (dir.path().join("to.sh"), dir.path().join("other"));
    fs::write(&other, "other").unwrap();
    symlink(&other, &to).unwrap();
    take(&from, &to, false).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"exit 0\n");
    assert!(to.symlink_metadata().unwrap().is_file());
    assert_eq!(fs::read(&other).unwrap(), b"other");
}

#[test]
fn what_is_in_the_way_stays_and_what_came_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (came(dir.path()), dir.path().join("to"));
    fs::create_dir_all(to.join("run.sh")).unwrap();
    fs::write(to.join("lib"), "a file").unwrap();
    let error = take(&from, &to, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(to.join("lib")).unwrap(), b"a file");
    assert!(from.join("run.sh").exists() && from.join("lib/deep/a").exists());
}

#[test]
fn another_file_system_gets_a_whole_copy_with_mode_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (came(dir.path()).join("run.sh"), dir.path().join("to.sh"));
    let facts = from.symlink_metadata().unwrap();
    place_across(&from, &to, &facts).unwrap();
    let there = to.symlink_metadata().unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"exit 0\n");
    assert_eq!(there.permissions(), facts.permissions());
    assert_eq!(there.modified().unwrap(), facts.modified().unwrap());
}
