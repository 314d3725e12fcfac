use mesh_protocol::{
    ChunkRef, FileDigests, FileEntry, FileTime, FolderEntry, LinkEntry, ManifestPage,
    PAGE_BYTES_MAX, PATH_DEPTH_MAX, PushTotals,
};
use proptest::prelude::*;

use super::*;
use crate::tests::{chunks_of, noise};

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text.as_bytes()).unwrap()
}

fn folder(text: &str) -> ManifestItem {
    let modified = FileTime::default();
    ManifestItem::Folder(FolderEntry { path: path(text), is_listable: true, modified })
}

fn entry(text: &str, bytes: u64) -> FileEntry {
    FileEntry { path: path(text), bytes, is_executable: false, modified: FileTime::default() }
}

const DIGESTS: FileDigests = FileDigests { blake3: [1; 32], sha256: [2; 32] };

fn file(text: &str) -> ManifestItem {
    ManifestItem::Whole(entry(text, 4096), DIGESTS)
}

fn link(text: &str, target: &str) -> ManifestItem {
    ManifestItem::Link(LinkEntry { path: path(text), target: target.as_bytes().to_vec() })
}

fn chunks(sizes: &[u32]) -> ManifestItem {
    let id = ChunkId::from_bytes([3; 32]);
    ManifestItem::Chunks(sizes.iter().map(|bytes| ChunkRef { id, bytes: *bytes }).collect())
}

struct Built {
    pages: Vec<BuiltPage>,
    totals: PushTotals,
    digest: [u8; 32],
}

fn build(items: impl IntoIterator<Item = ManifestItem>) -> Result<Built, ManifestError> {
    let mut builder = ManifestBuilder::new(path("to"));
    let mut pages = Vec::new();
    for item in items {
        pages.extend(builder.add(item)?);
    }
    let BuiltManifest { page, totals, digest } = builder.finish()?;
    pages.extend(page);
    Ok(Built { pages, totals, digest })
}

const LIMITS: ManifestLimits =
    ManifestLimits { entries_max: u64::MAX, bytes_max: u64::MAX, folds_names: true };

fn read(built: &Built, limits: ManifestLimits) -> Result<Vec<Piece>, ManifestError> {
    let mut reader = ManifestReader::new(path("to"), built.totals, limits)?;
    let mut pieces = Vec::new();
    for page in &built.pages {
        pieces.extend(reader.page(&page.id, &page.bytes)?);
    }
    reader.finish(&built.digest)?;
    Ok(pieces)
}

/// A page that no builder of ours makes.
fn read_raw(items: Vec<ManifestItem>, totals: PushTotals) -> Result<Vec<Piece>, ManifestError> {
    let bytes = ManifestPage { items }.encode().unwrap();
    let mut reader = ManifestReader::new(path("to"), totals, LIMITS)?;
    reader.page(&page_id(&bytes), &bytes)
}

const PLENTY: PushTotals =
    PushTotals { entries: 99, files: 99, bytes: 1 << 40, chunks: 1 << 20, pages: 9 };

#[test]
fn what_is_out_of_order_or_place_is_refused_by_both_sides() {
    let large = || ManifestItem::File(entry("l", 100_000));
    for (items, error) in [
        (vec![file("b"), file("a")], ManifestError::Order(path("a"))),
        (vec![file("a"), file("a")], ManifestError::Order(path("a"))),
        (vec![file("a/b")], ManifestError::NoFolder(path("a/b"))),
        (vec![file("a"), file("a/b")], ManifestError::NoFolder(path("a/b"))),
        (vec![link("a", "b"), file("a/b")], ManifestError::NoFolder(path("a/b"))),
        (vec![folder("a"), file("b"), file("a/c")], ManifestError::Order(path("a/c"))),
        (vec![folder("a"), folder("b"), file("c/d")], ManifestError::NoFolder(path("c/d"))),
        (vec![chunks(&[20_000])], ManifestError::NoFile),
        (vec![file("a"), ManifestItem::FileEnd(DIGESTS)], ManifestError::NoFile),
        (vec![large(), file("m")], ManifestError::Unfinished(path("l"))),
        (vec![large(), chunks(&[60_000, 50_000])], ManifestError::Chunks(path("l"))),
        (vec![large(), chunks(&[16_383, 50_000])], ManifestError::Chunks(path("l"))),
        (
            vec![large(), chunks(&[60_000]), ManifestItem::FileEnd(DIGESTS)],
            ManifestError::Chunks(path("l")),
        ),
    ] {
        assert_eq!(build(items.clone()).map(|_| ()), Err(error.clone()));
        assert_eq!(read_raw(items, PLENTY), Err(error));
    }
    assert_eq!(build([large()]).map(|_| ()), Err(ManifestError::Unfinished(path("l"))));
}

