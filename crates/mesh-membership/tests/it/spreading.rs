//! Removals that need three, spread over a network that loses, doubles, holds back and parts, while two members
//! lie to everybody in a different way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mesh_crypto::Verifier;
use mesh_membership::{Inserted, Membership};
use mesh_protocol::{Frame, RecordIds, Records, SignedRecord, VerifiedRecord};
use mesh_testkit::{Conditions, NodeId, VirtualMesh, VirtualNode};

use crate::world::World;

/// The founder and those whom it admitted, of whom the last two lie; each of these brings a puppet along.
const MEMBERS: usize = 6;
const HONEST: usize = 4;
const LIARS: [usize; 2] = [4, 5];
const PUPPETS: [usize; 2] = [6, 7];
const QUORUM: u8 = 3;

const COMPARE_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const SETTLED: Duration = Duration::from_secs(120);

/// A member that passes on what is new to it, and compares what it has with each of the others in turn.
struct Member {
    number: usize,
    membership: Membership,
    compare_at: Instant,
    compared: usize,
    sends: VecDeque<(NodeId, Frame)>,
}

impl Member {
    fn say(&mut self, to: usize, records: Vec<SignedRecord>) {
        if !records.is_empty() && to != self.number {
            self.sends.push_back((NodeId(to), Frame::Records(Records { records })));
        }
    }

    fn learn(&mut self, records: &[VerifiedRecord]) {
        let mut news = Vec::new();
        for record in records {
            if let Inserted::New { .. } = self.membership.insert(record.clone()) {
                news.push(record.signed().clone());
            }
        }
        (0..MEMBERS).for_each(|to| self.say(to, news.clone()));
    }
}

impl VirtualNode for Member {
    type Message = Frame;

    fn handle_message(&mut self, from: NodeId, frame: Frame, _now: Instant) {
        if let Frame::RecordIds(theirs) = &frame {
            self.say(from.0, self.membership.missing_from(&theirs.ids));
        }
        if let Frame::Records(records) = frame {
            let verified =
                records.records.into_iter().map(|record| record.verify(&Verifier).unwrap());
            self.learn(&verified.collect::<Vec<_>>());
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.compare_at {
            self.compare_at = now + COMPARE_EVERY;
            self.compared += 1;
            let with = (self.number + 1 + self.compared % (MEMBERS - 1)) % MEMBERS;
            let ids = self.membership.record_ids();
            self.sends.push_back((NodeId(with), Frame::RecordIds(RecordIds { ids })));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(self.compare_at)
    }

    fn poll_send(&mut self) -> Option<(NodeId, Frame)> {
        self.sends.pop_front()
    }
}

fn start(world: &World, seed: u64) -> VirtualMesh<Member> {
    let mut mesh = VirtualMesh::new(seed);
    let rough =
        Conditions { loss: 0.2, duplication: 0.2, is_ordered: false, ..Conditions::PERFECT };
    let delays = (Duration::from_millis(1), Duration::from_secs(2));
    mesh.network_mut().set_conditions(rough.with_delay(delays.0, delays.1));
    let star: Vec<VerifiedRecord> = (1..MEMBERS).map(|member| world.admit(0, member, 1)).collect();
    for number in 0..MEMBERS {
        let compare_at = mesh.network().now();
        let membership = world.membership(&star.iter().collect::<Vec<_>>());
        mesh.add(Member { number, membership, compare_at, compared: 0, sends: VecDeque::new() });
    }
    mesh
}

/// Each liar tells each member something else: that its puppet is in, and that one or another is out, by itself
/// and by the puppets, with dates before and after everything.
fn lie(world: &World, mesh: &mut VirtualMesh<Member>) {
    for (liar, puppet) in LIARS.into_iter().zip(PUPPETS) {
        let admission = world.admit(liar, puppet, 2);
        for to in 0..MEMBERS {
            let removals = [liar, puppet].into_iter().flat_map(|signer| {
                [to, to + 1].map(|of| world.remove(signer, of % HONEST, 1 + 100 * to as u64, &[]))
            });
            let lies: Vec<SignedRecord> =
                removals.chain([admission.clone()]).map(|record| record.signed().clone()).collect();
            mesh.act(NodeId(liar), |member, _| member.say(to, lies));
        }
    }
}

/// Whether it is so for every honest member.
fn all(mesh: &VirtualMesh<Member>, is_so: impl Fn(&Membership) -> bool) -> bool {
    mesh.nodes().take(HONEST).all(|(_, member)| is_so(&member.membership))
}

/// Lets time pass until it is so for every honest member; no honest member is ever out for any of them.
fn run(
    world: &World,
    mesh: &mut VirtualMesh<Member>,
    seed: u64,
    is_so: impl Fn(&Membership) -> bool,
) {
    let are_in = |membership: &Membership| {
        (0..HONEST).all(|peer| membership.verdict().is_member(&world.id(peer)))
    };
    let came = mesh.run_until(SETTLED, LOOK_EVERY, |mesh| {
        assert!(all(mesh, are_in), "seed {seed}: the liars removed somebody");
        all(mesh, &is_so)
    });
    assert!(came.is_some(), "seed {seed}: it does not come about");
}

fn vote(world: &World, mesh: &mut VirtualMesh<Member>, voters: &[usize], liar: usize) {
    for voter in voters {
        let removal = world.remove(*voter, liar, 50, &[]);
        mesh.act(NodeId(*voter), |member, _| member.learn(&[removal]));
    }
}

#[test]
fn too_few_liars_remove_nobody_in_a_mesh_that_falls_apart_and_enough_others_remove_them() {
    for seed in 1..=8 {
        let world = World::with_quorum(8, QUORUM);
        let mut mesh = start(&world, seed);
        let sides = [[NodeId(0), NodeId(1), NodeId(4)], [NodeId(2), NodeId(3), NodeId(5)]];
        mesh.network_mut().partition(&sides[0], &sides[1]);
        lie(&world, &mut mesh);
        // Three ask for it, but on neither side are they three.
        vote(&world, &mut mesh, &[1, 2, 3], LIARS[0]);
        let is_in = |membership: &Membership| membership.verdict().is_member(&world.id(LIARS[0]));
        let is_asked = |membership: &Membership| {
            membership.verdict().pending_removal_of(&world.id(LIARS[0])).is_some()
        };
        run(&world, &mut mesh, seed, is_asked);
        mesh.run_for(SETTLED / 4);
        assert!(all(&mesh, |membership| is_in(membership) && is_asked(membership)), "seed {seed}");

        mesh.network_mut().heal();
        run(&world, &mut mesh, seed, |membership| !is_in(membership));
        vote(&world, &mut mesh, &[0, 1, 2], LIARS[1]);
        run(&world, &mut mesh, seed, |membership| {
            let verdict = membership.verdict();
            let is_quiet =
                (0..HONEST).all(|peer| verdict.pending_removal_of(&world.id(peer)).is_none());
            is_quiet && world.members_of(verdict) == [0, 1, 2, 3]
        });
    }
}
