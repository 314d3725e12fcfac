use std::time::Duration;

use mesh_protocol::{
    Encryption, Envelope, EnvelopeHeader, KeyId, MESSAGE_TTL_MILLIS_MAX, MeshMessage, MessageId,
    Payload, Ping, ProtocolVersion, Signature,
};

use super::*;
use crate::Priority;

const ALICE: PeerId = PeerId::from_bytes([1; 32]);
const BOB: PeerId = PeerId::from_bytes([2; 32]);
const CAROL: PeerId = PeerId::from_bytes([3; 32]);
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const SKEW: u64 = 5 * 60 * 1000;
const ACCEPT: Judgement = Judgement::Accept;
const MISDIRECTED: Judgement = Judgement::Refuse(ErrorCode::MessageMisdirected);

fn plain(from: PeerId, to: Recipient) -> WireMessage {
    WireMessage::Plain(MeshMessage {
        message_id: MessageId::from_bytes([9; 16]),
        from,
        to,
        payload: Payload::Ping(Ping { nonce: 0, sent_at: NOW }),
        encryption: Encryption::Link,
        timestamp: NOW,
    })
}

fn sealed(from: PeerId, to: PeerId) -> WireMessage {
    WireMessage::Sealed(Envelope {
        header: EnvelopeHeader {
            version: ProtocolVersion::CURRENT,
            message_id: MessageId::from_bytes([9; 16]),
            from,
            to,
            timestamp: NOW,
            sealing_key_id: KeyId::from_bytes([0; 16]),
            pair_key_id: None,
            encapsulated_key: [0; 32],
            salt: [0; 16],
        },
        ciphertext: vec![0; 40],
        signature: Signature::from_bytes([0; 64]),
    })
}

/// Alice's message reaches Bob, proven to come from `sender`.
fn judged(wire: &WireMessage, sender: PeerId, expires_at: u64) -> Judgement {
    let item = DeliverItem { stream: 1, sequence: 1, priority: 1, expires_at, message: Vec::new() };
    let facts = InboundFacts { sender, me: BOB, now: NOW };
    judge(&item, wire, &facts, &InboundConfig::default())
}

#[test]
fn what_the_links_peer_says_to_me_or_to_all_is_accepted() {
    let soon = NOW.0 + 1000;
    assert_eq!(judged(&plain(ALICE, Recipient::Peer(BOB)), ALICE, soon), ACCEPT);
    assert_eq!(judged(&plain(ALICE, Recipient::Broadcast), ALICE, soon), ACCEPT);
    assert_eq!(judged(&sealed(ALICE, BOB), ALICE, soon), ACCEPT);
}

#[test]
fn a_sender_that_is_not_the_links_peer_is_refused() {
    let soon = NOW.0 + 1000;
    assert_eq!(judged(&plain(ALICE, Recipient::Peer(BOB)), CAROL, soon), MISDIRECTED);
    assert_eq!(judged(&plain(ALICE, Recipient::Broadcast), CAROL, soon), MISDIRECTED);
    assert_eq!(judged(&sealed(ALICE, BOB), CAROL, soon), MISDIRECTED);
}

#[test]
fn a_message_for_somebody_else_is_refused() {
    let soon = NOW.0 + 1000;
    assert_eq!(judged(&plain(ALICE, Recipient::Peer(CAROL)), ALICE, soon), MISDIRECTED);
    assert_eq!(judged(&sealed(ALICE, CAROL), ALICE, soon), MISDIRECTED);
}

#[test]
fn an_expired_message_is_refused_once_the_clocks_tolerance_is_over() {
    let wire = plain(ALICE, Recipient::Peer(BOB));
    let expired = Judgement::Refuse(ErrorCode::MessageExpired);
    assert_eq!(judged(&wire, ALICE, NOW.0 - SKEW + 1), ACCEPT);
    assert_eq!(judged(&wire, ALICE, NOW.0 - SKEW), expired);
    assert_eq!(judged(&wire, ALICE, 0), expired);
}

#[test]
fn a_message_that_would_live_for_too_long_is_refused() {
    let wire = plain(ALICE, Recipient::Peer(BOB));
    let latest = NOW.0 + MESSAGE_TTL_MILLIS_MAX + SKEW;
    let too_late = Judgement::Refuse(ErrorCode::ClockSkew);
    assert_eq!(judged(&wire, ALICE, latest), ACCEPT);
    assert_eq!(judged(&wire, ALICE, latest + 1), too_late);
    assert_eq!(judged(&wire, ALICE, u64::MAX), too_late);
}

#[test]
fn an_id_is_remembered_for_as_long_as_its_message_is_accepted() {
    let config = InboundConfig { clock_skew_max: Duration::from_secs(1), ..Default::default() };
    let wire = plain(ALICE, Recipient::Peer(BOB));
    let until = remembered_until(UnixMillis(5000), &config);
    let item =
        DeliverItem { stream: 1, sequence: 1, priority: 1, expires_at: 5000, message: Vec::new() };
    let at = |now| judge(&item, &wire, &InboundFacts { sender: ALICE, me: BOB, now }, &config);
    assert_eq!(at(UnixMillis(until.0 - 1)), ACCEPT);
    assert_eq!(at(until), Judgement::Refuse(ErrorCode::MessageExpired));
}

#[test]
fn an_unknown_priority_is_bulk_and_known_ones_keep_their_number() {
    for priority in Priority::ALL {
        assert_eq!(Priority::from_u8(priority.as_u8()), priority);
    }
    assert_eq!(Priority::from_u8(3), Priority::Bulk);
    assert_eq!(Priority::from_u8(255), Priority::Bulk);
    assert!(Priority::Urgent < Priority::Normal && Priority::Normal < Priority::Bulk);
}
