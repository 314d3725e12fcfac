//! What travels on a push's stream: bytes that stay, bounds, paths, and whatever strangers may send.

use proptest::collection::vec;
use proptest::prelude::*;

use super::samples::files as samples;
use crate::{
    CHUNK_BYTES_MAX, CHUNK_RANGES_MAX, Chunk, ChunkHead, ChunkId, ChunkRange, ChunkRanges,
    ChunkRef, DecodeError, EncodeError, LinkEntry, ManifestItem, ManifestPage, PAGE_BYTES_MAX,
    PAGE_IDS_MAX, PAGE_ITEMS_MAX, PATH_BYTES_MAX, PATH_COMPONENT_BYTES_MAX, PATH_DEPTH_MAX,
    PUSH_BODY_BYTES_MAX, PUSH_HEADER_BYTES, PUSH_TARGETS_MAX, PageIds, PageOf, PathError,
    PushAnswer, PushEvent, PushFact, PushHeader, PushMessage, PushOffer, PushProblem, PushReason,
    PushResult, ROOT_NAME_BYTES_MAX, RelativePath, RollbackOffer, RootName, TEST_OUTPUT_BYTES_MAX,
    TEXT_BYTES_MAX, TestOutcome,
};

pub(super) fn decode(bytes: &[u8]) -> Result<PushMessage, DecodeError> {
    let (header, body) = bytes
        .split_first_chunk::<PUSH_HEADER_BYTES>()
        .ok_or(DecodeError::Malformed { what: "header" })?;
    PushMessage::decode(PushHeader::decode(header)?, body)
}

fn parse(text: &[u8]) -> Result<RelativePath, PathError> {
    RelativePath::parse(text)
}

#[test]
fn a_path_leads_beneath_its_root_or_is_refused() {
    for (text, error) in [
        (&b"/etc/passwd"[..], PathError::Absolute),
        (b"a//b", PathError::Empty),
        (b"a/", PathError::Empty),
        (b"..", PathError::Dots),
        (b"a/../b", PathError::Dots),
        (b"./a", PathError::Dots),
        (b"a\0b", PathError::Character),
    ] {
        assert_eq!(parse(text), Err(error), "{}", text.escape_ascii());
    }
    assert_eq!(RelativePath::from_components([&b"a/b"[..]]), Err(PathError::Character));
    assert!(parse(b"").unwrap().is_root());
    for text in [&b"..."[..], b".a/b..", b"a b/\xff\xfe", b"con:/\\"] {
        assert_eq!(parse(text).unwrap().as_bytes(), text);
    }
}

#[test]
fn a_path_has_bounds() {
    let name = vec![b'n'; PATH_COMPONENT_BYTES_MAX];
    assert!(parse(&name).is_ok());
    assert_eq!(parse(&[&name[..], b"n"].concat()), Err(PathError::ComponentTooLong));
    let deep = vec![&b"d"[..]; PATH_DEPTH_MAX];
    let deepest = RelativePath::from_components(deep.iter().copied()).unwrap();
    assert_eq!(deepest.depth(), PATH_DEPTH_MAX);
    assert_eq!(deepest.join(&parse(b"d").unwrap()), Err(PathError::TooDeep));
    assert_eq!(
        RelativePath::from_components(deep.into_iter().chain([&b"d"[..]])),
        Err(PathError::TooDeep)
    );
    let long = vec![&name[..]; PATH_BYTES_MAX / (PATH_COMPONENT_BYTES_MAX + 1)];
    let longest = RelativePath::from_components(long).unwrap();
    assert_eq!(longest.as_bytes().len(), PATH_BYTES_MAX - 1);
    assert_eq!(longest.join(&parse(b"n").unwrap()), Err(PathError::TooLong));
}

#[test]
fn a_folder_comes_before_what_is_in_it_and_that_before_its_siblings() {
    let order = ["a", "a/b", "a/b/c", "a/c", "a\u{1}", "a!", "a.txt", "a0", "b"];
    let mut paths: Vec<RelativePath> = order.iter().map(|text| samples::path(text)).collect();
    paths.reverse();
    paths.sort();
    let sorted: Vec<&[u8]> = paths.iter().map(RelativePath::as_bytes).collect();
    assert_eq!(sorted, order.map(str::as_bytes));
}

#[test]
fn a_path_is_shown_so_that_nothing_hides_in_it() {
    for (bytes, shown) in [
        (&b"a b/c"[..], "a b/c"),
        ("größe".as_bytes(), "größe"),
        (b"\xffx\n", "\\xffx\\x0a"),
        (b"a\\xff", "a\\\\xff"),
        ("x\u{202e}y".as_bytes(), "x\\xe2\\x80\\xaey"),
        (b"", "."),
    ] {
        assert_eq!(parse(bytes).unwrap().to_string(), shown);
    }
    assert_eq!(format!("{:?}", samples::path("secret")), "RelativePath(6 bytes)");
}

