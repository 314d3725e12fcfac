use mesh_protocol::{Confirmation, PUSH_TARGETS_MAX, Verification};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::HISTORY_EVENTS_MAX;

const ONE: PeerId = PeerId::from_bytes([1; 32]);
const TWO: PeerId = PeerId::from_bytes([2; 32]);
const LIFETIME: UnixMillis = UnixMillis(1_000_000);

fn at(millis: u64) -> UnixMillis {
    UnixMillis(millis)
}

fn problem(reason: PushReason) -> PushProblem {
    PushProblem { step: PushStep::Push, reason, detail: String::new(), test: None }
}

fn verified() -> PushResult {
    PushResult::Verified(Verification { files: 1, bytes: 1, test: None })
}

fn confirmed() -> PushResult {
    PushResult::Confirmed(Confirmation { location: b"/srv".to_vec(), replaced: 0, at: at(9) })
}

fn prepared() -> SenderInput {
    SenderInput::Prepared { totals: PushTotals::default(), manifest: [7; 32] }
}

fn push(events: &[PushEvent]) -> SenderPush {
    SenderPush::new(BTreeSet::from([ONE, TWO]), LIFETIME, SenderConfig::default(), events)
}

fn restored(events: &[PushEvent]) -> SenderPush {
    push(events)
}

fn drain(push: &mut SenderPush, events: &mut Vec<PushEvent>) -> Vec<SenderOutput> {
    let mut wishes = Vec::new();
    while let Some(output) = push.poll_output() {
        if let SenderOutput::Record(event) = output {
            events.push(event);
        } else {
            wishes.push(output);
        }
    }
    wishes
}

#[test]
fn a_push_goes_through_its_steps_and_each_target_has_an_outcome_of_its_own() {
    let (mut push, mut events) = (push(&[]), Vec::new());
    push.handle_timeout(at(0));
    assert_eq!(drain(&mut push, &mut events), [SenderOutput::Prepare]);
    push.handle_input(prepared(), at(1));
    assert_eq!(drain(&mut push, &mut events), [SenderOutput::Announce]);
    push.handle_input(SenderInput::Reached(ONE), at(2));
    assert_eq!(drain(&mut push, &mut events), []);
    push.handle_input(SenderInput::Announced, at(3));
    assert_eq!(drain(&mut push, &mut events), [SenderOutput::Offer(ONE)]);
    assert_eq!(push.targets()[&TWO].phase, Phase::WaitingForLink);
    push.handle_input(SenderInput::Answered(ONE, PushAnswer::Accepted), at(4));
    assert_eq!(drain(&mut push, &mut events), [SenderOutput::Serve(ONE)]);
    push.handle_input(SenderInput::Staged(ONE), at(5));
    push.handle_input(SenderInput::Resulted(ONE, verified()), at(6));
    push.handle_input(SenderInput::Resulted(ONE, confirmed()), at(7));
    push.handle_input(SenderInput::StreamEnded(ONE), at(7));
    push.handle_input(SenderInput::Reached(TWO), at(8));
    assert_eq!(drain(&mut push, &mut events), [SenderOutput::Offer(TWO)]);
    let refused = PushAnswer::Refused(problem(PushReason::TestRequired));
    push.handle_input(SenderInput::Answered(TWO, refused), at(9));
    assert_eq!(drain(&mut push, &mut events), [SenderOutput::Finished]);
    assert_eq!(push.targets()[&ONE].phase, Phase::Confirmed);
    assert_eq!(push.targets()[&TWO].problem, Some((PushStep::Push, PushReason::TestRequired)));
    assert_eq!(push.poll_timeout(), None);
    push.handle_input(
        SenderInput::RolledBack { target: ONE, by: PushId::from_bytes([1; 16]) },
        at(10),
    );
    assert_eq!(push.targets()[&ONE].phase, Phase::RolledBack);
}

fn announced() -> (SenderPush, Vec<PushEvent>) {
    let (mut push, mut events) = (push(&[]), Vec::new());
    push.handle_input(prepared(), at(1));
    push.handle_input(SenderInput::Announced, at(2));
    drain(&mut push, &mut events);
    (push, events)
}

