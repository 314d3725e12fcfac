//! A sender and its receivers. The world is the driver: it performs what the engine wishes, loses what
//! it is told to lose, and checks every single wish against what it knows.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mesh_delivery::{
    DeliveryConfig, End, Entry, Input, Now, Outbound, Output, Priority, QueueFull, Reservation,
    WaitingState,
};
use mesh_protocol::{DeliverOutcome, ErrorCode, MessageId, PeerId, UnixMillis};

use super::receiver::{Item, Receiver};

pub(crate) const PEERS: usize = 3;

/// A message that the application asked to send.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) to: Vec<usize>,
    pub(crate) priority: Priority,
    pub(crate) bytes: usize,
    pub(crate) lifetime: Duration,
    pub(crate) is_poison: bool,
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CommitFate {
    Told,
    Failed,
    /// The process dies after the commit and before the engine hears of it.
    Crash,
}

/// What becomes of an answer on its way back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnswerFate {
    Arrives,
    ArrivesTwice,
    IsLost,
    LosesItsLast,
    GainsOne,
}

/// What comes past the answer of a batch, signed by the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReceiptKind {
    /// A copy of the message reaches the receiver through others, and its receipt comes back.
    ThroughOthers,
    /// The receiver has no room for it.
    Deferral,
}

/// A row of the sender's database.
#[derive(Clone, Debug)]
struct Row {
    entry: Entry,
    is_poison: bool,
    has_body: bool,
    has_ended: bool,
}

#[derive(Debug)]
struct Frame {
    batch_id: u64,
    items: Vec<Item>,
}

#[derive(Debug, Default)]
struct Link {
    is_up: bool,
    frames: VecDeque<Frame>,
    answers: VecDeque<(u64, Vec<DeliverOutcome>)>,
}

#[derive(Debug)]
struct Active {
    peer: usize,
    priority: Priority,
    sequences: Vec<u64>,
    deadline: Instant,
}

#[derive(Debug)]
pub(crate) struct World {
    config: DeliveryConfig,
    engine: Outbound,
    now: Now,
    rows: BTreeMap<u64, Row>,
    next_sequence: u64,
    pending: VecDeque<(Order, Reservation)>,
    links: [Link; PEERS],
    receivers: [Receiver; PEERS],
    /// What the engine must hold, with the attempts that it must have counted.
    known: BTreeMap<u64, u32>,
    active: BTreeMap<u64, Active>,
    /// Answers that outlived their link.
    late: Vec<(usize, u64, Vec<DeliverOutcome>)>,
    /// Everything that was ever committed, and its ends.
    ends: BTreeMap<u64, (Row, Vec<End>)>,
}

pub(crate) fn peer_id(peer: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(peer).unwrap() + 1; 32])
}

