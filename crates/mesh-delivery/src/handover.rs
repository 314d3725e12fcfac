mod offers;
mod parts;
mod ports;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use mesh_protocol::PeerId;

use parts::{Absence, Lane, Message, Offer, Receiver, Timer};

pub use ports::{HandoverConfig, HandoverInput, HandoverOutput};

/// Most custodians that may keep a copy of one message, those included that are away or did not answer.
const HOLDERS_MAX: usize = 4;

/// Hands copies of messages whose receiver is out of reach to members that keep them for it.
///
/// The messages of one receiver go to the same custodians, oldest first: each receiver has an order of
/// its own among the linked members, made from the ids alone. The sender keeps its messages all the same;
/// a custodian only makes them arrive while the sender is away.
///
/// Holds as many messages as the outbox does, and no body, socket, clock or task.
#[derive(Debug)]
pub struct Handover {
    config: HandoverConfig,
    messages: BTreeMap<u64, Message>,
    /// Those for whom messages wait.
    receivers: BTreeMap<PeerId, Receiver>,
    /// Receivers in reach.
    up: BTreeSet<PeerId>,
    /// Members with a link.
    custodians: BTreeSet<PeerId>,
    /// Messages that are to be offered. An empty queue is forgotten.
    queues: BTreeMap<Lane, BTreeSet<u64>>,
    /// Lanes that wait for an answer.
    under_way: BTreeMap<Lane, u64>,
    offers: BTreeMap<u64, Offer>,
    next_request_id: u64,
    timers: BTreeSet<(Instant, Timer)>,
    /// Lanes that may be able to offer something. Empty between calls.
    touched: BTreeSet<Lane>,
    outputs: VecDeque<HandoverOutput>,
}

