use mesh_protocol::{ErrorCode, PeerId, UnixMillis};

use super::{AUDIT_WAITING_MAX, Attempt, Lazies, TAKEN_MAX, Urgency};
use crate::audit::AuditRow;
use crate::outbox::OutboxEnd;
use crate::peers::PeerStatus;

const ATTEMPT: Attempt = Attempt { attempts: 1, next_attempt_at: UnixMillis(9), reason: None };

fn row(number: u64) -> AuditRow {
    AuditRow { at: UnixMillis(number), kind: "k".to_owned(), actor: None, detail: "{}".to_owned() }
}

#[test]
fn an_end_overrules_attempts_and_a_heartbeat_is_not_urgent() {
    let lazies = Lazies::default();
    assert_eq!(lazies.urgency(), None);
    lazies.note_peer_seen(PeerId::from_bytes([1; 32]), PeerStatus::Active, UnixMillis(1));
    assert_eq!(lazies.urgency(), Some(Urgency::Heartbeat));
    lazies.note_attempt(7, ATTEMPT);
    assert_eq!(lazies.urgency(), Some(Urgency::Soon));
    lazies.finish_outbox(7, OutboxEnd::Acked);
    lazies.note_attempt(7, ATTEMPT);
    let batch = lazies.take();
    assert!(batch.attempts.is_empty());
    assert_eq!(batch.finished[&7], OutboxEnd::Acked);
    assert_eq!(batch.len(), 2);
    assert!(!lazies.are_settled(), "the commit is under way");
    lazies.settle();
    assert!(lazies.are_settled());
}

#[test]
fn what_comes_back_gives_way_to_what_is_newer() {
    let lazies = Lazies::default();
    lazies.note_attempt(1, ATTEMPT);
    lazies.note_attempt(2, ATTEMPT);
    lazies.note_attempt(3, ATTEMPT);
    lazies.finish_custody(5);
    lazies.audit(row(1));
    let batch = lazies.take();
    lazies.finish_custody(4);
    lazies.finish_outbox(1, OutboxEnd::Expired);
    let newer = Attempt { attempts: 2, reason: Some(ErrorCode::TimedOut), ..ATTEMPT };
    lazies.note_attempt(2, newer);
    lazies.audit(row(2));
    lazies.put_back(batch);
    let batch = lazies.take();
    assert_eq!(batch.attempts.into_iter().collect::<Vec<_>>(), [(2, newer), (3, ATTEMPT)]);
    assert_eq!(batch.audit, [row(1), row(2)]);
    assert_eq!(batch.custody.into_iter().collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn a_commit_carries_a_bounded_number_and_memory_holds_a_bounded_audit() {
    let lazies = Lazies::default();
    for number in 0..=TAKEN_MAX as u64 {
        lazies.finish_outbox(number, OutboxEnd::Acked);
        lazies.finish_custody(number);
    }
    for number in 0..AUDIT_WAITING_MAX as u64 + 10 {
        lazies.audit(row(number));
    }
    assert_eq!(lazies.take().len(), 3 * TAKEN_MAX);
    assert_eq!(lazies.urgency(), Some(Urgency::Soon), "the rest waits for the next one");
    let batch = lazies.take();
    assert_eq!((batch.finished.len(), batch.custody.len(), batch.audit.len()), (1, 1, TAKEN_MAX));
    let mut left = 0;
    loop {
        let taken = lazies.take().len();
        if taken == 0 {
            break;
        }
        left += taken;
    }
    assert_eq!(left, AUDIT_WAITING_MAX - 2 * TAKEN_MAX);
}
