//! Manifests page by page, and what happens to a push: every chunk is asked for until it is there and never again, everybody
//! gets everything whatever fails meanwhile, and a history told again is the state that it came from.

mod distribution;
mod pushes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mesh_files::{
    CopyFrom, ManifestBuilder, ManifestDigest, ManifestLimits, ManifestReader, Piece, Place, Plan,
    PlanOutput, RangeSet, RateLimit, page_id,
};
use mesh_protocol::{
    ChunkId, ChunkRange, ChunkRef, ManifestItem, ManifestPage, PushTotals, RelativePath,
};

use self::distribution::everybody_gets_everything;
use self::pushes::{a_receiver_told_again, a_sender_told_again};
use crate::input::{Input, choose};

/// Lets the bytes decide what happens.
pub fn files(bytes: &[u8]) {
    choose(
        bytes,
        &[
            manifest,
            every_chunk_comes,
            everybody_gets_everything,
            a_sender_told_again,
            a_receiver_told_again,
            a_set_of_ranges,
            a_limit,
        ],
    );
}

/// What a reader takes is numbered without gaps, and a builder takes it too.
fn manifest(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let folds_names = input.flag();
    let mut pages: Vec<&[u8]> = Vec::new();
    while !input.is_over() && pages.len() < 16 {
        pages.push(input.piece(usize::from(u16::MAX)));
    }
    let items: Vec<ManifestItem> = pages
        .iter()
        .filter_map(|page| ManifestPage::decode(page).ok())
        .flat_map(|page| page.items)
        .collect();
    let destination = RelativePath::parse(b"to").unwrap();
    let limits = ManifestLimits { entries_max: 1 << 30, bytes_max: 1 << 60, folds_names };
    let plenty = PushTotals {
        entries: 1 << 30,
        files: 1 << 30,
        bytes: 1 << 60,
        chunks: 1 << 40,
        pages: 1 << 20,
    };
    let mut reader = ManifestReader::new(destination.clone(), plenty, limits).unwrap();
    let (mut entries, mut chunks, mut digest) = (0, 0, ManifestDigest::default());
    for page in &pages {
        let id = page_id(page);
        digest.add(&id);
        let Ok(pieces) = reader.page(&id, page) else { return };
        for piece in pieces {
            match piece {
                Piece::Entry { number, item } => {
                    assert_eq!(number, entries);
                    assert!(item.path().is_some_and(|path| !path.is_root()));
                    entries += 1;
                }
                Piece::Chunk { number, place } => {
                    assert_eq!((number, place.entry + 1), (chunks, entries));
                    chunks += 1;
                }
                Piece::FileEnd { entry, .. } => assert_eq!(entry + 1, entries),
            }
        }
    }
    let mut builder = ManifestBuilder::new(destination.clone());
    for item in items {
        builder.add(item).expect("what a reader takes, a builder takes");
    }
    let Ok(built) = builder.finish() else { return };
    let totals = PushTotals { pages: pages.len() as u64, ..built.totals };
    assert_eq!((totals.entries, totals.chunks), (entries, chunks));
    let mut reader = ManifestReader::new(destination, totals, limits).unwrap();
    for page in &pages {
        reader.page(&page_id(page), page).expect("it was taken before");
    }
    assert_eq!(reader.finish(&digest.finish()), Ok(()), "it holds what was announced");
}

fn place(number: u64, content: u8) -> Place {
    let chunk = ChunkRef { id: ChunkId::from_bytes([content; 32]), bytes: 1 };
    Place { entry: number, offset: 0, chunk }
}

/// A receiver's disk: what is stored is all that lasts when it is interrupted.
struct Disk<'w> {
    contents: &'w [u8],
    local: &'w [u8],
    staged: BTreeMap<u64, u8>,
    sent: BTreeSet<u64>,
    copied: usize,
}

