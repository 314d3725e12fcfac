//! Putting a push together: ranges, sparse files, copies, quotas, full disks.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use mesh_protocol::PushId;
use mesh_tree::{Followed, Plan, Refusal, Root, RootConfig, Space, StagedFile, Staging, TreeError};

use crate::support::{Home, commit, config, digests, entry, file, open, path, push, why};

#[test]
fn missing_ranges_are_told_and_survive_being_opened_again() {
    let home = Home::new();
    let root = home.open();
    let staging = Staging::open(&root, push(1)).unwrap();
    let file = staging.file(3, &entry("f", 100), Space::Allocated).unwrap();
    assert_eq!(file.next_missing(0), Some(0..100));
    file.put(10, &[1; 20]).unwrap();
    file.put(50, &[1; 50]).unwrap();
    for _ in 0..2 {
        let staging = Staging::open(&root, push(1)).unwrap();
        let file = staging.file(3, &entry("f", 100), Space::Allocated).unwrap();
        assert_eq!(file.next_missing(0), Some(0..10));
        assert_eq!(file.next_missing(10), Some(30..50));
        assert_eq!(file.next_missing(50), None);
        assert!(file.is_verified(12..30) && !file.is_verified(12..31));
    }
    assert!(matches!(file.put(90, &[0; 11]), Err(TreeError::Mismatch { .. })));
    // Announced with another size, it is another file.
    let file = staging.file(3, &entry("f", 99), Space::Allocated).unwrap();
    assert_eq!(file.next_missing(0), Some(0..99));
    assert_eq!(Staging::list(&root).unwrap(), [push(1)]);
    Staging::discard(&root, push(1)).unwrap();
    assert!(Staging::list(&root).unwrap().is_empty());
}

#[test]
fn a_log_from_before_the_machine_stopped_counts_up_to_the_last_sync() {
    let home = Home::new();
    let root = home.open();
    let staging = Staging::open(&root, push(1)).unwrap();
    let file = staging.file(0, &entry("f", 100), Space::Allocated).unwrap();
    file.put(0, &[1; 10]).unwrap();
    staging.sync().unwrap();
    file.put(20, &[1; 10]).unwrap();
    drop((file, staging));
    // Another boot, in the first note of the log, with the digest that it needs.
    let log = home.at(&format!(".mesh-tree/staging/{}/log", push(1)));
    let mut bytes = fs::read(&log).unwrap();
    bytes[8] ^= 1;
    let digest = blake3::hash(&bytes[..32]);
    bytes[32..40].copy_from_slice(&digest.as_bytes()[..8]);
    // And what was written last is cut off in the middle.
    bytes.extend_from_slice(&[7; 13]);
    fs::write(&log, &bytes).unwrap();
    for _ in 0..2 {
        let staging = Staging::open(&root, push(1)).unwrap();
        let file = staging.file(0, &entry("f", 100), Space::Allocated).unwrap();
        assert_eq!(file.next_missing(0), Some(10..100));
    }
}

#[test]
fn a_flipped_byte_on_disk_is_found_and_nothing_of_the_file_counts_any_more() {
    let home = Home::new();
    let root = home.open();
    let staging = Staging::open(&root, push(1)).unwrap();
    let bytes = vec![7; 3 << 20];
    let entry = entry("d/big", bytes.len() as u64);
    let file = staging.file(0, &entry, Space::Allocated).unwrap();
    file.put(0, &bytes).unwrap();
    let staged = home.at(&format!(".mesh-tree/staging/{}/items/0", push(1)));
    let disk = fs::File::options().write(true).open(staged).unwrap();
    disk.write_all_at(&[8], 2_500_000).unwrap();
    let error = file.finish(&digests(&bytes)).unwrap_err();
    assert!(matches!(&error, TreeError::Mismatch { path } if path == "d/big"), "{error}");
    let file = staging.file(0, &entry, Space::Allocated).unwrap();
    assert_eq!(file.next_missing(0), Some(0..3 << 20));
    file.put(0, &bytes).unwrap();
    file.finish(&digests(&bytes)).unwrap();
    assert!(staging.is_finished(0));
    // One digest that is right is not enough.
    let file = staging.file(0, &entry, Space::Allocated).unwrap();
    file.put(0, &bytes).unwrap();
    let half = mesh_protocol::FileDigests { sha256: [0; 32], ..digests(&bytes) };
    assert!(matches!(file.finish(&half), Err(TreeError::Mismatch { .. })));
    assert!(!staging.is_finished(0));
}

