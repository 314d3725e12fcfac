use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesh_protocol::{ChunkId, ChunkNeed, ChunkRange, ChunkRanges};

use crate::range_set::pack;
use crate::{Piece, Place, RangeSet};

/// While so many chunks are open, no further page is wanted: about three MiB of them.
const OPEN_MAX: usize = 16_384;
/// Most chunks in one question of what is there.
const LOOK_MAX: usize = 1024;
/// How often a chunk may come wrong.
const ATTEMPTS_MAX: u8 = 3;

/// Asks the adapter whether it has these bytes: in the target, a backup, or staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookUp {
    /// The chunk's number.
    pub number: u64,
    /// Where it belongs.
    pub place: Place,
}

/// Where a chunk is that need not travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFrom<S> {
    /// Where the adapter found it.
    Found(S),
    /// Elsewhere in what is being staged.
    Staged(Place),
}

/// What a plan wishes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanOutput<S> {
    /// Look for these, and say so with [`Plan::looked`].
    Look(Vec<LookUp>),
    /// Copy and check a chunk; then [`Plan::stored`] or [`Plan::copy_failed`].
    Copy {
        /// The chunk's number.
        number: u64,
        /// Where it is.
        from: CopyFrom<S>,
        /// Where it goes.
        to: Place,
    },
    /// Ask others for these.
    Need(ChunkNeed),
}

/// Why a plan cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A chunk came wrong too often. Nothing of it was kept.
    #[error("chunk {number} does not match its digest")]
    Wrong {
        /// Which one.
        number: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The adapter is looking.
    Looking,
    /// The adapter copies.
    Copying,
    /// Another open chunk has the same bytes, and comes first.
    Waiting,
    /// Others were asked.
    Asked,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    place: Place,
    state: State,
    wrong: u8,
}

/// What a receiver does to have every chunk of a manifest: which it has already, which it can copy, which it asks
/// others for. Takes pages one by one, and holds no more than some thousands of chunks.
///
/// `S` is where the adapter finds a chunk; the plan hands it back.
#[derive(Debug)]
pub struct Plan<S> {
    done: RangeSet,
    /// Done since that was last taken.
    untold: RangeSet,
    open: BTreeMap<u64, Open>,
    /// The open chunk that stands for all open ones with these bytes.
    leaders: BTreeMap<ChunkId, u64>,
    /// The others, by it.
    followers: BTreeMap<u64, Vec<u64>>,
    to_look: Vec<LookUp>,
    to_ask: BTreeSet<u64>,
    /// Open chunks that are being looked for or copied.
    unsettled: usize,
    is_ended: bool,
    is_last_told: bool,
    outputs: VecDeque<PlanOutput<S>>,
}

impl<S> Plan<S> {
    /// Starts with the chunks that are verified in staging: these are never asked for again.
    #[must_use]
    pub fn new(done: RangeSet) -> Self {
        Self {
            untold: done.clone(),
            done,
            open: BTreeMap::new(),
            leaders: BTreeMap::new(),
            followers: BTreeMap::new(),
            to_look: Vec::new(),
            to_ask: BTreeSet::new(),
            unsettled: 0,
            is_ended: false,
            is_last_told: false,
            outputs: VecDeque::new(),
        }
    }

    /// Whether the next page should be read.
    #[must_use]
    pub fn wants_page(&self) -> bool {
        !self.is_ended && self.open.len() < OPEN_MAX
    }