#[test]
fn a_target_whose_stream_ends_or_that_is_busy_is_offered_it_again_later_and_later() {
    let (mut push, mut events) = announced();
    push.handle_input(SenderInput::Reached(ONE), at(10));
    let mut now = 10;
    for wait in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
        assert_eq!(drain(&mut push, &mut events), [SenderOutput::Offer(ONE)]);
        let busy = PushAnswer::Refused(problem(PushReason::Busy));
        push.handle_input(SenderInput::Answered(ONE, busy), at(now));
        assert_eq!(drain(&mut push, &mut events), []);
        assert_eq!(push.poll_timeout(), Some(at(now + wait)));
        now += wait;
        push.handle_timeout(at(now - 1));
        assert_eq!(drain(&mut push, &mut events), []);
        push.handle_timeout(at(now));
    }
}

#[test]
fn a_clock_that_is_put_back_makes_no_pause_longer() {
    let (mut push, mut events) = announced();
    push.handle_input(SenderInput::Reached(ONE), at(50_000));
    push.handle_input(SenderInput::StreamEnded(ONE), at(50_000));
    drain(&mut push, &mut events);
    push.handle_timeout(at(100));
    assert_eq!(push.poll_timeout(), Some(at(1100)));
    push.handle_timeout(at(1099));
    assert_eq!(drain(&mut push, &mut events), []);
    push.handle_timeout(at(1100));
    assert_eq!(drain(&mut push, &mut events), [SenderOutput::Offer(ONE)]);
}

#[test]
fn a_target_that_is_away_gets_it_within_the_lifetime_or_not_at_all() {
    let (mut push, mut events) = announced();
    assert_eq!(push.poll_timeout(), Some(LIFETIME));
    let mut later = restored(&events);
    later.handle_input(SenderInput::Reached(ONE), at(LIFETIME.0 - 1));
    assert_eq!(drain(&mut later, &mut Vec::new()), [SenderOutput::Offer(ONE)]);
    push.handle_input(SenderInput::Reached(ONE), LIFETIME);
    let wishes = drain(&mut push, &mut events);
    assert!(!wishes.contains(&SenderOutput::Offer(ONE)));
    assert!(wishes.contains(&SenderOutput::Finished));
    assert!(push.targets().values().all(|target| target.phase == Phase::Failed));
}

#[test]
fn a_target_that_has_everything_is_waited_for_beyond_the_lifetime_but_not_forever() {
    let (mut push, mut events) = announced();
    push.handle_input(SenderInput::Reached(ONE), at(10));
    push.handle_input(SenderInput::Answered(ONE, PushAnswer::Accepted), at(11));
    push.handle_input(SenderInput::Staged(ONE), at(12));
    push.handle_input(SenderInput::Lost(ONE), at(13));
    let stopped = |wishes: &[SenderOutput]| {
        let stops = wishes.iter().filter_map(|wish| {
            let SenderOutput::Stop(target, problem) = wish else { return None };
            Some((*target, problem.step))
        });
        stops.collect::<Vec<_>>()
    };
    drain(&mut push, &mut events);
    push.handle_timeout(LIFETIME);
    assert_eq!(stopped(&drain(&mut push, &mut events)), [(TWO, PushStep::Push)]);
    assert_eq!(push.targets()[&ONE].phase, Phase::Staged);
    assert_eq!(push.targets()[&TWO].phase, Phase::Failed);
    let last = LIFETIME.plus(SenderConfig::default().result_wait);
    assert_eq!(push.poll_timeout(), Some(last));
    push.handle_timeout(last);
    assert_eq!(push.targets()[&ONE].phase, Phase::Failed);
    let wishes = drain(&mut push, &mut events);
    assert_eq!(stopped(&wishes), [(ONE, PushStep::Confirm)]);
    assert_eq!(wishes.last(), Some(&SenderOutput::Finished));
}

