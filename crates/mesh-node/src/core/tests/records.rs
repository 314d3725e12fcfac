//! Who belongs, by records whose signatures nobody checks.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU8;

use mesh_membership::Membership;
use mesh_protocol::{
    Admission, Founding, PeerId, Record, RecordVerifier, Removal, Signature, SignedRecord, TokenId,
    UnixMillis, VerifiedRecord,
};
use mesh_testkit::NodeId;

/// Takes every signature for good.
struct Trusting;

impl RecordVerifier for Trusting {
    fn is_signed_by(&self, _signer: &PeerId, _bytes: &[u8], _signature: &Signature) -> bool {
        true
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (place, chunk) in digest.chunks_exact_mut(8).enumerate() {
            let mut hasher = DefaultHasher::new();
            (place, bytes).hash(&mut hasher);
            chunk.copy_from_slice(&hasher.finish().to_be_bytes());
        }
        digest
    }
}

pub(super) fn unsigned() -> Signature {
    Signature::from_bytes([0; 64])
}

fn sign(record: &Record) -> VerifiedRecord {
    let body = record.encode().unwrap();
    let signed = SignedRecord { signer: record.signer(), body, signature: unsigned() };
    signed.verify(&Trusting).unwrap()
}

/// The identity of a node of the network.
pub(super) fn peer(number: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PeerId::from_bytes(bytes)
}

pub(super) fn node(peer: &PeerId) -> NodeId {
    let (number, _) = peer.as_bytes().split_first_chunk().unwrap();
    NodeId(usize::try_from(u64::from_be_bytes(*number)).unwrap())
}

fn founding() -> VerifiedRecord {
    sign(&Record::Founding(Founding {
        founder: peer(0),
        founded_at: UnixMillis(0),
        nonce: [0; 32],
        remove_quorum: NonZeroU8::MIN,
    }))
}

fn admission(number: usize) -> VerifiedRecord {
    sign(&Record::Admission(Admission {
        mesh_id: founding().mesh_id(),
        subject: peer(number),
        sponsor: peer(0),
        token_id: TokenId::from_bytes([0; 16]),
        admitted_at: UnixMillis(number as u64),
        overrides: Vec::new(),
    }))
}

/// A mesh of the peers below `count`, all admitted by the first of them.
pub(super) fn membership(count: usize) -> Membership {
    let mut membership = Membership::new(founding()).unwrap();
    for number in 1..count {
        let _inserted = membership.insert(admission(number));
    }
    assert_eq!(membership.verdict().members().len(), count);
    membership
}

/// The first peer removes another one.
pub(super) fn removal(number: usize) -> VerifiedRecord {
    sign(&Record::Removal(Removal {
        mesh_id: founding().mesh_id(),
        subject: peer(number),
        remover: peer(0),
        removed_at: UnixMillis(1_000),
        reason: String::new(),
        standing: vec![admission(number).id()],
    }))
}