impl Disk<'_> {
    /// Receives until everything is there, or until `life` things have happened. Says whether it is.
    fn run(&mut self, mut life: usize, page: usize, bad: u8) -> bool {
        let mut done = RangeSet::default();
        done.extend(self.staged.keys().map(|first| ChunkRange { first: *first, count: 1 }));
        let mut plan: Plan<u8> = Plan::new(done);
        let mut pages = self.contents.chunks(page).enumerate();
        let (mut stream, mut has_ended) = (VecDeque::new(), false);
        let mut wrong = u32::from(bad) % 3;
        while life > 0 {
            life -= 1;
            if let Some(output) = plan.poll_output() {
                self.perform(&mut plan, output, &mut stream);
            } else if let Some((index, contents)) = pages.next() {
                let numbered = (index as u64 * page as u64..).zip(contents);
                let pieces = numbered.map(|(number, content)| Piece::Chunk {
                    number,
                    place: place(number, *content),
                });
                plan.page(&pieces.collect::<Vec<_>>());
            } else if let Some(number) = stream.pop_front() {
                let content = self.contents[usize::try_from(number).unwrap()];
                assert_eq!(plan.expected(number), Some(place(number, content)));
                if wrong > 0 && number % 3 == u64::from(bad) % 3 {
                    wrong -= 1;
                    plan.came_wrong(number).expect("twice is not too often");
                    continue;
                }
                assert!(self.sent.insert(number), "{number} is there and came again");
                self.store(&mut plan, number, content);
            } else if !has_ended {
                has_ended = true;
                plan.end();
            } else {
                assert!(plan.is_complete(), "there is nothing to wait for");
                assert_eq!(plan.done().count(), self.contents.len() as u64);
                return true;
            }
        }
        false
    }

    fn perform(&mut self, plan: &mut Plan<u8>, output: PlanOutput<u8>, stream: &mut VecDeque<u64>) {
        match output {
            PlanOutput::Look(wanted) => {
                let found = |content: u8| self.local.contains(&content).then_some(content);
                let answers = wanted
                    .iter()
                    .map(|look| (look.number, found(look.place.chunk.id.as_bytes()[0])));
                plan.looked(answers.collect::<Vec<_>>());
            }
            PlanOutput::Copy { number, from, to } => {
                let content = match from {
                    CopyFrom::Found(content) => content,
                    CopyFrom::Staged(place) => self.staged[&place.entry],
                };
                assert_eq!(to, place(number, content));
                // Some of what was found is gone when it is copied.
                if content % 7 == 0 && matches!(from, CopyFrom::Found(_)) {
                    plan.copy_failed(number);
                } else {
                    self.copied += 1;
                    self.store(plan, number, content);
                }
            }
            PlanOutput::Need(need) => {
                for number in need.chunks.iter().flat_map(|range| range.first..range.end()) {
                    assert!(!self.staged.contains_key(&number), "{number} is verified");
                    stream.push_back(number);
                }
            }
        }
    }

    fn store(&mut self, plan: &mut Plan<u8>, number: u64, content: u8) {
        assert_eq!(self.staged.insert(number, content), None, "{number} twice");
        plan.stored(number);
    }
}

fn every_chunk_comes(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (page, bad) = (1 + input.below(30), input.byte());
    let lives: Vec<usize> = (0..input.below(6)).map(|_| input.below(200)).collect();
    let local = input.piece(10);
    let contents = input.rest();
    let contents = &contents[..contents.len().min(300)];
    let (staged, sent) = (BTreeMap::new(), BTreeSet::new());
    let mut disk = Disk { contents, local, staged, sent, copied: 0 };
    for life in lives {
        disk.run(life, page, bad);
    }
    assert!(disk.run(usize::MAX, page, bad));
    let staged: Vec<u8> = disk.staged.values().copied().collect();
    assert_eq!(staged, contents);
    assert_eq!(disk.sent.len() + disk.copied, contents.len());
}

fn a_set_of_ranges(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut ranges, mut numbers) = (RangeSet::default(), BTreeSet::new());
    while !input.is_over() {
        let (first, count) = (u64::from(input.byte()), u64::from(input.byte() % 16));
        let covered = (first..first + count).all(|number| numbers.contains(&number));
        assert_eq!(ranges.covers(ChunkRange { first, count }), covered);
        assert!(ranges.insert(ChunkRange { first, count }));
        numbers.extend(first..first + count);
    }
    let read: BTreeSet<u64> = ranges.iter().flat_map(|range| range.first..range.end()).collect();
    assert_eq!(read, numbers);
    assert_eq!(ranges.count(), numbers.len() as u64);
    let list: Vec<ChunkRange> = ranges.iter().collect();
    assert!(list.windows(2).all(|pair| pair[0].end() < pair[1].first));
    // Any numbers at all: nothing overflows.
    for first in [u64::MAX, u64::MAX - 1, 1 << 63] {
        ranges.insert(ChunkRange { first, count: u64::MAX });
    }
    assert!(ranges.contains(u64::MAX - 1));
}

/// No more passes than the rate and one burst, and whoever waits as long as told passes.
fn a_limit(bytes: &[u8]) {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "an origin; only distances from it are used")]
    let start = *START.get_or_init(Instant::now);
    let mut input = Input::new(bytes);
    let rate = 1_000 + u64::from(input.short()) * 100;
    let mut limit = RateLimit::new(rate);
    let (mut now, mut sent, mut largest) = (start, 0_u64, 0);
    while !input.is_over() {
        let bytes = 1 + u64::from(input.short()) * 4;
        now += Duration::from_millis(u64::from(input.byte()) * 2);
        if let Err(wait) = limit.take(bytes, now) {
            now += wait;
            assert!(limit.take(bytes, now).is_ok(), "it was told how long to wait");
        }
        (sent, largest) = (sent + bytes, bytes.max(largest));
        let passed = now.duration_since(start).as_nanos() + Duration::from_millis(200).as_nanos();
        let most = passed * u128::from(rate) / 1_000_000_000 + u128::from(largest);
        // Each cost is rounded down to a nanosecond.
        assert!(u128::from(sent) <= most + 1 + u128::from(sent) / 1_000, "{sent} of {most}");
    }
}
