//! Who belongs, by records whose signatures nobody checks.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use mesh_membership::Membership;
use mesh_protocol::{
    Admission, Founding, PeerId, Record, RecordVerifier, Signature, SignedRecord, TokenId,
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

/// A mesh of the peers below `count`, all admitted by the first of them.
pub(super) fn membership(count: usize) -> Membership {
    let (founder, founded_at) = (peer(0), UnixMillis(0));
    let founding = sign(&Record::Founding(Founding { founder, founded_at, nonce: [0; 32] }));
    let mesh_id = founding.mesh_id();
    let mut membership = Membership::new(founding).unwrap();
    for number in 1..count {
        let _inserted = membership.insert(sign(&Record::Admission(Admission {
            mesh_id,
            subject: peer(number),
            sponsor: founder,
            token_id: TokenId::from_bytes([0; 16]),
            admitted_at: UnixMillis(number as u64),
            overrides: Vec::new(),
        })));
    }
    assert_eq!(membership.verdict().members().len(), count);
    membership
}
