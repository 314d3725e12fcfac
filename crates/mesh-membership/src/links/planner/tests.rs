use super::super::keeps_existing;
use super::contact::LINK_AGE_MIN;
use super::*;
use crate::tests::{ME, ms, peer, start};

mod large;
mod properties;
mod short;
mod wake;

/// A planner with a hand on the clock.
struct Bench {
    planner: LinkPlanner,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { planner: LinkPlanner::new(ME, LinkConfig::default(), 7), now: start() }
    }

    fn with_members(members: &[u8]) -> (Self, Vec<LinkOutput>) {
        let mut bench = Self::new();
        let outputs = bench.members(members);
        (bench, outputs)
    }

    fn linked(member: u8) -> Self {
        let (mut bench, _) = Self::with_members(&[member]);
        bench.input(LinkInput::LinkUp { peer: peer(member) });
        bench
    }

    fn members(&mut self, members: &[u8]) -> Vec<LinkOutput> {
        let members = members.iter().map(|byte| peer(*byte)).collect();
        self.input(LinkInput::MembersChanged(members))
    }

    fn input(&mut self, input: LinkInput) -> Vec<LinkOutput> {
        self.planner.handle_input(input, self.now);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<LinkOutput> {
        std::iter::from_fn(|| self.planner.poll_output()).collect()
    }

    fn after(&mut self, duration: Duration) -> Vec<LinkOutput> {
        self.now += duration;
        self.planner.handle_timeout(self.now);
        self.outputs()
    }

    /// Goes to the next timeout; says how long that took.
    fn next(&mut self) -> (Duration, Vec<LinkOutput>) {
        let at = self.planner.poll_timeout().expect("something is planned");
        let wait = at.saturating_duration_since(self.now);
        (wait, self.after(wait))
    }
}

fn dial(byte: u8) -> LinkOutput {
    LinkOutput::Dial { peer: peer(byte) }
}

fn is_about(wait: Duration, middle: Duration) -> bool {
    wait >= middle * 3 / 4 && wait <= middle * 5 / 4
}

#[test]
fn dials_every_member_but_itself() {
    let (_, outputs) = Bench::with_members(&[100, 150, 200]);
    assert_eq!(outputs, [dial(150), dial(200)]);
}

#[test]
fn the_larger_id_waits_a_moment_before_the_first_dial() {
    let (mut bench, outputs) = Bench::with_members(&[1]);
    assert_eq!(outputs, []);
    assert_eq!(bench.next(), (GRACE, vec![dial(1)]));
}

#[test]
fn never_dials_a_peer_twice_at_once() {
    let (mut bench, _) = Bench::with_members(&[150]);
    assert_eq!(bench.members(&[150]), []);
    assert_eq!(bench.input(LinkInput::AddressesChanged { peer: peer(150) }), []);
    assert_eq!(bench.after(ms(3_600_000)), []);
    assert_eq!(bench.members(&[]), []);
    assert_eq!(bench.members(&[150]), [], "the dial of before is still under way");
    assert_eq!(bench.planner.poll_timeout(), None);
}

#[test]
fn waits_twice_as_long_after_each_failure_up_to_the_bound() {
    let (mut bench, _) = Bench::with_members(&[150]);
    for middle in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        assert_eq!(bench.input(LinkInput::DialFailed { peer: peer(150) }), []);
        let (wait, outputs) = bench.next();
        assert!(is_about(wait, ms(middle)), "{wait:?} is not about {middle} ms");
        assert_eq!(outputs, [dial(150)]);
    }
}

#[test]
fn a_link_that_lasted_resets_the_wait() {
    let (mut bench, _) = Bench::with_members(&[150]);
    for _ in 0..8 {
        bench.input(LinkInput::DialFailed { peer: peer(150) });
        bench.next();
    }
    assert_eq!(bench.input(LinkInput::LinkUp { peer: peer(150) }), []);
    assert_eq!(bench.after(LINK_AGE_MIN), []);
    assert_eq!(bench.input(LinkInput::LinkDown { peer: peer(150) }), []);
    let (wait, outputs) = bench.next();
    assert!(is_about(wait, ms(100)), "{wait:?}");
    assert_eq!(outputs, [dial(150)]);
}

