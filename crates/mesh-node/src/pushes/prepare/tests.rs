use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use mesh_files::{ManifestLimits, ManifestReader, Piece};
use mesh_protocol::ChunkId;
use mesh_secrets::AllowList;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::pushes::roots::bounded;

const PUSH: PushId = PushId::from_bytes([7; 16]);

fn job(dir: &Path, name: &str) -> PrepareJob {
    let source = Source {
        path: dir.join("src"),
        name: RelativePath::parse(name.as_bytes()).unwrap(),
        beneath: None,
    };
    PrepareJob {
        data_dir: dir.join("data"),
        push_id: PUSH,
        sources: vec![source],
        destination: RelativePath::ROOT,
        has_rules: true,
        bytes_max: None,
        now: 0,
    }
}

fn home() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("src")).unwrap();
    dir
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join("src").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

/// Reads the manifest as a receiver does.
fn pieces(dir: &Path, prepared: Prepared) -> Vec<Piece> {
    let limits = ManifestLimits { entries_max: 1 << 20, bytes_max: 1 << 40, folds_names: false };
    let mut reader = ManifestReader::new(RelativePath::ROOT, prepared.totals, limits).unwrap();
    let file = ManifestFile::open(&dir.join("data"), PUSH).unwrap();
    let mut pieces = Vec::new();
    for (number, id) in file.ids().enumerate() {
        pieces.extend(reader.page(&id, &file.read(number).unwrap()).unwrap());
    }
    reader.finish(&prepared.manifest).unwrap();
    pieces
}

fn fails(job: &PrepareJob) -> (PushReason, String) {
    let problem = prepare(job, &PrepareWatch::default()).unwrap_err();
    assert_eq!(problem.step, PushStep::Prepare);
    (problem.reason, problem.detail)
}

#[test]
fn a_folder_becomes_a_manifest_with_digests_chunks_modes_and_links() {
    let dir = home();
    let large = noise(3 << 20);
    write(dir.path(), "a/large", &large);
    write(dir.path(), "a/small", b"text");
    write(dir.path(), "empty", b"");
    symlink("small", dir.path().join("src/a/link")).unwrap();
    let run = dir.path().join("src/a/small");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let prepared = prepare(&job(dir.path(), "top"), &PrepareWatch::default()).unwrap();
    assert_eq!(prepared.totals.entries, 6);
    assert_eq!(prepared.totals.bytes, (3 << 20) + 4);
    let pieces = pieces(dir.path(), prepared);
    let mut names = Vec::new();
    let mut offset = 0;
    for piece in &pieces {
        match piece {
            Piece::Entry { item, .. } => {
                names.push(item.path().unwrap().to_string());
                if let ManifestItem::Whole(file, _) = item {
                    assert_eq!(file.is_executable, file.path.name() == Some(b"small"));
                }
            }
            Piece::Chunk { place, .. } if place.entry == 2 => {
                let bytes = &large[offset..offset + place.chunk.bytes as usize];
                assert_eq!(place.chunk.id, ChunkId::from_bytes(*blake3::hash(bytes).as_bytes()));
                offset += bytes.len();
            }
            Piece::FileEnd { entry: 2, digests } => {
                assert_eq!(digests.blake3, *blake3::hash(&large).as_bytes());
                assert_eq!(digests.sha256, <[u8; 32]>::from(Sha256::digest(&large)));
            }
            Piece::Chunk { .. } | Piece::FileEnd { .. } => {}
        }
    }
    assert_eq!(offset, large.len());
    assert_eq!(names, ["top", "top/a", "top/a/large", "top/a/link", "top/a/small", "top/empty"]);
}

#[test]
fn the_same_files_make_the_same_manifest() {
    let dir = home();
    for number in 0..40_u8 {
        write(dir.path(), &number.to_string(), &vec![number; usize::from(number) * 5000]);
    }
    let once = prepare(&job(dir.path(), ""), &PrepareWatch::default()).unwrap();
    let again = prepare(&job(dir.path(), ""), &PrepareWatch::default()).unwrap();
    assert_eq!(once, again);
}

