//! Records in any order and number, and what happens to links and members: the verdict depends on the set of records
//! alone, gossip of strangers moves nobody, and engines speak of members only.

#[path = "../../mesh-membership/tests/it/reference.rs"]
mod reference;
#[path = "../../mesh-membership/tests/it/world.rs"]
#[expect(dead_code, reason = "tests ask it for more")]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mesh_crypto::Verifier;
use mesh_membership::{
    Inserted, LinkConfig, LinkInput, LinkOutput, LinkPlanner, Liveness, LivenessConfig,
    LivenessInput, LivenessOutput, MemberState, Membership, Swim, SwimConfig, SwimInput,
    SwimOutput, neighbours,
};
use mesh_protocol::{
    PeerId, Record, RecordId, SWIM_BYTES_MAX, SignedRecord, UnixMillis, VerifiedRecord,
};

use self::world::World;
use crate::input::{Input, choose};

/// Members of the meshes below; this node is in the middle of the ids.
const PEERS: u8 = 8;
const ME: PeerId = id(4);

const fn id(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

/// Lets the bytes decide what happens.
pub fn membership(bytes: &[u8]) {
    choose(bytes, &[the_verdict_depends_on_the_set, gossip, links, liveness]);
}

#[expect(clippy::disallowed_methods, reason = "an origin; only distances from it are used")]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn the_verdict_depends_on_the_set(bytes: &[u8]) {
    const SIGNERS: usize = 5;
    const QUORUMS: [u8; 3] = [1, 2, 3];
    static WORLDS: OnceLock<[World; 3]> = OnceLock::new();
    let worlds = WORLDS.get_or_init(|| QUORUMS.map(|quorum| World::with_quorum(5, quorum)));
    let mut input = Input::new(bytes);
    let choice = input.below(QUORUMS.len());
    let (world, quorum) = (&worlds[choice], QUORUMS[choice]);
    let mut records: Vec<VerifiedRecord> =
        (1..SIGNERS).map(|subject| world.admit(input.below(subject), subject, 1)).collect();
    while !input.is_over() && records.len() < 16 {
        let next = record(world, &records, &mut input, SIGNERS);
        records.push(next);
    }
    let mut straight = Membership::new(world.founding.clone()).unwrap();
    for record in &records {
        straight.insert(record.clone());
    }
    let mut backwards = Membership::new(world.founding.clone()).unwrap();
    for record in records.iter().rev() {
        backwards.insert(record.clone());
        // Asking in between must leave no trace.
        let _verdict = backwards.verdict();
        let again = backwards.insert(record.clone());
        assert!(matches!(again, Inserted::Known | Inserted::Outdated));
    }
    assert_eq!(straight.verdict(), backwards.verdict());
    assert_eq!(straight.record_ids(), backwards.record_ids());
    let members: BTreeSet<PeerId> = straight.verdict().members().keys().copied().collect();
    assert_eq!(members, reference::members(world.id(0), quorum, &records));
    for peer in &members {
        check_proof(&straight, peer);
    }
}

/// One more record: by whom, about whom, when, and which earlier records it names.
fn record(
    world: &World,
    records: &[VerifiedRecord],
    input: &mut Input<'_>,
    signers: usize,
) -> VerifiedRecord {
    let (kind, at) = (input.below(10), u64::from(input.byte()) % 6);
    let (signer, number) = (input.below(signers), input.below(signers));
    let subject = world.id(number);
    let choice = input.short();
    let named = |is_meant: &dyn Fn(&Record) -> bool| -> Vec<RecordId> {
        let meant = records.iter().filter(|record| is_meant(record.record()));
        let chosen = meant.enumerate().filter(|(bit, _)| choice >> (bit % 16) & 1 == 1);
        chosen.map(|(_, record)| record.id()).collect()
    };
    match kind {
        0..=3 => {
            let removes = |record: &Record| matches!(record, Record::Removal(removal) if removal.subject == subject);
            let named = named(&removes);
            let overridden: Vec<&VerifiedRecord> =
                records.iter().filter(|record| named.contains(&record.id())).collect();
            world.readmit(signer, number, at, &overridden)
        }
        4..=8 => {
            let standing = named(&|record| record.signer() == subject);
            world.remove_listing(signer, number, at, standing)
        }
        _ => world.profile(signer, at, ["mint", "sage"][number % 2]),
    }
}

