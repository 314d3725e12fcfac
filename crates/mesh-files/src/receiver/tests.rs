use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const ME: PeerId = PeerId::from_bytes([1; 32]);
const LIFETIME: UnixMillis = UnixMillis(1000);

fn at(millis: u64) -> UnixMillis {
    UnixMillis(millis)
}

fn problem(reason: PushReason) -> PushProblem {
    PushProblem { step: PushStep::Push, reason, detail: String::new(), test: None }
}

fn verification() -> Verification {
    Verification { files: 1, bytes: 1, test: None }
}

fn confirmation() -> Confirmation {
    Confirmation { location: b"/srv".to_vec(), replaced: 1, at: at(5) }
}

#[derive(Debug)]
struct Machine {
    push: ReceiverPush,
    events: Vec<PushEvent>,
}

impl Machine {
    fn new() -> Self {
        Self { push: ReceiverPush::new(ME, LIFETIME, &[]), events: Vec::new() }
    }

    /// Says what is wished for, but for records, which are kept.
    fn drain(&mut self) -> Vec<ReceiverOutput> {
        let mut wishes = Vec::new();
        while let Some(output) = self.push.poll_output() {
            if let ReceiverOutput::Record(event) = output {
                self.events.push(event);
            } else {
                wishes.push(output);
            }
        }
        wishes
    }

    fn input(&mut self, input: ReceiverInput) -> Vec<ReceiverOutput> {
        self.push.handle_input(input, at(1));
        self.drain()
    }

    fn restart(&mut self) -> Vec<ReceiverOutput> {
        self.push = ReceiverPush::new(ME, LIFETIME, &self.events);
        self.drain()
    }

    fn phase(&self) -> Phase {
        self.push.state().phase
    }
}

const ACCEPTED: ReceiverOutput = ReceiverOutput::Answer(PushAnswer::Accepted);

fn offer() -> ReceiverInput {
    ReceiverInput::Offered(Judgement::Accept)
}

#[test]
fn a_push_goes_through_its_steps_across_a_restart_at_each_of_them() {
    let mut machine = Machine::new();
    assert_eq!(machine.input(offer()), [ACCEPTED, ReceiverOutput::Receive]);
    assert_eq!(machine.restart(), []);
    assert_eq!(machine.input(offer()), [ACCEPTED, ReceiverOutput::Receive]);
    assert_eq!(machine.input(ReceiverInput::Staged), [ReceiverOutput::Verify]);
    assert_eq!(machine.restart(), [ReceiverOutput::Verify]);
    assert_eq!(machine.input(offer()), [ACCEPTED]);
    let verified = ReceiverOutput::Result(PushResult::Verified(verification()));
    assert_eq!(
        machine.input(ReceiverInput::Verified(verification())),
        [verified.clone(), ReceiverOutput::Place]
    );
    assert_eq!(machine.restart(), [ReceiverOutput::Place]);
    assert_eq!(
        machine.input(ReceiverInput::Placed(confirmation())),
        [ReceiverOutput::Finished],
        "nobody is there to be told"
    );
    assert_eq!(machine.restart(), []);
    let confirmed = ReceiverOutput::Result(PushResult::Confirmed(confirmation()));
    assert_eq!(machine.input(offer()), [ACCEPTED, verified, confirmed]);
    assert_eq!(machine.phase(), Phase::Confirmed);
}

#[test]
fn what_needs_approval_waits_for_it_and_is_taken_or_refused_then() {
    let needs = || ReceiverInput::Offered(Judgement::NeedsApproval);
    let waiting = ReceiverOutput::Answer(PushAnswer::WaitingForApproval);
    for is_approved in [true, false] {
        let mut machine = Machine::new();
        assert_eq!(machine.input(needs()), [ReceiverOutput::AskApproval, waiting.clone()]);
        machine.restart();
        assert_eq!(machine.input(ReceiverInput::Staged), []);
        assert_eq!(machine.input(needs()), std::slice::from_ref(&waiting));
        if is_approved {
            let wishes = machine.input(ReceiverInput::Approved);
            assert_eq!(wishes, [ACCEPTED, ReceiverOutput::Receive]);
            assert_eq!(machine.input(needs()), [ACCEPTED, ReceiverOutput::Receive]);
        } else {
            let denied = problem(PushReason::ApprovalDenied);
            let refused = ReceiverOutput::Answer(PushAnswer::Refused(denied.clone()));
            assert_eq!(
                machine.input(ReceiverInput::Denied(denied)),
                [refused.clone(), ReceiverOutput::Discard, ReceiverOutput::Finished]
            );
            assert_eq!(machine.input(needs()), [refused]);
        }
    }
}

