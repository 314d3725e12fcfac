//! What staging and committing cost over bare writes: `cargo bench -p mesh-tree --bench tree`.
//!
//! In the folder that `TMPDIR` names; every figure is the median of 5 runs.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a benchmark measures with the real clock, and may fail"
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use mesh_protocol::{FileDigests, FileEntry, FileTime, PushId, RelativePath};
use mesh_testkit::{Figures, Raw};
use mesh_tree::{Plan, Root, RootConfig, Space, Staging};
use sha2::{Digest as _, Sha256};

static FIGURES: Figures =
    Figures::of(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_CRATE_NAME")));

const RUNS: usize = 5;
const FILES: u64 = 10_000;
const PIECE: usize = 1 << 20;
const PIECES: u64 = 1 << 10;

fn main() {
    let small = vec![7; 4096];
    let bare = measure(|top| {
        for number in 0..FILES {
            fs::write(top.join(number.to_string()), &small).expect("it is written");
        }
        sync(top);
    });
    let digests = of(&[&small]);
    let ours = measure(|top| {
        let root = Root::open(top, RootConfig::default()).expect("it opens");
        let staging = Staging::open(&root, PushId::from_bytes([1; 16])).expect("it opens");
        let entries: Vec<_> =
            (0..FILES).map(|number| entry(&format!("{number:05}"), 4096)).collect();
        for (number, entry) in (0..).zip(&entries) {
            staging.whole(number, entry, &digests, &small).expect("it is staged");
        }
        commit(&staging, &entries);
    });

    let piece = vec![7; PIECE];
    report("10,000 x 4 KiB: stage, commit", ours, "bare write, one syncfs", bare);

    let bare = measure(|top| {
        let mut file = File::create(top.join("f")).expect("it is made");
        (0..PIECES).for_each(|_| file.write_all(&piece).expect("it is written"));
        file.sync_data().expect("it is synced");
    });
    let digests = of(&vec![piece.as_slice(); 1 << 10]);
    let ours = measure(|top| {
        let root = Root::open(top, RootConfig::default()).expect("it opens");
        let staging = Staging::open(&root, PushId::from_bytes([1; 16])).expect("it opens");
        let entry = entry("f", PIECES << 20);
        let file = staging.file(0, &entry, Space::Allocated).expect("there is room");
        (0..PIECES).for_each(|at| file.put(at << 20, &piece).expect("it is written"));
        file.finish(&digests).expect("it is right");
        commit(&staging, &[entry]);
    });
    report("1 GiB: stage with both digests, commit", ours, "bare write, fdatasync", bare);
}

fn report(what: &str, ours: Duration, plainly: &str, bare: Duration) {
    let raw = Raw::new(format!("{plainly} {bare:.2?}"), ours.as_secs_f64() / bare.as_secs_f64());
    FIGURES.add(what, &format!("{ours:.2?}"), "", raw);
}

fn commit(staging: &Staging, entries: &[FileEntry]) {
    let mut plan = Plan::begin(staging, 0).expect("it begins");
    for (number, entry) in (0..).zip(entries) {
        plan.file(number, entry).expect("it may stand there");
    }
    plan.finish().and_then(|plan| plan.commit(&mut |_| {})).expect("it is committed");
}

fn entry(name: &str, bytes: u64) -> FileEntry {
    let path = RelativePath::parse(name.as_bytes()).expect("it is a path");
    FileEntry { path, bytes, is_executable: false, modified: FileTime::default() }
}

fn of(pieces: &[&[u8]]) -> FileDigests {
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
    for piece in pieces {
        blake3.update(piece);
        sha256.update(piece);
    }
    FileDigests { blake3: *blake3.finalize().as_bytes(), sha256: sha256.finalize().into() }
}

fn sync(top: &Path) {
    let folder = File::open(top).expect("it opens");
    rustix::fs::syncfs(&folder).expect("it is synced");
}

fn measure(mut run: impl FnMut(&Path)) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let top = tempfile::tempdir().expect("there is room");
            let start = Instant::now();
            run(top.path());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times.get(RUNS / 2).copied().unwrap_or_default()
}
