//! Every way of saving is noticed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use mesh_configfile::{FileConfig, FileError, Stamp};

use crate::support::{Home, Reader, open, text};

#[tokio::test]
async fn every_way_of_saving_is_seen() {
    let home = Home::with("old");
    let beside = |name: &str| home.folder.path().join(name);
    let mut reader = Reader::of(home.open().await).await;

    // As vim does with `backupcopy=no` and most editors do: a new file takes the name.
    fs::write(beside("4913"), "renamed").unwrap();
    fs::rename(beside("4913"), &home.path).unwrap();
    reader.until(Some("renamed")).await;

    // As others do: the old file becomes the backup, then the new one is written.
    fs::rename(&home.path, beside("mesh-config.json~")).unwrap();
    fs::write(&home.path, "backed up").unwrap();
    reader.until(Some("backed up")).await;

    // As nano and `cp` do: the file is emptied and written.
    fs::write(beside("other"), "copied").unwrap();
    fs::copy(beside("other"), &home.path).unwrap();
    reader.until(Some("copied")).await;

    OpenOptions::new().append(true).open(&home.path).unwrap().write_all(b" on").unwrap();
    reader.until(Some("copied on")).await;

    // The same length, in place.
    fs::write(&home.path, "COPIED ON").unwrap();
    reader.until(Some("COPIED ON")).await;

    fs::remove_file(&home.path).unwrap();
    reader.until(None).await;

    fs::write(&home.path, "made again").unwrap();
    reader.until(Some("made again")).await;

    fs::write(&home.path, "").unwrap();
    reader.until(Some("")).await;
}

#[tokio::test]
async fn programs_that_edit_are_seen() {
    let home = Home::with("one\n");
    let mut reader = Reader::of(home.open().await).await;
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).arg(&home.path).output().map(|output| output.status)
    };
    assert!(run("sed", &["-i", "s/one/two/"]).unwrap().success());
    reader.until(Some("two\n")).await;
    let other = home.folder.path().join("other");
    fs::write(&other, "three\n").unwrap();
    assert!(run("cp", &[other.to_str().unwrap()]).unwrap().success());
    reader.until(Some("three\n")).await;
    assert!(run("mv", &[other.to_str().unwrap()]).unwrap().success());
    // The same bytes in another file are no news; these are.
    fs::write(&home.path, "four\n").unwrap();
    reader.until(Some("four\n")).await;
    // Not everywhere installed; what it does is done by hand in the test above.
    if run("vim", &["-es", "-u", "NONE", "-c", "%s/four/five/", "-c", "x"]).is_ok() {
        reader.until(Some("five\n")).await;
    }
}

#[tokio::test]
async fn a_program_that_empties_the_file_and_writes_in_steps_is_waited_for() {
    let home = Home::with("old");
    let config = FileConfig { settle: Duration::from_millis(400), ..FileConfig::default() };
    let tracker = tokio_util::task::TaskTracker::new();
    let file = mesh_configfile::ConfigFile::open(home.path.clone(), config, &tracker);
    let reader = Reader::of(file.await.unwrap()).await;
    let mut writer = fs::File::create(&home.path).unwrap();
    // Reading has begun while the file is empty, and waits for it to stay the same.
    let mut reading = Box::pin(reader.file.read());
    let none = tokio::time::timeout(Duration::from_millis(100), &mut reading).await;
    assert!(none.is_err(), "{none:?}");
    writer.write_all(b"first half, ").unwrap();
    let none = tokio::time::timeout(Duration::from_millis(100), &mut reading).await;
    assert!(none.is_err(), "{none:?}");
    writer.write_all(b"second half").unwrap();
    let read = text(reading.await.unwrap());
    assert_eq!(read.as_deref(), Some("first half, second half"));
}

#[tokio::test]
async fn own_writes_and_the_same_bytes_again_wake_nobody() {
    let home = Home::with("old");
    let mut reader = Reader::of(home.open().await).await;
    let mut stamp = Stamp::of(b"old");
    for round in 0..10 {
        stamp = reader.file.replace(format!("own {round}").as_bytes(), Some(stamp)).await.unwrap();
    }
    // Read once more, so that whatever was to be announced has been.
    assert_eq!(text(reader.file.read().await.unwrap()).as_deref(), Some("own 9"));
    fs::rename(&home.path, home.folder.path().join("away")).unwrap();
    fs::rename(home.folder.path().join("away"), &home.path).unwrap();
    fs::write(home.folder.path().join("same"), "own 9").unwrap();
    fs::rename(home.folder.path().join("same"), &home.path).unwrap();
    reader.file.read().await.unwrap();
    assert_eq!(*reader.changes.borrow(), 0);
    fs::write(&home.path, "theirs").unwrap();
    reader.until(Some("theirs")).await;
}

