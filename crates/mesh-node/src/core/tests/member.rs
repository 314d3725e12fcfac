//! One member: a core, and what its wishes do on the virtual network.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use mesh_delivery::{
    DeliveryConfig, Handover, HandoverConfig, Now, Outbound, Priority, Topology, TopologyConfig,
};
use mesh_membership::{LinkConfig, LinkPlanner, Liveness, LivenessConfig, Membership, SwimConfig};
use mesh_protocol::{
    Frame, Itinerary, LinkState, LinkStateVersions, LinkStates, MeshId, MessageId, PeerId, Probe,
    SignedLinkState, UnixMillis, VerifiedRecord,
};
use mesh_sync::{Exchange, ExchangeConfig};
use mesh_testkit::{NodeId, VirtualNode, WireSize};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::disk::Disk;
use super::links::{ConnId, Link, Ping};
use super::records::{node, peer, unsigned};
use crate::core::{Core, Engines, LargeConfig, Wish};

const TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// Longest time by which a frame that is passed on falls behind.
const LATE_MAX: Duration = Duration::from_millis(800);

/// What travels. A connection is a stream: one with a gap is broken.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    Dial {
        conn: ConnId,
    },
    /// The handshake's answer: both ways work.
    Ready {
        conn: ConnId,
    },
    Hello {
        conn: ConnId,
    },
    Welcome {
        conn: ConnId,
    },
    Close {
        conn: ConnId,
    },
    Frame {
        conn: ConnId,
        place: u64,
        frame: Frame,
    },
}

impl WireSize for Packet {
    fn wire_bytes(&self) -> usize {
        1
    }
}

/// What happens to frames that go through others, by probability.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relaying {
    pub(super) loss: f64,
    pub(super) duplication: f64,
    pub(super) lateness: f64,
    /// A receiver has no room at the moment.
    pub(super) deferral: f64,
    /// A receiver has not the keys that anything was sealed with.
    pub(super) is_keyless: bool,
}

/// What members differ in.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) number: usize,
    pub(super) seed: u64,
    pub(super) now: Instant,
    pub(super) wall: UnixMillis,
    pub(super) links: LinkConfig,
    pub(super) relaying: Relaying,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) me: PeerId,
    pub(super) core: Core,
    pub(super) disk: Disk,
    pub(super) mesh_id: MeshId,
    pub(super) relaying: Relaying,
    pub(super) links: BTreeMap<PeerId, Link>,
    /// Dials under way, and until when they may take.
    pub(super) dials: BTreeMap<ConnId, (PeerId, Instant)>,
    pub(super) pings: BTreeMap<u64, Ping>,
    pub(super) next_number: u64,
    pub(super) incarnation: u64,
    /// Most links that a frame took to here.
    pub(super) links_max: usize,
    /// How often a member was in another state than before.
    pub(super) changes: usize,
    /// Members that the core would remove.
    pub(super) forgotten: Vec<PeerId>,
    pub(super) now: Instant,
    started_at: (Instant, UnixMillis),
    rng: StdRng,
    late: BTreeMap<(Instant, u64), (PeerId, Frame)>,
    sends: VecDeque<(NodeId, Packet)>,
    trace: DefaultHasher,
}