#[test]
fn many_small_files_come_in_their_order_with_large_ones_between_them() {
    let dir = home();
    let mut bytes_of = std::collections::BTreeMap::new();
    for number in 0..1000_usize {
        let name = format!("{}/{number:04}", number / 300);
        let bytes =
            if number % 170 == 169 { noise(100_000) } else { name.as_bytes().repeat(number) };
        write(dir.path(), &name, &bytes);
        bytes_of.insert(name, bytes);
    }
    let prepared = prepare(&job(dir.path(), ""), &PrepareWatch::default()).unwrap();
    let mut names = Vec::new();
    let mut ends = Vec::new();
    for piece in pieces(dir.path(), prepared) {
        match piece {
            Piece::Entry { item: ManifestItem::Folder(_), .. } => {}
            Piece::Entry { item, .. } => names.push(item.path().unwrap().to_string()),
            Piece::FileEnd { digests, .. } => ends.push(digests),
            Piece::Chunk { .. } => {}
        }
    }
    assert!(names.iter().eq(bytes_of.keys()));
    for ((name, bytes), digests) in bytes_of.iter().zip(ends) {
        assert_eq!(digests.blake3, *blake3::hash(bytes).as_bytes(), "{name}");
        assert_eq!(digests.sha256, <[u8; 32]>::from(Sha256::digest(bytes)), "{name}");
    }
}

#[test]
fn a_secret_among_many_files_is_found_wherever_it_is() {
    let dir = home();
    let secret = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    for number in 0..400 {
        write(dir.path(), &format!("{number:03}"), b"nothing to see here");
    }
    for name in ["070", "399"] {
        write(dir.path(), name, secret.as_bytes());
    }
    let (reason, detail) = fails(&job(dir.path(), ""));
    assert_eq!(reason, PushReason::SecretFound);
    let places = ["070:1:", "399:1:"].map(|place| detail.find(place));
    assert!(places[0].is_some() && places[0] < places[1], "{detail}");
}

#[test]
fn a_secret_stops_the_push_with_file_line_and_rule_and_without_the_value() {
    let dir = home();
    let secret = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    write(dir.path(), "x/deploy.sh", format!("one\ntoken={secret}\n").as_bytes());
    write(dir.path(), ".env", b"");
    let (reason, detail) = fails(&job(dir.path(), ""));
    assert_eq!(reason, PushReason::SecretFound);
    assert!(detail.contains("x/deploy.sh:2:") && detail.contains(".env"), "{detail}");
    assert!(detail.contains("rule") && !detail.contains(&secret), "{detail}");
}

