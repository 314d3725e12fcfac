//! What must hold after any sequence of inputs.

use proptest::prelude::*;

use super::*;

/// This node is in the middle of the ids, so that it is the smallest of those linked now and then.
const PEERS: u8 = 8;

/// One thing that happens; probes are named by their place among those asked so far.
#[derive(Clone, Debug)]
enum Step {
    Members(u8),
    Up(u8),
    Down(u8),
    Heard(u8),
    Answer { place: usize, is_true_helper: bool, is_reached: bool, incarnation: u64, ago: u64 },
    Unsent { place: usize },
    Announced { byte: u8, incarnation: u64, is_fresh: bool },
    Wait(u64),
    NextTimeout,
}

fn step() -> impl Strategy<Value = Step> {
    let byte = || 0..PEERS;
    let answer = (0..6_usize, prop::bool::weighted(0.9), any::<bool>(), 0..3_u64, 0..9_u64);
    let answer = answer.prop_map(|(place, is_true_helper, is_reached, incarnation, ago)| {
        Step::Answer { place, is_true_helper, is_reached, incarnation, ago }
    });
    let announced = (byte(), 0..3_u64, any::<bool>());
    let announced = announced.prop_map(|(byte, incarnation, is_fresh)| Step::Announced {
        byte,
        incarnation,
        is_fresh,
    });
    prop_oneof![
        1 => any::<u8>().prop_map(Step::Members),
        4 => byte().prop_map(Step::Up),
        3 => byte().prop_map(Step::Down),
        1 => byte().prop_map(Step::Heard),
        4 => answer,
        1 => (0..6_usize).prop_map(|place| Step::Unsent { place }),
        1 => announced,
        1 => (0..100_000_u64).prop_map(Step::Wait),
        6 => Just(Step::NextTimeout),
    ]
}

fn id(byte: u8) -> PeerId {
    peer(97 + byte)
}

/// The engine beside what is known of it from outside.
struct Watch {
    bench: Bench,
    members: BTreeSet<PeerId>,
    linked: BTreeSet<PeerId>,
    states: BTreeMap<PeerId, MemberState>,
    asked: Vec<Asked>,
}