#[test]
fn a_refusal_lasts_but_being_busy_does_not() {
    let mut machine = Machine::new();
    let refuse = |reason| ReceiverInput::Offered(Judgement::Refuse(problem(reason)));
    let refused = |reason| ReceiverOutput::Answer(PushAnswer::Refused(problem(reason)));
    assert_eq!(machine.input(refuse(PushReason::Busy)), [refused(PushReason::Busy)]);
    assert_eq!(machine.phase(), Phase::Pending);
    let wishes = machine.input(refuse(PushReason::RootUnknown));
    assert_eq!(wishes[0], refused(PushReason::RootUnknown));
    assert_eq!(machine.input(offer()), [refused(PushReason::RootUnknown)]);
}

#[test]
fn rules_that_changed_end_what_is_being_received() {
    let mut machine = Machine::new();
    machine.input(offer());
    let no = problem(PushReason::SenderNotAllowed);
    let wishes = machine.input(ReceiverInput::Offered(Judgement::Refuse(no.clone())));
    let failed = ReceiverOutput::Result(PushResult::Failed(no));
    assert_eq!(wishes, [failed, ReceiverOutput::Discard, ReceiverOutput::Finished]);
    assert_eq!(machine.restart(), [ReceiverOutput::Discard]);
}

#[test]
fn a_lifetime_ends_what_is_not_staged_and_nothing_else() {
    let mut machine = Machine::new();
    machine.input(offer());
    assert_eq!(machine.push.poll_timeout(), Some(LIFETIME));
    machine.push.handle_timeout(LIFETIME);
    assert!(machine.drain().contains(&ReceiverOutput::Discard));
    assert_eq!(machine.phase(), Phase::Failed);

    let mut machine = Machine::new();
    machine.input(offer());
    machine.input(ReceiverInput::Staged);
    assert_eq!(machine.push.poll_timeout(), None);
    machine.push.handle_timeout(LIFETIME);
    let stopped = ReceiverInput::Stopped(problem(PushReason::Cancelled));
    assert_eq!(machine.input(stopped), []);
    assert_eq!(machine.phase(), Phase::Staged);
}

#[test]
fn the_sender_may_end_what_is_not_all_here_and_no_more_than_that() {
    let stopped = || ReceiverInput::Stopped(problem(PushReason::Cancelled));
    let mut machine = Machine::new();
    machine.input(offer());
    let failed = ReceiverOutput::Result(PushResult::Failed(problem(PushReason::Cancelled)));
    let ended = [failed, ReceiverOutput::Discard, ReceiverOutput::Finished];
    assert_eq!(machine.input(stopped()), ended);

    let mut machine = Machine::new();
    machine.input(offer());
    machine.input(ReceiverInput::Staged);
    machine.input(ReceiverInput::Verified(verification()));
    assert_eq!(machine.input(stopped()), []);
    assert_eq!(machine.phase(), Phase::Verified);
}

fn input() -> impl Strategy<Value = ReceiverInput> {
    prop_oneof![
        4 => Just(offer()),
        2 => Just(ReceiverInput::Offered(Judgement::NeedsApproval)),
        1 => Just(ReceiverInput::Offered(Judgement::Refuse(problem(PushReason::DiskFull)))),
        2 => Just(ReceiverInput::Approved),
        1 => Just(ReceiverInput::Denied(problem(PushReason::ApprovalDenied))),
        3 => Just(ReceiverInput::Staged),
        3 => Just(ReceiverInput::Verified(verification())),
        3 => Just(ReceiverInput::Placed(confirmation())),
        1 => Just(ReceiverInput::Failed(problem(PushReason::TestFailed))),
        1 => Just(ReceiverInput::Stopped(problem(PushReason::Cancelled))),
        2 => Just(ReceiverInput::StreamEnded),
        1 => Just(ReceiverInput::RolledBack { by: PushId::from_bytes([9; 16]) }),
    ]
}

proptest! {
    #[test]
    fn events_told_again_are_the_live_state(inputs in vec((input(), 0_u64..60), 0..60)) {
        let (mut machine, mut now) = (Machine::new(), 0);
        let mut was_placed = false;
        for (input, pause) in inputs {
            now += pause;
            machine.push.handle_input(input, at(now));
            let wishes = machine.drain();
            // What is put in place was verified, and what failed is never put in place.
            let is_placed = wishes.contains(&ReceiverOutput::Place);
            prop_assert!(!is_placed || (machine.phase() == Phase::Verified && !was_placed));
            was_placed |= is_placed;
            let restored = ReceiverPush::new(ME, LIFETIME, &machine.events);
            prop_assert_eq!(&restored.history, &machine.push.history);
            prop_assert_eq!(&restored.verification, &machine.push.verification);
            prop_assert_eq!(&restored.confirmation, &machine.push.confirmation);
            prop_assert_eq!(&restored.problem, &machine.push.problem);
        }
        prop_assert!(machine.events.len() <= 8);
        let twice = [machine.events.clone(), machine.events.clone()].concat();
        let restored = ReceiverPush::new(ME, LIFETIME, &twice);
        prop_assert_eq!(&restored.history, &machine.push.history);
    }
}
