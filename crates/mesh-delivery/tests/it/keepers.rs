//! A sender, receivers that come and go, and members that may keep messages for them. Every single offer
//! is checked against what is known about all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_delivery::{Handover, HandoverConfig, HandoverInput, HandoverOutput};
use mesh_protocol::{DeliverOutcome, ErrorCode, PeerId};

use super::world::{index_of, peer_id, some_instant};

pub(crate) const PEERS: usize = 7;

const HOLDERS_MAX: usize = 4;

/// What becomes of an offer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Kept,
    /// What stands there or behind it is not kept.
    DeclinedFrom(usize),
    Unsent,
    /// Everything is kept, but the answer is no answer.
    WrongCount,
    /// Somebody else claims to have kept it.
    FromAnother,
    /// Everything is kept, and the answer does not come.
    Lost,
}

#[derive(Debug)]
struct Message {
    to: usize,
    bytes: usize,
    since: Instant,
    /// Who has said that it keeps a copy.
    holders: BTreeSet<usize>,
    /// Who really keeps one.
    copies: BTreeSet<usize>,
}

#[derive(Debug)]
struct Offer {
    custodian: usize,
    to: usize,
    sequences: Vec<u64>,
    deadline: Instant,
    /// The copies are made and no answer will come.
    is_lost: bool,
}

#[derive(Debug)]
pub(crate) struct Keepers {
    config: HandoverConfig,
    engine: Handover,
    now: Instant,
    messages: BTreeMap<u64, Message>,
    next_sequence: u64,
    offers: BTreeMap<u64, Offer>,
    custodians: BTreeSet<usize>,
    receivers_up: BTreeSet<usize>,
    down_since: BTreeMap<usize, Instant>,
    /// Until when a custodian is left alone with the messages of a receiver, as long as it has any.
    resting: BTreeMap<(usize, usize), Instant>,
}

impl Keepers {
    pub(crate) fn new(config: HandoverConfig) -> Self {
        Self {
            engine: Handover::new(config.clone()),
            config,
            now: some_instant(),
            messages: BTreeMap::new(),
            next_sequence: 1,
            offers: BTreeMap::new(),
            custodians: BTreeSet::new(),
            receivers_up: BTreeSet::new(),
            down_since: BTreeMap::new(),
            resting: BTreeMap::new(),
        }
    }

