use mesh_protocol::{MessageId, PeerId, UnixMillis};

use super::*;

fn view(state: &str, reason: ErrorCode) -> OutboxView {
    OutboxView {
        message_id: MessageId::from_bytes([1; 16]),
        to: "oak".to_owned(),
        to_peer_id: PeerId::from_bytes([3; 32]),
        custodians: Vec::new(),
        attempts: 1,
        next_attempt_at: None,
        state: state.to_owned(),
        reason: Some(reason),
        expires_at: UnixMillis(0),
        bytes: 1,
    }
}

#[test]
fn a_message_that_its_receiver_cannot_open_any_more_says_what_to_do() {
    let advises = |state, reason| render(&[view(state, reason)]).ends_with(UNREADABLE);
    assert!(advises("refused", ErrorCode::SealInvalid));
    assert!(!advises("retrying", ErrorCode::SealInvalid));
    assert!(!advises("refused", ErrorCode::MessageExpired));
}
