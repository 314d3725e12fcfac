//! What stands at the path, whatever it is.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use mesh_configfile::{FileConfig, FileContent, FileError, Stamp};

use crate::support::{FILE, Home, Reader, child, open, set_mode, text};

#[tokio::test]
async fn a_file_is_read_whole_and_named_by_its_bytes() {
    let home = Home::with("{}");
    let content = home.open().await.read().await.unwrap();
    assert_eq!(content, FileContent::Present { bytes: b"{}".to_vec(), stamp: Stamp::of(b"{}") });
}

#[tokio::test]
async fn where_there_is_no_file_or_no_folder_it_is_missing() {
    let home = Home::new();
    assert_eq!(home.open().await.read().await.unwrap(), FileContent::Missing);
    let deep = open(&home.path.join("deep/er.json"), Duration::from_secs(2)).await;
    assert_eq!(deep.read().await.unwrap(), FileContent::Missing);
    fs::write(&home.path, "a file where a folder should be").unwrap();
    assert_eq!(deep.read().await.unwrap(), FileContent::Missing);
}

#[tokio::test]
async fn an_empty_file_is_empty_and_not_missing() {
    let home = Home::with("");
    assert_eq!(text(home.open().await.read().await.unwrap()).as_deref(), Some(""));
}

#[tokio::test]
async fn fifty_mebibytes_are_refused_by_number_and_a_file_of_the_bound_is_read() {
    let home = Home::new();
    let file = home.open().await;
    File::create(&home.path).unwrap().set_len(50 << 20).unwrap();
    let error = file.read().await.unwrap_err();
    assert!(
        matches!(error, FileError::TooLarge { bytes: 52_428_800, bytes_max: 8_388_608, .. }),
        "{error}"
    );
    let bound = FileConfig::default().bytes_max;
    File::create(&home.path).unwrap().set_len(bound as u64).unwrap();
    let FileContent::Present { bytes, .. } = file.read().await.unwrap() else { panic!() };
    assert_eq!(bytes.len(), bound);
    File::create(&home.path).unwrap().set_len(bound as u64 + 1).unwrap();
    assert!(matches!(file.read().await, Err(FileError::TooLarge { .. })));
}

#[tokio::test]
async fn a_folder_a_pipe_a_socket_and_a_device_are_named_and_never_waited_for() {
    let home = Home::new();
    let mut reader = Reader::of(home.open().await).await;
    let found = |error: FileError| {
        let FileError::NotAFile { found, .. } = error else { panic!("{error}") };
        found
    };

    fs::create_dir(&home.path).unwrap();
    reader.changed().await;
    assert_eq!(found(reader.file.read().await.unwrap_err()), "a folder");
    fs::remove_dir(&home.path).unwrap();

    assert!(Command::new("mkfifo").arg(&home.path).status().unwrap().success());
    reader.changed().await;
    assert_eq!(found(reader.file.read().await.unwrap_err()), "a named pipe");
    fs::remove_file(&home.path).unwrap();

    let socket = UnixListener::bind(&home.path).unwrap();
    assert_eq!(found(reader.file.read().await.unwrap_err()), "a socket");
    drop(socket);
    fs::remove_file(&home.path).unwrap();

    symlink("/dev/zero", &home.path).unwrap();
    assert_eq!(found(reader.file.read().await.unwrap_err()), "a device");
    fs::remove_file(&home.path).unwrap();

    fs::write(&home.path, "back").unwrap();
    reader.until(Some("back")).await;
}

#[tokio::test]
async fn links_are_followed_and_those_that_lead_nowhere_do_no_harm() {
    let home = Home::new();
    fs::create_dir(home.folder.path().join("deep")).unwrap();
    let target = home.folder.path().join("deep/target.json");
    symlink("deep/target.json", &home.path).unwrap();
    let file = home.open().await;
    assert_eq!(file.read().await.unwrap(), FileContent::Missing);
    fs::write(&target, "there").unwrap();
    assert_eq!(text(file.read().await.unwrap()).as_deref(), Some("there"));
    fs::remove_file(&home.path).unwrap();
    symlink("mesh-config.json", &home.path).unwrap();
    assert!(matches!(file.read().await, Err(FileError::Io { .. })));
    home.open().await;
}

/// Reads and writes a file as a user who may not, and says what happened.
#[tokio::test]
async fn child_that_may_not_read() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let file = open(path.as_ref(), Duration::from_secs(2)).await;
    let is_denied = |error: &FileError| matches!(error, FileError::Denied { .. });
    let read = file.read().await;
    println!("\nread {}", read.as_ref().is_err_and(is_denied));
    let replaced = file.replace(b"mine", Some(Stamp::of(b"theirs"))).await;
    println!("replace {}", replaced.as_ref().is_err_and(is_denied));
    let kept = file.keep_version("one", b"mine").await;
    println!("keep {}", kept.as_ref().is_err_and(is_denied));
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_said_to_be_one() {
    let home = Home::with("theirs");
    set_mode(&home.path, 0);
    set_mode(home.folder.path(), 0o555);
    // The superuser may read everything.
    let user = rustix::process::geteuid().is_root().then_some(65534);
    let output =
        child("reading::child_that_may_not_read", &home.path, user).wait_with_output().unwrap();
    set_mode(home.folder.path(), 0o755);
    let said = String::from_utf8(output.stdout).unwrap();
    for what in ["read true", "replace true", "keep true"] {
        assert!(said.contains(what), "{said}");
    }
    set_mode(&home.path, 0o600);
    assert_eq!(home.text(), "theirs");
}
