mod batch;
mod lane;
mod ports;
mod receipt;
mod room;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mesh_protocol::{ErrorCode, PeerId, UnixMillis};

use crate::backoff::Jitter;
use crate::{DeliveryConfig, Entry, Now, QueueFull};

use lane::{Lane, LaneKey, LaneState};
use room::Room;

pub use ports::{End, Input, Output};
pub use room::Reservation;
pub use view::{EndedCounts, OutboundStats, WaitingState, WaitingView};

/// When [`Outbound::handle_timeout`] wants to be called.
pub type Timeout = Instant;

/// The wall clock can run ahead of the monotonic one (it was set, or the machine slept), so expiry is
/// looked at again after this time even when it seems further away.
const EXPIRY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Brings the messages of the outbox to their receivers, each to an [`End`].
///
/// A lane is what waits for one peer with one priority. Its messages leave in the order of their
/// sequences, in batches, of which one is under way at a time; the next one leaves with the answer,
/// so a busy lane needs no timer and gathers what is committed meanwhile.
///
/// Holds no body, socket, clock or task. All work is O(log n) per message.
#[derive(Debug)]
pub struct Outbound {
    config: DeliveryConfig,
    jitter: Jitter,
    room: Room,
    /// Every message that has not ended, by sequence.
    entries: BTreeMap<u64, Entry>,
    /// Lanes that hold messages; an empty one is forgotten.
    lanes: BTreeMap<LaneKey, Lane>,
    /// Batches that wait for their answer.
    batches: BTreeMap<u64, LaneKey>,
    /// Messages that ended through others while their batch was under way, until it is over. They keep
    /// their places in it, because the answer counts them.
    settled: BTreeMap<u64, LaneKey>,
    next_batch_id: u64,
    /// Messages that wait in a lane. One that is under way is left to its answer.
    expiries: BTreeSet<(UnixMillis, u64)>,
    /// The answer that a lane waits for, or the end of its back-off.
    timers: BTreeSet<(Instant, LaneKey)>,
    /// Peers with a link or a route.
    up: BTreeSet<PeerId>,
    /// Lanes that may be able to send, or to be forgotten. Empty between calls.
    touched: BTreeSet<LaneKey>,
    outputs: VecDeque<Output>,
    ended: EndedCounts,
    now: Option<Now>,
}

impl Outbound {
    /// Starts empty, with everybody down. Equal seeds and inputs give equal outputs.
    #[must_use]
    pub fn new(config: DeliveryConfig, jitter_seed: u64) -> Self {
        let config = config.clamped();
        Self {
            room: Room::new(config.messages_max, config.bytes_max, config.peer_messages_max),
            config,
            jitter: Jitter::new(jitter_seed),
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
            batches: BTreeMap::new(),
            settled: BTreeMap::new(),
            next_batch_id: 1,
            expiries: BTreeSet::new(),
            timers: BTreeSet::new(),
            up: BTreeSet::new(),
            touched: BTreeSet::new(),
            outputs: VecDeque::new(),
            ended: EndedCounts::default(),
            now: None,
        }
    }

    /// Takes room for one message of `bytes_each` to every one of `recipients`, before it is committed.
    ///
    /// # Errors
    /// [`QueueFull`] names the bound that was met; nothing is reserved then.
    pub fn reserve(
        &mut self,
        recipients: &[PeerId],
        bytes_each: usize,
    ) -> Result<Reservation, QueueFull> {
        self.room.reserve(recipients, bytes_each)
    }

    /// Gives a reservation back whose commit failed.
    pub fn release(&mut self, reservation: Reservation) {
        self.room.release(reservation);
    }

    /// Takes a fact in. The driver empties [`Outbound::poll_output`] before the next one.
    pub fn handle_input(&mut self, input: Input, now: Now) {
        self.now = Some(now);
        match input {
            Input::Restored(entries) => {
                for entry in entries {
                    self.enqueue(entry);
                }
            }
            Input::Committed { reservation, entries } => self.commit(reservation, entries),
            Input::PeerUp(peer) => self.peer_up(peer),
            Input::PeerDown(peer) => self.peer_down(peer, now),
            Input::PeerRemoved(peer) => self.remove_peer(peer),
            Input::BatchAnswered { batch_id, outcomes } => self.answer(batch_id, &outcomes, now),
            Input::BatchFailed { batch_id } => self.fail(batch_id, None, now),
            Input::BodyMissing { sequence } => self.drop_bodiless(sequence),
            Input::Settled { sequence, outcome } => self.take_receipt(sequence, outcome, now),
        }
        self.settle(now);
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = Some(now);
        while let Some(&(due, key)) = self.timers.first()
            && due <= now.instant
        {
            self.timers.pop_first();
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if let LaneState::UnderWay(batch) = &lane.state {
                let batch_id = batch.id;
                self.fail(batch_id, Some(ErrorCode::TimedOut), now);
            } else {
                lane.state = LaneState::Idle;
                self.touched.insert(key);
            }
        }
        self.settle(now);
    }