#[test]
fn a_secret_far_inside_a_large_text_is_found() {
    let dir = home();
    let mut text = "nothing to see here\n".repeat(200_000);
    text.push_str(&format!("ghp_{}\n", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"));
    write(dir.path(), "log", text.as_bytes());
    let (reason, detail) = fails(&job(dir.path(), ""));
    assert_eq!(reason, PushReason::SecretFound);
    assert!(detail.contains("log:200001:"), "{detail}");
}

#[test]
fn what_the_list_beside_it_allows_with_a_reason_passes_until_it_expires() {
    let dir = home();
    write(dir.path(), ".env", b"");
    let list = "[[allow]]\nrule = \"secret_file\"\nname = \".env\"\nreason = \"a test\"\nexpires = 1970-01-02\n";
    write(dir.path(), AllowList::FILE_NAME, list.as_bytes());
    prepare(&job(dir.path(), ""), &PrepareWatch::default()).unwrap();
    let later = PrepareJob { now: 3 * 86_400, ..job(dir.path(), "") };
    assert_eq!(fails(&later).0, PushReason::SecretFound);
    write(dir.path(), AllowList::FILE_NAME, b"[[allow]]\n");
    assert_eq!(fails(&job(dir.path(), "")).0, PushReason::SecretFound);
}

#[test]
fn what_no_push_carries_is_refused_by_name() {
    let dir = home();
    make_pipe(&dir.path().join("src/pipe"));
    let (reason, detail) = fails(&job(dir.path(), ""));
    assert_eq!(reason, PushReason::KindRefused);
    assert!(detail.contains("pipe"), "{detail}");
    std::fs::remove_file(dir.path().join("src/pipe")).unwrap();
    symlink("../../outside", dir.path().join("src/link")).unwrap();
    let (reason, detail) = fails(&job(dir.path(), ""));
    assert_eq!(reason, PushReason::PathRefused);
    assert!(detail.contains("link"), "{detail}");
}

/// What [`fails`] says, unless it waits for ever or takes all memory first.
fn fails_in_time(job: PrepareJob) -> (PushReason, String) {
    let (done, failed) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(fails(&job)));
    failed.recv_timeout(std::time::Duration::from_secs(20)).unwrap()
}

#[test]
fn what_steers_a_push_and_is_no_small_file_is_refused_by_name() {
    for name in [AllowList::FILE_NAME, ".gitignore", "sub/.gitignore", ".meshignore"] {
        for what in ["pipe", "link", "bytes"] {
            let dir = home();
            write(dir.path(), "sub/a", b"");
            let path = dir.path().join("src").join(name);
            match what {
                "pipe" => make_pipe(&path),
                "link" => symlink("/dev/zero", &path).unwrap(),
                _ => write(dir.path(), name, &vec![b'\n'; 2 << 20]),
            }
            let (reason, detail) = fails_in_time(job(dir.path(), ""));
            assert_eq!(reason, PushReason::KindRefused, "{what} as {name}: {detail}");
            assert!(detail.contains(name) && detail.contains(what), "{what} as {name}: {detail}");
        }
    }
}

#[test]
fn what_is_allowed_in_a_folder_that_others_push_to_does_not_count_for_what_they_ask_for() {
    let dir = home();
    write(dir.path(), ".env", b"");
    let list = "[[allow]]\nrule = \"secret_file\"\nname = \".env\"\nreason = \"a test\"\nexpires = 1970-01-02\n";
    write(dir.path(), AllowList::FILE_NAME, list.as_bytes());
    let mut job = job(dir.path(), "");
    job.sources[0].beneath = Some(dir.path().join("src"));
    assert_eq!(fails(&job).0, PushReason::SecretFound);
    // Nor does a list that could not be read stop anything.
    std::fs::remove_file(dir.path().join("src/.env")).unwrap();
    write(dir.path(), AllowList::FILE_NAME, b"[[allow]]\n");
    prepare(&job, &PrepareWatch::default()).unwrap();
}

fn make_pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn an_empty_push_and_one_that_is_given_up_end() {
    let dir = home();
    assert_eq!(fails(&job(dir.path(), "")).0, PushReason::PathRefused);
    write(dir.path(), "a", b"");
    let watch = PrepareWatch::default();
    watch.is_cancelled.store(true, Ordering::Relaxed);
    let problem = prepare(&job(dir.path(), ""), &watch).unwrap_err();
    assert_eq!(problem.reason, PushReason::Cancelled);
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_file_that_grows_all_the_while_is_named() {
    let dir = home();
    write(dir.path(), "log", &noise(1 << 20));
    let path = dir.path().join("src/log");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, b"x").unwrap();
            }
        });
        // Whatever happens, the other one is not left writing.
        let _stop = Stop(&stop);
        // A machine that is busy may let nothing be written during all three attempts.
        let grown =
            (0..100).find_map(|_| prepare(&job(dir.path(), ""), &PrepareWatch::default()).err());
        let PushProblem { reason, detail, .. } = grown.expect("it grows while it is read");
        assert_eq!(reason, PushReason::SourceChanged);
        assert!(detail.contains("log"), "{detail}");
    });
}

#[test]
fn what_people_are_told_is_cut_where_a_letter_ends() {
    assert_eq!(bounded("é".repeat(600)).len(), 1024);
    assert_eq!(bounded(format!("a{}", "é".repeat(600))).len(), 1023);
}
