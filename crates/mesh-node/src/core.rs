//! The engines joined: who belongs, who is linked, what is delivered. Pure: facts go in, wishes come
//! out, time is an argument. The engines never meet; what one says is told to the others here.

mod custody;
mod large;
mod reach;
mod tables;
mod wish;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use mesh_delivery::{
    Entry, Handover, HandoverInput, Input, Now, Outbound, Output, QueueFull, Reservation, Topology,
};
use mesh_membership::{Inserted, LinkPlanner, Liveness, Membership, RefuseReason};
use mesh_protocol::{
    Address, DeliverOutcome, MessageId, PeerId, RecordId, UnixMillis, VerifiedRecord,
};

use mesh_sync::Exchange;

use custody::Held;
use large::Large;

pub(crate) use large::LargeConfig;
pub(crate) use wish::Wish;

/// What an insertion of records did.
#[derive(Debug, Default)]
pub(crate) struct Insertions {
    /// Records that were not known, with the older one that each replaces.
    pub(crate) new: Vec<(VerifiedRecord, Option<RecordId>)>,
    /// Records that were refused.
    pub(crate) refused: Vec<(RecordId, RefuseReason)>,
}

/// The engines of one node, before they meet.
#[derive(Debug)]
pub(crate) struct Engines {
    pub(crate) membership: Membership,
    pub(crate) outbound: Outbound,
    /// For what this node keeps for others.
    pub(crate) held: Outbound,
    pub(crate) handover: Handover,
    pub(crate) planner: LinkPlanner,
    pub(crate) liveness: Liveness,
    pub(crate) topology: Topology,
    pub(crate) exchange: Exchange,
    pub(crate) large: LargeConfig,
}

/// The engines of one node.
#[derive(Debug)]
pub(crate) struct Core {
    me: PeerId,
    membership: Membership,
    outbound: Outbound,
    held: Held,
    handover: Handover,
    planner: LinkPlanner,
    liveness: Liveness,
    topology: Topology,
    exchange: Exchange,
    large: Large,
    /// Members and their addresses as the planner last heard of them.
    dialled: BTreeMap<PeerId, Vec<Address>>,
    /// When members were last seen before this start.
    last_seen: BTreeMap<PeerId, UnixMillis>,
    /// Members that can be reached, with those in between; nobody for a link.
    reach: BTreeMap<PeerId, Vec<PeerId>>,
    /// Suspects that were alive a moment ago.
    lately_alive: BTreeSet<PeerId>,
    /// When what was under way to a member last began anew because its way changed.
    restarted: BTreeMap<PeerId, Instant>,
    /// Messages of the outbox by what a receipt names.
    waiting: BTreeMap<(MessageId, PeerId), u64>,
    /// Who passed on the receipt that is being taken in.
    settled_via: Vec<PeerId>,
    wishes: VecDeque<Wish>,
}

impl Core {
    /// Joins the engines of `me`. `last_seen` is what the database says of the members.
    pub(crate) fn new(
        me: PeerId,
        engines: Engines,
        last_seen: BTreeMap<PeerId, UnixMillis>,
    ) -> Self {
        let Engines {
            membership,
            outbound,
            held,
            handover,
            planner,
            liveness,
            topology,
            exchange,
            large,
        } = engines;
        Self {
            me,
            membership,
            outbound,
            held: Held::new(held),
            handover,
            planner,
            liveness,
            topology,
            exchange,
            large: Large::new(large),
            dialled: BTreeMap::new(),
            last_seen,
            reach: BTreeMap::new(),
            lately_alive: BTreeSet::new(),
            restarted: BTreeMap::new(),
            waiting: BTreeMap::new(),
            settled_via: Vec::new(),
            wishes: VecDeque::new(),
        }
    }

    pub(crate) const fn membership(&self) -> &Membership {
        &self.membership
    }

    pub(crate) const fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Adds records and tells the other engines who belongs.
    pub(crate) fn insert(&mut self, records: Vec<VerifiedRecord>, now: Now) -> Insertions {
        let mut done = Insertions::default();
        for record in records {
            match self.membership.insert(record.clone()) {
                Inserted::New { replaced } => done.new.push((record, replaced)),
                Inserted::Known | Inserted::Outdated => {}
                Inserted::Refused(reason) => done.refused.push((record.id(), reason)),
            }
        }
        if !done.new.is_empty() {
            self.follow_verdict(now);
        }
        done
    }

    /// Leaves the mesh for another one.
    pub(crate) fn replace_mesh(&mut self, membership: Membership, now: Now) {
        self.topology.set_mesh(membership.mesh_id());
        self.forget_all_held(now);
        self.membership = membership;
        self.follow_verdict(now);
    }

    /// Whom to link with, and whose messages are void, follows from who belongs.
    pub(crate) fn follow_verdict(&mut self, now: Now) {
        let verdict = self.membership.verdict();
        let wanted: BTreeMap<PeerId, Vec<Address>> = if verdict.is_member(&self.me) {
            let others = verdict.members().values().filter(|member| member.peer_id != self.me);
            others.map(|member| (member.peer_id, member.addresses.clone())).collect()
        } else {
            BTreeMap::new()
        };
        let before = std::mem::replace(&mut self.dialled, wanted);
        for peer in before.keys() {
            if !self.dialled.contains_key(peer) {
                self.outbound.handle_input(Input::PeerRemoved(*peer), now);
                self.forget_held_of(peer, now);
            }
        }
        self.follow_members(&before, now);
        self.collect(now);
    }