#[test]
fn a_file_is_followed_while_it_comes_and_a_byte_that_flips_behind_that_is_found() {
    let home = Home::new();
    let root = home.open();
    let staging = Staging::open(&root, push(1)).unwrap();
    let bytes: Vec<u8> = (0..20 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let entry = entry("d/big", bytes.len() as u64);
    let staged = home.at(&format!(".mesh-tree/staging/{}/items/0", push(1)));
    let put = |file: &StagedFile, range: Range<usize>| {
        file.put(range.start as u64, &bytes[range]).unwrap();
    };
    let flipped = [None, Some(3_000_000), Some(9_500_000), Some(19_000_000)];
    for flipped in flipped {
        let file = staging.file(0, &entry, Space::Allocated).unwrap();
        let mut followed = Followed::default();
        file.follow(&mut followed).unwrap();
        put(&file, 0..1 << 20);
        put(&file, 2 << 20..9 << 20);
        file.clone().follow(&mut followed).unwrap();
        put(&file, 1 << 20..2 << 20);
        file.follow(&mut followed).unwrap();
        put(&file, 9 << 20..20 << 20);
        if let Some(at) = flipped {
            let disk = fs::File::options().write(true).open(&staged).unwrap();
            disk.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
        }
        let finished = file.finish_followed(&digests(&bytes), followed);
        match flipped {
            None => finished.unwrap(),
            Some(_) => assert!(matches!(finished, Err(TreeError::Mismatch { .. }))),
        }
        assert_eq!(staging.is_finished(0), flipped.is_none());
    }
    // What was followed is no less compared than the rest.
    for announced in [
        mesh_protocol::FileDigests { sha256: [0; 32], ..digests(&bytes) },
        mesh_protocol::FileDigests { blake3: [0; 32], ..digests(&bytes) },
    ] {
        let file = staging.file(0, &entry, Space::Allocated).unwrap();
        put(&file, 0..20 << 20);
        let mut followed = Followed::default();
        file.follow(&mut followed).unwrap();
        let finished = file.finish_followed(&announced, followed);
        assert!(matches!(finished, Err(TreeError::Mismatch { .. })));
    }
    // Somebody cuts it off.
    let file = staging.file(0, &entry, Space::Allocated).unwrap();
    put(&file, 0..20 << 20);
    fs::File::options().write(true).open(&staged).unwrap().set_len(5 << 20).unwrap();
    let mut followed = Followed::default();
    assert!(matches!(file.follow(&mut followed), Err(TreeError::Mismatch { .. })));
    assert!(matches!(file.finish(&digests(&bytes)), Err(TreeError::Mismatch { .. })));
}

#[test]
fn sparse_and_empty_files_stay_what_they_are() {
    let home = Home::new();
    let root = home.open();
    let staging = Staging::open(&root, push(1)).unwrap();
    let size = 64 << 20;
    let mut bytes = vec![0; size];
    bytes[32 << 20] = 1;
    let sparse = entry("sparse", size as u64);
    let file = staging.file(1, &sparse, Space::Sparse).unwrap();
    file.put(32 << 20, &bytes[32 << 20..(32 << 20) + 10]).unwrap();
    file.put_zeros(0, 32 << 20).unwrap();
    file.put_zeros((32 << 20) + 10, (32 << 20) - 10).unwrap();
    assert_eq!(file.next_missing(0), None);
    file.finish(&digests(&bytes)).unwrap();
    staging.whole(0, &entry("empty", 0), &digests(b""), b"").unwrap();
    let mut plan = Plan::begin(&staging, 0).unwrap();
    plan.file(0, &entry("empty", 0)).unwrap();
    plan.file(1, &sparse).unwrap();
    plan.finish().unwrap().commit(&mut |_| {}).unwrap();
    let facts = fs::metadata(home.at("sparse")).unwrap();
    assert_eq!(facts.len(), size as u64);
    assert!(facts.blocks() * 512 < 1 << 20, "{}", facts.blocks());
    assert_eq!(fs::metadata(home.at("empty")).unwrap().len(), 0);

    let file = root.file(&path("sparse")).unwrap();
    let data = file.next_data(0).unwrap().unwrap();
    assert!(data.contains(&(32 << 20)) && data.end - data.start < 1 << 20, "{data:?}");
    assert_eq!(file.next_data(data.end).unwrap(), None);
}

#[test]
fn zeros_that_are_copied_become_a_hole_although_the_space_was_taken_before() {
    let home = Home::new();
    fs::write(home.at("old"), vec![0; 4 << 20]).unwrap();
    let root = home.open();
    let old = root.file(&path("old")).unwrap();
    let staging = Staging::open(&root, push(1)).unwrap();
    let new = entry("new", 16 << 20);
    let file = staging.file(0, &new, Space::Allocated).unwrap();
    let wanted = *blake3::hash(&vec![0; 4 << 20]).as_bytes();
    for number in 0..4 {
        assert!(file.copy(&old, 0, number << 22, 4 << 20, &wanted).unwrap());
    }
    assert_eq!(file.next_missing(0), None);
    file.finish(&digests(&vec![0; 16 << 20])).unwrap();
    let mut plan = Plan::begin(&staging, 0).unwrap();
    plan.file(0, &new).unwrap();
    plan.finish().unwrap().commit(&mut |_| {}).unwrap();
    let facts = fs::metadata(home.at("new")).unwrap();
    assert_eq!(facts.len(), 16 << 20);
    assert!(facts.blocks() * 512 < 1 << 20, "{}", facts.blocks());
}

#[test]
fn what_is_there_already_is_copied_if_it_is_what_was_announced() {
    let home = Home::new();
    home.write("old", &"0123456789".repeat(1_000));
    let root = home.open();
    let old = root.file(&path("old")).unwrap();
    let staging = Staging::open(&root, push(1)).unwrap();
    let file = staging.file(0, &entry("new", 20), Space::Allocated).unwrap();
    let wanted = *blake3::hash(b"3456789012").as_bytes();
    assert!(file.copy(&old, 3, 10, 10, &wanted).unwrap());
    assert!(!file.copy(&old, 4, 0, 10, &wanted).unwrap());
    assert!(!file.copy(&old, 9_995, 0, 10, &wanted).unwrap());
    assert_eq!(file.next_missing(0), Some(0..10));
    assert_eq!(file.next_missing(10), None);
    // From another file system bytes pass through this process.
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(shm.path().join("f"), "9876543210").unwrap();
    let other = open(shm.path());
    let source = other.file(&path("f")).unwrap();
    assert!(file.copy(&source, 0, 0, 10, blake3::hash(b"9876543210").as_bytes()).unwrap());
    file.finish(&digests(b"98765432103456789012")).unwrap();
}

#[test]
fn a_quota_counts_everything_in_the_root_and_refuses_before_anything_is_written() {
    let home = Home::new();
    home.write("theirs", &"x".repeat(600));
    let root = Root::open(home.path(), RootConfig { bytes_max: 1_000, files_max: 20, ..config() })
        .unwrap();
    let staging = Staging::open(&root, push(1)).unwrap();
    let error = staging.file(0, &entry("f", 500), Space::Sparse).unwrap_err();
    assert!(matches!(error, TreeError::Quota { what: "bytes", max: 1_000, .. }), "{error}");
    fs::remove_file(home.at("theirs")).unwrap();
    staging.file(0, &entry("f", 500), Space::Sparse).unwrap();
    let error = staging.file(1, &entry("g", 501), Space::Sparse).unwrap_err();
    assert!(matches!(error, TreeError::Quota { what: "bytes", .. }), "{error}");
    let error = (1..30)
        .find_map(|number| staging.file(number, &entry("e", 0), Space::Sparse).err())
        .unwrap();
    assert!(matches!(error, TreeError::Quota { what: "files", max: 20, .. }), "{error}");
    Staging::discard(&root, push(1)).unwrap();
    Staging::open(&root, push(2)).unwrap().file(0, &entry("f", 900), Space::Sparse).unwrap();
}

#[test]
fn a_disk_without_room_is_told_before_and_while_it_is_written() {
    let home = Home::new();
    let free = RootConfig { free_bytes_min: 1 << 60, ..config() };
    let root = Root::open(home.path(), free).unwrap();
    let staging = Staging::open(&root, push(1)).unwrap();
    let error = staging.file(0, &entry("f", 1), Space::Allocated).unwrap_err();
    assert!(matches!(error, TreeError::Full { .. }), "{error}");
    drop((staging, root));

    let Some(small) = SmallDisk::mount() else { return };
    let root = open(small.0.path());
    fs::write(small.0.path().join("f"), "old").unwrap();
    let staging = Staging::open(&root, push(1)).unwrap();
    let error = staging.file(0, &entry("f", 4 << 20), Space::Allocated).unwrap_err();
    assert!(matches!(error, TreeError::Full { .. }), "{error}");
    // Others fill the disk meanwhile.
    let file = staging.file(0, &entry("f", 800 << 10), Space::Sparse).unwrap();
    fs::write(small.0.path().join("theirs"), vec![1; 700 << 10]).unwrap();
    let error = file.put(0, &vec![1; 800 << 10]).unwrap_err();
    assert!(matches!(&error, TreeError::Full { path, .. } if path == "f"), "{error}");
    drop(file);
    Staging::discard(&root, push(1)).unwrap();
    assert_eq!(fs::read(small.0.path().join("f")).unwrap(), b"old");
}

/// On a full disk nothing can be noted any more, and what is staged is what takes the room.
#[test]
fn what_is_staged_is_discarded_without_a_log_to_write_to() {
    let home = Home::new();
    let root = home.open();
    drop(Staging::open(&root, push(1)).unwrap());
    let staged = fs::read_dir(home.at(".mesh-tree/staging")).unwrap().next().unwrap().unwrap();
    fs::remove_file(staged.path().join("log")).unwrap();
    fs::create_dir(staged.path().join("log")).unwrap();
    Staging::open(&root, push(1)).unwrap_err();
    Staging::discard(&root, push(1)).unwrap();
    assert!(Staging::list(&root).unwrap().is_empty());
}

#[test]
fn pushes_are_discarded_side_by_side() {
    let home = Home::new();
    let root = home.open();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let root = &root;
            scope.spawn(move || {
                for round in 0..50 {
                    let id = PushId::from_bytes([[thread, round]; 8].concat().try_into().unwrap());
                    let staging = Staging::open(root, id).unwrap();
                    let view = staging.view().unwrap();
                    for name in ["a/b/c", "d/e/f"] {
                        fs::create_dir_all(view.path().join(name)).unwrap();
                    }
                    view.remove().unwrap();
                    fs::create_dir_all(staging.view().unwrap().path().join("g/h")).unwrap();
                    Staging::discard(root, id).unwrap();
                }
            });
        }
    });
    assert!(Staging::list(&root).unwrap().is_empty());
    assert_eq!(fs::read_dir(home.at(".mesh-tree/trash")).unwrap().count(), 0);
}

/// A megabyte of memory as a file system, where this process may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(folder.path())
            .output();
        mounted.is_ok_and(|it| it.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(self.0.path()).output().ok();
    }
}

#[test]
fn another_file_system_on_the_way_is_refused() {
    let Some(disk) = SmallDisk::mount() else { return };
    let home = Home::new();
    let inner = home.at("d/mounted");
    fs::create_dir_all(&inner).unwrap();
    let bind =
        std::process::Command::new("mount").arg("--bind").args([disk.0.path(), &inner]).status();
    assert!(bind.unwrap().success());
    fs::write(inner.join("f"), "theirs").unwrap();
    let root = home.open();
    let results = [
        commit(&root, push(1), &[file("d/mounted/f", "x")]).unwrap_err(),
        commit(&root, push(2), &[file("d/mounted", "x")]).unwrap_err(),
        root.file(&path("d/mounted/f")).unwrap_err(),
    ];
    std::process::Command::new("umount").arg("-l").arg(&inner).status().unwrap();
    assert_eq!(results.map(why), [Refusal::OtherFileSystem; 3]);
}