#[test]
fn the_larger_id_waits_a_moment_before_it_replaces_a_lost_link() {
    let mut bench = Bench::linked(1);
    bench.input(LinkInput::LinkDown { peer: peer(1) });
    let (wait, outputs) = bench.next();
    assert!(is_about(wait - GRACE, ms(100)), "{wait:?}");
    assert_eq!(outputs, [dial(1)]);
    bench.input(LinkInput::DialFailed { peer: peer(1) });
    let (wait, _) = bench.next();
    assert!(is_about(wait, ms(200)), "{wait:?}");
}

#[test]
fn new_addresses_are_dialled_at_once() {
    let (mut bench, _) = Bench::with_members(&[150]);
    for _ in 0..8 {
        bench.input(LinkInput::DialFailed { peer: peer(150) });
        bench.next();
    }
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    assert_eq!(bench.input(LinkInput::AddressesChanged { peer: peer(150) }), [dial(150)]);
    // While a dial is under way they are tried as soon as it has failed.
    assert_eq!(bench.input(LinkInput::AddressesChanged { peer: peer(150) }), []);
    assert_eq!(bench.input(LinkInput::DialFailed { peer: peer(150) }), [dial(150)]);
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    assert!(is_about(bench.next().0, ms(100)), "failures at old addresses are forgotten");
}

#[test]
fn a_linked_peer_is_not_dialled() {
    let mut bench = Bench::linked(150);
    assert_eq!(bench.input(LinkInput::AddressesChanged { peer: peer(150) }), []);
    assert_eq!(bench.input(LinkInput::DialFailed { peer: peer(150) }), []);
    assert_eq!(bench.members(&[150]), []);
    let outputs = bench.after(ms(14_000));
    assert_eq!(outputs, [LinkOutput::Ping { peer: peer(150) }]);
}

#[test]
fn an_accepted_link_replaces_a_planned_dial() {
    let (mut bench, _) = Bench::with_members(&[1]);
    bench.input(LinkInput::LinkUp { peer: peer(1) });
    assert_eq!(bench.after(GRACE), []);
}

#[test]
fn pings_at_the_pace_of_the_heartbeat() {
    let mut bench = Bench::linked(150);
    for _ in 0..100 {
        assert_eq!(bench.next(), (ms(5000), vec![LinkOutput::Ping { peer: peer(150) }]));
        bench.input(LinkInput::FrameReceived { peer: peer(150) });
    }
}

#[test]
fn closes_a_silent_link_once_and_dials_when_it_is_down() {
    let mut bench = Bench::linked(150);
    let ping = LinkOutput::Ping { peer: peer(150) };
    bench.after(ms(4000));
    bench.input(LinkInput::FrameReceived { peer: peer(150) });
    for expected in [5000, 10_000, 15_000] {
        assert_eq!(bench.next().1, [ping], "at {expected} ms");
    }
    let (wait, outputs) = bench.next();
    assert_eq!((wait, outputs), (ms(4000), vec![LinkOutput::CloseSilent { peer: peer(150) }]));
    assert_eq!(bench.after(ms(60_000)), []);
    assert_eq!(bench.planner.poll_timeout(), None);
    bench.input(LinkInput::LinkDown { peer: peer(150) });
    assert_eq!(bench.next().1, [dial(150)]);
}

#[test]
fn cuts_the_link_of_a_removed_member_once() {
    let mut bench = Bench::linked(150);
    assert_eq!(bench.members(&[]), [LinkOutput::CutRemoved { peer: peer(150) }]);
    assert_eq!(bench.members(&[]), []);
    assert_eq!(bench.after(ms(60_000)), []);
    assert_eq!(bench.input(LinkInput::LinkDown { peer: peer(150) }), []);
    assert_eq!(bench.planner.poll_timeout(), None);
    assert!(bench.planner.contacts.is_empty());
}

#[test]
fn a_removed_member_is_not_dialled_any_more() {
    let (mut bench, _) = Bench::with_members(&[150]);
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    assert_eq!(bench.members(&[]), []);
    assert_eq!(bench.planner.poll_timeout(), None);
    assert_eq!(bench.input(LinkInput::AddressesChanged { peer: peer(150) }), []);
}