impl Handover {
    /// Starts empty, with everybody down. Equal inputs give equal outputs.
    #[must_use]
    pub fn new(config: HandoverConfig) -> Self {
        Self {
            config: config.clamped(),
            messages: BTreeMap::new(),
            receivers: BTreeMap::new(),
            up: BTreeSet::new(),
            custodians: BTreeSet::new(),
            queues: BTreeMap::new(),
            under_way: BTreeMap::new(),
            offers: BTreeMap::new(),
            next_request_id: 1,
            timers: BTreeSet::new(),
            touched: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a fact in. The driver empties [`Handover::poll_output`] before the next one.
    pub fn handle_input(&mut self, input: HandoverInput, now: Instant) {
        match input {
            HandoverInput::Waiting { sequence, to, bytes } => self.wait(sequence, to, bytes, now),
            HandoverInput::Ended { sequence } => self.end(sequence),
            HandoverInput::ReceiverUp(peer) => self.receiver_up(peer),
            HandoverInput::ReceiverDown(peer) => self.receiver_down(peer, now),
            HandoverInput::CustodianUp(peer) => {
                if self.custodians.insert(peer) {
                    self.arrange_all();
                }
            }
            HandoverInput::CustodianDown(peer) => self.custodian_down(peer),
            HandoverInput::Answered { custodian, request_id, outcomes } => {
                self.take_answer(custodian, request_id, &outcomes, now);
            }
            HandoverInput::Unsent { request_id } => self.take_back(request_id, now),
        }
        self.offer_all(now);
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, timer)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Old(sequence) => {
                    if let Some(message) = self.messages.get_mut(&sequence) {
                        message.young_until = None;
                    }
                    self.enqueue(sequence);
                }
                Timer::Away(peer) => {
                    if let Some(receiver) = self.receivers.get_mut(&peer) {
                        receiver.absence = Absence::Long;
                    }
                    self.arrange(peer);
                }
                Timer::Unanswered(request_id) => self.give_up(request_id, now),
                Timer::Again(lane) => {
                    if let Some(receiver) = self.receivers.get_mut(&lane.to) {
                        receiver.skipped.remove(&lane.custodian);
                    }
                    self.arrange(lane.to);
                }
            }
        }
        self.offer_all(now);
    }

    /// When [`Handover::handle_timeout`] wants to be called; none while there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(due, _)| due)
    }

    /// Gives the next wish out, oldest first.
    pub fn poll_output(&mut self) -> Option<HandoverOutput> {
        self.outputs.pop_front()
    }

    /// Who has said that it keeps a copy of a message, by id.
    #[must_use]
    pub fn custodians_of(&self, sequence: u64) -> Vec<PeerId> {
        let holders = self.messages.get(&sequence).map(|message| &message.holders);
        holders.into_iter().flatten().copied().collect()
    }

    fn wait(&mut self, sequence: u64, to: PeerId, bytes: usize, now: Instant) {
        if self.messages.contains_key(&sequence) {
            return;
        }
        // A receiver in reach sets a timer for all its messages when it goes; one per message would make
        // the driver look for a nearer deadline with each of them.
        let young_until = (!self.up.contains(&to)).then(|| now + self.config.delay);
        if let Some(until) = young_until {
            self.timers.insert((until, Timer::Old(sequence)));
        }
        self.messages.insert(sequence, Message::new(to, bytes, young_until));
        if let Some(receiver) = self.receivers.get_mut(&to) {
            receiver.messages.insert(sequence);
            return;
        }
        // The message itself waits as long as the receiver would have to.
        let absence = if self.up.contains(&to) { Absence::None } else { Absence::Long };
        let mut receiver = Receiver::new(absence);
        receiver.messages.insert(sequence);
        self.receivers.insert(to, receiver);
        // For a receiver in reach this is done when it has been away for long.
        if absence == Absence::Long {
            self.arrange(to);
        }
    }

    fn end(&mut self, sequence: u64) {
        self.dequeue(sequence);
        let Some(message) = self.messages.remove(&sequence) else { return };
        if let Some(due) = message.young_until {
            self.timers.remove(&(due, Timer::Old(sequence)));
        }
        let to = message.to;
        let Some(receiver) = self.receivers.get_mut(&to) else { return };
        receiver.messages.remove(&sequence);
        if !receiver.messages.is_empty() {
            return;
        }
        if let Absence::Brief { until } = receiver.absence {
            self.timers.remove(&(until, Timer::Away(to)));
        }
        for (custodian, until) in &receiver.skipped {
            self.timers.remove(&(*until, Timer::Again(Lane { to, custodian: *custodian })));
        }
        self.receivers.remove(&to);
    }

    fn receiver_up(&mut self, peer: PeerId) {
        self.up.insert(peer);
        let Some(receiver) = self.receivers.get_mut(&peer) else { return };
        if let Absence::Brief { until } = receiver.absence {
            self.timers.remove(&(until, Timer::Away(peer)));
        }
        if receiver.absence == Absence::Long {
            let sequences: Vec<u64> = receiver.messages.iter().copied().collect();
            for sequence in sequences {
                self.dequeue(sequence);
            }
        }
        if let Some(receiver) = self.receivers.get_mut(&peer) {
            receiver.absence = Absence::None;
        }
    }

    fn receiver_down(&mut self, peer: PeerId, now: Instant) {
        if !self.up.remove(&peer) {
            return;
        }
        if let Some(receiver) = self.receivers.get_mut(&peer) {
            let until = now + self.config.delay;
            receiver.absence = Absence::Brief { until };
            self.timers.insert((until, Timer::Away(peer)));
        }
    }

    fn custodian_down(&mut self, peer: PeerId) {
        if !self.custodians.remove(&peer) {
            return;
        }
        // It may have kept what it was offered: it still counts among those that perhaps have a copy.
        let lost = self.under_way.iter().filter(|(lane, _)| lane.custodian == peer);
        let lost: Vec<u64> = lost.map(|(_, request_id)| *request_id).collect();
        for request_id in lost {
            self.close(request_id);
        }
        self.arrange_all();
    }
}

#[cfg(test)]
mod tests;
