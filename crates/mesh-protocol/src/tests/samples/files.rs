//! One of each of what a push's stream carries.

use super::{BAULDER, MINT, OAK};
use crate::{
    Chunk, ChunkHead, ChunkId, ChunkNeed, ChunkRange, ChunkRanges, ChunkRef, ChunkSource,
    Confirmation, Fetch, FileDigests, FileEntry, FileTime, FolderEntry, LinkEntry, ManifestItem,
    ManifestPage, PageIds, PageNeed, PageOf, PushAnswer, PushEvent, PushFact, PushId, PushMessage,
    PushMethod, PushOffer, PushProblem, PushReason, PushResult, PushStep, PushTotals, RelativePath,
    RollbackOffer, TestEnd, TestOutcome, UnixMillis, Verification, WaitingFor,
};

pub(in crate::tests) const PUSH: PushId =
    PushId::from_bytes([1, 0xa1, 0x96, 0xfb, 0x16, 0, 0x70, 1, 0x82, 3, 4, 5, 6, 7, 8, 9]);
const NOON: UnixMillis = UnixMillis(1_793_534_400_000);

pub(in crate::tests) fn path(text: &str) -> RelativePath {
    RelativePath::parse(text.as_bytes()).unwrap()
}

pub(in crate::tests) fn ranges(pairs: &[(u64, u64)]) -> ChunkRanges {
    let mut ranges = ChunkRanges::default();
    for (first, count) in pairs {
        assert!(ranges.push(ChunkRange { first: *first, count: *count }));
    }
    ranges
}

pub(in crate::tests) fn totals() -> PushTotals {
    PushTotals { entries: 4, files: 2, bytes: 200_012, chunks: 3, pages: 1 }
}

pub(in crate::tests) fn offer() -> PushOffer {
    PushOffer {
        push_id: PUSH,
        by: BAULDER,
        targets: vec![MINT, OAK],
        root: "scripts".parse().unwrap(),
        destination: path("jobs/nightly"),
        message: "the new clean-up".to_owned(),
        method: PushMethod::Stream,
        totals: totals(),
        manifest: [0x4d; 32],
        test: Some("node {file} --help".to_owned()),
        made_at: NOON,
        expires_at: UnixMillis(NOON.0 + 86_400_000),
    }
}

pub(in crate::tests) fn rollback() -> RollbackOffer {
    RollbackOffer {
        push_id: PushId::from_bytes([
            1, 0xa1, 0x96, 0xfb, 0x17, 0, 0x70, 1, 0x82, 3, 4, 5, 6, 7, 8, 9,
        ]),
        by: BAULDER,
        targets: vec![MINT, OAK],
        of: PUSH,
        is_forced: true,
        message: "the new clean-up removes too much".to_owned(),
        made_at: NOON,
        expires_at: UnixMillis(NOON.0 + 86_400_000),
    }
}

pub(in crate::tests) fn test_outcome() -> TestOutcome {
    TestOutcome {
        command: "node {file} --help".to_owned(),
        end: TestEnd::Exit(1),
        millis: 77,
        output: b"SyntaxError".to_vec(),
        is_cut: false,
    }
}

pub(in crate::tests) fn problem() -> PushProblem {
    PushProblem {
        step: PushStep::Verify,
        reason: PushReason::TestFailed,
        detail: "clean.js".to_owned(),
        test: Some(test_outcome()),
    }
}

fn verification() -> Verification {
    let test = TestOutcome { end: TestEnd::Exit(0), ..test_outcome() };
    Verification { files: 2, bytes: 200_012, test: Some(test) }
}

fn confirmation() -> Confirmation {
    Confirmation { location: b"/srv/scripts/jobs/nightly".to_vec(), replaced: 1, at: NOON }
}