    /// Whether messages may be sent to `peer`: it is another member, and this node is one too.
    pub(crate) fn takes_messages_for(&self, peer: &PeerId) -> bool {
        self.dialled.contains_key(peer)
    }

    pub(crate) fn reserve(
        &mut self,
        recipients: &[PeerId],
        bytes_each: usize,
    ) -> Result<Reservation, QueueFull> {
        self.outbound.reserve(recipients, bytes_each)
    }

    pub(crate) fn release(&mut self, reservation: Reservation) {
        self.outbound.release(reservation);
    }

    pub(crate) fn committed(&mut self, reservation: Reservation, entries: Vec<Entry>, now: Now) {
        self.watch(&entries, now);
        self.outbound.handle_input(Input::Committed { reservation, entries }, now);
        self.collect(now);
    }

    /// Takes in what the database holds, after [`Core::follow_verdict`]. Messages for peers that are
    /// members no more end at once, and all of them when this node is none itself.
    pub(crate) fn restored(&mut self, entries: Vec<Entry>, now: Now) {
        let gone: BTreeSet<PeerId> = entries
            .iter()
            .map(|entry| entry.to)
            .filter(|to| !self.dialled.contains_key(to))
            .collect();
        self.watch(&entries, now);
        self.outbound.handle_input(Input::Restored(entries), now);
        for peer in gone {
            self.outbound.handle_input(Input::PeerRemoved(peer), now);
        }
        self.collect(now);
    }

    /// `peer` answers a batch. A peer can answer for its own batches alone.
    pub(crate) fn batch_answered(
        &mut self,
        peer: PeerId,
        batch_id: u64,
        outcomes: Vec<DeliverOutcome>,
        now: Now,
    ) {
        if self.outbound.peer_of_batch(batch_id) != Some(peer) {
            return;
        }
        self.outbound.handle_input(Input::BatchAnswered { batch_id, outcomes }, now);
        self.collect(now);
    }

    pub(crate) fn batch_failed(&mut self, batch_id: u64, now: Now) {
        self.outbound.handle_input(Input::BatchFailed { batch_id }, now);
        self.collect(now);
    }

    pub(crate) fn body_missing(&mut self, sequence: u64, now: Now) {
        self.outbound.handle_input(Input::BodyMissing { sequence }, now);
        self.collect(now);
    }

    /// Remembers messages of the outbox by what a receipt names, and offers them to custodians when
    /// nobody reaches their receivers.
    fn watch(&mut self, entries: &[Entry], now: Now) {
        for entry in entries {
            let Entry { sequence, message_id, to, bytes, .. } = *entry;
            self.waiting.insert((message_id, to), sequence);
            let input = HandoverInput::Waiting { sequence, to, bytes };
            self.handover.handle_input(input, now.instant);
        }
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.planner.handle_timeout(now.instant);
        self.liveness.handle_timeout(now.instant, now.wall);
        self.topology.handle_timeout(now.instant);
        self.pass_time_in_large(now);
        self.handover.handle_timeout(now.instant);
        self.exchange.handle_timeout(now.instant);
        self.outbound.handle_timeout(now);
        self.held.outbound.handle_timeout(now);
        self.collect(now);
    }

    /// When [`Core::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [
            self.planner.poll_timeout(),
            self.liveness.poll_timeout(),
            self.topology.poll_timeout(),
            self.large.poll_timeout(),
            self.handover.poll_timeout(),
            self.exchange.poll_timeout(),
            self.outbound.poll_timeout(),
            self.held.outbound.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(crate) fn poll_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// Hands on what the engines have to say, until none of them answers any more.
    fn collect(&mut self, now: Now) {
        while self.collect_reach(now)
            | self.collect_large(now)
            | self.collect_outbound(now)
            | self.collect_custody()
            | self.collect_exchange()
        {}
    }

    fn collect_outbound(&mut self, now: Now) -> bool {
        let mut is_quiet = true;
        while let Some(output) = self.outbound.poll_output() {
            is_quiet = false;
            let wish = match output {
                Output::SendBatch { peer, priority, batch_id, sequences } => {
                    Wish::SendBatch { peer, priority, batch_id, sequences }
                }
                Output::Finished { sequence, message_id, to, end } => {
                    self.waiting.remove(&(message_id, to));
                    self.handover.handle_input(HandoverInput::Ended { sequence }, now.instant);
                    let via = self.settled_via.clone();
                    Wish::Finished { sequence, message_id, to, end, via }
                }
                Output::RetryScheduled { sequence, peer: _, attempts, reason } => {
                    Wish::RetryScheduled { sequence, attempts, reason }
                }
            };
            self.wishes.push_back(wish);
        }
        !is_quiet
    }
}

#[cfg(test)]
mod tests;