#[tokio::test]
async fn a_link_to_another_file_and_changes_of_what_it_leads_to_are_seen() {
    let (home, away) = (Home::new(), Home::with("away"));
    symlink(&away.path, &home.path).unwrap();
    let mut reader = Reader::of(home.open().await).await;
    fs::write(&away.path, "changed there").unwrap();
    reader.until(Some("changed there")).await;
    let other = Home::with("other");
    fs::remove_file(&home.path).unwrap();
    symlink(&other.path, &home.path).unwrap();
    reader.until(Some("other")).await;
    // The folder of the new one is watched as soon as the link is.
    fs::write(&other.path, "changed here").unwrap();
    reader.until(Some("changed here")).await;
}

#[tokio::test]
async fn a_folder_that_vanishes_and_comes_back_is_watched_again() {
    let home = Home::new();
    let folder = home.folder.path().join("deep/er");
    let path = folder.join("c.json");
    let mut reader = Reader::of(open(&path, Duration::from_secs(3600)).await).await;
    for round in 0..3 {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, format!("round {round}")).unwrap();
        reader.until(Some(&format!("round {round}"))).await;
        fs::write(&path, format!("again {round}")).unwrap();
        reader.until(Some(&format!("again {round}"))).await;
        if round == 1 {
            // Moved away, it is another folder, and what happens there is nothing to us.
            fs::rename(&folder, home.folder.path().join("gone")).unwrap();
        } else {
            fs::remove_dir_all(home.folder.path().join("deep")).unwrap();
        }
        reader.until(None).await;
    }
}

#[tokio::test]
async fn without_events_the_file_is_polled() {
    let home = Home::with("old");
    // A folder of a folder above a link's folder: nobody watches it.
    let real = home.folder.path().join("real");
    fs::create_dir_all(real.join("in")).unwrap();
    fs::write(real.join("in/c.json"), "old").unwrap();
    let other = home.folder.path().join("other");
    fs::create_dir_all(other.join("in")).unwrap();
    fs::write(other.join("in/c.json"), "new").unwrap();
    let way = home.folder.path().join("way");
    symlink(&real, &way).unwrap();
    let path = way.join("in/c.json");
    let mut reader = Reader::of(open(&path, Duration::from_millis(50)).await).await;
    fs::remove_file(&way).unwrap();
    symlink(&other, &way).unwrap();
    reader.until(Some("new")).await;
}

#[tokio::test]
async fn trouble_is_announced_once_and_so_is_its_end() {
    let home = Home::with("old");
    let mut reader = Reader::of(open(&home.path, Duration::from_millis(20)).await).await;
    fs::File::create(&home.path).unwrap().set_len(50 << 20).unwrap();
    reader.changed().await;
    assert!(matches!(reader.file.read().await, Err(FileError::TooLarge { .. })));
    let count = *reader.changes.borrow_and_update();
    // Many polls later nothing else was said.
    let none = tokio::time::timeout(Duration::from_millis(300), reader.changes.changed()).await;
    assert!(none.is_err());
    assert_eq!(*reader.changes.borrow(), count);
    fs::write(&home.path, "mended").unwrap();
    reader.until(Some("mended")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is shown")]
async fn a_save_is_read_soon_after_it_has_settled() {
    let home = Home::with("old");
    let mut reader = Reader::of(home.open().await).await;
    let mut took = Vec::new();
    for round in 0..40 {
        let new = home.folder.path().join("new");
        fs::write(&new, format!("round {round}")).unwrap();
        let saved = Instant::now();
        fs::rename(&new, &home.path).unwrap();
        reader.until(Some(&format!("round {round}"))).await;
        took.push(saved.elapsed());
    }
    took.sort();
    println!("from the save to its bytes: median {:?}, worst {:?}", took[20], took[39]);
    assert!(took[20] < Duration::from_secs(2));
}
