use std::collections::BTreeMap;

use mesh_protocol::{ChunkRange, ChunkRef};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn place(entry: u64, content: u8) -> Place {
    let chunk = ChunkRef { id: ChunkId::from_bytes([content; 32]), bytes: 1 };
    Place { entry, offset: 0, chunk }
}

fn pieces(contents: &[u8], first: u64) -> Vec<Piece> {
    let numbered = (first..).zip(contents);
    numbered
        .map(|(number, content)| Piece::Chunk { number, place: place(number, *content) })
        .collect()
}

/// Receives `contents`, a byte per chunk, until it is complete or `life` outputs and chunks were handled. What is
/// stored is all that lasts, and what was asked for is counted.
struct Receiver<'w> {
    contents: &'w [u8],
    staged: BTreeMap<u64, u8>,
    local: &'w [u8],
    sent: BTreeMap<u64, u32>,
    copied: usize,
}

impl Receiver<'_> {
    fn run(&mut self, mut life: usize, page: usize, bad: &[usize]) -> bool {
        let mut done = RangeSet::default();
        done.extend(self.staged.keys().map(|first| ChunkRange { first: *first, count: 1 }));
        let mut plan: Plan<u8> = Plan::new(done);
        let mut pages = self.contents.chunks(page).enumerate();
        let mut stream: VecDeque<u64> = VecDeque::new();
        loop {
            if life == 0 {
                return false;
            }
            life -= 1;
            if let Some(output) = plan.poll_output() {
                self.perform(&mut plan, output, &mut stream);
            } else if let Some((index, contents)) = pages.next() {
                assert!(plan.wants_page());
                plan.page(&pieces(contents, (index * page) as u64));
            } else if let Some(number) = stream.pop_front() {
                self.arrive(&mut plan, number, bad.contains(&life));
            } else if !plan.is_ended {
                plan.end();
            } else {
                assert!(plan.is_complete(), "there is nothing to wait for");
                assert_eq!(plan.done().count(), self.contents.len() as u64);
                return true;
            }
        }
    }

    fn perform(&mut self, plan: &mut Plan<u8>, output: PlanOutput<u8>, stream: &mut VecDeque<u64>) {
        match output {
            PlanOutput::Look(lookups) => {
                let look = |look: &LookUp| {
                    let content = look.place.chunk.id.as_bytes()[0];
                    (look.number, self.local.contains(&content).then_some(content))
                };
                let answers: Vec<_> = lookups.iter().map(look).collect();
                plan.looked(answers);
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

    fn arrive(&mut self, plan: &mut Plan<u8>, number: u64, is_bad: bool) {
        assert_eq!(
            plan.expected(number),
            Some(place(number, self.contents[usize::try_from(number).unwrap()]))
        );
        if is_bad {
            plan.came_wrong(number).unwrap();
            return;
        }
        *self.sent.entry(number).or_default() += 1;
        let content = self.contents[usize::try_from(number).unwrap()];
        self.store(plan, number, content);
    }

    fn store(&mut self, plan: &mut Plan<u8>, number: u64, content: u8) {
        assert_eq!(self.staged.insert(number, content), None, "{number} twice");
        plan.stored(number);
    }
}

proptest! {
    #[test]
    fn whatever_is_interrupted_ends_complete_and_nothing_verified_is_asked_for_again(
        contents in vec(0_u8..40, 0..120),
        local in vec(0_u8..40, 0..10),
        lives in vec(0_usize..200, 0..6),
        page in 1_usize..30,
        bad in vec(0_usize..200, 0..3),
    ) {
        let sent = BTreeMap::new();
        let staged = BTreeMap::new();
        let mut receiver = Receiver { contents: &contents, staged, local: &local, sent, copied: 0 };
        for life in lives {
            receiver.run(life, page, &bad);
        }
        prop_assert!(receiver.run(usize::MAX, page, &[]));
        let bytes: Vec<u8> = receiver.staged.values().copied().collect();
        prop_assert_eq!(bytes, contents.clone());
        prop_assert!(receiver.sent.values().all(|count| *count == 1));
        prop_assert_eq!(receiver.sent.len() + receiver.copied, contents.len());
    }
}

#[test]
fn equal_chunks_travel_once() {
    let (sent, staged) = (BTreeMap::new(), BTreeMap::new());
    let mut receiver = Receiver { contents: &[9; 50], staged, local: &[], sent, copied: 0 };
    assert!(receiver.run(usize::MAX, 50, &[]));
    assert_eq!((receiver.sent.len(), receiver.copied), (1, 49));
}

fn drain(plan: &mut Plan<u8>) -> Vec<PlanOutput<u8>> {
    std::iter::from_fn(|| plan.poll_output()).collect()
}

#[test]
fn nothing_to_ask_for_is_said_once_and_as_the_last() {
    let mut plan: Plan<u8> = Plan::new(RangeSet::default());
    plan.page(&[]);
    plan.end();
    plan.end();
    let chunks = ChunkRanges::default();
    assert_eq!(drain(&mut plan), [PlanOutput::Need(ChunkNeed { chunks, is_last: true })]);
    assert!(plan.is_complete());
}

#[test]
fn a_chunk_that_came_wrong_is_asked_for_again_and_one_that_stays_wrong_ends_it() {
    let mut plan: Plan<u8> = Plan::new(RangeSet::default());
    plan.page(&pieces(&[1, 2, 3], 0));
    plan.end();
    plan.looked((0..3).map(|number| (number, None)));
    drain(&mut plan);
    plan.stored(1);
    for _ in 0..2 {
        assert_eq!(plan.came_wrong(0), Ok(()));
        let outputs = drain(&mut plan);
        let [PlanOutput::Need(need)] = &outputs[..] else { panic!("{outputs:?}") };
        let asked = need.chunks.iter().flat_map(|range| range.first..range.end());
        assert_eq!(asked.collect::<Vec<_>>(), [0]);
    }
    assert_eq!(plan.came_wrong(0), Err(PlanError::Wrong { number: 0 }));
    assert_eq!(plan.came_wrong(1), Ok(()), "it is there");
    let told = plan.take_done();
    assert_eq!(told.iter().map(ChunkRanges::chunks).sum::<u64>(), 1);
    assert!(plan.take_done().is_empty());
}

#[test]
fn no_page_is_wanted_while_too_much_is_open() {
    let mut plan: Plan<u8> = Plan::new(RangeSet::default());
    let distinct = |number: u64| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let chunk = ChunkRef { id: ChunkId::from_bytes(id), bytes: 1 };
        Piece::Chunk { number, place: Place { entry: number, offset: 0, chunk } }
    };
    let all: Vec<Piece> = (0..OPEN_MAX as u64).map(distinct).collect();
    plan.page(&all[1..]);
    assert!(plan.wants_page());
    plan.page(&all[..1]);
    assert!(!plan.wants_page());
    let batches = drain(&mut plan);
    assert!(
        batches
            .iter()
            .all(|output| matches!(output, PlanOutput::Look(batch) if batch.len() <= LOOK_MAX))
    );
}