/// A proof is enough to see that a member belongs.
fn check_proof(membership: &Membership, peer: &PeerId) {
    let verified = |record: SignedRecord| record.verify(&Verifier).unwrap();
    let mut proof = membership.proof_of(peer).into_iter().map(verified);
    let mut stranger = Membership::new(proof.next().unwrap()).unwrap();
    for record in proof {
        stranger.insert(record);
    }
    assert!(stranger.verdict().is_member(peer));
}

/// The members of a mesh by the bits of a byte, without this node.
fn chosen(bits: u8) -> BTreeSet<PeerId> {
    (0..PEERS).filter(|bit| bits >> bit & 1 == 1).map(id).filter(|peer| *peer != ME).collect()
}

/// Whatever arrives, wishes are about members and within their bounds.
fn gossip(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut now = start();
    let mut members = chosen(0xff);
    let mut swim = Swim::new(ME, 5, SwimConfig::default(), u64::from(input.byte()));
    swim.handle_input(SwimInput::MembersChanged(members.clone()), now);
    while !input.is_over() {
        match input.below(8) {
            0 => {
                members = chosen(input.byte());
                swim.handle_input(SwimInput::MembersChanged(members.clone()), now);
            }
            1 => now += Duration::from_millis(u64::from(input.short()) / 8),
            _ => {
                let from = id(input.byte() % PEERS);
                let data = input.piece(300).to_vec();
                let incarnation_max = 1_000;
                swim.handle_input(SwimInput::Received { from, data, incarnation_max }, now);
            }
        }
        swim.handle_timeout(now);
        while let Some(output) = swim.poll_output() {
            let (peer, bytes) = match output {
                SwimOutput::Send { to, data } => (to, data.len()),
                SwimOutput::Up { peer, .. } | SwimOutput::Down { peer } => (peer, 0),
            };
            // What was wished for just before somebody left is of no harm.
            assert!(peer != ME && bytes <= SWIM_BYTES_MAX);
        }
        assert!(swim.poll_timeout().is_none_or(|at| at > now), "nothing that is due stays undone");
    }
}

/// Nobody is dialled who is linked, dialled or not to be linked with; what is closed was linked.
fn links(bytes: &[u8]) {
    const FULL_MESH_MAX: usize = 5;
    let mut input = Input::new(bytes);
    let config = LinkConfig { full_mesh_max: FULL_MESH_MAX, degree: 2, ..LinkConfig::default() };
    let mut planner = LinkPlanner::new(ME, config, u64::from(input.byte()));
    let (mut now, mut members) = (start(), BTreeSet::new());
    let (mut linked, mut dialling) = (BTreeSet::new(), BTreeSet::new());
    while !input.is_over() {
        let (kind, peer) = (input.below(13), id(input.byte() % PEERS));
        match kind {
            0 => {
                members = chosen(input.byte());
                planner.handle_input(LinkInput::MembersChanged(members.clone()), now);
            }
            1 | 2 => {
                if dialling.remove(&peer) || members.contains(&peer) {
                    linked.insert(peer);
                }
                planner.handle_input(LinkInput::LinkUp { peer }, now);
            }
            3 => {
                linked.remove(&peer);
                planner.handle_input(LinkInput::LinkDown { peer }, now);
            }
            4 => {
                dialling.remove(&peer);
                planner.handle_input(LinkInput::DialFailed { peer }, now);
            }
            5 => planner.handle_input(LinkInput::AddressesChanged { peer }, now),
            6 => planner.handle_input(LinkInput::DialNow { peer }, now),
            7 => planner.handle_input(LinkInput::FrameReceived { peer }, now),
            8 => planner.handle_input(LinkInput::Doubted { peer }, now),
            9 => {
                planner.handle_input(LinkInput::StateChanged { peer, is_inactive: peer < ME }, now)
            }
            10 => planner.handle_input(LinkInput::Woke, now),
            11 => now += Duration::from_millis(u64::from(input.short())),
            _ => now = planner.poll_timeout().unwrap_or(now).max(now),
        }
        planner.handle_timeout(now);
        while let Some(output) = planner.poll_output() {
            match output {
                LinkOutput::Dial { peer } => {
                    let is_wanted = members.len() < FULL_MESH_MAX
                        || neighbours(ME, &members, 2).contains(&peer);
                    assert!(members.contains(&peer) && is_wanted, "dials {peer:?}");
                    assert!(!linked.contains(&peer) && dialling.insert(peer), "dials twice");
                }
                LinkOutput::Ping { peer } | LinkOutput::CloseSilent { peer } => {
                    assert!(linked.contains(&peer), "there is no link with {peer:?}");
                }
                LinkOutput::CutRemoved { peer } => assert!(!members.contains(&peer)),
            }
        }
        assert!(
            planner.poll_timeout().is_none_or(|at| at > now),
            "nothing that is due stays undone"
        );
    }
}