pub(crate) fn index_of(peer: PeerId) -> usize {
    usize::from(peer.as_bytes()[0]) - 1
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
pub(crate) fn some_instant() -> Instant {
    Instant::now()
}

impl World {
    pub(crate) fn new(config: DeliveryConfig) -> Self {
        Self {
            engine: Outbound::new(config.clone(), 0),
            config,
            now: Now { instant: some_instant(), wall: UnixMillis(1_800_000_000_000) },
            rows: BTreeMap::new(),
            next_sequence: 1,
            pending: VecDeque::new(),
            links: Default::default(),
            receivers: Default::default(),
            known: BTreeMap::new(),
            active: BTreeMap::new(),
            late: Vec::new(),
            ends: BTreeMap::new(),
        }
    }

    /// Reserves room, and checks that it is refused exactly when a bound would be exceeded.
    pub(crate) fn order(&mut self, order: Order) {
        let recipients: Vec<PeerId> = order.to.iter().map(|peer| peer_id(*peer)).collect();
        let (messages, bytes) = self.taken(|_| true);
        let bytes_wanted = (order.bytes * recipients.len()) as u64;
        let crowded = recipients.iter().find(|peer| {
            self.taken(|to| to == index_of(**peer)).0 >= self.config.peer_messages_max
        });
        let expected = if messages + recipients.len() > self.config.messages_max {
            Some(QueueFull::Messages { messages_max: self.config.messages_max })
        } else if bytes + bytes_wanted > self.config.bytes_max {
            Some(QueueFull::Bytes { bytes_max: self.config.bytes_max })
        } else {
            let messages_max = self.config.peer_messages_max;
            crowded.map(|peer| QueueFull::PeerMessages { peer: *peer, messages_max })
        };
        let reserved = self.engine.reserve(&recipients, order.bytes);
        assert_eq!(reserved.as_ref().err(), expected.as_ref());
        if let Ok(reservation) = reserved {
            self.pending.push_back((order, reservation));
        }
        self.check();
    }

    /// Messages and bytes that are stored or reserved for the peers that `of` names.
    fn taken(&self, of: impl Fn(usize) -> bool) -> (usize, u64) {
        let stored = self.known.keys().map(|sequence| &self.ends[sequence].0.entry);
        let stored = stored.map(|entry| (index_of(entry.to), entry.bytes));
        let reserved =
            self.pending.iter().flat_map(|(order, _)| order.to.iter().map(|to| (*to, order.bytes)));
        let taken = stored.chain(reserved).filter(|(to, _)| of(*to));
        taken.fold((0, 0), |(messages, bytes), (_, more)| (messages + 1, bytes + more as u64))
    }

    /// Ends the oldest commit that is under way.
    pub(crate) fn commit(&mut self, fate: CommitFate) {
        let Some((order, reservation)) = self.pending.pop_front() else { return };
        if let CommitFate::Failed = fate {
            self.engine.release(reservation);
            return self.check();
        }
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.next_sequence.to_be_bytes());
        let mut entries = Vec::new();
        for to in &order.to {
            let entry = Entry {
                sequence: self.next_sequence,
                message_id: MessageId::from_bytes(id),
                to: peer_id(*to),
                priority: order.priority,
                bytes: order.bytes,
                expires_at: self.now.wall.plus(order.lifetime),
                attempts: 0,
            };
            self.next_sequence += 1;
            let row = Row {
                entry: entry.clone(),
                is_poison: order.is_poison,
                has_body: true,
                has_ended: false,
            };
            self.ends.insert(entry.sequence, (row.clone(), Vec::new()));
            self.rows.insert(entry.sequence, row);
            entries.push(entry);
        }
        match fate {
            CommitFate::Crash => self.restart(0),
            CommitFate::Told | CommitFate::Failed => {
                self.known.extend(entries.iter().map(|entry| (entry.sequence, 0)));
                self.input(Input::Committed { reservation, entries });
            }
        }
    }

    /// The process dies and comes back. Of the rows that have ended, those survive that `kept` says.
    pub(crate) fn restart(&mut self, kept: u64) {
        for peer in 0..PEERS {
            self.links[peer] = Link::default();
        }
        self.pending.clear();
        self.active.clear();
        self.late.clear();
        self.known.clear();
        self.rows.retain(|sequence, row| !row.has_ended || kept >> (sequence % 64) & 1 == 1);
        self.engine = Outbound::new(self.config.clone(), self.next_sequence);
        let mut entries: Vec<Entry> = self.rows.values().map(|row| row.entry.clone()).collect();
        entries.reverse();
        let half = entries.len() / 2;
        entries.rotate_left(half);
        self.known.extend(entries.iter().map(|entry| (entry.sequence, entry.attempts)));
        self.input(Input::Restored(entries));
    }

    /// A row's body is damaged on the disk.
    pub(crate) fn damage(&mut self, pick: usize) {
        let count = self.rows.len().max(1);
        if let Some(row) = self.rows.values_mut().nth(pick % count) {
            row.has_body = false;
        }
    }

    pub(crate) fn up(&mut self, peer: usize) {
        self.links[peer].is_up = true;
        self.input(Input::PeerUp(peer_id(peer)));
    }

    /// Breaks a link. The receiver may get some of what is on the wire, but no answer comes back in time.
    pub(crate) fn down(&mut self, peer: usize, frames_received: usize) {
        let link = std::mem::take(&mut self.links[peer]);
        for frame in link.frames.iter().take(frames_received) {
            self.receivers[peer].receive(&frame.items, usize::MAX);
        }
        self.late.extend(link.answers.into_iter().map(|(id, outcomes)| (peer, id, outcomes)));
        self.active.retain(|_, active| active.peer != peer);
        self.input(Input::PeerDown(peer_id(peer)));
    }

    pub(crate) fn remove(&mut self, peer: usize) {
        self.links[peer] = Link::default();
        self.active.retain(|_, active| active.peer != peer);
        self.input(Input::PeerRemoved(peer_id(peer)));
    }

    /// The receiver gets the oldest frame on the wire.
    pub(crate) fn receive(&mut self, peer: usize, defer_from: usize) {
        if let Some(frame) = self.links[peer].frames.pop_front() {
            let outcomes = self.receivers[peer].receive(&frame.items, defer_from);
            self.links[peer].answers.push_back((frame.batch_id, outcomes));
        }
    }

    /// The oldest answer on the wire comes back, or does not.
    pub(crate) fn answer(&mut self, peer: usize, fate: AnswerFate) {
        let Some((batch_id, mut outcomes)) = self.links[peer].answers.pop_front() else { return };
        match fate {
            AnswerFate::IsLost => return,
            AnswerFate::Arrives | AnswerFate::ArrivesTwice => {}
            AnswerFate::LosesItsLast => outcomes.truncate(outcomes.len() - 1),
            AnswerFate::GainsOne => outcomes.push(DeliverOutcome::Stored),
        }
        if let AnswerFate::ArrivesTwice = fate {
            self.hand_in(peer, batch_id, outcomes.clone());
        }
        self.hand_in(peer, batch_id, outcomes);
    }

    /// An answer from an earlier link comes in, whatever has happened since.
    pub(crate) fn late_answer(&mut self) {
        if let Some((peer, batch_id, outcomes)) = self.late.pop() {
            self.hand_in(peer, batch_id, outcomes);
        }
    }

    /// The receiver's word on one message comes past the answer of its batch.
    pub(crate) fn receipt(&mut self, pick: usize, kind: ReceiptKind) {
        let count = self.known.len().max(1);
        let Some(sequence) = self.known.keys().nth(pick % count).copied() else { return };
        let Entry { to, priority, .. } = self.rows[&sequence].entry;
        let peer = index_of(to);
        let under_way = self
            .active_of(peer, priority)
            .map(|(batch_id, active)| (batch_id, active.sequences.contains(&sequence)));
        let outcome = match kind {
            ReceiptKind::Deferral => DeliverOutcome::Deferred(ErrorCode::QueueFull),
            ReceiptKind::ThroughOthers => {
                // Copies keep the order of the lane, also against what is on the wire and was given up.
                let mut on_wire = self.links[peer].frames.iter().flat_map(|frame| &frame.items);
                let is_early = self.lane(peer, priority).first() != Some(&sequence)
                    || on_wire.any(|item| item.priority == priority && item.sequence < sequence);
                if is_early && !self.has_arrived(sequence) {
                    return;
                }
                let item = self.item(sequence);
                self.receivers[peer].receive(&[item], usize::MAX)[0]
            }
        };
        if let (Some((batch_id, true)), ReceiptKind::Deferral) = (under_way, kind) {
            self.active.remove(&batch_id);
        }
        self.input(Input::Settled { sequence, outcome });
    }

    fn has_arrived(&self, sequence: u64) -> bool {
        let Entry { to, message_id, .. } = self.rows[&sequence].entry;
        self.receivers[index_of(to)].has(message_id)
    }

    fn hand_in(&mut self, peer: usize, batch_id: u64, outcomes: Vec<DeliverOutcome>) {
        let active = self.active.remove(&batch_id);
        assert!(active.is_none_or(|active| active.peer == peer));
        self.input(Input::BatchAnswered { batch_id, outcomes });
    }

    /// The driver gives a batch up, although it may be on the wire.
    pub(crate) fn fail_batch(&mut self, pick: usize) {
        let count = self.active.len().max(1);
        if let Some(batch_id) = self.active.keys().nth(pick % count).copied() {
            self.active.remove(&batch_id);
            self.input(Input::BatchFailed { batch_id });
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall = self.now.wall.plus(time);
        self.engine.handle_timeout(self.now);
        self.perform();
        let timeout = self.engine.poll_timeout();
        assert!(timeout.is_none_or(|timeout| timeout > self.now.instant), "a busy loop");
    }

    /// Time passes until the engine wants to be called.
    pub(crate) fn pass_until_timeout(&mut self) {
        if let Some(timeout) = self.engine.poll_timeout() {
            self.pass(timeout.saturating_duration_since(self.now.instant));
        }
    }

    fn input(&mut self, input: Input) {
        self.engine.handle_input(input, self.now);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::SendBatch { peer, priority, batch_id, sequences } => {
                    self.send(index_of(peer), priority, batch_id, sequences);
                }
                Output::Finished { sequence, message_id, to, end } => {
                    assert_eq!(self.ends[&sequence].0.entry.message_id, message_id);
                    assert_eq!(self.ends[&sequence].0.entry.to, to);
                    self.end(sequence, end);
                }
                Output::RetryScheduled { sequence, peer, attempts, reason } => {
                    self.retry(sequence, index_of(peer), attempts, reason);
                }
            }
        }
        self.check();
    }

    /// The sequences that the engine holds for a lane.
    fn lane(&self, peer: usize, priority: Priority) -> Vec<u64> {
        let is_in_lane = |sequence: &&u64| {
            let entry = &self.ends[sequence].0.entry;
            index_of(entry.to) == peer && entry.priority == priority
        };
        self.known.keys().filter(is_in_lane).copied().collect()
    }

    fn active_of(&self, peer: usize, priority: Priority) -> Option<(u64, &Active)> {
        let mut active = self.active.iter().map(|(batch_id, active)| (*batch_id, active));
        active.find(|(_, active)| active.peer == peer && active.priority == priority)
    }

    fn send(&mut self, peer: usize, priority: Priority, batch_id: u64, sequences: Vec<u64>) {
        assert!(self.links[peer].is_up, "sent without a link");
        assert!(self.active_of(peer, priority).is_none(), "two batches of one lane");
        self.check_batch(&sequences, &self.lane(peer, priority), priority);
        for sequence in &sequences {
            assert!(self.rows[sequence].entry.expires_at > self.now.wall, "sent when expired");
            *self.known.get_mut(sequence).unwrap() += 1;
        }
        let (sound, bodiless): (Vec<u64>, Vec<u64>) =
            sequences.into_iter().partition(|sequence| self.rows[sequence].has_body);
        let items: Vec<Item> = sound.iter().map(|sequence| self.item(*sequence)).collect();
        if !sound.is_empty() {
            let deadline = self.now.instant + self.config.answer_timeout;
            self.active.insert(batch_id, Active { peer, priority, sequences: sound, deadline });
            self.links[peer].frames.push_back(Frame { batch_id, items });
        }
        for sequence in bodiless {
            self.engine.handle_input(Input::BodyMissing { sequence }, self.now);
        }
    }

    fn item(&self, sequence: u64) -> Item {
        let Row { entry, is_poison, .. } = &self.rows[&sequence];
        let (priority, message_id) = (entry.priority, entry.message_id);
        Item { sequence, priority, message_id, is_poison: *is_poison }
    }

    /// A batch is the front of its lane, as much of it as the bounds allow.
    fn check_batch(&self, sequences: &[u64], lane: &[u64], priority: Priority) {
        let size = |sequence: &u64| self.rows[sequence].entry.bytes;
        let bytes: usize = sequences.iter().map(size).sum();
        let bytes_max = match priority {
            Priority::Urgent | Priority::Normal => self.config.batch_bytes_max,
            Priority::Bulk => self.config.bulk_batch_bytes_max,
        };
        let items_max = self.config.batch_items_max;
        assert!(!sequences.is_empty() && sequences.len() <= items_max, "items of a batch");
        assert!(bytes <= bytes_max || sequences.len() == 1, "bytes of a batch");
        assert!(lane.starts_with(sequences), "{sequences:?} does not lead {lane:?}");
        if let Some(next) = lane.get(sequences.len()) {
            let is_full = sequences.len() == items_max || bytes + size(next) > bytes_max;
            assert!(is_full, "{next} was left behind");
        }
    }

    fn end(&mut self, sequence: u64, end: End) {
        assert!(self.known.remove(&sequence).is_some(), "{sequence} ended twice");
        let row = self.rows.get_mut(&sequence).unwrap();
        row.has_ended = true;
        let has_arrived = self.receivers[index_of(row.entry.to)].has(row.entry.message_id);
        match end {
            End::Acked { .. } => assert!(has_arrived, "{sequence} was acked and is not there"),
            End::Expired => {
                let Entry { expires_at, to, priority, .. } = row.entry;
                assert!(expires_at <= self.now.wall, "expired too early");
                let active = self.active_of(index_of(to), priority);
                if active.is_some_and(|(_, active)| active.sequences.contains(&sequence)) {
                    self.time_out(index_of(to), priority);
                }
            }
            End::Refused(ErrorCode::SealInvalid) => assert!(row.is_poison && !has_arrived),
            End::Refused(code) => {
                // Removal deletes rows in its own commit, and a row without a body is no row.
                assert!(code == ErrorCode::NotAMember || !row.has_body, "refused with {code}");
                self.rows.remove(&sequence);
            }
        }
        self.ends.get_mut(&sequence).unwrap().1.push(end);
        // A batch that receipts have settled to its last message waits for no answer.
        let known = &self.known;
        self.active
            .retain(|_, active| active.sequences.iter().any(|other| known.contains_key(other)));
    }

    fn retry(&mut self, sequence: u64, peer: usize, attempts: u32, reason: Option<ErrorCode>) {
        let row = self.rows.get_mut(&sequence).unwrap();
        let priority = row.entry.priority;
        assert_eq!(index_of(row.entry.to), peer);
        assert_eq!(self.known[&sequence], attempts);
        row.entry.attempts = attempts;
        assert_eq!(self.lane(peer, priority).first(), Some(&sequence), "not the first of its lane");
        if reason == Some(ErrorCode::TimedOut) {
            self.time_out(peer, priority);
        }
    }

    /// The engine has given a batch up by itself, which it may only do when its time is over. It says so
    /// by scheduling the first message anew, or by letting messages expire that were under way.
    fn time_out(&mut self, peer: usize, priority: Priority) {
        if let Some((batch_id, active)) = self.active_of(peer, priority) {
            assert!(active.deadline <= self.now.instant, "an answer may still come");
            self.active.remove(&batch_id);
        }
    }

    /// What the engine says about itself is what the world knows.
    fn check(&self) {
        let (messages, bytes) = self.taken(|_| true);
        let stats = self.engine.stats();
        assert_eq!(stats.messages, self.known.len());
        assert_eq!(stats.messages + stats.reserved_messages, messages);
        assert_eq!(stats.bytes + stats.reserved_bytes, bytes);
        for (batch_id, active) in &self.active {
            assert_eq!(self.engine.peer_of_batch(*batch_id), Some(peer_id(active.peer)));
        }
        let views: Vec<_> = self.engine.waiting().collect();
        assert!(views.iter().map(|view| (&view.sequence, &view.attempts)).eq(self.known.iter()));
        for view in views {
            let peer = index_of(view.to);
            let active = self.active_of(peer, self.ends[&view.sequence].0.entry.priority);
            let is_under_way = active.is_some_and(|(_, a)| a.sequences.contains(&view.sequence));
            let expected = if !self.links[peer].is_up {
                WaitingState::PeerDown
            } else if is_under_way {
                WaitingState::UnderWay
            } else if active.is_some() {
                WaitingState::Queued
            } else {
                WaitingState::BackingOff
            };
            assert_eq!(view.state, expected, "{}", view.sequence);
            assert_eq!(view.next_attempt_at.is_some(), expected == WaitingState::BackingOff);
        }
    }

    /// Everything works again, for as long as it takes.
    pub(crate) fn recover(&mut self) {
        while !self.pending.is_empty() {
            self.commit(CommitFate::Told);
        }
        for _ in 0..10_000 {
            if self.known.is_empty() {
                break;
            }
            for peer in 0..PEERS {
                self.up(peer);
                while !self.links[peer].frames.is_empty() || !self.links[peer].answers.is_empty() {
                    self.receive(peer, usize::MAX);
                    self.answer(peer, AnswerFate::Arrives);
                }
            }
            self.pass_until_timeout();
        }
        let stats = self.engine.stats();
        assert_eq!((stats.messages, stats.bytes), (0, 0), "not everything has ended");
        assert_eq!((stats.reserved_messages, stats.reserved_bytes), (0, 0));
        assert!(stats.peers.is_empty());
        assert_eq!(self.engine.poll_timeout(), None);
    }

    /// Each message arrived exactly once or its sender knows why not, and none overtook another.
    pub(crate) fn check_outcome(&self) {
        for (sequence, (row, ends)) in &self.ends {
            let log = &self.receivers[index_of(row.entry.to)].log;
            let copies = log.iter().filter(|item| item.sequence == *sequence).count();
            assert!(!ends.is_empty(), "{sequence} has no end");
            assert!(copies <= 1, "{sequence} arrived {copies} times");
            let is_excused = ends.iter().any(|end| match end {
                End::Expired | End::Refused(_) => true,
                End::Acked { .. } => false,
            });
            assert!(copies == 1 || is_excused, "{sequence} is lost: {ends:?}");
        }
        for receiver in &self.receivers {
            for priority in Priority::ALL {
                let lane = receiver.log.iter().filter(|item| item.priority == priority);
                let sequences: Vec<u64> = lane.map(|item| item.sequence).collect();
                let is_ordered = sequences.is_sorted_by(|earlier, later| earlier < later);
                assert!(is_ordered, "{priority:?} arrived as {sequences:?}");
            }
        }
    }
}