    pub(crate) fn wait(&mut self, to: usize, bytes: usize) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let (holders, copies) = (BTreeSet::new(), BTreeSet::new());
        let message = Message { to, bytes, since: self.now, holders, copies };
        self.messages.insert(sequence, message);
        self.input(HandoverInput::Waiting { sequence, to: peer_id(to), bytes });
    }

    pub(crate) fn end(&mut self, pick: usize) {
        let count = self.messages.len().max(1);
        let Some(sequence) = self.messages.keys().nth(pick % count).copied() else { return };
        let Some(ended) = self.messages.remove(&sequence) else { return };
        if self.messages.values().all(|message| message.to != ended.to) {
            self.resting.retain(|(_, to), _| *to != ended.to);
        }
        self.input(HandoverInput::Ended { sequence });
    }

    pub(crate) fn receiver_up(&mut self, peer: usize) {
        self.receivers_up.insert(peer);
        self.input(HandoverInput::ReceiverUp(peer_id(peer)));
    }

    pub(crate) fn receiver_down(&mut self, peer: usize) {
        if self.receivers_up.remove(&peer) {
            self.down_since.insert(peer, self.now);
        }
        self.input(HandoverInput::ReceiverDown(peer_id(peer)));
    }

    pub(crate) fn custodian_up(&mut self, peer: usize) {
        self.custodians.insert(peer);
        self.input(HandoverInput::CustodianUp(peer_id(peer)));
    }

    /// What was on its way there may have arrived.
    pub(crate) fn custodian_down(&mut self, peer: usize) {
        self.custodians.remove(&peer);
        let lost = self.offers.extract_if(.., |_, offer| offer.custodian == peer);
        for offer in lost.map(|(_, offer)| offer).collect::<Vec<_>>() {
            self.copy(&offer);
        }
        self.input(HandoverInput::CustodianDown(peer_id(peer)));
    }

    fn copy(&mut self, offer: &Offer) {
        for sequence in &offer.sequences {
            if let Some(message) = self.messages.get_mut(sequence) {
                message.copies.insert(offer.custodian);
            }
        }
    }

    pub(crate) fn answer(&mut self, pick: usize, fate: Fate) {
        let open = self.offers.iter().filter(|(_, offer)| !offer.is_lost);
        let open: Vec<u64> = open.map(|(request_id, _)| *request_id).collect();
        if open.is_empty() {
            return;
        }
        let request_id = open[pick % open.len()];
        let custodian = peer_id(self.offers[&request_id].custodian);
        let count = self.offers[&request_id].sequences.len();
        match fate {
            Fate::Lost => {
                self.offers.get_mut(&request_id).unwrap().is_lost = true;
            }
            Fate::FromAnother => {
                let custodian = PeerId::from_bytes([200; 32]);
                let outcomes = vec![DeliverOutcome::Stored; count];
                self.input(HandoverInput::Answered { custodian, request_id, outcomes });
            }
            Fate::Unsent => {
                let offer = self.offers.remove(&request_id).unwrap();
                self.rest(&offer);
                self.input(HandoverInput::Unsent { request_id });
            }
            Fate::WrongCount => {
                let offer = self.offers.remove(&request_id).unwrap();
                self.copy(&offer);
                self.rest(&offer);
                let outcomes = vec![DeliverOutcome::Stored; count + 1];
                self.input(HandoverInput::Answered { custodian, request_id, outcomes });
            }
            Fate::Kept => self.decide(request_id, usize::MAX),
            Fate::DeclinedFrom(first) => self.decide(request_id, first),
        }
    }

    fn decide(&mut self, request_id: u64, declined_from: usize) {
        let offer = self.offers.remove(&request_id).unwrap();
        let mut outcomes = Vec::new();
        for (index, sequence) in offer.sequences.iter().enumerate() {
            let Some(message) = self.messages.get_mut(sequence) else {
                outcomes.push(DeliverOutcome::Stored);
                continue;
            };
            // What it has it cannot decline.
            outcomes.push(if message.copies.contains(&offer.custodian) {
                DeliverOutcome::Duplicate
            } else if index < declined_from {
                DeliverOutcome::Stored
            } else {
                DeliverOutcome::Deferred(ErrorCode::QueueFull)
            });
            if index < declined_from || message.copies.contains(&offer.custodian) {
                message.copies.insert(offer.custodian);
                message.holders.insert(offer.custodian);
            }
        }
        if outcomes.contains(&DeliverOutcome::Deferred(ErrorCode::QueueFull)) {
            self.rest(&offer);
        }
        let custodian = peer_id(offer.custodian);
        self.input(HandoverInput::Answered { custodian, request_id, outcomes });
    }

    fn rest(&mut self, offer: &Offer) {
        if self.messages.values().any(|message| message.to == offer.to) {
            let until = self.now + self.config.retry_after;
            self.resting.insert((offer.custodian, offer.to), until);
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        // The engine's own moments one by one, as a driver would have it.
        let end = self.now + time;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.tick(due);
        }
        self.tick(end);
    }

    pub(crate) fn pass_until_timeout(&mut self) {
        if let Some(due) = self.engine.poll_timeout() {
            self.tick(due);
        }
    }

    fn tick(&mut self, now: Instant) {
        assert!(now >= self.now, "a moment that is over");
        self.now = now;
        self.resting.retain(|_, until| *until > now);
        let silent: Vec<Offer> = self
            .offers
            .extract_if(.., |_, offer| offer.deadline <= now)
            .map(|(_, offer)| offer)
            .collect();
        for offer in silent {
            self.copy(&offer);
            self.rest(&offer);
        }
        self.engine.handle_timeout(now);
        self.perform();
        assert!(self.engine.poll_timeout().is_none_or(|due| due > now), "a busy loop");
    }

    fn input(&mut self, input: HandoverInput) {
        self.engine.handle_input(input, self.now);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(HandoverOutput::Offer { custodian, request_id, to, sequences }) =
            self.engine.poll_output()
        {
            let (custodian, to) = (index_of(custodian), index_of(to));
            self.check_offer(custodian, to, &sequences);
            let deadline = self.now + self.config.answer_timeout;
            let offer = Offer { custodian, to, sequences, deadline, is_lost: false };
            assert!(self.offers.insert(request_id, offer).is_none());
        }
        for (sequence, message) in &self.messages {
            let holders = message.holders.iter().map(|peer| peer_id(*peer));
            assert!(self.engine.custodians_of(*sequence).into_iter().eq(holders));
            let under_way = self.offers.values().filter(|o| o.sequences.contains(sequence));
            let mut perhaps: BTreeSet<usize> = under_way.map(|offer| offer.custodian).collect();
            perhaps.extend(&message.copies);
            assert!(perhaps.len() <= HOLDERS_MAX, "{perhaps:?} may keep {sequence}");
        }
    }

    fn check_offer(&self, custodian: usize, to: usize, sequences: &[u64]) {
        assert!(custodian != to, "to the receiver itself");
        assert!(self.custodians.contains(&custodian), "without a link");
        assert!(!self.receivers_up.contains(&to), "the receiver is there");
        assert!(!self.resting.contains_key(&(custodian, to)), "it is to be left alone");
        let mut under_way = self.offers.values();
        assert!(!under_way.any(|o| (o.custodian, o.to) == (custodian, to)), "two offers");
        let away_since = self.down_since.get(&to);
        assert!(away_since.is_none_or(|since| *since + self.config.delay <= self.now));
        assert!(!sequences.is_empty() && sequences.len() <= self.config.batch_items_max);
        assert!(sequences.is_sorted_by(|a, b| a < b), "oldest first");
        let bytes: usize = sequences.iter().map(|sequence| self.messages[sequence].bytes).sum();
        assert!(bytes <= self.config.batch_bytes_max || sequences.len() == 1);
        for sequence in sequences {
            let message = &self.messages[sequence];
            assert_eq!(message.to, to);
            assert!(message.since + self.config.delay <= self.now, "too young");
            assert!(!message.holders.contains(&custodian), "it has it");
            let up = message.holders.intersection(&self.custodians).count();
            let asked = self.offers.values().filter(|o| o.sequences.contains(sequence)).count();
            assert!(up + asked < self.config.custodians, "enough have it");
        }
    }

    /// Everybody is linked and keeps what it is offered, for as long as it takes.
    pub(crate) fn recover(&mut self) {
        for peer in 0..PEERS {
            self.custodian_up(peer);
            self.receiver_down(peer);
        }
        for _ in 0..10_000 {
            while let Some(request_id) =
                self.offers.iter().find(|(_, offer)| !offer.is_lost).map(|(id, _)| *id)
            {
                self.decide(request_id, usize::MAX);
            }
            if self.engine.poll_timeout().is_none() {
                break;
            }
            self.pass_until_timeout();
        }
        assert_eq!(self.engine.poll_timeout(), None, "it never comes to rest");
        for (sequence, message) in &self.messages {
            let holders = message.holders.len();
            assert!(holders >= self.config.custodians, "{sequence} has {holders} holders");
        }
    }
}
