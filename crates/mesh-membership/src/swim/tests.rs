use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use foca::{Header, Member, Message, State};
use proptest::collection::vec;
use proptest::prelude::*;

use mesh_protocol::{PeerId, SWIM_BYTES_MAX};

use super::codec::{Datagram, ENDS_BYTES};
use super::identity::{RENEWAL_MAX, SwimId};
use super::{RENEW_PAUSE, Swim, SwimConfig, SwimInput, SwimOutput};
use crate::MEMBERS_MAX;

const ME: u8 = 0;

/// No incarnation of these tests is above it.
const INCARNATION_MAX: u64 = 1_000;

/// Foca's four series, and a probe with its suspects and their warnings.
const ALARMS_MAX: usize = 24;

#[expect(clippy::disallowed_methods, reason = "an origin; only distances from it are used")]
fn origin() -> Instant {
    Instant::now()
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn id(number: u8, incarnation: u64) -> SwimId {
    SwimId { peer: peer(number), incarnation, renewal: 0 }
}

fn swim(members: u8, now: Instant) -> Swim {
    let mut swim = Swim::new(peer(ME), 5, SwimConfig::default(), 1);
    swim.handle_input(SwimInput::MembersChanged((0..members).map(peer).collect()), now);
    swim
}

fn outputs(swim: &mut Swim) -> Vec<SwimOutput> {
    std::iter::from_fn(|| swim.poll_output()).collect()
}

fn said(from: u8, dst: SwimId, message: Message<SwimId>, updates: &[Member<SwimId>]) -> SwimInput {
    let header = Header { src: id(from, 1), src_incarnation: 0, dst, message };
    let bytes = Datagram { header, updates: updates.to_vec() }.encode().unwrap();
    received(from, bytes[ENDS_BYTES..].to_vec())
}

fn received(from: u8, data: Vec<u8>) -> SwimInput {
    SwimInput::Received { from: peer(from), data, incarnation_max: INCARNATION_MAX }
}

/// What the node said to the peer, taken apart.
fn heard(outputs: &[SwimOutput], by: u8) -> Vec<Datagram> {
    let datagrams = outputs.iter().filter_map(|output| match output {
        SwimOutput::Send { to, data } if *to == peer(by) => {
            Some(Datagram::decode(peer(ME), *to, data).unwrap())
        }
        SwimOutput::Send { .. } | SwimOutput::Up { .. } | SwimOutput::Down { .. } => None,
    });
    datagrams.collect()
}

#[test]
fn gossip_from_and_about_strangers_is_refused() {
    let now = origin();
    let mut swim = swim(3, now);
    swim.handle_input(said(9, id(ME, 5), Message::Ping(1), &[]), now);
    let target = id(9, 1);
    let request = Message::PingReq { target, probe_number: 1 };
    swim.handle_input(said(1, id(ME, 5), request, &[]), now);
    assert_eq!((outputs(&mut swim), swim.refused()), (vec![], 2));

    // The rest of what such a member says counts.
    let news = [Member::alive(id(9, 1)), Member::alive(id(2, 7))];
    swim.handle_input(said(1, id(ME, 5), Message::Gossip, &news), now);
    let ups = [(1, 1), (2, 7)]
        .map(|(number, incarnation)| SwimOutput::Up { peer: peer(number), incarnation });
    assert_eq!(outputs(&mut swim), ups);
    swim.handle_timeout(now + Duration::from_millis(500));
    assert_eq!(heard(&outputs(&mut swim), 9), []);
}

/// Lives that nobody can have come to.
fn impossible(number: u8) -> [SwimId; 4] {
    [(INCARNATION_MAX + 1, 0), (u64::MAX, u32::MAX), (3, RENEWAL_MAX), (3, u32::MAX)]
        .map(|(incarnation, renewal)| SwimId { renewal, ..id(number, incarnation) })
}

#[test]
fn a_life_that_a_member_could_not_outlive_is_not_believed() {
    for made_up in impossible(2) {
        for state in [State::Alive, State::Suspect, State::Down] {
            let now = origin();
            let mut swim = swim(3, now);
            let rumour = [Member::new(made_up, 0, state), Member::alive(id(2, 3))];
            swim.handle_input(said(1, id(ME, 5), Message::Gossip, &rumour), now);
            let ups = [(1, 1), (2, 3)]
                .map(|(number, incarnation)| SwimOutput::Up { peer: peer(number), incarnation });
            assert_eq!(outputs(&mut swim), ups, "the rest counts");
            assert_eq!(swim.known(&peer(2)), Some(id(2, 3)));
        }
    }
    // The last ones that are possible are believed.
    for possible in [id(2, INCARNATION_MAX), SwimId { renewal: RENEWAL_MAX - 1, ..id(2, 3) }] {
        let now = origin();
        let mut swim = swim(3, now);
        let news = [Member::alive(possible)];
        swim.handle_input(said(1, id(ME, 5), Message::Gossip, &news), now);
        assert_eq!(swim.known(&peer(2)), Some(possible));
    }
}

#[test]
fn gossip_to_by_or_for_a_life_that_cannot_be_is_refused() {
    let now = origin();
    for (made_up, of_me) in impossible(2).into_iter().zip(impossible(ME)) {
        let mut swim = swim(3, now);
        let header = |src, dst, message| Header { src, src_incarnation: 0, dst, message };
        let request = Message::PingReq { target: made_up, probe_number: 1 };
        for (from, header) in [
            (2, header(made_up, id(ME, 5), Message::Ping(1))),
            (1, header(id(1, 1), of_me, Message::Ping(1))),
            (1, header(id(1, 1), id(ME, 5), request)),
        ] {
            let bytes = Datagram { header, updates: vec![] }.encode().unwrap();
            swim.handle_input(received(from, bytes[ENDS_BYTES..].to_vec()), now);
        }
        assert_eq!((outputs(&mut swim), swim.refused()), (vec![], 3));
    }
}

#[test]
fn a_node_stays_within_the_lives_that_others_believe_in() {
    let now = origin();
    for made_up in impossible(ME) {
        let mut swim = swim(2, now);
        let rumour = [Member::down(made_up)];
        swim.handle_input(said(1, id(ME, 5), Message::Gossip, &rumour), now);
        assert_eq!(*swim.foca.identity(), id(ME, 5));
    }
    let mut swim = swim(2, now);
    let last = SwimId { renewal: RENEWAL_MAX - 1, ..id(ME, 5) };
    swim.handle_input(said(1, last, Message::Gossip, &[Member::down(last)]), now);
    assert_eq!(*swim.foca.identity(), id(ME, 6), "the renewals are used up");
}

#[test]
fn a_ping_is_answered_in_bytes_that_do_not_name_the_node() {
    let now = origin();
    let mut swim = swim(2, now);
    swim.handle_input(said(1, id(ME, 5), Message::Ping(3), &[]), now);
    let outputs = outputs(&mut swim);
    let [SwimOutput::Up { .. }, SwimOutput::Send { to, data }] = outputs.as_slice() else {
        panic!("{outputs:?}");
    };
    assert_eq!(*to, peer(1));
    assert!(!data.windows(32).any(|window| window == peer(ME).as_bytes()));
    assert_eq!(heard(&outputs, 1)[0].header.message, Message::Ack(3));
}

#[test]
fn what_is_said_to_an_earlier_life_is_heard_but_does_not_end_the_present_one() {
    let now = origin();
    let mut swim = swim(2, now);
    swim.handle_input(said(1, id(ME, 5), Message::TurnUndead, &[]), now);
    let present = SwimId { renewal: 1, ..id(ME, 5) };
    assert_eq!(*swim.foca.identity(), present);
    outputs(&mut swim);
    let later = now + RENEW_PAUSE;
    swim.handle_input(said(1, id(ME, 5), Message::TurnUndead, &[]), later);
    swim.handle_input(said(1, id(ME, 5), Message::Ping(3), &[]), later);
    let answers = heard(&outputs(&mut swim), 1);
    assert_eq!((answers.len(), &answers[0].header.message), (1, &Message::Ack(3)));
    assert_eq!((answers[0].header.src, *swim.foca.identity()), (present, present));
}

#[test]
fn an_accused_node_objects_in_its_answer() {
    let now = origin();
    let mut swim = swim(2, now);
    let accusation = Member::new(id(ME, 5), 0, State::Suspect);
    swim.handle_input(said(1, id(ME, 5), Message::Ping(0), &[accusation]), now);
    let answers = heard(&outputs(&mut swim), 1);
    let answer = answers.iter().find(|answer| answer.header.message == Message::Ack(0)).unwrap();
    assert_eq!(answer.header.src_incarnation, 1);
}

#[test]
fn a_silent_member_is_told_that_it_is_suspected_and_then_called_down() {
    let start = origin();
    let mut swim = swim(3, start);
    let mut now = start;
    let mut said_by_node = Vec::new();
    while now < start + Duration::from_secs(8) {
        // One member goes on answering, so that the node is not alone.
        swim.handle_input(said(2, id(ME, 5), Message::Gossip, &[]), now);
        if now == start {
            swim.handle_input(said(1, id(ME, 5), Message::Gossip, &[]), now);
        }
        said_by_node.extend(outputs(&mut swim));
        now += Duration::from_millis(100);
        swim.handle_timeout(now);
    }
    let accusation = Member::new(id(1, 1), 0, State::Suspect);
    let warnings = heard(&said_by_node, 1)
        .iter()
        .filter(|datagram| datagram.header.message == Message::Ping(0))
        .filter(|datagram| datagram.updates == [accusation.clone()])
        .count();
    assert!(warnings >= 4, "{warnings}");
    assert!(said_by_node.contains(&SwimOutput::Down { peer: peer(1) }));
}

#[test]
fn a_node_that_slept_calls_nobody_down_when_it_wakes() {
    let start = origin();
    let mut swim = swim(3, start);
    for from in [1, 2] {
        swim.handle_input(said(from, id(ME, 5), Message::Gossip, &[]), start);
    }
    // Somebody is suspected, and time is nearly up.
    for millis in (0..3_000).step_by(100) {
        swim.handle_timeout(start + Duration::from_millis(millis));
    }
    outputs(&mut swim);
    let awake = start + Duration::from_secs(3_600);
    swim.handle_timeout(awake);
    let news = outputs(&mut swim);
    let is_down = |output: &SwimOutput| matches!(output, SwimOutput::Down { .. });
    assert!(!news.iter().any(is_down), "{news:?}");
    assert!(swim.poll_timeout().is_some_and(|at| at > awake));
}

#[test]
fn a_node_called_down_again_and_again_keeps_its_pace_and_its_bounds() {
    let start = origin();
    let mut swim = swim(4, start);
    let mut lives = BTreeSet::new();
    for step in 0..2_000 {
        let now = start + Duration::from_millis(step);
        let me = *swim.foca.identity();
        lives.insert(me.age());
        let down = Member::new(me, 0, State::Down);
        swim.handle_input(said(1, me, Message::Gossip, &[down]), now);
        swim.handle_input(said(1, me, Message::TurnUndead, &[]), now);
        let later = SwimId { renewal: me.renewal + 10, ..me };
        swim.handle_input(said(1, later, Message::Ping(1), &[]), now);
        assert!(outputs(&mut swim).len() <= 40, "at {step} ms");
        assert!(swim.alarms.len() <= ALARMS_MAX, "{} at {step} ms", swim.alarms.len());
    }
    let pauses = 2_000 / RENEW_PAUSE.as_millis();
    assert!(lives.len() as u128 <= 2 * pauses + 2, "{} lives", lives.len());
}

#[test]
fn more_members_than_a_mesh_may_have_are_not_taken_in() {
    let now = origin();
    let mut swim = Swim::new(peer(ME), 1, SwimConfig::default(), 1);
    let members = (0..MEMBERS_MAX as u64 + 10).map(|number| {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        PeerId::from_bytes(bytes)
    });
    swim.handle_input(SwimInput::MembersChanged(members.collect()), now);
    assert_eq!(swim.effects.members.len(), MEMBERS_MAX);
    swim.handle_input(SwimInput::MembersChanged(BTreeSet::new()), now);
    assert!(swim.alarms.len() <= 1, "newcomers that left are not waited for");
}

/// Bytes that are often near to what is gossip.
fn gossip() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let age = || prop_oneof![6 => 0_u64..8, 1 => Just(INCARNATION_MAX), 1 => Just(u64::MAX)];
    let renewal =
        || prop_oneof![6 => 0_u32..3, 1 => RENEWAL_MAX - 2..=RENEWAL_MAX, 1 => Just(u32::MAX)];
    let header =
        (age(), renewal(), 4_u64..7, renewal(), any::<u16>(), 0_u8..12, 0_u8..6, any::<u8>());
    let update = (0_u8..6, age(), renewal(), any::<u16>(), 0_u8..4);
    let near = (header, vec(update, 0..6)).prop_map(|(header, updates)| {
        let (src, src_renewal, dst, dst_renewal, incarnation, kind, third, number) = header;
        let mut data = Vec::new();
        data.extend(src.to_be_bytes());
        data.extend(src_renewal.to_be_bytes());
        data.extend(dst.to_be_bytes());
        data.extend(dst_renewal.to_be_bytes());
        data.extend(incarnation.to_be_bytes());
        data.push(kind);
        if (2..=5).contains(&kind) {
            data.extend([third; 32]);
            data.extend([0; 12]);
        }
        if kind <= 5 {
            data.push(number);
        }
        if !updates.is_empty() {
            data.extend(u16::try_from(updates.len()).unwrap().to_be_bytes());
        }
        for (peer, incarnation, renewal, own, state) in updates {
            data.extend([peer; 32]);
            data.extend(incarnation.to_be_bytes());
            data.extend(renewal.to_be_bytes());
            data.extend(own.to_be_bytes());
            data.push(state);
        }
        data
    });
    let data = prop_oneof![3 => near, 1 => vec(any::<u8>(), 0..SWIM_BYTES_MAX + 10)];
    (0_u8..6, data)
}

