use std::num::NonZeroU8;

use mesh_crypto::{
    Domain, NodeKey, PairSecret, SealingKey, Verifier, digest, peer_id_from_spki, records_digest,
    sealing_key_id, spki_der, verify,
};
use mesh_protocol::{
    Founding, PeerId, Record, RecordId, RecordVerifier as _, SealingPublicKey, Signature,
    SignedRecord, UnixMillis,
};
use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::support::{Counter, flipped, node_key, pair_secret, sealing_key};

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn a_public_key_is_the_one_that_the_standard_says() {
    // RFC 8032 §7.1, test 1.
    let secret = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let key = NodeKey::from_secret_bytes(&Zeroizing::new(secret));
    assert_eq!(key.peer_id(), PeerId::from_bytes(public));
    assert_eq!(*key.secret_bytes(), secret);
}

#[test]
fn der_forms_are_the_published_ones() {
    // RFC 8410 §10.3 and §10.1.
    let secret = bytes("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
    let key = NodeKey::from_secret_bytes(&Zeroizing::new(secret));
    let pkcs8 = "302e020100300506032b657004220420\
                 d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
    assert_eq!(hex::encode(key.to_pkcs8_der().as_slice()), pkcs8);
    let spki = "302a300506032b6570032100\
                19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    assert_eq!(hex::encode(spki_der(&key.peer_id())), spki);
}

#[test]
fn only_the_exact_form_of_a_usable_key_names_a_peer() {
    let peer = node_key(0x11).peer_id();
    let der = spki_der(&peer);
    assert_eq!(peer_id_from_spki(&der), Some(peer));
    // The first twelve bytes say what the rest is.
    for bit in 0..12 * 8 {
        assert_eq!(peer_id_from_spki(&flipped(&der, bit)), None, "bit {bit}");
    }
    for end in 0..der.len() {
        assert_eq!(peer_id_from_spki(&der[..end]), None);
    }
    assert_eq!(peer_id_from_spki(&[der.as_slice(), &[0]].concat()), None);
    let weak = PeerId::from_bytes(bytes(
        "0100000000000000000000000000000000000000000000000000000000000000",
    ));
    assert_eq!(peer_id_from_spki(&spki_der(&weak)), None, "everybody can sign for this key");
}

#[test]
fn a_signature_for_one_purpose_is_none_for_another() {
    let key = node_key(0x11);
    let signature = key.sign(Domain::Envelope, b"bytes");
    assert!(verify(&key.peer_id(), Domain::Envelope, b"bytes", &signature));
    assert!(!verify(&key.peer_id(), Domain::SealingKey, b"bytes", &signature));
    assert!(!Verifier.is_signed_by(&key.peer_id(), b"bytes", &signature));
    assert!(!verify(&node_key(0x12).peer_id(), Domain::Envelope, b"bytes", &signature));
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    // With the identity as key and R, and S = 0, the lax equation holds for every message.
    let identity = bytes("0100000000000000000000000000000000000000000000000000000000000000");
    let mut signature = [0; 64];
    signature[0] = 1;
    let peer = PeerId::from_bytes(identity);
    assert!(!verify(&peer, Domain::Envelope, b"anything", &Signature::from_bytes(signature)));
}

fn founding(founder: PeerId) -> Record {
    Record::Founding(Founding {
        founder,
        founded_at: UnixMillis(1),
        nonce: [7; 32],
        remove_quorum: NonZeroU8::MIN,
    })
}

#[test]
fn a_signed_record_verifies_anywhere_and_every_flipped_bit_is_refused() {
    let key = node_key(0x11);
    let record = founding(key.peer_id());
    let verified = key.sign_record(&record).unwrap();
    assert_eq!(verified.record(), &record);
    let signed = verified.signed().clone();
    assert_eq!(signed.clone().verify(&Verifier).unwrap(), verified);
    for bit in 0..signed.body.len() * 8 {
        let forged = SignedRecord { body: flipped(&signed.body, bit), ..signed.clone() };
        assert!(forged.verify(&Verifier).is_err(), "bit {bit} of the body");
    }
    for bit in 0..Signature::LEN * 8 {
        let signature = flipped(signed.signature.as_bytes(), bit);
        let signature = Signature::from_slice(&signature).unwrap();
        let forged = SignedRecord { signature, ..signed.clone() };
        assert!(forged.verify(&Verifier).is_err(), "bit {bit} of the signature");
    }
}

#[test]
fn a_record_of_another_peer_is_not_signed() {
    assert!(node_key(0x11).sign_record(&founding(node_key(0x12).peer_id())).is_err());
}

#[test]
fn digests_tell_sets_apart() {
    let [a, b] = [RecordId::from_bytes([1; 32]), RecordId::from_bytes([2; 32])];
    assert_eq!(records_digest([a, b]), records_digest([a, b]));
    assert_ne!(records_digest([a, b]), records_digest([a]));
    assert_ne!(records_digest([]), digest(b""));
    // The published vector for no input.
    let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(hex::encode(digest(b"")), empty);
}

#[test]
fn key_ids_tell_keys_and_kinds_apart() {
    let key = sealing_key(0x11);
    assert_eq!(key.key_id(), sealing_key_id(&key.public()));
    assert_ne!(key.key_id(), sealing_key(0x12).key_id());
    let pair = pair_secret(0x11);
    assert_ne!(pair.key_id(), pair_secret(0x12).key_id());
    let as_pair = PairSecret::from_bytes(Zeroizing::new(*key.public().as_bytes()));
    assert_ne!(as_pair.key_id(), key.key_id());
}

#[test]
fn a_sealing_key_is_the_one_that_the_standard_says() {
    // RFC 9180 A.1.1, the receiver.
    let secret = bytes("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
    let public = bytes("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
    let key = SealingKey::from_secret_bytes(&Zeroizing::new(secret));
    assert_eq!(key.public(), SealingPublicKey::from_bytes(public));
    assert_eq!(*key.secret_bytes(), secret);
}

proptest! {
    #[test]
    fn every_flipped_bit_of_a_signature_or_message_is_refused(
        start in any::<u8>(),
        message in proptest::collection::vec(any::<u8>(), 1..100),
        bit in any::<prop::sample::Index>(),
    ) {
        let key = NodeKey::generate(&mut Counter(start));
        let signature = key.sign(Domain::Envelope, &message);
        prop_assert!(verify(&key.peer_id(), Domain::Envelope, &message, &signature));
        let other = flipped(&message, bit.index(message.len() * 8));
        prop_assert!(!verify(&key.peer_id(), Domain::Envelope, &other, &signature));
        let other = flipped(signature.as_bytes(), bit.index(Signature::LEN * 8));
        let other = Signature::from_slice(&other).unwrap();
        prop_assert!(!verify(&key.peer_id(), Domain::Envelope, &message, &other));
    }
}