/// States change from what they were, of members alone, and linked members are alive.
fn liveness(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let config =
        LivenessConfig { forget_after: Duration::from_secs(100), ..LivenessConfig::default() };
    let mut engine = Liveness::new(ME, config, u64::from(input.byte()));
    let (mut now, mut wall) = (start(), UnixMillis(1_800_000_000_000));
    let (mut members, mut linked) = (BTreeSet::new(), BTreeSet::new());
    let mut states: BTreeMap<PeerId, MemberState> = BTreeMap::new();
    let mut asked = Vec::new();
    while !input.is_over() {
        let (kind, peer) = (input.below(9), id(input.byte() % PEERS));
        let mut pass = Duration::ZERO;
        match kind {
            0 => {
                members = chosen(input.byte());
                linked.retain(|peer| members.contains(peer));
                states.retain(|peer, _| members.contains(peer));
                let known = members.iter().map(|peer| (*peer, None)).collect();
                engine.handle_input(LivenessInput::MembersChanged(known), now, wall);
            }
            1 | 2 => {
                if members.contains(&peer) {
                    linked.insert(peer);
                }
                engine.handle_input(LivenessInput::LinkUp { peer }, now, wall);
            }
            3 => {
                linked.remove(&peer);
                engine.handle_input(LivenessInput::LinkDown { peer }, now, wall);
            }
            4 => engine.handle_input(LivenessInput::Heard { peer }, now, wall),
            5 => {
                let place = input.below(6);
                if let Some((nonce, helper)) = asked.iter().rev().nth(place).copied() {
                    let answer = if input.below(8) == 0 {
                        LivenessInput::ProbeUnsent { nonce, helper }
                    } else {
                        LivenessInput::ProbeAnswered {
                            nonce,
                            helper: if input.below(8) == 0 { peer } else { helper },
                            is_reached: input.flag(),
                            incarnation: input.number(),
                            last_seen_at: UnixMillis(
                                wall.0.saturating_sub(input.number().saturating_mul(60_000)),
                            ),
                        }
                    };
                    engine.handle_input(answer, now, wall);
                }
            }
            6 => {
                let (incarnation, is_fresh) = (input.number(), input.flag());
                engine.handle_input(
                    LivenessInput::Announced { peer, incarnation, is_fresh },
                    now,
                    wall,
                );
            }
            7 => pass = Duration::from_millis(u64::from(input.short()) * 2),
            _ => pass = engine.poll_timeout().map_or(pass, |at| at.saturating_duration_since(now)),
        }
        (now, wall) = (now + pass, wall.plus(pass));
        engine.handle_timeout(now, wall);
        while let Some(output) = engine.poll_output() {
            match output {
                LivenessOutput::Probe { helper, subject, nonce } => {
                    assert!(
                        linked.contains(&helper) && helper != subject && members.contains(&subject)
                    );
                    asked.push((nonce, helper));
                }
                LivenessOutput::StateChanged { peer, from, to } => {
                    assert!(members.contains(&peer) && from != to);
                    let before = states.insert(peer, to);
                    assert!(
                        before.is_none_or(|before| before == from),
                        "{before:?} is not {from:?}"
                    );
                }
                LivenessOutput::DialNow { peer } => assert!(members.contains(&peer)),
                LivenessOutput::Forget { peer, .. } => {
                    assert!(members.contains(&peer) && !linked.contains(&peer));
                }
            }
        }
        assert!(
            engine.poll_timeout().is_none_or(|at| at > now),
            "nothing that is due stays undone"
        );
        let is_alive =
            |peer: &PeerId| states.get(peer).is_none_or(|state| *state == MemberState::Alive);
        assert!(linked.iter().all(is_alive), "a link is proof of life");
    }
}
