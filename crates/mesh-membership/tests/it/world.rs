//! Peers with real keys and the records that they sign. Peer 0 founds; a smaller number is a smaller id.

use std::num::NonZeroU8;

use mesh_crypto::NodeKey;
use mesh_membership::{Inserted, Membership, Verdict};
use mesh_protocol::{
    Admission, FormerHostname, Founding, MeshId, PeerId, Profile, Record, RecordId, Removal,
    SealingPublicKey, TokenId, UnixMillis, VerifiedRecord, VersionRange,
};
use zeroize::Zeroizing;

pub(crate) const FOUNDED_AT: u64 = 1_000;

pub(crate) struct World {
    keys: Vec<NodeKey>,
    pub(crate) founding: VerifiedRecord,
}

impl World {
    pub(crate) fn new(peers: u16) -> Self {
        Self::with_nonce(peers, 0)
    }

    /// The same peers with another mesh.
    pub(crate) fn with_nonce(peers: u16, nonce: u8) -> Self {
        Self::founded(peers, nonce, 1)
    }

    /// Peers of a mesh in which so many have to ask for a removal.
    pub(crate) fn with_quorum(peers: u16, remove_quorum: u8) -> Self {
        Self::founded(peers, 0, remove_quorum)
    }

    fn founded(peers: u16, nonce: u8, remove_quorum: u8) -> Self {
        let key = |number: u16| {
            let mut secret = Zeroizing::new([7; 32]);
            secret[..2].copy_from_slice(&number.to_le_bytes());
            NodeKey::from_secret_bytes(&secret)
        };
        let mut keys: Vec<NodeKey> = (0..peers).map(key).collect();
        keys.sort_by_key(NodeKey::peer_id);
        let founding = Founding {
            founder: keys[0].peer_id(),
            founded_at: UnixMillis(FOUNDED_AT),
            nonce: [nonce; 32],
            remove_quorum: NonZeroU8::new(remove_quorum).unwrap(),
        };
        let founding = keys[0].sign_record(&Record::Founding(founding)).unwrap();
        Self { keys, founding }
    }

    pub(crate) fn id(&self, peer: usize) -> PeerId {
        self.keys[peer].peer_id()
    }

    pub(crate) fn number(&self, id: &PeerId) -> usize {
        self.keys.iter().position(|key| key.peer_id() == *id).unwrap()
    }

    pub(crate) fn mesh_id(&self) -> MeshId {
        self.founding.mesh_id()
    }

    pub(crate) fn sign(&self, signer: usize, record: &Record) -> VerifiedRecord {
        self.keys[signer].sign_record(record).unwrap()
    }

    pub(crate) fn admit(&self, sponsor: usize, subject: usize, at: u64) -> VerifiedRecord {
        self.readmit(sponsor, subject, at, &[])
    }

    pub(crate) fn readmit(
        &self,
        sponsor: usize,
        subject: usize,
        at: u64,
        overrides: &[&VerifiedRecord],
    ) -> VerifiedRecord {
        let admission = Admission {
            mesh_id: self.mesh_id(),
            subject: self.id(subject),
            sponsor: self.id(sponsor),
            token_id: TokenId::from_bytes([0; 16]),
            admitted_at: UnixMillis(at),
            overrides: ids(overrides),
        };
        self.sign(sponsor, &Record::Admission(admission))
    }

    pub(crate) fn remove(
        &self,
        remover: usize,
        subject: usize,
        at: u64,
        standing: &[&VerifiedRecord],
    ) -> VerifiedRecord {
        self.remove_listing(remover, subject, at, ids(standing))
    }

    pub(crate) fn remove_listing(
        &self,
        remover: usize,
        subject: usize,
        at: u64,
        standing: Vec<RecordId>,
    ) -> VerifiedRecord {
        let removal = Removal {
            mesh_id: self.mesh_id(),
            subject: self.id(subject),
            remover: self.id(remover),
            removed_at: UnixMillis(at),
            reason: "test".to_owned(),
            standing,
        };
        self.sign(remover, &Record::Removal(removal))
    }

    pub(crate) fn profile(&self, peer: usize, revision: u64, hostname: &str) -> VerifiedRecord {
        self.profile_with(peer, revision, hostname, &[])
    }

    pub(crate) fn profile_with(
        &self,
        peer: usize,
        revision: u64,
        hostname: &str,
        former: &[(&str, u64)],
    ) -> VerifiedRecord {
        let former_hostnames = former.iter().map(|(hostname, until)| FormerHostname {
            hostname: hostname.parse().unwrap(),
            until: UnixMillis(*until),
        });
        let profile = Profile {
            mesh_id: self.mesh_id(),
            peer: self.id(peer),
            revision,
            updated_at: UnixMillis(0),
            hostname: hostname.parse().unwrap(),
            former_hostnames: former_hostnames.collect(),
            addresses: vec!["192.0.2.1:13500".parse().unwrap()],
            sealing_key: SealingPublicKey::from_bytes([9; 32]),
            tailscale_ip: None,
            tailscale_hostname: None,
            agent_version: "1.2.3".to_owned(),
            versions: VersionRange::SUPPORTED,
        };
        self.sign(peer, &Record::Profile(profile))
    }

    pub(crate) fn membership(&self, records: &[&VerifiedRecord]) -> Membership {
        let mut membership = Membership::new(self.founding.clone()).unwrap();
        for record in records {
            let inserted = membership.insert((*record).clone());
            assert!(!matches!(inserted, Inserted::Refused(_)), "{inserted:?}");
        }
        membership
    }

    /// The numbers of the members, after the records went in forwards; backwards must say the same.
    pub(crate) fn members(&self, records: &[&VerifiedRecord]) -> Vec<usize> {
        let forwards = self.membership(records);
        let backwards: Vec<_> = records.iter().rev().copied().collect();
        assert_eq!(forwards.verdict(), self.membership(&backwards).verdict());
        self.members_of(forwards.verdict())
    }

    pub(crate) fn members_of(&self, verdict: &Verdict) -> Vec<usize> {
        verdict.members().keys().map(|peer| self.number(peer)).collect()
    }
}

pub(crate) fn ids(records: &[&VerifiedRecord]) -> Vec<RecordId> {
    records.iter().map(|record| record.id()).collect()
}