proptest! {
    #[test]
    fn whatever_arrives_nothing_panics_and_the_bounds_hold(
        steps in vec((gossip(), 0_u64..3_000, vec(0_u8..6, 0..6)), 1..60),
    ) {
        let mut now = origin();
        let mut swim = swim(5, now);
        for (number, ((from, data), millis, members)) in steps.into_iter().enumerate() {
            now += Duration::from_millis(millis / 4);
            if number % 10 == 9 {
                let members: BTreeSet<PeerId> = members.into_iter().map(peer).collect();
                swim.handle_input(SwimInput::MembersChanged(members), now);
            }
            swim.handle_input(received(from, data), now);
            swim.handle_timeout(now);
            let members = swim.effects.members.clone();
            for output in outputs(&mut swim) {
                let (peer, bytes) = match output {
                    SwimOutput::Send { to, data } => (to, data.len()),
                    SwimOutput::Up { peer, .. } => (peer, 0),
                    SwimOutput::Down { peer } => (peer, 0),
                };
                prop_assert!(members.contains(&peer) && bytes <= SWIM_BYTES_MAX);
            }
            prop_assert!(swim.alarms.len() <= ALARMS_MAX + 6);
            let others = swim.foca.iter_membership_state().map(Member::id);
            let others = others.filter(|id| id.peer != peer(ME));
            prop_assert!(others.into_iter().all(|id| id.is_possible(INCARNATION_MAX)));
            // An earlier life of the node's own may be remembered.
            let is_known = |peer| members.contains(&peer) || peer == PeerId::from_bytes([ME; 32]);
            prop_assert!(swim.foca.iter_membership_state().all(|m| is_known(m.id().peer)));
        }
    }
}