impl Member {
    /// Starts a member with what an earlier run left behind.
    pub(super) fn start(setup: &Setup, membership: Membership, disk: Disk) -> Self {
        let mut rng =
            StdRng::seed_from_u64(setup.seed ^ setup.wall.0 ^ (setup.number as u64) << 48);
        let (me, mesh_id, incarnation) = (peer(setup.number), membership.mesh_id(), setup.wall.0);
        let (delivery, liveness) = (DeliveryConfig::default(), LivenessConfig::default());
        let topology = TopologyConfig::default();
        let engines = Engines {
            membership,
            outbound: Outbound::new(delivery.clone(), rng.random()),
            held: Outbound::new(delivery, rng.random()),
            handover: Handover::new(HandoverConfig::default()),
            planner: LinkPlanner::new(me, setup.links.clone(), rng.random()),
            large: LargeConfig {
                links: setup.links.clone(),
                swim: SwimConfig::default(),
                inactive_after: liveness.inactive_after,
                incarnation,
                seed: rng.random(),
            },
            liveness: Liveness::new(me, liveness, rng.random()),
            topology: Topology::new(me, mesh_id, incarnation, topology),
            exchange: Exchange::new(me, ExchangeConfig::default(), rng.random(), setup.wall),
        };
        let mut member = Self {
            me,
            core: Core::new(me, engines, BTreeMap::new()),
            disk,
            mesh_id,
            relaying: setup.relaying,
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            pings: BTreeMap::new(),
            next_number: 1,
            incarnation,
            links_max: 0,
            changes: 0,
            forgotten: Vec::new(),
            now: setup.now,
            started_at: (setup.now, setup.wall),
            rng,
            late: BTreeMap::new(),
            sends: VecDeque::new(),
            trace: DefaultHasher::new(),
        };
        let waiting = member.disk.waiting().cloned().collect();
        let kept = member.disk.kept().map(|(row, _)| row.clone()).collect();
        member.drive(Core::follow_verdict);
        member.drive(|core, now| core.restored(waiting, now));
        member.drive(|core, now| core.hold(kept, now));
        member
    }

    /// Commits a message to others. Returns its id.
    pub(super) fn send(&mut self, to: &[PeerId], priority: Priority, now: Instant) -> MessageId {
        self.now = now;
        let reservation = self.core.reserve(to, 16).unwrap();
        let expires_at = self.time().wall.plus(TTL);
        let entries = self.disk.append(node(&self.me).0, to, priority, expires_at);
        let message_id = entries[0].message_id;
        self.drive(|core, now| core.committed(reservation, entries, now));
        message_id
    }

    /// Takes a record in.
    pub(super) fn learn(&mut self, record: VerifiedRecord, now: Instant) {
        self.now = now;
        let done = self.drive(|core, now| core.insert(vec![record], now));
        assert_eq!((done.new.len(), done.refused.len()), (1, 0));
    }

    /// What the member has seen, in one number.
    pub(super) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub(super) fn time(&self) -> Now {
        let (instant, wall) = self.started_at;
        Now { instant: self.now, wall: wall.plus(self.now - instant) }
    }