#[test]
fn a_link_that_comes_up_after_the_removal_is_cut() {
    let (mut bench, _) = Bench::with_members(&[150]);
    bench.members(&[]);
    let cut = [LinkOutput::CutRemoved { peer: peer(150) }];
    assert_eq!(bench.input(LinkInput::LinkUp { peer: peer(150) }), cut);
    bench.input(LinkInput::LinkDown { peer: peer(150) });
    assert!(bench.planner.contacts.is_empty());
    assert_eq!(bench.input(LinkInput::LinkUp { peer: peer(150) }), cut, "a stranger");
    assert!(bench.planner.contacts.is_empty(), "strangers leave nothing behind");
}

#[test]
fn a_dial_that_fails_after_the_removal_is_the_last() {
    let (mut bench, _) = Bench::with_members(&[150]);
    bench.members(&[]);
    assert_eq!(bench.input(LinkInput::DialFailed { peer: peer(150) }), []);
    assert!(bench.planner.contacts.is_empty());
}

#[test]
fn a_member_that_comes_back_while_its_link_is_cut_is_dialled_when_it_is_down() {
    let mut bench = Bench::linked(150);
    bench.members(&[]);
    assert_eq!(bench.members(&[150]), []);
    bench.input(LinkInput::LinkDown { peer: peer(150) });
    assert_eq!(bench.next().1, [dial(150)]);
}

#[test]
fn early_late_and_repeated_timeouts_are_harmless() {
    let mut bench = Bench::linked(150);
    for _ in 0..10 {
        assert_eq!(bench.after(Duration::ZERO), []);
    }
    assert_eq!(bench.after(ms(4999)), []);
    assert_eq!(bench.after(ms(1)), [LinkOutput::Ping { peer: peer(150) }]);
    assert_eq!(bench.after(Duration::ZERO), []);
    // Woken up long after a suspend: one close, not a burst of pings.
    assert_eq!(bench.after(ms(86_400_000)), [LinkOutput::CloseSilent { peer: peer(150) }]);
    assert_eq!(bench.after(Duration::ZERO), []);
    let before = bench.now;
    bench.planner.handle_timeout(before.checked_sub(ms(1000)).unwrap());
    assert_eq!(bench.outputs(), []);
}

#[test]
fn events_about_strangers_and_repeated_events_change_nothing() {
    let mut bench = Bench::new();
    for input in [
        LinkInput::LinkDown { peer: peer(9) },
        LinkInput::DialFailed { peer: peer(9) },
        LinkInput::AddressesChanged { peer: peer(9) },
        LinkInput::FrameReceived { peer: peer(9) },
    ] {
        assert_eq!(bench.input(input), []);
    }
    let mut bench = Bench::linked(150);
    assert_eq!(bench.input(LinkInput::LinkUp { peer: peer(150) }), []);
    bench.input(LinkInput::LinkDown { peer: peer(150) });
    let planned = bench.planner.poll_timeout();
    bench.input(LinkInput::LinkDown { peer: peer(150) });
    bench.input(LinkInput::DialFailed { peer: peer(150) });
    assert_eq!(bench.planner.poll_timeout(), planned);
}

#[test]
fn unusable_paces_are_brought_within_reason() {
    let config = LinkConfig {
        backoff_min: Duration::ZERO,
        backoff_max: Duration::ZERO,
        heartbeat_every: Duration::ZERO,
        silence_max: Duration::MAX,
        ..LinkConfig::default()
    };
    let mut planner = LinkPlanner::new(ME, config, 0);
    let now = start();
    planner.handle_input(LinkInput::MembersChanged(BTreeSet::from([peer(150)])), now);
    planner.handle_input(LinkInput::LinkUp { peer: peer(150) }, now);
    planner.handle_timeout(now + ms(1));
    let outputs: Vec<_> = std::iter::from_fn(|| planner.poll_output()).collect();
    assert_eq!(outputs, [dial(150), LinkOutput::Ping { peer: peer(150) }]);
}

#[test]
fn both_sides_keep_the_same_of_two_links() {
    let (small, large) = (peer(1), peer(2));
    for existing_by_small in [true, false] {
        for new_by_small in [true, false] {
            let kept_by_small = keeps_existing(small, large, existing_by_small, new_by_small);
            let kept_by_large = keeps_existing(large, small, !existing_by_small, !new_by_small);
            assert_eq!(kept_by_small, kept_by_large);
            let expected = existing_by_small && !new_by_small;
            assert_eq!(kept_by_small, expected, "the smaller id's link, or else the newer");
        }
    }
}
