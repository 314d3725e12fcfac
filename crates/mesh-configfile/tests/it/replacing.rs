//! New bytes in the place of those that were read, and of no others.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use mesh_configfile::{ConfigFile, FileConfig, FileContent, FileError, Stamp};
use tokio_util::task::TaskTracker;

use crate::support::{Home, set_mode};

fn is_changed(result: &Result<Stamp, FileError>) -> bool {
    matches!(result, Err(FileError::Changed { .. }))
}

#[tokio::test]
async fn a_file_is_created_with_its_folder_and_for_its_owner_alone() {
    let home = Home::new();
    let path = home.folder.path().join("deep/er/c.json");
    let file = crate::support::open(&path, Duration::from_secs(2)).await;
    let stamp = file.replace(b"first", None).await.unwrap();
    assert_eq!(file.read().await.unwrap().stamp(), Some(stamp));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(is_changed(&file.replace(b"second", None).await));
    assert_eq!(fs::read(&path).unwrap(), b"first");
}

#[tokio::test]
async fn only_what_was_read_is_replaced() {
    let home = Home::with("old");
    let file = home.open().await;
    let stamp = file.read().await.unwrap().stamp();
    fs::write(&home.path, "theirs").unwrap();
    assert!(is_changed(&file.replace(b"ours", stamp).await));
    assert_eq!(home.text(), "theirs");
    fs::remove_file(&home.path).unwrap();
    assert!(is_changed(&file.replace(b"ours", stamp).await));
    assert!(!home.path.exists());
    fs::File::create(&home.path).unwrap().set_len(50 << 20).unwrap();
    assert!(is_changed(&file.replace(b"ours", stamp).await));
    assert_eq!(fs::metadata(&home.path).unwrap().len(), 50 << 20);
    fs::remove_file(&home.path).unwrap();
    fs::create_dir(&home.path).unwrap();
    let refused = file.replace(b"ours", stamp).await;
    assert!(matches!(refused, Err(FileError::NotAFile { found: "a folder", .. })), "{refused:?}");
    assert_eq!(home.beside(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_with_the_same_bytes_is_not_written_again() {
    let home = Home::with("same");
    let before = fs::metadata(&home.path).unwrap().ino();
    let stamp = Stamp::of(b"same");
    assert_eq!(home.open().await.replace(b"same", Some(stamp)).await.unwrap(), stamp);
    assert_eq!(fs::metadata(&home.path).unwrap().ino(), before);
}

#[tokio::test]
async fn mode_and_owner_are_kept() {
    let home = Home::with("old");
    set_mode(&home.path, 0o640);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(&home.path, Some(65534), Some(65533)).unwrap();
    }
    let before = fs::metadata(&home.path).unwrap();
    home.open().await.replace(b"new", Some(Stamp::of(b"old"))).await.unwrap();
    let after = fs::metadata(&home.path).unwrap();
    let facts = |metadata: &fs::Metadata| (metadata.mode(), metadata.uid(), metadata.gid());
    assert_eq!(facts(&after), facts(&before));
    assert_eq!(home.text(), "new");
}

#[tokio::test]
async fn a_link_stays_a_link_and_another_hard_link_keeps_the_old_bytes() {
    let (home, away) = (Home::new(), Home::with("old"));
    symlink(&away.path, &home.path).unwrap();
    let hard = away.folder.path().join("hard");
    fs::hard_link(&away.path, &hard).unwrap();
    home.open().await.replace(b"new", Some(Stamp::of(b"old"))).await.unwrap();
    assert_eq!(fs::read_link(&home.path).unwrap(), away.path);
    assert_eq!(away.text(), "new");
    assert_eq!(fs::read_to_string(hard).unwrap(), "old");
}

#[tokio::test]
async fn more_than_could_be_read_again_is_not_written() {
    let home = Home::with("old");
    let config = FileConfig { bytes_max: 10, ..FileConfig::default() };
    let file = ConfigFile::open(home.path.clone(), config, &TaskTracker::new()).await.unwrap();
    let result = file.replace(&[b'x'; 11], Some(Stamp::of(b"old"))).await;
    assert!(matches!(result, Err(FileError::TooLarge { bytes: 11, bytes_max: 10, .. })));
    assert_eq!(home.text(), "old");
}

/// Saves in one of the usual ways.
fn save(path: &PathBuf, number: usize) {
    let text = format!("save {number}\n");
    let beside = path.with_extension("editor");
    match number % 4 {
        0 => {
            fs::write(&beside, text).unwrap();
            fs::rename(beside, path).unwrap();
        }
        1 => fs::write(path, text).unwrap(),
        2 => {
            fs::rename(path, beside).unwrap();
            fs::write(path, text).unwrap();
        }
        _ => {
            let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
            let (first, second) = text.split_at(3);
            file.write_all(first.as_bytes()).unwrap();
            file.write_all(second.as_bytes()).unwrap();
        }
    }
}

/// Somebody saves again soon after the last save was read: each time while the file is being replaced.
/// A save that is lost is never read, and the test ends at its deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_saves_amid_replacing_none_is_lost() {
    const SAVES: usize = 200;
    let home = Home::with("ours 0\n");
    let settle = Duration::from_millis(2);
    let config = FileConfig { settle, ..FileConfig::default() };
    let file = ConfigFile::open(home.path.clone(), config, &TaskTracker::new()).await.unwrap();
    let (tell, told) = mpsc::channel::<usize>();
    let path = home.path.clone();
    let saver = std::thread::spawn(move || {
        for number in 0..SAVES {
            // Up to some milliseconds, which is what replacing takes.
            for _ in 0..number * 7919 % 200_000 {
                std::hint::spin_loop();
            }
            save(&path, number);
            while told.recv_timeout(Duration::from_secs(20)).expect("a save was lost") != number {}
        }
    });
    let (mut seen, mut refused, mut replaced) = (BTreeSet::new(), 0, 0);
    while seen.len() < SAVES && !saver.is_finished() {
        // Missing, and half a line: it is being written, and is left alone as a broken file is.
        let Ok(FileContent::Present { bytes, stamp }) = file.read().await else { continue };
        let text = String::from_utf8(bytes).unwrap();
        let Some(line) = text.strip_suffix('\n') else { continue };
        if let Some(number) = line.strip_prefix("save ") {
            let number = number.parse().unwrap();
            seen.insert(number);
            tell.send(number).ok();
        }
        match file.replace(format!("ours {replaced}\n").as_bytes(), Some(stamp)).await {
            Ok(_) => replaced += 1,
            Err(FileError::Changed { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    saver.join().expect("a save was lost");
    println!("{SAVES} saves seen, {replaced} times replaced, {refused} times refused");
    assert_eq!(seen.len(), SAVES);
    assert!(refused > 0 && replaced > 0);
}
