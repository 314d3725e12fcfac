//! Records with signatures that nobody checks.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU8;

use mesh_protocol::{
    Admission, Founding, MeshId, PeerId, Profile, Record, RecordId, RecordVerifier, Removal,
    SealingPublicKey, Signature, SignedRecord, TokenId, UnixMillis, VerifiedRecord, VersionRange,
};

use crate::Membership;

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

fn sign(record: &Record) -> VerifiedRecord {
    let signed = SignedRecord {
        signer: record.signer(),
        body: record.encode().unwrap(),
        signature: Signature::from_bytes([0; 64]),
    };
    signed.verify(&Trusting).unwrap()
}

pub(crate) fn peer(number: u32) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn founding() -> VerifiedRecord {
    let founding = Founding {
        founder: peer(0),
        founded_at: UnixMillis(0),
        nonce: [0; 32],
        remove_quorum: NonZeroU8::MIN,
    };
    sign(&Record::Founding(founding))
}

pub(crate) fn membership() -> Membership {
    Membership::new(founding()).unwrap()
}

fn mesh_id() -> MeshId {
    founding().mesh_id()
}

pub(crate) fn admit(sponsor: u32, subject: u32, at: u64) -> VerifiedRecord {
    sign(&Record::Admission(Admission {
        mesh_id: mesh_id(),
        subject: peer(subject),
        sponsor: peer(sponsor),
        token_id: TokenId::from_bytes([0; 16]),
        admitted_at: UnixMillis(at),
        overrides: Vec::new(),
    }))
}

pub(crate) fn remove(
    remover: u32,
    subject: u32,
    at: u64,
    standing: Vec<RecordId>,
) -> VerifiedRecord {
    sign(&Record::Removal(Removal {
        mesh_id: mesh_id(),
        subject: peer(subject),
        remover: peer(remover),
        removed_at: UnixMillis(at),
        reason: String::new(),
        standing,
    }))
}

pub(crate) fn profile(of: u32, revision: u64) -> VerifiedRecord {
    sign(&Record::Profile(Profile {
        mesh_id: mesh_id(),
        peer: peer(of),
        revision,
        updated_at: UnixMillis(0),
        hostname: "mint".parse().unwrap(),
        former_hostnames: Vec::new(),
        addresses: Vec::new(),
        sealing_key: SealingPublicKey::from_bytes([0; 32]),
        tailscale_ip: None,
        tailscale_hostname: None,
        agent_version: String::new(),
        versions: VersionRange::SUPPORTED,
    }))
}
