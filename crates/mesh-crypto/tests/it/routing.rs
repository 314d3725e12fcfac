//! Signatures of what travels through others.

use ed25519_dalek::{Signer as _, SigningKey};
use mesh_crypto::{Domain, NodeKey, Verifier};
use mesh_protocol::{
    DeliverItem, DeliverOutcome, ErrorCode, Frame, FrameHeader, Itinerary, LinkState, MeshId,
    MessageId, Neighbour, Parcel, PeerId, Receipt, Receipts, RecordError, Signature,
    SignedLinkState, SignedRecord, UnixMillis,
};

use crate::support::{flipped, node_key};

const MESH: MeshId = MeshId::from_bytes([0x3e; 32]);
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HEADER: usize = mesh_protocol::FRAME_HEADER_BYTES;

fn receiver() -> PeerId {
    node_key(0x22).peer_id()
}

fn message_id() -> MessageId {
    MessageId::from_parts(NOW, &[9; 10])
}

fn link_state(origin: PeerId) -> LinkState {
    let neighbours = vec![Neighbour { peer: receiver(), rtt_micros: 700 }];
    LinkState { mesh_id: MESH, origin, incarnation: 5, version: 3, neighbours }
}

fn parcel(key: &NodeKey) -> Parcel {
    let message = b"nobody on the way can read this".to_vec();
    let item = DeliverItem { stream: 7, sequence: 12, priority: 1, expires_at: NOW.0, message };
    key.sign_parcel(MESH, receiver(), message_id(), item).unwrap()
}

fn receipt(key: &NodeKey, outcome: DeliverOutcome) -> Receipt {
    key.sign_receipt(MESH, receiver(), message_id(), outcome, NOW).unwrap()
}

fn receipt_frame(receipt: Receipt) -> Vec<u8> {
    let itinerary = Itinerary::new(receipt.from, receipt.to);
    Frame::Receipts(Receipts { itinerary, receipts: vec![receipt] }).encode().unwrap()
}

fn read_receipt(frame: &[u8]) -> Option<Receipt> {
    let (header, body) = frame.split_first_chunk::<HEADER>()?;
    let header = FrameHeader::decode(header).ok()?;
    let Frame::Receipts(receipts) = Frame::decode(&header, body).ok()? else { return None };
    receipts.receipts.into_iter().next()
}

#[test]
fn links_verify_anywhere_and_every_flipped_bit_is_refused() {
    let key = node_key(0x11);
    let state = link_state(key.peer_id());
    let signed = key.sign_link_state(&state).unwrap();
    assert_eq!(signed.verify(&Verifier).unwrap(), state);
    for bit in 0..signed.body.len() * 8 {
        let forged = SignedLinkState { body: flipped(&signed.body, bit), ..signed.clone() };
        assert!(forged.verify(&Verifier).is_err(), "bit {bit} of the body");
    }
    for bit in 0..Signature::LEN * 8 {
        let signature = flipped(signed.signature.as_bytes(), bit);
        let signature = Signature::from_slice(&signature).unwrap();
        let forged = SignedLinkState { signature, ..signed.clone() };
        let refused = forged.verify(&Verifier);
        assert!(matches!(refused, Err(RecordError::Signature)), "bit {bit} of the signature");
    }
}

#[test]
fn links_of_another_peer_are_not_signed() {
    assert!(node_key(0x11).sign_link_state(&link_state(node_key(0x12).peer_id())).is_err());
}

#[test]
fn a_parcel_is_its_senders_and_every_flipped_bit_is_noticed() {
    let key = node_key(0x11);
    let parcel = parcel(&key);
    assert_eq!((parcel.from, parcel.to), (key.peer_id(), receiver()));
    assert!(parcel.is_genuine(&Verifier));
    // The encoded form holds every field, the signature among them.
    let bytes = parcel.encode().unwrap();
    assert!(Parcel::decode(&bytes).unwrap().is_genuine(&Verifier));
    for bit in 0..bytes.len() * 8 {
        let is_taken =
            Parcel::decode(&flipped(&bytes, bit)).is_ok_and(|forged| forged.is_genuine(&Verifier));
        assert!(!is_taken, "bit {bit}");
    }
}

#[test]
fn a_receipt_is_its_receivers_and_every_flipped_bit_is_noticed() {
    let key = node_key(0x11);
    for outcome in [
        DeliverOutcome::Stored,
        DeliverOutcome::Duplicate,
        DeliverOutcome::Deferred(ErrorCode::QueueFull),
        DeliverOutcome::Refused(ErrorCode::SealInvalid),
    ] {
        let receipt = receipt(&key, outcome);
        assert_eq!((receipt.from, receipt.to), (key.peer_id(), receiver()));
        assert!(receipt.is_genuine(&Verifier));
        let frame = receipt_frame(receipt);
        assert_eq!(read_receipt(&frame), Some(receipt));
        // Behind the frame's header stand origin, destination, no hops and the count.
        for bit in (HEADER + 32 + 32 + 8 + 8) * 8..frame.len() * 8 {
            let forged = read_receipt(&flipped(&frame, bit));
            assert!(!forged.is_some_and(|forged| forged.is_genuine(&Verifier)), "bit {bit}");
        }
    }
}

#[test]
fn nobody_can_sign_as_another() {
    let (mine, theirs) = (node_key(0x11), node_key(0x12).peer_id());
    assert!(!Parcel { from: theirs, ..parcel(&mine) }.is_genuine(&Verifier));
    let receipt = receipt(&mine, DeliverOutcome::Stored);
    assert!(!Receipt { from: theirs, ..receipt }.is_genuine(&Verifier));
}

/// The label in front of what is signed, with the zero byte that ends it, and what follows.
fn split_label(signed: &[u8]) -> (&[u8], &[u8]) {
    let end = signed.iter().position(|byte| *byte == 0).unwrap();
    signed.split_at(end + 1)
}

#[test]
fn a_signature_of_one_kind_is_worthless_for_another() {
    let key = node_key(0x11);
    let signing = SigningKey::from_bytes(&key.secret_bytes());
    let state = key.sign_link_state(&link_state(key.peer_id())).unwrap();
    let parcel = parcel(&key);
    let receipt = receipt(&key, DeliverOutcome::Stored);
    let kinds = [
        SignedLinkState::signing_bytes(&state.body),
        parcel.signing_bytes(&Verifier).unwrap(),
        receipt.signing_bytes().unwrap(),
    ];
    let is_accepted = |kind: usize, signature: Signature| match kind {
        0 => SignedLinkState { signature, ..state.clone() }.verify(&Verifier).is_ok(),
        1 => Parcel { signature, ..parcel.clone() }.is_genuine(&Verifier),
        _ => Receipt { signature, ..receipt }.is_genuine(&Verifier),
    };
    let record_label = SignedRecord::signing_bytes(&[]);
    let labels = kinds.iter().map(|signed| split_label(signed).0).chain([record_label.as_slice()]);
    let labels: Vec<&[u8]> = labels.collect();
    for (kind, signed) in kinds.iter().enumerate() {
        let (_, content) = split_label(signed);
        for (other, label) in labels.iter().enumerate() {
            let signature = signing.sign(&[label, content].concat());
            let signature = Signature::from_bytes(signature.to_bytes());
            assert_eq!(is_accepted(kind, signature), kind == other, "{kind} signed as {other}");
        }
        for domain in [Domain::Envelope, Domain::SealingKey] {
            assert!(!is_accepted(kind, key.sign(domain, content)), "{kind} as {domain:?}");
        }
    }
}
