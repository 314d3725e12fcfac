use std::path::Path;

use mesh_files::page_id;
use mesh_protocol::{
    ChunkId, ChunkRange, ManifestItem, ManifestPage, PushHeader, PushId, RelativePath,
};

use super::*;
use crate::pushes::manifest_file::ManifestFile;
use crate::pushes::prepare::{PrepareJob, PrepareWatch, prepare};

const PUSH: PushId = PushId::from_bytes([7; 16]);

type Chunks = Vec<(ChunkHead, Vec<u8>)>;

/// What a target gets of a folder.
struct Target {
    dir: tempfile::TempDir,
    source: Source,
    pages: Arc<Pages>,
}

impl Target {
    fn of(files: &[(&str, Vec<u8>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source =
            Source { path: dir.path().join("src"), name: RelativePath::ROOT, beneath: None };
        for (name, bytes) in files {
            let path = source.path.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let job = PrepareJob {
            data_dir: dir.path().join("data"),
            push_id: PUSH,
            sources: vec![source.clone()],
            destination: RelativePath::ROOT,
            has_rules: true,
            bytes_max: None,
            now: 0,
        };
        let prepared = prepare(&job, &PrepareWatch::default()).unwrap();
        let file = ManifestFile::open(&job.data_dir, PUSH).unwrap();
        let pages = Arc::new(Pages::open(file, &prepared.manifest).unwrap());
        assert_eq!(pages.chunks(), prepared.totals.chunks);
        Self { dir, source, pages }
    }

    fn src(&self) -> &Path {
        &self.source.path
    }

    /// Asks, and gives what came and how it ended.
    fn ask(&self, asks: Vec<Ask>) -> (Chunks, Vec<PageOf>, Vec<Batch>) {
        let (ask, asked) = mpsc::channel(asks.len());
        let (give, mut given) = mpsc::channel(1);
        for one in asks {
            ask.try_send(one).unwrap();
        }
        drop(ask);
        let (pages, sources) = (Arc::clone(&self.pages), vec![self.source.clone()]);
        std::thread::scope(|scope| {
            scope.spawn(|| serve(pages, sources, LinkRate::default(), asked, give));
            let (mut chunks, mut pages, mut words) = (Vec::new(), Vec::new(), Vec::new());
            while let Some(batch) = given.blocking_recv() {
                match batch {
                    Batch::Bytes(bytes) => read(&bytes, &mut chunks, &mut pages),
                    word @ (Batch::Done(_) | Batch::Failed(_) | Batch::Refused(_)) => {
                        words.push(word);
                    }
                }
            }
            (chunks, pages, words)
        })
    }
}

fn read(mut bytes: &[u8], chunks: &mut Chunks, pages: &mut Vec<PageOf>) {
    while let Some((header, rest)) = bytes.split_first_chunk::<PUSH_HEADER_BYTES>() {
        let header = PushHeader::decode(header).unwrap();
        let (body, behind) = rest.split_at(header.body_bytes);
        bytes = behind;
        if header.is_chunk() {
            let (head, body) = ChunkHead::decode(body).unwrap();
            let raw = if head.is_compressed {
                zstd::bulk::decompress(body, head.raw_bytes as usize).unwrap()
            } else {
                body.to_vec()
            };
            assert_eq!(raw.len(), head.raw_bytes as usize);
            chunks.push((head, raw));
        } else if let PushMessage::Page(page) = PushMessage::decode(header, body).unwrap() {
            pages.push(page);
        }
    }
    assert!(bytes.is_empty());
}

fn ranges(ranges: &[(u64, u64)]) -> ChunkRanges {
    let mut all = ChunkRanges::default();
    for (first, count) in ranges {
        assert!(all.push(ChunkRange { first: *first, count: *count }));
    }
    all
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

/// The names of all chunks, as the pages say.
fn names(pages: &[PageOf]) -> Vec<ChunkId> {
    let items = pages.iter().flat_map(|page| ManifestPage::decode(&page.page).unwrap().items);
    let mut names = Vec::new();
    for item in items {
        match item {
            ManifestItem::Whole(file, digests) if file.bytes > 0 => {
                names.push(ChunkId::from_bytes(digests.blake3));
            }
            ManifestItem::Chunks(chunks) => names.extend(chunks.iter().map(|chunk| chunk.id)),
            ManifestItem::Whole(..)
            | ManifestItem::Folder(_)
            | ManifestItem::Link(_)
            | ManifestItem::File(_)
            | ManifestItem::FileEnd(_) => {}
        }
    }
    names
}

#[test]
fn every_chunk_comes_by_its_number_wherever_pages_end() {
    let mut files = vec![("large", noise(40 << 20)), ("text", vec![b'a'; 3 << 20])];
    let small: Vec<String> = (0..3000).map(|number| format!("d/{number}")).collect();
    files.extend(small.iter().map(|name| (name.as_str(), name.clone().into_bytes())));
    let target = Target::of(&files);
    let count = target.pages.ids().len() as u64;
    assert!(count > 3, "there are several pages: {count}");
    let chunks = target.pages.chunks();
    let asks = vec![
        Ask::Pages(ranges(&[(0, count)])),
        Ask::Chunks(ranges(&[(0, chunks)]), Some(5)),
        Ask::Chunks(ranges(&[(chunks - 1, 1)]), None),
        Ask::Chunks(ranges(&[]), Some(6)),
    ];
    let (got, pages, words) = target.ask(asks);
    assert!(matches!(words[..], [Batch::Done(5), Batch::Done(6)]), "{words:?}");
    let names = names(&pages);
    assert_eq!(names.len() as u64, chunks);
    assert_eq!(got.len(), names.len() + 1);
    for (at, (head, bytes)) in got.iter().take(names.len()).enumerate() {
        assert_eq!(head.number, at as u64);
        assert_eq!(page_id(bytes), names[at]);
    }
    assert_eq!(got.last().unwrap().0.number, chunks - 1);
    let is_compressed = |head: &ChunkHead| head.is_compressed;
    assert!(got.iter().any(|(head, _)| is_compressed(head)));
    assert!(got.iter().any(|(head, _)| !is_compressed(head)));
}

#[test]
fn a_byte_that_changed_since_is_found_before_it_travels_and_the_file_is_named() {
    let target = Target::of(&[("a", noise(100)), ("b", noise(1 << 20)), ("c", noise(200))]);
    let mut bytes = std::fs::read(target.src().join("b")).unwrap();
    bytes[700_000] ^= 1;
    std::fs::write(target.src().join("b"), &bytes).unwrap();
    let all = ranges(&[(0, target.pages.chunks())]);
    let (got, _, words) = target.ask(vec![Ask::Chunks(all, Some(1))]);
    let [Batch::Failed(problem)] = &words[..] else { panic!("{words:?}") };
    assert_eq!(problem.reason, PushReason::SourceChanged);
    assert!(problem.detail.starts_with("b "), "{}", problem.detail);
    assert!((got.len() as u64) < target.pages.chunks());
}

#[test]
fn a_file_that_is_gone_or_cut_or_a_link_is_a_change_too() {
    let spoil: [fn(&Path); 3] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, b"x").unwrap(),
        |path| {
            std::fs::rename(path, path.with_extension("old")).unwrap();
            std::os::unix::fs::symlink("f.old", path).unwrap();
        },
    ];
    for spoil in spoil {
        let target = Target::of(&[("f", noise(1000))]);
        spoil(&target.src().join("f"));
        let (got, _, words) = target.ask(vec![Ask::Chunks(ranges(&[(0, 1)]), None)]);
        let [Batch::Failed(problem)] = &words[..] else { panic!("{words:?}") };
        assert_eq!(problem.reason, PushReason::SourceChanged, "{}", problem.detail);
        assert!(got.is_empty());
    }
}

#[test]
fn what_is_not_there_cannot_be_asked_for() {
    let target = Target::of(&[("f", noise(1000))]);
    for ask in [Ask::Chunks(ranges(&[(1, 1)]), None), Ask::Pages(ranges(&[(9, 1)]))] {
        let (_, _, words) = target.ask(vec![ask]);
        assert!(matches!(words[..], [Batch::Refused(_)]), "{words:?}");
    }
}

#[test]
fn pages_that_are_not_those_that_were_prepared_are_not_served() {
    let target = Target::of(&[("f", noise(1000))]);
    let file = ManifestFile::open(&target.dir.path().join("data"), PUSH).unwrap();
    let problem = Pages::open(file, &[9; 32]).unwrap_err();
    assert_eq!(problem.reason, PushReason::StorageError);
}
