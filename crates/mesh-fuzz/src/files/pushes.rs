//! The two machines of a push, with a restart after every input.

use std::collections::BTreeSet;

use mesh_files::{
    HISTORY_EVENTS_MAX, Judgement, Phase, ReceiverInput, ReceiverOutput, ReceiverPush,
    SenderConfig, SenderInput, SenderOutput, SenderPush,
};
use mesh_protocol::{
    Confirmation, PeerId, PushAnswer, PushEvent, PushId, PushProblem, PushReason, PushResult,
    PushStep, PushTotals, UnixMillis, Verification,
};

use crate::input::Input;

const TARGETS: [PeerId; 3] =
    [PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]), PeerId::from_bytes([3; 32])];
const BY: PushId = PushId::from_bytes([9; 16]);

const fn problem(reason: PushReason) -> PushProblem {
    PushProblem { step: PushStep::Push, reason, detail: String::new(), test: None }
}

const fn verification() -> Verification {
    Verification { files: 1, bytes: 1, test: None }
}

fn confirmation() -> Confirmation {
    Confirmation { location: b"/srv".to_vec(), replaced: 1, at: UnixMillis(5) }
}

fn sender(events: &[PushEvent]) -> SenderPush {
    let targets = BTreeSet::from([TARGETS[0], TARGETS[1]]);
    SenderPush::new(targets, UnixMillis(1_000_000), SenderConfig::default(), events)
}

/// What a sender knows of its targets is what its events say, however often each is told; they are few.
pub(super) fn a_sender_told_again(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut live, mut events, mut now) = (sender(&[]), Vec::new(), 0);
    let mut finished = 0;
    while !input.is_over() {
        now += u64::from(input.short());
        if input.flag() {
            live.handle_timeout(UnixMillis(now));
        } else {
            let happened = sender_input(&mut input);
            live.handle_input(happened, UnixMillis(now));
        }
        while let Some(output) = live.poll_output() {
            match output {
                SenderOutput::Record(event) => events.push(event),
                SenderOutput::Finished => finished += 1,
                SenderOutput::Offer(peer) | SenderOutput::Serve(peer) => {
                    assert!(live.targets().contains_key(&peer), "it is no target");
                }
                SenderOutput::Prepare | SenderOutput::Announce | SenderOutput::Stop(..) => {}
            }
        }
        assert!(live.poll_timeout().is_none_or(|due| due.0 > now), "what is due is not done");
        assert!(finished <= 1 && events.len() <= HISTORY_EVENTS_MAX);
    }
    let twice = [events.clone(), events.clone()].concat();
    assert_eq!(sender(&events).targets(), live.targets());
    assert_eq!(sender(&twice).targets(), live.targets());
}

fn sender_input(input: &mut Input<'_>) -> SenderInput {
    let (kind, peer) = (input.below(10), TARGETS[input.below(TARGETS.len())]);
    match kind {
        0 => SenderInput::Prepared { totals: PushTotals::default(), manifest: [7; 32] },
        1 => SenderInput::Announced,
        2 => SenderInput::Reached(peer),
        3 => SenderInput::Lost(peer),
        4 => {
            let answer = match input.below(4) {
                0 => PushAnswer::Refused(problem(PushReason::Busy)),
                1 => PushAnswer::Refused(problem(PushReason::DiskFull)),
                2 => PushAnswer::WaitingForApproval,
                _ => PushAnswer::Accepted,
            };
            SenderInput::Answered(peer, answer)
        }
        5 => SenderInput::Staged(peer),
        6 => {
            let result = match input.below(3) {
                0 => PushResult::Failed(problem(PushReason::TestFailed)),
                1 => PushResult::Confirmed(confirmation()),
                _ => PushResult::Verified(verification()),
            };
            SenderInput::Resulted(peer, result)
        }
        7 => SenderInput::StreamEnded(peer),
        8 if input.below(8) == 0 => SenderInput::Cancelled(problem(PushReason::Cancelled)),
        _ => SenderInput::RolledBack { target: peer, by: BY },
    }
}

/// What is put in place was verified, once, and what failed is never put in place.
pub(super) fn a_receiver_told_again(bytes: &[u8]) {
    const LIFETIME: UnixMillis = UnixMillis(5_000);
    let mut input = Input::new(bytes);
    let mut push = ReceiverPush::new(TARGETS[0], LIFETIME, &[]);
    let (mut events, mut now, mut was_placed) = (Vec::new(), 0, false);
    while !input.is_over() {
        now += u64::from(input.byte());
        let happened = receiver_input(&mut input);
        push.handle_input(happened, UnixMillis(now));
        while let Some(output) = push.poll_output() {
            match output {
                ReceiverOutput::Record(event) => events.push(event),
                ReceiverOutput::Place => {
                    assert!(push.state().phase == Phase::Verified && !was_placed);
                    was_placed = true;
                }
                ReceiverOutput::Answer(_)
                | ReceiverOutput::Result(_)
                | ReceiverOutput::AskApproval
                | ReceiverOutput::Receive
                | ReceiverOutput::Verify
                | ReceiverOutput::Discard
                | ReceiverOutput::Finished => {}
            }
        }
        let twice = [events.clone(), events.clone()].concat();
        assert_eq!(ReceiverPush::new(TARGETS[0], LIFETIME, &twice).state(), push.state());
    }
    assert!(events.len() <= 8, "its history is short");
}

fn receiver_input(input: &mut Input<'_>) -> ReceiverInput {
    match input.below(12) {
        0 | 1 => ReceiverInput::Offered(Judgement::Accept),
        2 => ReceiverInput::Offered(Judgement::NeedsApproval),
        3 => ReceiverInput::Offered(Judgement::Refuse(problem(PushReason::DiskFull))),
        4 => ReceiverInput::Approved,
        5 => ReceiverInput::Denied(problem(PushReason::ApprovalDenied)),
        6 => ReceiverInput::Staged,
        7 => ReceiverInput::Verified(verification()),
        8 => ReceiverInput::Placed(confirmation()),
        9 => ReceiverInput::Failed(problem(PushReason::TestFailed)),
        10 => ReceiverInput::Stopped(problem(PushReason::Cancelled)),
        _ if input.flag() => ReceiverInput::RolledBack { by: BY },
        _ => ReceiverInput::StreamEnded,
    }
}