#[test]
fn a_link_stays_beneath_the_root() {
    // Everything goes to `to`, one folder beneath the root.
    for (target, stays) in [
        ("b", true),
        ("../b", true),
        ("../../b", true),
        ("../../../b", false),
        ("./b/./c//d/", true),
        ("b/../c", false),
        ("/etc", false),
        ("..", true),
        ("../../..", false),
    ] {
        let items = vec![folder("d"), link("d/l", target)];
        let expected = if stays { Ok(()) } else { Err(ManifestError::LinkLeaves(path("d/l"))) };
        assert_eq!(build(items.clone()).map(|_| ()), expected, "{target}");
        assert_eq!(read_raw(items, PLENTY).map(|_| ()), expected, "{target}");
    }
}

#[test]
fn names_that_a_target_takes_for_one_are_refused_where_it_does() {
    for (one, two) in [
        ("A", "a"),
        ("STRASSE", "straße"),
        ("\u{65}\u{301}t\u{65}", "\u{e9}t\u{65}"),
        ("\u{3a3}", "\u{3c2}"),
        ("K", "\u{212a}"),
    ] {
        let (one, two) = if path(one) < path(two) { (one, two) } else { (two, one) };
        let built = build([file(one), file(two)]).unwrap();
        assert_eq!(read(&built, LIMITS), Err(ManifestError::NamesClash(path(two))));
        let unfolded = ManifestLimits { folds_names: false, ..LIMITS };
        assert!(read(&built, unfolded).is_ok());
        let apart = build([folder("D"), file("D/x"), file(two)]).unwrap();
        assert!(read(&apart, LIMITS).is_ok());
    }
    let clash = build([folder("A"), file("A/x"), folder("a"), file("a/x")]).unwrap();
    assert_eq!(read(&clash, LIMITS), Err(ManifestError::NamesClash(path("a"))));
}

#[test]
fn what_was_announced_must_be_there_and_no_more() {
    let mut built = build([folder("a"), file("a/b")]).unwrap();
    let totals = built.totals;
    assert_eq!(totals, PushTotals { entries: 2, files: 1, bytes: 4096, chunks: 1, pages: 1 });
    assert!(read(&built, LIMITS).is_ok());
    let few = ManifestLimits { entries_max: 1, ..LIMITS };
    assert_eq!(read(&built, few), Err(ManifestError::TooMuch));
    let little = ManifestLimits { bytes_max: 4095, ..LIMITS };
    assert_eq!(read(&built, little), Err(ManifestError::TooMuch));
    for change in [-1_i64, 1] {
        let by = |number: u64| number.saturating_add_signed(change);
        for wrong in [
            PushTotals { entries: by(totals.entries), ..totals },
            PushTotals { files: by(totals.files), ..totals },
            PushTotals { bytes: by(totals.bytes), ..totals },
            PushTotals { chunks: by(totals.chunks), ..totals },
            PushTotals { pages: by(totals.pages), ..totals },
        ] {
            built.totals = wrong;
            assert_eq!(read(&built, LIMITS), Err(ManifestError::Totals));
        }
    }
    built.totals = totals;
    built.digest[0] ^= 1;
    assert_eq!(read(&built, LIMITS), Err(ManifestError::Page(1)));
    built.pages[0].bytes[5] ^= 1;
    assert_eq!(read(&built, LIMITS), Err(ManifestError::Page(0)));
}