    /// When [`Outbound::handle_timeout`] wants to be called; none while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timeout> {
        let timer = self.timers.first().map(|&(due, _)| due);
        let expiry = self.expiries.first().zip(self.now).map(|(&(expires_at, _), now)| {
            now.instant + expires_at.since(now.wall).min(EXPIRY_WAIT_MAX)
        });
        timer.into_iter().chain(expiry).min()
    }

    /// Gives the next wish out, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The peer whose answer a batch waits for; none when it waits for no answer.
    ///
    /// The driver asks before it passes an answer on: an answer that came from somebody else is a lie.
    #[must_use]
    pub fn peer_of_batch(&self, batch_id: u64) -> Option<PeerId> {
        self.batches.get(&batch_id).map(|key| key.peer)
    }

    fn commit(&mut self, reservation: Reservation, entries: Vec<Entry>) {
        let removed = self.room.release(reservation);
        for entry in entries {
            // The peer was removed while the commit was under way: nothing else would end the message.
            if removed.contains(&entry.to) {
                let end = End::Refused(ErrorCode::NotAMember);
                self.tell_end(&entry, end);
            } else {
                self.enqueue(entry);
            }
        }
    }

    fn enqueue(&mut self, entry: Entry) {
        // Restored and committed may name the same row; it is one message.
        if self.entries.contains_key(&entry.sequence) {
            return;
        }
        let key = LaneKey::of(&entry);
        self.lanes.entry(key).or_default().waiting.insert(entry.sequence);
        self.expiries.insert((entry.expires_at, entry.sequence));
        self.room.add(entry.to, entry.bytes);
        self.entries.insert(entry.sequence, entry);
        self.touched.insert(key);
    }

    fn peer_up(&mut self, peer: PeerId) {
        if !self.up.insert(peer) {
            return;
        }
        for key in LaneKey::all_of(peer) {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            // A fresh way says more about the peer than the failures on the old one.
            if let LaneState::BackingOff { until } = lane.state {
                self.timers.remove(&(until, key));
                lane.state = LaneState::Idle;
            }
            self.touched.insert(key);
        }
    }

    fn peer_down(&mut self, peer: PeerId, now: Now) {
        self.up.remove(&peer);
        for key in LaneKey::all_of(peer) {
            if let Some(batch) = self.take_batch(key) {
                // No wait is set: the lane rests until there is a way, and starts with it.
                self.give_back(key, &batch.sequences, Some(ErrorCode::PeerUnreachable), now);
            }
        }
    }

    fn remove_peer(&mut self, peer: PeerId) {
        self.up.remove(&peer);
        self.room.refuse_reserved(peer);
        for key in LaneKey::all_of(peer) {
            let under_way = self.take_batch(key).map(|batch| batch.sequences).unwrap_or_default();
            let waiting = self.lanes.get(&key).map(|lane| lane.waiting.clone()).unwrap_or_default();
            for sequence in under_way.into_iter().chain(waiting) {
                self.finish(sequence, End::Refused(ErrorCode::NotAMember));
            }
        }
    }

    /// Ends what is too old, then lets every lane that was touched send or be forgotten.
    fn settle(&mut self, now: Now) {
        self.expire(now);
        while let Some(key) = self.touched.pop_first() {
            self.advance(key, now);
        }
    }

    fn expire(&mut self, now: Now) {
        while let Some(&(expires_at, sequence)) = self.expiries.first()
            && expires_at <= now.wall
        {
            self.expiries.pop_first();
            self.finish(sequence, End::Expired);
        }
    }

    /// Forgets a message wherever it is, except in a batch under way, and says how it ended.
    fn finish(&mut self, sequence: u64, end: End) {
        let Some(entry) = self.entries.remove(&sequence) else { return };
        let key = LaneKey::of(&entry);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.waiting.remove(&sequence);
        }
        self.touched.insert(key);
        self.expiries.remove(&(entry.expires_at, sequence));
        self.room.remove(entry.to, entry.bytes);
        self.tell_end(&entry, end);
    }

    fn tell_end(&mut self, entry: &Entry, end: End) {
        self.ended.count(end);
        let Entry { sequence, message_id, to, .. } = *entry;
        self.outputs.push_back(Output::Finished { sequence, message_id, to, end });
    }

    fn advance(&mut self, key: LaneKey, now: Now) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        match lane.state {
            LaneState::UnderWay(_) => {}
            LaneState::BackingOff { until } => {
                if lane.waiting.is_empty() {
                    self.timers.remove(&(until, key));
                    self.lanes.remove(&key);
                }
            }
            LaneState::Idle => {
                if lane.waiting.is_empty() {
                    self.lanes.remove(&key);
                } else if self.up.contains(&key.peer) {
                    self.send(key, now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
