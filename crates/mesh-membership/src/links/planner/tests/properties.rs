//! What must hold after any sequence of inputs.

use proptest::prelude::*;

use super::*;

const PEERS: u8 = 8;

/// Few enough that both kinds of mesh occur.
const FULL_MESH_MAX: usize = 5;

#[derive(Clone, Debug)]
enum Step {
    Members(u8),
    About { kind: u8, byte: u8 },
    Woke,
    Wait(u64),
    NextTimeout,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<u8>().prop_map(Step::Members),
        9 => (0..9_u8, 0..PEERS).prop_map(|(kind, byte)| Step::About { kind, byte }),
        1 => Just(Step::Woke),
        1 => (0..20_000_u64).prop_map(Step::Wait),
        5 => Just(Step::NextTimeout),
    ]
}

/// This node is in the middle of the ids.
fn id(byte: u8) -> PeerId {
    peer(97 + byte)
}

/// The planner beside what is known of it from outside.
struct Watch {
    bench: Bench,
    members: BTreeSet<PeerId>,
    linked: BTreeSet<PeerId>,
    dialling: BTreeSet<PeerId>,
    /// Links that were ordered to be closed.
    closing: BTreeSet<PeerId>,
}

impl Watch {
    fn new() -> Self {
        let config =
            LinkConfig { full_mesh_max: FULL_MESH_MAX, degree: 2, ..LinkConfig::default() };
        Self {
            bench: Bench { planner: LinkPlanner::new(ME, config, 7), now: start() },
            members: BTreeSet::new(),
            linked: BTreeSet::new(),
            dialling: BTreeSet::new(),
            closing: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let outputs = match step {
            Step::Members(bits) => {
                self.members = (0..PEERS).filter(|byte| bits >> byte & 1 == 1).map(id).collect();
                self.members.remove(&ME);
                self.bench.input(LinkInput::MembersChanged(self.members.clone()))
            }
            Step::About { kind, byte } => {
                let input = self.about(kind, id(byte));
                self.bench.input(input)
            }
            Step::Woke => self.bench.input(LinkInput::Woke),
            Step::Wait(millis) => self.bench.after(ms(millis)),
            Step::NextTimeout => {
                let Some(at) = self.bench.planner.poll_timeout() else { return };
                self.bench.after(at.saturating_duration_since(self.bench.now))
            }
        };
        for output in outputs {
            self.check_output(output);
        }
        self.check();
    }

    fn about(&mut self, kind: u8, peer: PeerId) -> LinkInput {
        match kind {
            0 | 1 => {
                let was_dialled = self.dialling.remove(&peer);
                self.closing.remove(&peer);
                // A stranger's link is cut, and nothing is kept of it.
                if was_dialled || self.members.contains(&peer) {
                    self.linked.insert(peer);
                }
                LinkInput::LinkUp { peer }
            }
            2 => {
                self.closing.remove(&peer);
                self.linked.remove(&peer);
                LinkInput::LinkDown { peer }
            }
            3 => {
                self.dialling.remove(&peer);
                LinkInput::DialFailed { peer }
            }
            4 => LinkInput::AddressesChanged { peer },
            5 => LinkInput::DialNow { peer },
            6 => LinkInput::FrameReceived { peer },
            7 => LinkInput::Doubted { peer },
            _ => LinkInput::StateChanged { peer, is_inactive: peer < ME },
        }
    }

    fn is_wanted(&self, peer: &PeerId) -> bool {
        let is_small = self.members.len() < FULL_MESH_MAX;
        let chosen = || neighbours(ME, &self.members, 2);
        self.members.contains(peer) && (is_small || chosen().contains(peer))
    }

    fn check_output(&mut self, output: LinkOutput) {
        match output {
            LinkOutput::Dial { peer } => {
                assert!(self.is_wanted(&peer), "dials {peer:?}");
                assert!(!self.linked.contains(&peer), "dials a linked peer");
                assert!(self.dialling.insert(peer), "dials twice at once");
            }
            LinkOutput::Ping { peer } => {
                assert!(self.linked.contains(&peer) && !self.closing.contains(&peer));
            }
            LinkOutput::CloseSilent { peer } => {
                assert!(self.linked.contains(&peer) && self.closing.insert(peer));
            }
            LinkOutput::CutRemoved { peer } => {
                assert!(!self.members.contains(&peer));
                self.closing.insert(peer);
            }
        }
    }

    fn check(&self) {
        let planner = &self.bench.planner;
        assert!(planner.poll_timeout().is_none_or(|at| at > self.bench.now));
        let alarmed: BTreeSet<PeerId> = planner.alarms.iter().map(|(_, peer)| *peer).collect();
        assert_eq!(alarmed.len(), planner.alarms.len(), "one alarm each");
        for peer in &self.members {
            let is_idle = !self.linked.contains(peer) && !self.dialling.contains(peer);
            let is_due = is_idle && self.is_wanted(peer);
            let is_kept = self.linked.contains(peer) && !self.closing.contains(peer);
            assert_eq!(alarmed.contains(peer), is_due || is_kept, "{peer:?}");
        }
        for peer in planner.contacts.keys().filter(|peer| !self.members.contains(peer)) {
            assert!(self.linked.contains(peer) || self.dialling.contains(peer), "left behind");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_inputs_keeps_the_rules(steps in prop::collection::vec(step(), 0..200)) {
        let mut watch = Watch::new();
        for step in steps {
            watch.take(step);
        }
    }
}