#[test]
fn a_page_with_a_path_that_is_none_is_refused_with_the_word_for_it() {
    let page = ManifestPage { items: vec![folder("aXb"), file("aXb/evil")] }.encode().unwrap();
    let with = |name: &[u8]| -> Vec<u8> {
        let mut page = page.clone();
        while let Some(at) = page.windows(3).position(|bytes| bytes == b"aXb") {
            page[at..at + 3].copy_from_slice(name);
        }
        page
    };
    for name in [b"a\0b", b"/ab", b"../", b"a/.", b"a//"] {
        let bytes = with(name);
        let totals = PushTotals { entries: 2, files: 1, bytes: 1, chunks: 1, pages: 1 };
        let mut reader = ManifestReader::new(RelativePath::ROOT, totals, LIMITS).unwrap();
        let error = reader.page(&page_id(&bytes), &bytes).unwrap_err();
        assert!(matches!(error, ManifestError::Path(_)), "{name:?}: {error}");
        assert_eq!(error.reason(), PushReason::PathRefused);
    }
    let mut cut = page;
    cut.pop();
    let totals = PushTotals::default();
    let mut reader = ManifestReader::new(RelativePath::ROOT, totals, LIMITS).unwrap();
    assert_eq!(reader.page(&page_id(&cut), &cut), Err(ManifestError::Bound));
}

#[test]
fn a_path_too_deep_for_the_destination_is_refused() {
    let deepest = (0..PATH_DEPTH_MAX).map(|depth| folder(&vec!["d"; depth + 1].join("/")));
    assert!(matches!(build(deepest), Err(ManifestError::PathTooLong(_))));
    let deep = (0..PATH_DEPTH_MAX - 1).map(|depth| folder(&vec!["d"; depth + 1].join("/")));
    assert!(read(&build(deep).unwrap(), LIMITS).is_ok());
}

fn scripts(count: u32) -> impl Iterator<Item = ManifestItem> {
    (0..count).map(|index| file(&format!("script-{index:05}.js")))
}

#[test]
fn one_file_more_among_thousands_changes_one_page_or_two() {
    let before = build(scripts(10_000)).unwrap();
    let more = scripts(10_000).flat_map(|item| {
        let is_place = item.path() == Some(&path("script-04000.js"));
        [Some(item), is_place.then(|| file("script-04000.js.old"))].into_iter().flatten()
    });
    let after = build(more).unwrap();
    assert!(before.pages.iter().all(|page| page.bytes.len() <= PAGE_BYTES_MAX));
    assert!((8..200).contains(&before.pages.len()), "{}", before.pages.len());
    let new = after.pages.iter().filter(|page| !before.pages.contains(page)).count();
    assert!((1..=2).contains(&new), "{new}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_built_is_read_with_the_numbers_that_both_sides_count(
        sizes in proptest::collection::vec(0_usize..2_000_000, 0..6),
        small in 0_u32..3000,
    ) {
        let mut items: Vec<ManifestItem> = Vec::new();
        let mut expected = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let bytes = noise(index as u64, *size);
            let found = chunks_of(&bytes, 1 << 20);
            let entry = entry(&format!("file-{index}"), *size as u64);
            let blake3 = *blake3::hash(&bytes).as_bytes();
            let digests = FileDigests { blake3, sha256: [9; 32] };
            expected.extend(found.iter().map(|found| (index as u64, found.offset, found.chunk)));
            if *size <= 64 << 10 {
                items.push(ManifestItem::Whole(entry, digests));
            } else {
                items.push(ManifestItem::File(entry));
                items.push(ManifestItem::Chunks(found.iter().map(|found| found.chunk).collect()));
                items.push(ManifestItem::FileEnd(digests));
            }
        }
        items.extend(scripts(small));
        let built = build(items).unwrap();
        let pieces = read(&built, LIMITS).unwrap();
        let numbers = pieces.iter().filter_map(|piece| match piece {
            Piece::Chunk { number, place } => Some((*number, *place)),
            Piece::Entry { .. } | Piece::FileEnd { .. } => None,
        });
        let read: Vec<(u64, Place)> = numbers.collect();
        prop_assert!(read.iter().map(|(number, _)| *number).eq(0..built.totals.chunks));
        let places = read.iter().map(|(_, place)| (place.entry, place.offset, place.chunk));
        prop_assert!(places.take(expected.len()).eq(expected.iter().copied()));
        let ends = pieces.iter().filter(|piece| matches!(piece, Piece::FileEnd { .. })).count();
        prop_assert_eq!(ends as u64, built.totals.files);
    }
}