    pub(super) fn drive<T>(&mut self, tell: impl FnOnce(&mut Core, Now) -> T) -> T {
        let now = self.time();
        let told = tell(&mut self.core, now);
        while let Some(wish) = self.core.poll_wish() {
            self.perform(wish);
        }
        told
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    pub(super) fn post(&mut self, to: &PeerId, packet: Packet) {
        self.sends.push_back((node(to), packet));
    }

    /// Sends a frame on its way; false when there is none.
    pub(super) fn send_onward(&mut self, itinerary: &Itinerary, frame: &Frame) -> bool {
        let destination = itinerary.destination;
        let next = if self.links.contains_key(&destination) {
            Some(destination)
        } else {
            self.core.next_hop(&destination).filter(|next| !itinerary.has_seen(next))
        };
        let Some(next) = next.filter(|next| self.links.contains_key(next)) else { return false };
        if itinerary.hops.is_empty() {
            return self.tell(&next, frame.clone());
        }
        self.relay(next, frame);
        true
    }

    fn relay(&mut self, next: PeerId, frame: &Frame) {
        let Relaying { loss, duplication, lateness, .. } = self.relaying;
        if self.happens(loss) {
            return;
        }
        let copies = if self.happens(duplication) { 2 } else { 1 };
        for _ in 0..copies {
            if self.happens(lateness) {
                let due = self.now + LATE_MAX.mul_f64(self.rng.random());
                let number = self.number();
                self.late.insert((due, number), (next, frame.clone()));
            } else {
                let _has_link = self.tell(&next, frame.clone());
            }
        }
    }

    fn perform(&mut self, wish: Wish) {
        match wish {
            Wish::Dial { peer } => self.dial(peer),
            Wish::Ping { peer } => self.ping(&peer),
            Wish::CloseSilent { peer } | Wish::CutRemoved { peer } => self.close(&peer),
            Wish::Probe { helper, subject, nonce } => {
                if !self.tell(&helper, Frame::Probe(Probe { nonce, subject })) {
                    self.drive(|core, now| core.probe_unsent(helper, nonce, now));
                }
            }
            Wish::StateChanged { peer, from, to } => {
                self.changes += 1;
                (self.time().wall, peer, from.as_str(), to.as_str()).hash(&mut self.trace);
            }
            Wish::Forget { peer, .. } => self.forgotten.push(peer),
            Wish::Publish(state) => self.publish(&state),
            Wish::SendLinkStates { to, states } => {
                self.tell(&to, Frame::LinkStates(LinkStates { states }));
            }
            Wish::SendLinkStateVersions { to, versions, wants_answer } => {
                let versions = LinkStateVersions { versions, wants_answer };
                self.tell(&to, Frame::LinkStateVersions(versions));
            }
            Wish::SendSwim { to, data } => self.send_swim(to, data),
            Wish::SendBatch { peer, batch_id, sequences, .. } => {
                self.send_batch(peer, batch_id, &sequences);
            }
            Wish::Finished { sequence, message_id, to, end, via: _ } => {
                self.disk.outbox.get_mut(&sequence).unwrap().ended_at = Some(self.now);
                self.disk.ended.insert((message_id, to), end);
            }
            Wish::RetryScheduled { sequence, attempts, .. } => {
                self.disk.outbox.get_mut(&sequence).unwrap().value.attempts = attempts;
            }
            Wish::OfferCustody { custodian, request_id, to, sequences } => {
                self.offer_custody(custodian, request_id, to, &sequences);
            }
            Wish::SendHeld { peer, batch_id, custody_ids, .. } => {
                self.send_held(peer, batch_id, &custody_ids);
            }
            Wish::SendReceipts { to, receipts } => self.return_receipts(to, receipts),
            Wish::HeldFinished { custody_id, .. } => {
                self.disk.custody.get_mut(&custody_id).unwrap().ended_at = Some(self.now);
            }
            Wish::SendHave { .. }
            | Wish::Feed { .. }
            | Wish::TakeSnapshot { .. }
            | Wish::AbandonSnapshot
            | Wish::TrimLog
            | Wish::RenewOrigin { .. } => panic!("these members have no tables: {wish:?}"),
        }
    }

    fn publish(&mut self, state: &LinkState) {
        let signed = SignedLinkState { body: state.encode().unwrap(), signature: unsigned() };
        self.drive(|core, now| core.published(signed, now));
    }
}

impl VirtualNode for Member {
    type Message = Packet;

    fn handle_message(&mut self, from: NodeId, packet: Packet, now: Instant) {
        self.now = now;
        self.time().wall.hash(&mut self.trace);
        let from = peer(from.0);
        match packet {
            Packet::Dial { conn } => self.post(&from, Packet::Ready { conn }),
            Packet::Ready { conn } => self.greet(from, conn),
            Packet::Hello { conn } => self.accept(from, conn),
            Packet::Welcome { conn } => self.welcomed(from, conn),
            Packet::Close { conn } => self.closed(from, conn),
            Packet::Frame { conn, place, frame } => {
                (from, conn, place, frame.encode().unwrap()).hash(&mut self.trace);
                self.take_frame(from, conn, place, frame);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.end_dials();
        self.end_pings();
        while let Some(((due, _), _)) = self.late.first_key_value()
            && *due <= now
            && let Some((_, (next, frame))) = self.late.pop_first()
        {
            let _has_link = self.tell(&next, frame);
        }
        if self.core.poll_timeout().is_some_and(|due| due <= now) {
            self.drive(Core::handle_timeout);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let dials = self.dials.values().map(|(_, until)| *until);
        let pings = self.pings.values().filter_map(Ping::until);
        let late = self.late.keys().map(|(due, _)| *due).next();
        dials.chain(pings).chain(late).chain(self.core.poll_timeout()).min()
    }

    fn poll_send(&mut self) -> Option<(NodeId, Packet)> {
        self.sends.pop_front()
    }
}
