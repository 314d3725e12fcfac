//! What is kept beside the file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mesh_configfile::{ConfigFile, FileConfig, FileError};
use tokio_util::task::TaskTracker;

use crate::support::Home;

#[tokio::test]
async fn versions_are_listed_newest_first_and_read_by_name() {
    let home = Home::new();
    let file = home.open().await;
    assert_eq!(file.list_versions().await.unwrap(), Vec::<String>::new());
    assert_eq!(file.version("a").await.unwrap(), None);
    for name in ["a", "0123456789abcdef", "c-3"] {
        file.keep_version(name, name.as_bytes()).await.unwrap();
    }
    assert_eq!(file.list_versions().await.unwrap(), ["c-3", "0123456789abcdef", "a"]);
    assert_eq!(file.version("a").await.unwrap().as_deref(), Some(&b"a"[..]));
    // Another process goes on where this one stopped.
    let file = home.open().await;
    file.keep_version("a", b"again").await.unwrap();
    assert_eq!(file.list_versions().await.unwrap(), ["a", "c-3", "0123456789abcdef"]);
    assert_eq!(file.version("a").await.unwrap().as_deref(), Some(&b"again"[..]));
}

#[tokio::test]
async fn no_more_than_the_bound_are_kept_and_the_newest_stay() {
    let home = Home::new();
    let file = home.open().await;
    for number in 0..50 {
        file.keep_version(&format!("v{number}"), b"x").await.unwrap();
    }
    let names = file.list_versions().await.unwrap();
    assert_eq!(names, (30..50).rev().map(|number| format!("v{number}")).collect::<Vec<_>>());
    let folder = home.folder.path().join("mesh-config.json.versions");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 20);
}

#[tokio::test]
async fn a_name_that_could_lead_elsewhere_is_refused() {
    let home = Home::new();
    let file = home.open().await;
    for name in ["", "..", "a/b", "/etc/passwd", "A", "a b", "ä", ".a", "a\0", &"a".repeat(65)] {
        let refused = |error| matches!(error, FileError::Name { .. });
        assert!(file.keep_version(name, b"x").await.is_err_and(refused), "{name:?}");
        assert!(file.version(name).await.is_err_and(refused), "{name:?}");
    }
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_else_may_read_a_version() {
    let home = Home::new();
    home.open().await.keep_version("a", b"x").await.unwrap();
    let folder = home.folder.path().join("mesh-config.json.versions");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o700);
    assert_eq!(mode(folder.join("0000000001-a")), 0o600);
}

#[tokio::test]
async fn what_a_killed_process_left_and_what_others_put_there_is_no_version() {
    let home = Home::new();
    let folder = home.folder.path().join("mesh-config.json.versions");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(".tmp-abc"), "half").unwrap();
    fs::write(folder.join("notes.txt"), "somebody's").unwrap();
    fs::create_dir(folder.join("0000000009-folder")).unwrap();
    let file = home.open().await;
    file.keep_version("a", b"x").await.unwrap();
    assert_eq!(file.list_versions().await.unwrap(), ["a"]);
    assert!(!folder.join(".tmp-abc").exists());
    assert!(folder.join("notes.txt").exists());
}

#[tokio::test]
async fn a_version_larger_than_a_file_may_be_is_refused() {
    let home = Home::new();
    let config = FileConfig { bytes_max: 10, ..FileConfig::default() };
    let file = ConfigFile::open(home.path.clone(), config, &TaskTracker::new()).await.unwrap();
    file.keep_version("a", &[b'x'; 10]).await.unwrap();
    let error = file.keep_version("b", &[b'x'; 11]).await.unwrap_err();
    assert!(matches!(error, FileError::TooLarge { bytes: 11, bytes_max: 10, .. }));
    assert_eq!(file.list_versions().await.unwrap(), ["a"]);
}
