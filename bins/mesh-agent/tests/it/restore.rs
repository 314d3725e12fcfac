//! What `mesh-agent restore` takes and what it refuses, without touching anything.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;

use crate::agent::{Agent, bare_command};

const BLOCK: usize = 512;

/// The archive of an agent that ran for a moment.
async fn archive(dir: &Path) -> Vec<u8> {
    let agent = Agent::start(dir, "one").await;
    let mut backup = agent.client().backup().await.unwrap();
    let mut archive = Vec::new();
    while let Some(chunk) = backup.chunks.next().await {
        archive.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(backup.bytes_total, Some(archive.len() as u64));
    archive
}

fn restore(file: &Path, data_dir: &Path) -> (Option<i32>, String) {
    let mut command = bare_command();
    let output = command.arg("restore").arg(file).arg("--data-dir").arg(data_dir).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn written(dir: &Path, archive: &[u8]) -> PathBuf {
    let file = dir.join("backup.tar");
    fs::write(&file, archive).unwrap();
    file
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Gives the first file of an archive another name.
fn rename_first(archive: &mut [u8], name: &str) {
    archive[..100].fill(0);
    archive[..name.len()].copy_from_slice(name.as_bytes());
    archive[148..156].fill(b' ');
    let sum: u32 = archive[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[tokio::test]
async fn a_whole_backup_becomes_a_data_directory_for_its_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path()).await;
    let file = written(dir.path(), &archive);
    let data_dir = dir.path().join("new/one");
    let (code, said) = restore(&file, &data_dir);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(mode(&data_dir), 0o700);
    let mut names: Vec<_> =
        fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["agent.lock", "data.db", "mesh.db", "node.key"], "and no copies are left");
    for name in names {
        assert_eq!(mode(&data_dir.join(name)), 0o600);
    }
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(dir.path()).await;
    let mut broken: Vec<(Vec<u8>, &str)> =
        [0, 100, BLOCK, BLOCK + 100, whole.len() / 2, whole.len() - 2 * BLOCK - 1]
            .map(|length| (whole[..length].to_vec(), "is not a whole backup"))
            .into();
    // The key of 234 bytes and its header are a block each.
    broken.push((whole[2 * BLOCK..].to_vec(), "node.key is missing"));
    broken.push((vec![0; 2 * BLOCK], "is missing"));
    broken.push((b"no archive at all".repeat(1000), "is not a whole backup"));
    for name in ["passwd", "../node.key", "/node.key", "mesh.db"] {
        let mut foreign = whole.clone();
        rename_first(&mut foreign, name);
        broken.push((foreign, "is not a whole backup"));
    }
    for (number, (archive, words)) in broken.iter().enumerate() {
        let file = written(dir.path(), archive);
        let data_dir = dir.path().join(format!("broken-{number}"));
        let (code, said) = restore(&file, &data_dir);
        assert_eq!(code, Some(1), "{number}: {said}");
        assert!(said.starts_with("mesh-agent: ") && said.contains(words), "{number}: {said}");
        assert!(!data_dir.exists(), "{number}: nothing is left");
    }
    let (code, said) = restore(&dir.path().join("none.tar"), &dir.path().join("new"));
    assert_eq!(code, Some(1));
    assert!(said.contains("none.tar cannot be read"), "{said}");
    assert!(!dir.path().join("new").exists());
}

#[tokio::test]
async fn a_directory_with_anything_of_an_agent_in_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), &archive(dir.path()).await);
    let names = ["node.key", "mesh.db", "data.db", "mesh.db-wal", "data.db-wal"];
    for name in names {
        let data_dir = dir.path().join(format!("with-{name}"));
        fs::create_dir(&data_dir).unwrap();
        fs::write(data_dir.join(name), "mine").unwrap();
        let (code, said) = restore(&file, &data_dir);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("holds an agent already") && said.contains(name), "{said}");
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1);
        assert_eq!(fs::read(data_dir.join(name)).unwrap(), b"mine");
    }
}
