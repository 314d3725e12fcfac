//! The engines joined: who belongs, who is linked, what is delivered. Pure: facts go in, wishes come
//! out, time is an argument. The engines never meet; what one says is told to the others here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use mesh_delivery::{End, Entry, Input, Now, Outbound, Output, Priority, QueueFull, Reservation};
use mesh_membership::{Inserted, LinkInput, LinkOutput, LinkPlanner, Membership, RefuseReason};
use mesh_protocol::{
    Address, DeliverOutcome, ErrorCode, MessageId, PeerId, RecordId, VerifiedRecord,
};

/// What the world is asked to do.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Dial a member.
    Dial { peer: PeerId },
    /// Send a heartbeat.
    Ping { peer: PeerId },
    /// Close the link of a member that has been silent for too long.
    CloseSilent { peer: PeerId },
    /// Close the link of a peer that is no member any more.
    CutRemoved { peer: PeerId },
    /// Send a batch of the outbox.
    SendBatch { peer: PeerId, priority: Priority, batch_id: u64, sequences: Vec<u64> },
    /// A message of the outbox has come to its end.
    Finished { sequence: u64, message_id: MessageId, to: PeerId, end: End },
    /// A lane waits before its next attempt.
    RetryScheduled { sequence: u64, attempts: u32, reason: Option<ErrorCode> },
}

/// What an insertion of records did.
#[derive(Debug, Default)]
pub(crate) struct Insertions {
    /// Records that were not known, with the older one that each replaces.
    pub(crate) new: Vec<(VerifiedRecord, Option<RecordId>)>,
    /// Records that were refused.
    pub(crate) refused: Vec<(RecordId, RefuseReason)>,
}

/// The engines of one node.
#[derive(Debug)]
pub(crate) struct Core {
    me: PeerId,
    membership: Membership,
    outbound: Outbound,
    planner: LinkPlanner,
    /// Members and their addresses as the planner last heard of them.
    dialled: BTreeMap<PeerId, Vec<Address>>,
    wishes: VecDeque<Wish>,
}

impl Core {
    pub(crate) fn new(
        me: PeerId,
        membership: Membership,
        outbound: Outbound,
        planner: LinkPlanner,
    ) -> Self {
        Self {
            me,
            membership,
            outbound,
            planner,
            dialled: BTreeMap::new(),
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
        for gone in before.keys().filter(|peer| !self.dialled.contains_key(peer)) {
            self.outbound.handle_input(Input::PeerRemoved(*gone), now);
        }
        let members = self.dialled.keys().copied().collect();
        self.planner.handle_input(LinkInput::MembersChanged(members), now.instant);
        for (peer, addresses) in &self.dialled {
            if before.get(peer).is_some_and(|old| old != addresses) {
                self.planner.handle_input(LinkInput::AddressesChanged { peer: *peer }, now.instant);
            }
        }
        self.collect();
    }

    /// Tells the planner something about a link.
    pub(crate) fn plan(&mut self, input: LinkInput, now: Now) {
        self.planner.handle_input(input, now.instant);
        self.collect();
    }

    /// A link is up: plan with it and deliver over it.
    pub(crate) fn link_up(&mut self, peer: PeerId, now: Now) {
        self.planner.handle_input(LinkInput::LinkUp { peer }, now.instant);
        self.outbound.handle_input(Input::PeerUp(peer), now);
        self.collect();
    }

    /// A link is gone: what was under way on it has failed.
    pub(crate) fn link_down(&mut self, peer: PeerId, now: Now) {
        self.outbound.handle_input(Input::PeerDown(peer), now);
        self.planner.handle_input(LinkInput::LinkDown { peer }, now.instant);
        self.collect();
    }

    /// Another link took the place of the peer's first one: what was under way on that has failed.
    pub(crate) fn link_replaced(&mut self, peer: PeerId, now: Now) {
        self.planner.handle_input(LinkInput::LinkUp { peer }, now.instant);
        self.outbound.handle_input(Input::PeerDown(peer), now);
        self.outbound.handle_input(Input::PeerUp(peer), now);
        self.collect();
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
        self.outbound.handle_input(Input::Committed { reservation, entries }, now);
        self.collect();
    }

    /// Takes in what the database holds, after [`Core::follow_verdict`]. Messages for peers that are
    /// members no more end at once, and all of them when this node is none itself.
    pub(crate) fn restored(&mut self, entries: Vec<Entry>, now: Now) {
        let gone: BTreeSet<PeerId> = entries
            .iter()
            .map(|entry| entry.to)
            .filter(|to| !self.dialled.contains_key(to))
            .collect();
        self.outbound.handle_input(Input::Restored(entries), now);
        for peer in gone {
            self.outbound.handle_input(Input::PeerRemoved(peer), now);
        }
        self.collect();
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
        self.collect();
    }

    pub(crate) fn batch_failed(&mut self, batch_id: u64, now: Now) {
        self.outbound.handle_input(Input::BatchFailed { batch_id }, now);
        self.collect();
    }

    pub(crate) fn body_missing(&mut self, sequence: u64, now: Now) {
        self.outbound.handle_input(Input::BodyMissing { sequence }, now);
        self.collect();
    }

    /// Moves time forward. Early, late and repeated calls are all harmless.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.planner.handle_timeout(now.instant);
        self.outbound.handle_timeout(now);
        self.collect();
    }

    /// When [`Core::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [self.planner.poll_timeout(), self.outbound.poll_timeout()].into_iter().flatten().min()
    }

    pub(crate) fn poll_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    fn collect(&mut self) {
        while let Some(output) = self.planner.poll_output() {
            self.wishes.push_back(match output {
                LinkOutput::Dial { peer } => Wish::Dial { peer },
                LinkOutput::Ping { peer } => Wish::Ping { peer },
                LinkOutput::CloseSilent { peer } => Wish::CloseSilent { peer },
                LinkOutput::CutRemoved { peer } => Wish::CutRemoved { peer },
            });
        }
        while let Some(output) = self.outbound.poll_output() {
            self.wishes.push_back(match output {
                Output::SendBatch { peer, priority, batch_id, sequences } => {
                    Wish::SendBatch { peer, priority, batch_id, sequences }
                }
                Output::Finished { sequence, message_id, to, end } => {
                    Wish::Finished { sequence, message_id, to, end }
                }
                Output::RetryScheduled { sequence, peer: _, attempts, reason } => {
                    Wish::RetryScheduled { sequence, attempts, reason }
                }
            });
        }
    }
}
