//! What makes a way onward, and a link state, parcel or receipt a genuine one.

use super::records::{FakeVerifier, fake_signature};
use super::samples::{self, BAULDER, MINT, OAK};
use crate::{
    DeliverItem, DeliverOutcome, ErrorCode, HOPS_MAX, Itinerary, LinkState, MeshId, MessageId,
    Parcel, PeerId, Receipt, RecordError, RecordVerifier, Signature, SignedLinkState, UnixMillis,
};

fn member(number: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(number).unwrap(); 32])
}

#[test]
fn a_way_onward_names_whoever_passed_the_frame_on() {
    let way = Itinerary::new(BAULDER, MINT);
    assert!(way.hops.is_empty() && way.has_seen(&BAULDER) && !way.has_seen(&MINT));
    let onward = way.through(OAK).unwrap();
    assert_eq!(onward, Itinerary { hops: vec![OAK], ..Itinerary::new(BAULDER, MINT) });
    assert!(onward.has_seen(&OAK));
    assert_eq!(onward.through(member(1)).unwrap().hops, [OAK, member(1)]);
}

#[test]
fn nobody_passes_a_frame_on_twice_or_past_its_end() {
    let way = Itinerary::new(BAULDER, MINT).through(OAK).unwrap();
    assert_eq!(way.through(OAK), None, "a circle");
    assert_eq!(way.through(BAULDER), None, "back where it began");
    assert_eq!(way.through(MINT), None, "it has come to its end");
}

#[test]
fn a_way_has_at_most_eight_links() {
    let mut way = Itinerary::new(BAULDER, MINT);
    // Each member on the way adds a link to the one that joins two neighbours.
    for number in 1..HOPS_MAX {
        way = way.through(member(number)).unwrap();
    }
    assert_eq!(way.hops.len() + 1, HOPS_MAX);
    assert_eq!(way.through(member(HOPS_MAX)), None);
}

fn signed(state: &LinkState, signer: &PeerId) -> SignedLinkState {
    let body = state.encode().unwrap();
    let signature = fake_signature(signer, &SignedLinkState::signing_bytes(&body));
    SignedLinkState { body, signature }
}

#[test]
fn links_are_taken_from_the_peer_that_has_them_alone() {
    let state = samples::link_state();
    assert_eq!(signed(&state, &MINT).verify(&FakeVerifier).unwrap(), state);
    let forged = signed(&state, &OAK);
    assert_eq!(forged.peek().unwrap(), state, "a look costs no check");
    assert!(matches!(forged.verify(&FakeVerifier), Err(RecordError::Signature)));
}

/// Trusts everybody and fails the test that asks it.
struct NobodyAsks;

impl RecordVerifier for NobodyAsks {
    fn is_signed_by(&self, _: &PeerId, _: &[u8], _: &Signature) -> bool {
        panic!("a signature over malformed bytes was checked")
    }

    fn digest(&self, _: &[u8]) -> [u8; 32] {
        panic!("a digest of malformed bytes was made")
    }
}

#[test]
fn malformed_links_are_refused_before_their_signature_is_checked() {
    let mut state = signed(&samples::link_state(), &MINT);
    state.body.push(0);
    assert!(matches!(state.verify(&NobodyAsks), Err(RecordError::Decode(_))));
    state.body.truncate(10);
    assert!(matches!(state.verify(&NobodyAsks), Err(RecordError::Decode(_))));
}

#[test]
fn of_two_link_states_the_later_start_counts_then_the_later_change() {
    let of = |incarnation, version| {
        LinkState { incarnation, version, ..samples::link_state() }.version()
    };
    assert!(of(2, 1) > of(1, 9));
    assert!(of(2, 2) > of(2, 1));
    assert_eq!(of(1, 1).origin, MINT);
}

#[test]
fn every_field_of_a_parcel_is_signed() {
    let mut parcel = samples::parcel();
    let bytes = parcel.signing_bytes(&FakeVerifier).unwrap();
    parcel.signature = fake_signature(&parcel.from, &bytes);
    assert!(parcel.is_genuine(&FakeVerifier));
    let item = |change: &dyn Fn(&mut DeliverItem)| {
        let mut item = parcel.item.clone();
        change(&mut item);
        Parcel { item, ..parcel.clone() }
    };
    let changed = [
        Parcel { mesh_id: MeshId::from_bytes([1; 32]), ..parcel.clone() },
        Parcel { from: OAK, ..parcel.clone() },
        Parcel { to: OAK, ..parcel.clone() },
        Parcel { message_id: MessageId::from_bytes([1; 16]), ..parcel.clone() },
        item(&|item| item.stream += 1),
        item(&|item| item.sequence += 1),
        item(&|item| item.priority += 1),
        item(&|item| item.expires_at += 1),
        item(&|item| item.message[3] += 1),
    ];
    for other in changed {
        assert_ne!(other.signing_bytes(&FakeVerifier).unwrap(), bytes, "{other:?}");
        assert!(!other.is_genuine(&FakeVerifier), "{other:?}");
    }
    let signature = Signature::from_bytes([1; 64]);
    assert!(!Parcel { signature, ..parcel }.is_genuine(&FakeVerifier));
}

#[test]
fn every_field_of_a_receipt_is_signed() {
    let mut receipt = samples::receipt();
    let bytes = receipt.signing_bytes().unwrap();
    receipt.signature = fake_signature(&receipt.from, &bytes);
    assert!(receipt.is_genuine(&FakeVerifier));
    let changed = [
        Receipt { mesh_id: MeshId::from_bytes([1; 32]), ..receipt },
        Receipt { from: OAK, ..receipt },
        Receipt { to: OAK, ..receipt },
        Receipt { message_id: MessageId::from_bytes([1; 16]), ..receipt },
        Receipt { outcome: DeliverOutcome::Duplicate, ..receipt },
        Receipt { outcome: DeliverOutcome::Refused(ErrorCode::SealInvalid), ..receipt },
        Receipt { at: UnixMillis(1), ..receipt },
    ];
    for other in changed {
        assert_ne!(other.signing_bytes().unwrap(), bytes, "{other:?}");
        assert!(!other.is_genuine(&FakeVerifier), "{other:?}");
    }
    let signature = Signature::from_bytes([1; 64]);
    assert!(!Receipt { signature, ..receipt }.is_genuine(&FakeVerifier));
}