#[test]
fn starting_with_a_folder_is_not_starting_with_its_letters() {
    let path = samples::path("ab/c");
    assert!(path.starts_with(&samples::path("ab")));
    assert!(path.starts_with(&path));
    assert!(path.starts_with(&RelativePath::ROOT));
    assert!(!path.starts_with(&samples::path("a")));
    assert_eq!(path.parent(), Some(samples::path("ab")));
    assert_eq!(path.name(), Some(&b"c"[..]));
    assert_eq!(RelativePath::ROOT.parent(), None);
}

#[test]
fn a_root_has_a_plain_name() {
    for name in ["default", "s-1_2.x", "0", &"n".repeat(ROOT_NAME_BYTES_MAX)] {
        assert_eq!(name.parse::<RootName>().unwrap().as_str(), name);
    }
    for name in ["", "..", "a/b", "Ä", "A", "-a", &"n".repeat(ROOT_NAME_BYTES_MAX + 1)] {
        assert!(name.parse::<RootName>().is_err(), "{name}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_by_its_header() {
    for kind in 0..=u8::MAX {
        let max = if kind == 10 { CHUNK_BYTES_MAX as usize + 13 } else { PUSH_BODY_BYTES_MAX };
        let header = |bytes: usize| {
            let [l0, l1, l2, l3] = u32::try_from(bytes).unwrap().to_le_bytes();
            PushHeader::decode(&[kind, l0, l1, l2, l3])
        };
        assert_eq!(header(max).unwrap().body_bytes, max);
        assert!(matches!(header(max + 1), Err(DecodeError::TooLarge { .. })));
    }
}

#[test]
fn a_kind_that_is_not_known_can_be_skipped() {
    let header = PushHeader::decode(&[200, 1, 0, 0, 0]).unwrap();
    assert_eq!(PushMessage::decode(header, &[7]), Err(DecodeError::UnknownKind { kind: 200 }));
}

/// Both sides refuse it.
fn refuse(message: &PushMessage, what: &'static str) {
    assert_eq!(message.encode(), Err(EncodeError::FieldTooLarge { what }));
}

fn passes(message: &PushMessage) {
    assert_eq!(&decode(&message.encode().unwrap()).unwrap(), message);
}

type Change = fn(&mut PushOffer, usize);
type RollbackChange = fn(&mut RollbackOffer, usize);

#[test]
fn an_offer_has_bounds() {
    let offer = |change: Change, more: usize| {
        let mut offer = samples::offer();
        change(&mut offer, more);
        PushMessage::Offer(offer)
    };
    let changes: [(&'static str, Change); 3] = [
        ("targets", |offer, more| {
            offer.targets = vec![offer.by; PUSH_TARGETS_MAX + more];
        }),
        ("message", |offer, more| offer.message = "m".repeat(TEXT_BYTES_MAX + more)),
        ("test", |offer, more| offer.test = Some("t".repeat(TEXT_BYTES_MAX + more))),
    ];
    for (what, change) in changes {
        passes(&offer(change, 0));
        refuse(&offer(change, 1), what);
    }
}

#[test]
fn a_rollback_has_bounds() {
    let rollback = |change: RollbackChange, more: usize| {
        let mut rollback = samples::rollback();
        change(&mut rollback, more);
        PushMessage::Rollback(rollback)
    };
    let changes: [(&'static str, RollbackChange); 2] = [
        ("targets", |rollback, more| {
            rollback.targets = vec![rollback.by; PUSH_TARGETS_MAX + more];
        }),
        ("message", |rollback, more| rollback.message = "m".repeat(TEXT_BYTES_MAX + more)),
    ];
    for (what, change) in changes {
        passes(&rollback(change, 0));
        refuse(&rollback(change, 1), what);
    }
    // One target more than may be, sound in itself.
    let full: RollbackChange =
        |rollback, more| rollback.targets = vec![rollback.by; PUSH_TARGETS_MAX + more];
    let mut bytes = rollback(full, 0).encode().unwrap();
    let count = PUSH_HEADER_BYTES + 16 + 32;
    assert_eq!(bytes[count..][..3], [251, 0, 4]);
    bytes[count + 1] += 1;
    bytes.splice(count + 3..count + 3, [7; 32]);
    let body_bytes = u32::try_from(bytes.len() - PUSH_HEADER_BYTES).unwrap();
    bytes[1..5].copy_from_slice(&body_bytes.to_le_bytes());
    assert!(matches!(decode(&bytes), Err(DecodeError::Malformed { .. })));
}

#[test]
fn problems_and_tests_have_bounds() {
    let problem = |detail: usize, output: usize| {
        let output = vec![7; output];
        let test = Some(TestOutcome { output, ..samples::test_outcome() });
        PushProblem { detail: "d".repeat(detail), test, ..samples::problem() }
    };
    let largest = problem(TEXT_BYTES_MAX, TEST_OUTPUT_BYTES_MAX);
    passes(&PushMessage::Answer(PushAnswer::Refused(largest.clone())));
    passes(&PushMessage::Result(PushResult::Failed(largest.clone())));
    passes(&PushMessage::Stop(largest));
    refuse(&PushMessage::Stop(problem(TEXT_BYTES_MAX + 1, 0)), "detail");
    let loud = problem(0, TEST_OUTPUT_BYTES_MAX + 1);
    refuse(&PushMessage::Result(PushResult::Failed(loud.clone())), "output");
    let event = PushEvent { at: samples::offer().made_at, fact: PushFact::Ended(loud) };
    assert_eq!(event.encode(), Err(EncodeError::FieldTooLarge { what: "output" }));
}

#[test]
fn lists_of_pages_and_ranges_have_bounds() {
    let ids = |count| {
        let ids = vec![ChunkId::from_bytes([1; 32]); count];
        PushMessage::PageIds(PageIds { first: 0, ids })
    };
    passes(&ids(PAGE_IDS_MAX));
    refuse(&ids(PAGE_IDS_MAX + 1), "page names");
    let mut ranges = ChunkRanges::default();
    for index in 0..CHUNK_RANGES_MAX as u64 {
        assert!(ranges.push(ChunkRange { first: u64::from(u32::MAX) + index * 2, count: 1 }));
    }
    assert!(!ranges.push(ChunkRange { first: u64::MAX - 1, count: 1 }));
    passes(&PushMessage::Have(ranges.clone()));
    // One more pair than may be, sound in itself.
    let mut bytes = PushMessage::Have(ranges).encode().unwrap();
    assert_eq!(bytes[PUSH_HEADER_BYTES..][..3], [251, 0, 16]);
    bytes[PUSH_HEADER_BYTES + 1] += 1;
    bytes.extend([1, 1]);
    let body_bytes = u32::try_from(bytes.len() - PUSH_HEADER_BYTES).unwrap();
    bytes[1..5].copy_from_slice(&body_bytes.to_le_bytes());
    assert!(matches!(decode(&bytes), Err(DecodeError::Malformed { .. })));
}

#[test]
fn ranges_that_touch_meet_or_run_over_are_refused() {
    for pairs in [&[1_u8, 5, 0, 5][..], &[1, 0], &[253, 255, 255, 255, 255, 255, 255, 255, 255, 1]]
    {
        let count = if pairs.len() == 4 { 2 } else { 1 };
        let body = [&[count][..], pairs].concat();
        let bytes = [&[7, u8::try_from(body.len()).unwrap(), 0, 0, 0][..], &body].concat();
        assert!(decode(&bytes).is_err(), "{pairs:?}");
    }
}

#[test]
fn a_page_has_bounds() {
    let chunk = ChunkRef { id: ChunkId::from_bytes([1; 32]), bytes: 1 };
    let page = |item: ManifestItem| ManifestPage { items: vec![item] };
    let link = |bytes| {
        let target = vec![b't'; bytes];
        page(ManifestItem::Link(LinkEntry { path: samples::path("l"), target }))
    };
    assert!(link(PATH_BYTES_MAX).encode().is_ok());
    let refused = |page: ManifestPage| page.encode().is_err();
    assert!(refused(link(PATH_BYTES_MAX + 1)) && refused(link(0)));
    let many = vec![ManifestItem::Chunks(vec![chunk]); PAGE_ITEMS_MAX + 1];
    assert!(refused(ManifestPage { items: many }));
    assert!(refused(page(ManifestItem::Chunks(vec![chunk; PAGE_BYTES_MAX / 33 + 1]))));
    assert!(refused(page(ManifestItem::Chunks(vec![]))));
    let wrong = ChunkRef { bytes: CHUNK_BYTES_MAX + 1, ..chunk };
    assert!(refused(page(ManifestItem::Chunks(vec![wrong]))));
    let sound = samples::page();
    let ManifestItem::Whole(file, digests) = &sound.items[1] else { panic!("a file") };
    assert!(refused(page(ManifestItem::File(file.clone()))));
    let mut large = file.clone();
    large.bytes = 1 << 20;
    assert!(refused(page(ManifestItem::Whole(large, *digests))));
    let mut nowhere = file.clone();
    nowhere.path = RelativePath::ROOT;
    assert!(refused(page(ManifestItem::Whole(nowhere, *digests))));
    let oversized = PageOf { number: 0, page: vec![0; PAGE_BYTES_MAX + 1] };
    refuse(&PushMessage::Page(oversized), "page");
    assert!(ManifestPage::decode(&vec![0; PAGE_BYTES_MAX + 1]).is_err());
}

#[test]
fn a_chunk_says_its_lengths_truly_or_is_refused() {
    let chunk = |raw_bytes, is_compressed, bytes: usize| {
        let head = ChunkHead { number: 1, raw_bytes, is_compressed };
        PushMessage::Chunk(Chunk { head, bytes: vec![7; bytes] })
    };
    passes(&chunk(CHUNK_BYTES_MAX, false, CHUNK_BYTES_MAX as usize));
    passes(&chunk(CHUNK_BYTES_MAX, true, 1));
    for (raw, is_compressed, bytes) in
        [(0, false, 0), (5, false, 4), (5, true, 5), (5, true, 0), (CHUNK_BYTES_MAX + 1, true, 9)]
    {
        refuse(&chunk(raw, is_compressed, bytes), "chunk");
    }
    let mut bytes = chunk(5, false, 5).encode().unwrap();
    bytes[PUSH_HEADER_BYTES + 8] = 2;
    assert_eq!(decode(&bytes), Err(DecodeError::Malformed { what: "chunk" }));
}

#[test]
fn a_reason_of_a_newer_peer_reads_as_internal() {
    for reason in PushReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(*reason));
    }
    let bytes = PushMessage::Stop(samples::problem()).encode().unwrap();
    let at = bytes.windows(11).position(|word| word == b"test_failed").unwrap();
    let mut newer = bytes;
    newer[at..at + 11].copy_from_slice(b"test_danced");
    let Ok(PushMessage::Stop(problem)) = decode(&newer) else { panic!("a problem") };
    assert_eq!(problem.reason, PushReason::Internal);
}

#[test]
fn nothing_of_a_push_shows_what_users_wrote() {
    for (name, message) in samples::messages() {
        let shown = format!("{message:?}");
        for words in ["jobs", "clean-up", "removes", "SyntaxError", "srv", "[98, 121"] {
            assert!(!shown.contains(words), "{name}: {shown}");
        }
    }
}

proptest! {
    #[test]
    fn paths_survive(components in vec(vec(1_u8..=255, 1..20), 0..8)) {
        let components: Vec<Vec<u8>> = components
            .into_iter()
            .map(|name| name.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect())
            .filter(|name: &Vec<u8>| name != b"." && name != b"..")
            .collect();
        let path = RelativePath::from_components(components.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(&RelativePath::parse(path.as_bytes()).unwrap(), &path);
        prop_assert_eq!(path.depth(), components.len());
        prop_assert!(path.to_string().chars().all(|shown| !shown.is_control()));
    }

    #[test]
    fn the_order_of_paths_is_that_of_their_components(one in "[a!/]{0,8}", two in "[a!/]{0,8}") {
        if let (Ok(one), Ok(two)) = (parse(one.as_bytes()), parse(two.as_bytes())) {
            let by_components = one.components().cmp(two.components());
            prop_assert_eq!(one.cmp(&two), by_components);
        }
    }

    #[test]
    fn ranges_survive(pairs in vec((1_u64..1 << 40, 1_u64..1 << 40), 0..50), start: u32) {
        let mut ranges = ChunkRanges::default();
        let mut end = u64::from(start);
        for (gap, count) in pairs {
            let is_taken = ranges.push(ChunkRange { first: end + gap, count });
            prop_assert!(is_taken);
            end += gap + count;
        }
        let message = PushMessage::Have(ranges);
        prop_assert_eq!(decode(&message.encode().unwrap()).unwrap(), message);
    }

    #[test]
    fn random_bodies_are_refused_or_read(
        kind in 0..15_u8,
        body in vec(prop_oneof![Just(0_u8), 0..4_u8, any::<u8>()], 0..300),
    ) {
        let body_bytes = u32::try_from(body.len()).unwrap().to_le_bytes();
        let bytes = [&[kind][..], &body_bytes, &body].concat();
        if let Ok(message) = decode(&bytes) {
            prop_assert_eq!(decode(&message.encode().unwrap()).unwrap(), message);
        }
        if let Ok(page) = ManifestPage::decode(&body) {
            prop_assert_eq!(ManifestPage::decode(&page.encode().unwrap()).unwrap(), page);
        }
        if let Ok(event) = PushEvent::decode(&body) {
            prop_assert_eq!(PushEvent::decode(&event.encode().unwrap()).unwrap(), event);
        }
    }
}