pub(in crate::tests) fn page() -> ManifestPage {
    let modified = FileTime { seconds: 1_793_534_400, nanos: 5 };
    let file = |text, bytes| FileEntry { path: path(text), bytes, is_executable: true, modified };
    let digests = FileDigests { blake3: [0xb3; 32], sha256: [0x5a; 32] };
    let chunk = |byte, bytes| ChunkRef { id: ChunkId::from_bytes([byte; 32]), bytes };
    ManifestPage {
        items: vec![
            ManifestItem::Folder(FolderEntry { path: path("bin"), is_listable: true, modified }),
            ManifestItem::Whole(file("bin/clean.js", 12), digests),
            ManifestItem::Link(LinkEntry { path: path("bin/run"), target: b"clean.js".to_vec() }),
            ManifestItem::File(file("large", 200_000)),
            ManifestItem::Chunks(vec![chunk(0xc1, 120_000), chunk(0xc2, 80_000)]),
            ManifestItem::FileEnd(digests),
        ],
    }
}

pub(in crate::tests) fn messages() -> Vec<(&'static str, PushMessage)> {
    let id = |byte| ChunkId::from_bytes([byte; 32]);
    let need = ChunkNeed { chunks: ranges(&[(0, 2), (700, 1)]), is_last: true };
    let head = |raw_bytes, is_compressed| ChunkHead { number: 700, raw_bytes, is_compressed };
    let source = ChunkSource { from: OAK, chunks: ChunkRange { first: 256, count: 128 } };
    vec![
        ("push_offer", PushMessage::Offer(offer())),
        ("push_answer", PushMessage::Answer(PushAnswer::Accepted)),
        ("push_answer_waiting", PushMessage::Answer(PushAnswer::WaitingForApproval)),
        ("push_answer_refused", PushMessage::Answer(PushAnswer::Refused(problem()))),
        ("push_page_ids", PushMessage::PageIds(PageIds { first: 9, ids: vec![id(1), id(2)] })),
        (
            "push_page_need",
            PushMessage::PageNeed(PageNeed { pages: ranges(&[(3, 1)]), is_last: false }),
        ),
        ("push_page", PushMessage::Page(PageOf { number: 3, page: page().encode().unwrap() })),
        ("push_need", PushMessage::Need(need)),
        ("push_have", PushMessage::Have(ranges(&[(5, 300)]))),
        ("push_source", PushMessage::Source(source)),
        ("push_fetch", PushMessage::Fetch(Fetch { push_id: PUSH, manifest: [0x4d; 32] })),
        (
            "push_chunk",
            PushMessage::Chunk(Chunk { head: head(5, false), bytes: b"bytes".to_vec() }),
        ),
        (
            "push_chunk_compressed",
            PushMessage::Chunk(Chunk { head: head(65_536, true), bytes: vec![0x28; 4] }),
        ),
        ("push_result_verified", PushMessage::Result(PushResult::Verified(verification()))),
        ("push_result_confirmed", PushMessage::Result(PushResult::Confirmed(confirmation()))),
        ("push_result_failed", PushMessage::Result(PushResult::Failed(problem()))),
        ("push_stop", PushMessage::Stop(problem())),
        ("push_rollback", PushMessage::Rollback(rollback())),
    ]
}

pub(in crate::tests) fn events() -> Vec<(&'static str, PushEvent)> {
    let target = MINT;
    let facts = [
        ("event_prepared", PushFact::Prepared { totals: totals(), manifest: [0x4d; 32] }),
        ("event_announced", PushFact::Announced),
        ("event_ended", PushFact::Ended(problem())),
        ("event_waiting", PushFact::Waiting { target, waiting_for: WaitingFor::Approval }),
        ("event_accepted", PushFact::Accepted { target }),
        ("event_staged", PushFact::Staged { target }),
        ("event_verified", PushFact::Verified { target, verification: verification() }),
        ("event_confirmed", PushFact::Confirmed { target, confirmation: confirmation() }),
        ("event_failed", PushFact::Failed { target, problem: problem() }),
        ("event_rolled_back", PushFact::RolledBack { target, by: PUSH }),
    ];
    facts.into_iter().map(|(name, fact)| (name, PushEvent { at: NOON, fact })).collect()
}

pub(in crate::tests) fn encoded() -> Vec<(String, Vec<u8>)> {
    let messages = messages().into_iter().map(|(name, sample)| (name, sample.encode().unwrap()));
    let events = events().into_iter().map(|(name, sample)| (name, sample.encode().unwrap()));
    let page = [("manifest_page", page().encode().unwrap())];
    messages.chain(events).chain(page).map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}
