//! What makes a record a verified one.

use super::samples;
use crate::{MeshId, PeerId, Record, RecordError, RecordVerifier, Signature, SignedRecord};

/// Stands for the cryptography: a signature is right when it repeats the signer's first byte and a sum.
pub(super) struct FakeVerifier;

pub(super) fn fake_signature(signer: &PeerId, bytes: &[u8]) -> Signature {
    let mut signature = [signer.as_bytes()[0]; 64];
    let add = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
    signature[..8].copy_from_slice(&bytes.iter().fold(0, add).to_le_bytes());
    Signature::from_bytes(signature)
}

impl RecordVerifier for FakeVerifier {
    fn is_signed_by(&self, signer: &PeerId, bytes: &[u8], signature: &Signature) -> bool {
        fake_signature(signer, bytes) == *signature
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (index, byte) in bytes.iter().enumerate() {
            digest[index % 32] ^= byte.rotate_left(u32::try_from(index % 8).unwrap());
        }
        digest
    }
}

fn sign(record: &Record, signer: PeerId) -> SignedRecord {
    let body = record.encode().unwrap();
    let signature = fake_signature(&signer, &SignedRecord::signing_bytes(&body));
    SignedRecord { signer, body, signature }
}

#[test]
fn a_record_signed_by_the_right_peer_is_verified() {
    for (name, record) in samples::records() {
        let signed = sign(&record, record.signer());
        let verified = signed.clone().verify(&FakeVerifier).unwrap();
        assert_eq!(verified.record(), &record, "{name}");
        assert_eq!(verified.signed(), &signed, "{name}");
        let signing_bytes = SignedRecord::signing_bytes(&signed.body);
        assert!(signing_bytes.starts_with(b"agent-mesh/v1/record\0"));
        assert_eq!(verified.id().as_bytes(), &FakeVerifier.digest(&signing_bytes), "{name}");
        let expected = match &record {
            Record::Founding(_) => MeshId::from_bytes(*verified.id().as_bytes()),
            Record::Admission(_) | Record::Profile(_) | Record::Removal(_) => samples::MESH,
        };
        assert_eq!(verified.mesh_id(), expected, "{name}");
    }
}

#[test]
fn a_record_of_somebody_else_is_refused_even_when_its_signature_is_right() {
    for (name, record) in samples::records() {
        let stranger = PeerId::from_bytes([0xee; 32]);
        let refused = sign(&record, stranger).verify(&FakeVerifier);
        assert_eq!(refused, Err(RecordError::Signer), "{name}");
    }
}

#[test]
fn a_record_with_any_changed_bit_is_refused() {
    for (name, record) in samples::records() {
        let mut signed = sign(&record, record.signer());
        for bit in 0..signed.body.len() * 8 {
            signed.body[bit / 8] ^= 1 << (bit % 8);
            assert!(signed.clone().verify(&FakeVerifier).is_err(), "{name} bit {bit}");
            signed.body[bit / 8] ^= 1 << (bit % 8);
        }
        signed.signature = Signature::from_bytes([0; 64]);
        assert_eq!(signed.verify(&FakeVerifier), Err(RecordError::Signature), "{name}");
    }
}

#[test]
fn signer_and_subject_are_those_that_the_kind_demands() {
    let peers: Vec<_> =
        samples::records().iter().map(|(_, record)| (record.signer(), record.subject())).collect();
    let (baulder, mint) = (samples::BAULDER, samples::MINT);
    let founding = (baulder, baulder);
    assert_eq!(peers, [founding, (baulder, mint), (mint, mint), (baulder, mint), founding]);
}

#[test]
fn a_quorum_is_in_the_bytes_of_a_founding_record_only_where_it_is_not_one() {
    let [(_, one), _, _, _, (_, two)] = &samples::records()[..] else { panic!("five samples") };
    let (one, two) = (one.encode().unwrap(), two.encode().unwrap());
    assert_eq!((one[0], two[0], two.len()), (1, 5, one.len() + 1));
    assert_eq!(one[2..], two[2..one.len()]);
    for quorum in [0, 1, 17] {
        let forged = [&two[..one.len()], &[quorum]].concat();
        assert!(Record::decode(&forged).is_err(), "a quorum of {quorum}");
    }
    let cut = Record::decode(&two[..one.len()]);
    assert!(cut.is_err() && Record::decode(&[&two[..], &[0]].concat()).is_err());
}
