//! What is left when the process is killed, or the disk takes no more.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use mesh_configfile::{FileContent, Stamp};

use crate::support::{FILE, Home, child, open};

/// A content that shows whether it is whole.
fn whole(number: usize) -> Vec<u8> {
    let mut bytes = format!("{number}:").into_bytes();
    bytes.resize(100_000 + number % 1000, b'a' + u8::try_from(number % 26).unwrap());
    bytes
}

fn assert_is_whole(bytes: &[u8]) {
    let colon = bytes.iter().position(|byte| *byte == b':').unwrap();
    let number = std::str::from_utf8(&bytes[..colon]).unwrap().parse().unwrap();
    assert!(bytes == whole(number), "{number} is not whole");
}

/// Replaces and keeps without end.
#[tokio::test]
async fn child_that_replaces_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE) else { return };
    // Ends the line that the test harness has begun.
    println!();
    let file = open(path.as_ref(), Duration::from_secs(2)).await;
    let mut stamp = file.read().await.unwrap().stamp();
    for number in 1.. {
        let bytes = whole(number);
        file.keep_version(&format!("v{}", number % 30), &bytes).await.unwrap();
        stamp = Some(file.replace(&bytes, stamp).await.unwrap());
        println!("done {number}");
    }
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_a_whole_file_and_whole_versions() {
    let home = Home::new();
    fs::write(&home.path, whole(0)).unwrap();
    for round in 0..12 {
        let mut child = child("crash::child_that_replaces_until_it_is_killed", &home.path, None);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let done = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("done ")?.parse::<usize>().ok())
            .nth(round % 4)
            .expect("it replaces");
        // Kilobytes and microseconds further on each time.
        for _ in 0..round * 20_000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let bytes = fs::read(&home.path).unwrap();
        assert_is_whole(&bytes);
        assert!(done == round % 4 + 1);
        let file = home.open().await;
        assert_eq!(home.beside(), Vec::<String>::new());
        for name in file.list_versions().await.unwrap() {
            assert_is_whole(&file.version(&name).await.unwrap().unwrap());
        }
        let FileContent::Present { stamp, .. } = file.read().await.unwrap() else { panic!() };
        file.replace(&whole(0), Some(stamp)).await.unwrap();
    }
}

/// Writes more than its limit allows, as on a full disk, and says what happened.
#[tokio::test]
async fn child_whose_disk_takes_no_more() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let file = open(path.as_ref(), Duration::from_secs(2)).await;
    let is_full = |error| matches!(error, mesh_configfile::FileError::Full { .. });
    println!(
        "\nreplace {}",
        file.replace(&whole(1), Some(Stamp::of(b"old"))).await.is_err_and(is_full)
    );
    println!("keep {}", file.keep_version("a", &whole(1)).await.is_err_and(is_full));
    println!("still {}", file.keep_version("b", b"small").await.is_ok());
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_one_and_leaves_everything_as_it_was() {
    let home = Home::with("old");
    // An ignored SIGXFSZ stays ignored in the child: beyond the limit its writes fail.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["crash::child_whose_disk_takes_no_more", "--exact", "--nocapture"])
        .env(FILE, &home.path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for what in ["replace true", "keep true", "still true"] {
        assert!(said.contains(what), "{said}");
    }
    assert_eq!(home.text(), "old");
    assert_eq!(home.beside(), Vec::<String>::new());
    assert_eq!(home.open().await.list_versions().await.unwrap(), ["b"]);
}