impl Watch {
    fn new() -> Self {
        Self {
            bench: Bench::with(LivenessConfig { forget_after: ms(100_000), ..Default::default() }),
            members: BTreeSet::new(),
            linked: BTreeSet::new(),
            states: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let outputs = match step {
            Step::Members(bits) => self.change_members(bits),
            Step::Up(byte) => {
                if self.members.contains(&id(byte)) {
                    self.linked.insert(id(byte));
                }
                self.bench.input(LivenessInput::LinkUp { peer: id(byte) })
            }
            Step::Down(byte) => {
                self.linked.remove(&id(byte));
                self.bench.input(LivenessInput::LinkDown { peer: id(byte) })
            }
            Step::Heard(byte) => self.bench.input(LivenessInput::Heard { peer: id(byte) }),
            Step::Answer { place, is_true_helper, is_reached, incarnation, ago } => {
                let Some(asked) = self.asked.iter().rev().nth(place).copied() else { return };
                self.bench.input(LivenessInput::ProbeAnswered {
                    nonce: asked.nonce,
                    helper: if is_true_helper { asked.helper } else { id(0) },
                    is_reached,
                    incarnation,
                    last_seen_at: UnixMillis(self.bench.wall.0 - ago * 60_000),
                })
            }
            Step::Unsent { place } => {
                let Some(asked) = self.asked.iter().rev().nth(place).copied() else { return };
                self.bench.unsent(asked)
            }
            Step::Announced { byte, incarnation, is_fresh } => {
                let peer = id(byte);
                let known = self.bench.liveness.incarnation(&peer);
                let seen_at = self.bench.liveness.last_seen_at(&peer);
                let input = LivenessInput::Announced { peer, incarnation, is_fresh };
                let outputs = self.bench.input(input);
                if known == 0 || incarnation < known {
                    assert_eq!(outputs, [], "no proof");
                    assert_eq!(self.bench.liveness.last_seen_at(&peer), seen_at);
                }
                outputs
            }
            Step::Wait(millis) => self.bench.after(ms(millis)),
            Step::NextTimeout => {
                let Some(at) = self.bench.liveness.poll_timeout() else { return };
                self.bench.after(at.saturating_duration_since(self.bench.now))
            }
        };
        for output in outputs {
            self.check_output(output);
        }
        self.check();
    }

    fn change_members(&mut self, bits: u8) -> Vec<LivenessOutput> {
        self.members = (0..PEERS).filter(|byte| bits >> byte & 1 == 1).map(id).collect();
        let members = self.members.iter().map(|peer| (*peer, None)).collect();
        self.members.remove(&ME);
        self.linked.retain(|peer| self.members.contains(peer));
        self.states.retain(|peer, _| self.members.contains(peer));
        for peer in &self.members {
            self.states.entry(*peer).or_insert(Suspect);
        }
        self.bench.input(LivenessInput::MembersChanged(members))
    }

    fn check_output(&mut self, output: LivenessOutput) {
        match output {
            LivenessOutput::Probe { helper, subject, nonce } => {
                assert!(self.members.contains(&subject) && !self.linked.contains(&subject));
                assert!(self.linked.contains(&helper));
                assert!(self.asked.iter().all(|asked| asked.nonce != nonce));
                self.asked.push(Asked { helper, subject, nonce });
            }
            LivenessOutput::StateChanged { peer, from, to } => {
                assert_ne!(from, to);
                assert_eq!(self.states.insert(peer, to), Some(from), "a gap or a stranger");
            }
            LivenessOutput::DialNow { peer } => {
                assert!(!self.linked.contains(&peer));
                assert_eq!(self.states[&peer], Alive);
            }
            LivenessOutput::Forget { peer, .. } => {
                assert_eq!(self.states[&peer], Inactive);
                assert!(self.linked.iter().all(|linked| *linked > ME));
            }
        }
    }

    fn check(&self) {
        let liveness = &self.bench.liveness;
        assert_eq!(liveness.states().collect::<BTreeMap<_, _>>(), self.states);
        assert_eq!(liveness.linked, self.linked);
        assert!(self.linked.iter().all(|peer| self.states[peer] == Alive));
        let mut open = 0;
        for subject in liveness.subjects.values() {
            let Some(round) = &subject.round else { continue };
            open += round.open_count();
            let most = liveness.config.helpers.max(self.linked.len());
            assert!(round.open_count() <= most);
        }
        assert_eq!(liveness.probes.len(), open, "a probe that belongs to no round");
        let waiting = liveness.subjects.keys().filter(|peer| !self.linked.contains(peer)).count();
        assert_eq!(liveness.alarms.len(), waiting, "who has no link has one alarm");
        assert!(liveness.poll_timeout().is_none_or(|at| at > self.bench.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_inputs_keeps_the_rules(steps in prop::collection::vec(step(), 0..300)) {
        let mut watch = Watch::new();
        watch.take(Step::Members(u8::MAX));
        for step in steps {
            watch.take(step);
        }
    }

    #[test]
    fn equal_seeds_and_inputs_give_equal_outputs(steps in prop::collection::vec(step(), 0..100)) {
        let play = || {
            let mut watch = Watch::new();
            for step in steps.clone() {
                watch.take(step);
            }
            (watch.asked, watch.states)
        };
        prop_assert_eq!(play(), play());
    }

    #[test]
    fn a_member_that_stays_away_ends_inactive(steps in prop::collection::vec(step(), 0..60)) {
        let mut watch = Watch::new();
        for step in steps {
            watch.take(step);
        }
        watch.take(Step::Members(u8::MAX));
        watch.take(Step::Down(0));
        watch.bench.run(ms(120_000), None);
        prop_assert_eq!(watch.bench.liveness.state(&id(0)), Some(Inactive));
    }
}