    /// Takes in the next page.
    pub fn page(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Chunk { number, place } => self.chunk(*number, *place),
                Piece::Entry { .. } | Piece::FileEnd { .. } => {}
            }
        }
        self.settle();
    }

    /// There are no more pages.
    pub fn end(&mut self) {
        self.is_ended = true;
        self.settle();
    }

    fn chunk(&mut self, number: u64, place: Place) {
        if self.done.contains(number) || self.open.contains_key(&number) {
            return;
        }
        let leader = self.leaders.get(&place.chunk.id).copied();
        let state = match leader {
            Some(leader) => {
                self.followers.entry(leader).or_default().push(number);
                State::Waiting
            }
            None => {
                self.leaders.insert(place.chunk.id, number);
                self.to_look.push(LookUp { number, place });
                self.unsettled += 1;
                State::Looking
            }
        };
        self.open.insert(number, Open { place, state, wrong: 0 });
    }

    /// Takes in where chunks were found, and which were not.
    pub fn looked(&mut self, answers: impl IntoIterator<Item = (u64, Option<S>)>) {
        for (number, found) in answers {
            let Some(open) = self.open.get_mut(&number) else { continue };
            if open.state != State::Looking {
                continue;
            }
            if let Some(source) = found {
                open.state = State::Copying;
                let (from, to) = (CopyFrom::Found(source), open.place);
                self.outputs.push_back(PlanOutput::Copy { number, from, to });
            } else {
                open.state = State::Asked;
                self.unsettled = self.unsettled.saturating_sub(1);
                self.to_ask.insert(number);
            }
        }
        self.settle();
    }

    /// What a chunk that came must be; none when nobody was asked for it, or it is there already.
    #[must_use]
    pub fn expected(&self, number: u64) -> Option<Place> {
        self.open.get(&number).filter(|open| open.state == State::Asked).map(|open| open.place)
    }

    /// A chunk is verified and stored in staging.
    pub fn stored(&mut self, number: u64) {
        let Some(open) = self.open.remove(&number) else { return };
        let range = ChunkRange { first: number, count: 1 };
        // Everything before the open ones is done, so there are never many more ranges than open chunks.
        self.done.insert(range);
        self.untold.insert(range);
        if matches!(open.state, State::Looking | State::Copying) {
            self.unsettled = self.unsettled.saturating_sub(1);
        }
        self.to_ask.remove(&number);
        if self.leaders.get(&open.place.chunk.id) == Some(&number) {
            self.leaders.remove(&open.place.chunk.id);
        }
        for follower in self.followers.remove(&number).unwrap_or_default() {
            let Some(waiting) = self.open.get_mut(&follower) else { continue };
            waiting.state = State::Copying;
            self.unsettled += 1;
            let (from, to) = (CopyFrom::Staged(open.place), waiting.place);
            self.outputs.push_back(PlanOutput::Copy { number: follower, from, to });
        }
        self.settle();
    }

    /// A chunk could not be copied, or is another one by now: it has to travel.
    pub fn copy_failed(&mut self, number: u64) {
        if let Some(open) = self.open.get_mut(&number)
            && open.state == State::Copying
        {
            open.state = State::Asked;
            self.unsettled = self.unsettled.saturating_sub(1);
            self.to_ask.insert(number);
        }
        self.settle();
    }

    /// A chunk came, and its bytes are not what they should be. It is asked for again.
    ///
    /// # Errors
    /// [`PlanError::Wrong`] when that happens again and again: the push ends.
    pub fn came_wrong(&mut self, number: u64) -> Result<(), PlanError> {
        if let Some(open) = self.open.get_mut(&number)
            && open.state == State::Asked
        {
            open.wrong += 1;
            if open.wrong >= ATTEMPTS_MAX {
                return Err(PlanError::Wrong { number });
            }
            self.to_ask.insert(number);
        }
        self.settle();
        Ok(())
    }

    /// Gives the next wish out, oldest first.
    pub fn poll_output(&mut self) -> Option<PlanOutput<S>> {
        self.outputs.pop_front()
    }

    /// Chunks that are verified in staging.
    #[must_use]
    pub const fn done(&self) -> &RangeSet {
        &self.done
    }

    /// What has been stored since this was last called, a message's worth each: whoever serves is told.
    pub fn take_done(&mut self) -> Vec<ChunkRanges> {
        let mut told: Vec<ChunkRanges> = Vec::new();
        for range in std::mem::take(&mut self.untold).iter() {
            if !told.last_mut().is_some_and(|ranges| ranges.push(range)) {
                let mut ranges = ChunkRanges::default();
                ranges.push(range);
                told.push(ranges);
            }
        }
        told
    }

    /// Whether every chunk of the manifest is verified in staging.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_ended && self.open.is_empty()
    }

    /// Makes wishes of what has gathered.
    fn settle(&mut self) {
        let looks = std::mem::take(&mut self.to_look);
        for batch in looks.chunks(LOOK_MAX) {
            self.outputs.push_back(PlanOutput::Look(batch.to_vec()));
        }
        let mut asks = pack(std::mem::take(&mut self.to_ask));
        let is_last = self.is_ended && self.unsettled == 0;
        if is_last && !self.is_last_told && asks.is_empty() {
            asks.push(ChunkRanges::default());
        }
        let count = asks.len();
        for (index, chunks) in asks.into_iter().enumerate() {
            let is_last = is_last && index + 1 == count;
            self.is_last_told |= is_last;
            self.outputs.push_back(PlanOutput::Need(ChunkNeed { chunks, is_last }));
        }
    }
}

#[cfg(test)]
mod tests;