#[test]
fn giving_up_stops_who_is_not_done_and_leaves_who_is() {
    let (mut push, mut events) = announced();
    for peer in [ONE, TWO] {
        push.handle_input(SenderInput::Reached(peer), at(10));
    }
    push.handle_input(SenderInput::Resulted(ONE, confirmed()), at(11));
    drain(&mut push, &mut events);
    let cancelled = problem(PushReason::Cancelled);
    push.handle_input(SenderInput::Cancelled(cancelled.clone()), at(12));
    assert_eq!(
        drain(&mut push, &mut events),
        [SenderOutput::Stop(TWO, cancelled), SenderOutput::Finished]
    );
    assert_eq!(push.targets()[&ONE].phase, Phase::Confirmed);
    assert_eq!(push.targets()[&TWO].phase, Phase::Failed);
}

fn input() -> impl Strategy<Value = SenderInput> {
    let peer = || prop_oneof![Just(ONE), Just(TWO), Just(PeerId::from_bytes([3; 32]))];
    let answer = prop_oneof![
        Just(PushAnswer::Accepted),
        Just(PushAnswer::WaitingForApproval),
        Just(PushAnswer::Refused(problem(PushReason::Busy))),
        Just(PushAnswer::Refused(problem(PushReason::DiskFull))),
    ];
    let result = prop_oneof![
        Just(verified()),
        Just(confirmed()),
        Just(PushResult::Failed(problem(PushReason::TestFailed))),
    ];
    prop_oneof![
        2 => Just(prepared()),
        2 => Just(SenderInput::Announced),
        3 => peer().prop_map(SenderInput::Reached),
        2 => peer().prop_map(SenderInput::Lost),
        3 => (peer(), answer).prop_map(|(peer, answer)| SenderInput::Answered(peer, answer)),
        2 => peer().prop_map(SenderInput::Staged),
        3 => (peer(), result).prop_map(|(peer, result)| SenderInput::Resulted(peer, result)),
        2 => peer().prop_map(SenderInput::StreamEnded),
        1 => Just(SenderInput::Cancelled(problem(PushReason::Cancelled))),
        1 => peer().prop_map(|target| SenderInput::RolledBack {
            target,
            by: PushId::from_bytes([9; 16]),
        }),
    ]
}

proptest! {
    #[test]
    fn events_told_again_are_the_live_state_and_are_few(
        inputs in vec((input(), 0_u64..60_000), 0..80),
        again in vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let (mut live, mut events, mut now) = (push(&[]), Vec::new(), 0);
        for (input, pause) in inputs {
            now += pause;
            live.handle_input(input, at(now));
            drain(&mut live, &mut events);
            prop_assert!(live.poll_timeout().is_none_or(|due| due.0 > now));
        }
        prop_assert!(events.len() <= 3 + 8 * 2);
        let restored = push(&events);
        prop_assert_eq!(&restored.history, &live.history);
        // Told twice, and some of them once more, they come to the same.
        let mut repeated = [events.clone(), events.clone()].concat();
        if !events.is_empty() {
            repeated.extend(again.iter().map(|index| index.get(&events).clone()));
        }
        prop_assert_eq!(&push(&repeated).history, &live.history);
    }
}

#[test]
fn a_push_has_so_many_targets_and_events_and_no_more() {
    let peer = |index: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&index.to_be_bytes());
        PeerId::from_bytes(bytes)
    };
    let many: BTreeSet<PeerId> =
        (0..2 * u32::try_from(PUSH_TARGETS_MAX).unwrap()).map(peer).collect();
    let mut push = SenderPush::new(many.clone(), LIFETIME, SenderConfig::default(), &[]);
    let mut events = Vec::new();
    push.handle_input(prepared(), at(0));
    push.handle_input(SenderInput::Announced, at(0));
    for peer in many {
        for _ in 0..3 {
            push.handle_input(SenderInput::Reached(peer), at(1));
            let waits = SenderInput::Answered(peer, PushAnswer::WaitingForApproval);
            push.handle_input(waits, at(1));
            push.handle_input(SenderInput::Lost(peer), at(1));
        }
        if events.len() > 500 {
            break;
        }
        drain(&mut push, &mut events);
    }
    assert_eq!(push.targets().len(), PUSH_TARGETS_MAX);
    assert!(events.len() <= HISTORY_EVENTS_MAX);
}
