//! The signed records that membership is made of. A record is immutable; its id is its digest.
//!
//! A [`SignedRecord`] is what travels and is stored. It becomes a [`VerifiedRecord`] only through
//! [`SignedRecord::verify`], so nothing that was not checked can reach the verdict.

use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use crate::codec::{ByteCount, check_count, decode, encode, list};
use crate::{
    ADDRESSES_MAX, Address, DecodeError, EncodeError, FORMER_HOSTNAMES_MAX, Hostname, MeshId,
    PeerId, RECORD_BYTES_MAX, RECORD_REFERENCES_MAX, REMOVE_QUORUM_MAX, RecordError, RecordId,
    SealingPublicKey, Signature, TEXT_BYTES_MAX, TokenId, UnixMillis, VersionRange,
};

/// Creates a mesh. The mesh's id is the digest of this record, so nobody can found the same mesh twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The first member, who signs.
    pub founder: PeerId,
    /// When.
    pub founded_at: UnixMillis,
    /// Random bytes: two meshes of one founder differ.
    pub nonce: [u8; 32],
    /// How many members have to ask for a removal before it is one; at most 16. It is in the mesh's id, so nobody can
    /// change it. Written only where it is not one: in a kind that programs which do not know it refuse,
    /// because they would come to another verdict.
    #[serde(skip, default = "one")]
    pub remove_quorum: NonZeroU8,
}

const fn one() -> NonZeroU8 {
    NonZeroU8::MIN
}

/// A member vouches for a newcomer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The mesh.
    pub mesh_id: MeshId,
    /// The newcomer.
    pub subject: PeerId,
    /// The member that vouches, who signs.
    pub sponsor: PeerId,
    /// The join token that was spent.
    pub token_id: TokenId,
    /// When, by the sponsor's clock.
    pub admitted_at: UnixMillis,
    /// Removals of the subject that this admission knowingly overrides (a clean rejoin).
    #[serde(deserialize_with = "list::<_, _, RECORD_REFERENCES_MAX>")]
    pub overrides: Vec<RecordId>,
}

/// A name that a member had, still answered for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerHostname {
    /// The old name.
    pub hostname: Hostname,
    /// Until when messages addressed to it still arrive.
    pub until: UnixMillis,
}

/// What a member says of itself. Of several the highest revision counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The mesh.
    pub mesh_id: MeshId,
    /// The member, who signs.
    pub peer: PeerId,
    /// Grows by one with every change.
    pub revision: u64,
    /// When it was written.
    pub updated_at: UnixMillis,
    /// The member's label.
    pub hostname: Hostname,
    /// Names that are still answered.
    #[serde(deserialize_with = "list::<_, _, FORMER_HOSTNAMES_MAX>")]
    pub former_hostnames: Vec<FormerHostname>,
    /// Where the member listens, the preferred address first.
    #[serde(deserialize_with = "list::<_, _, ADDRESSES_MAX>")]
    pub addresses: Vec<Address>,
    /// What messages to the member are sealed to.
    pub sealing_key: SealingPublicKey,
    /// The member's address in its tailnet, if it has one.
    pub tailscale_ip: Option<String>,
    /// The member's name in its tailnet, if it has one.
    pub tailscale_hostname: Option<String>,
    /// Version of the member's program.
    pub agent_version: String,
    /// Protocol versions that the member speaks.
    pub versions: VersionRange,
}

/// A member expels another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The mesh.
    pub mesh_id: MeshId,
    /// The peer that is removed.
    pub subject: PeerId,
    /// The member that removes, who signs.
    pub remover: PeerId,
    /// When, by the remover's clock.
    pub removed_at: UnixMillis,
    /// Why, for people; at most 1,024 bytes.
    pub reason: String,
    /// Admissions and removals by the subject that stand. Any other, whatever date it bears, is void.
    #[serde(deserialize_with = "list::<_, _, RECORD_REFERENCES_MAX>")]
    pub standing: Vec<RecordId>,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Creates a mesh.
    Founding(Founding),
    /// A member vouches for a newcomer.
    Admission(Admission),
    /// What a member says of itself.
    Profile(Profile),
    /// A member expels another.
    Removal(Removal),
}

mod kind {
    pub(super) const FOUNDING: u16 = 1;
    pub(super) const ADMISSION: u16 = 2;
    pub(super) const PROFILE: u16 = 3;
    pub(super) const REMOVAL: u16 = 4;
    pub(super) const QUORUM_FOUNDING: u16 = 5;
}

impl Record {
    /// The peer that must sign this record.
    #[must_use]
    pub const fn signer(&self) -> PeerId {
        match self {
            Self::Founding(founding) => founding.founder,
            Self::Admission(admission) => admission.sponsor,
            Self::Profile(profile) => profile.peer,
            Self::Removal(removal) => removal.remover,
        }
    }

    /// The peer that the record is about.
    #[must_use]
    pub const fn subject(&self) -> PeerId {
        match self {
            Self::Founding(founding) => founding.founder,
            Self::Admission(admission) => admission.subject,
            Self::Profile(profile) => profile.peer,
            Self::Removal(removal) => removal.subject,
        }
    }

    /// The canonical bytes: kind, then the structure. This is what is signed.
    ///
    /// # Errors
    /// [`EncodeError`] when a bound is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let (kind, body) = match self {
            Self::Founding(body) if body.remove_quorum == NonZeroU8::MIN => {
                (kind::FOUNDING, encode(body, RECORD_BYTES_MAX)?)
            }
            Self::Founding(body) => {
                (kind::QUORUM_FOUNDING, encode(&(body, body.remove_quorum), RECORD_BYTES_MAX)?)
            }
            Self::Admission(body) => (kind::ADMISSION, encode(body, RECORD_BYTES_MAX)?),
            Self::Profile(body) => (kind::PROFILE, encode(body, RECORD_BYTES_MAX)?),
            Self::Removal(body) => (kind::REMOVAL, encode(body, RECORD_BYTES_MAX)?),
        };
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend_from_slice(&body);
        // What this side would refuse to decode must not be signed.
        Self::decode(&bytes).map_err(|_| EncodeError::FieldTooLarge { what: "record" })?;
        Ok(bytes)
    }

    /// Decodes canonical bytes and checks every bound.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not exactly one record within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "record";
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                bytes: bytes.len() as u64,
                bytes_max: RECORD_BYTES_MAX,
            });
        }
        let Some((kind, body)) = bytes.split_first_chunk::<2>() else {
            return Err(DecodeError::Malformed { what: WHAT });
        };
        let record = match u16::from_le_bytes(*kind) {
            kind::FOUNDING => Self::Founding(decode(WHAT, body, false)?),
            kind::ADMISSION => Self::Admission(decode(WHAT, body, false)?),
            kind::PROFILE => Self::Profile(decode(WHAT, body, false)?),
            kind::REMOVAL => Self::Removal(decode(WHAT, body, false)?),
            kind::QUORUM_FOUNDING => {
                let (founding, remove_quorum): (Founding, NonZeroU8) = decode(WHAT, body, false)?;
                // One form for one content: a quorum of one is said by the other kind.
                if remove_quorum == NonZeroU8::MIN {
                    return Err(DecodeError::Malformed { what: WHAT });
                }
                Self::Founding(Founding { remove_quorum, ..founding })
            }
            other => return Err(DecodeError::UnknownKind { kind: other }),
        };
        record.check_bounds().map_err(|what| DecodeError::Malformed { what })?;
        Ok(record)
    }

    /// Names the field that breaks its bound, if one does.
    fn check_bounds(&self) -> Result<(), &'static str> {
        match self {
            Self::Founding(founding) => {
                let members = usize::from(founding.remove_quorum.get());
                check_count("founding", members, usize::from(REMOVE_QUORUM_MAX))
            }
            Self::Admission(admission) => {
                check_count("admission", admission.overrides.len(), RECORD_REFERENCES_MAX)
            }
            Self::Profile(profile) => {
                check_count("profile", profile.addresses.len(), ADDRESSES_MAX)?;
                check_count("profile", profile.former_hostnames.len(), FORMER_HOSTNAMES_MAX)?;
                let texts = [&profile.tailscale_ip, &profile.tailscale_hostname];
                for text in texts.into_iter().flatten().chain([&profile.agent_version]) {
                    check_count("profile", text.len(), TEXT_BYTES_MAX)?;
                }
                Ok(())
            }
            Self::Removal(removal) => {
                check_count("removal", removal.reason.len(), TEXT_BYTES_MAX)?;
                check_count("removal", removal.standing.len(), RECORD_REFERENCES_MAX)
            }
        }
    }
}

/// A record with its signature, as it travels and is stored. Nothing in it has been checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRecord {
    /// Who claims to have signed.
    pub signer: PeerId,
    /// The canonical bytes of the [`Record`].
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Ed25519 signature over [`SignedRecord::signing_bytes`].
    pub signature: Signature,
}

impl std::fmt::Debug for SignedRecord {
    /// Shows the body's length alone: whoever wants the content decodes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedRecord")
            .field("signer", &self.signer)
            .field("body", &ByteCount(self.body.len()))
            .finish_non_exhaustive()
    }
}

/// Checks signatures and makes digests: the two things that need cryptography.
pub trait RecordVerifier {
    /// Whether `signature` is `signer`'s over `bytes`, by strict Ed25519 rules.
    fn is_signed_by(&self, signer: &PeerId, bytes: &[u8], signature: &Signature) -> bool;

    /// BLAKE3 of `bytes`.
    fn digest(&self, bytes: &[u8]) -> [u8; 32];
}

/// Keeps signatures over records apart from signatures over anything else.
const SIGNING_DOMAIN: &[u8] = b"agent-mesh/v1/record\0";

impl SignedRecord {
    /// What is signed: a domain label, then the canonical bytes.
    #[must_use]
    pub fn signing_bytes(body: &[u8]) -> Vec<u8> {
        [SIGNING_DOMAIN, body].concat()
    }

    /// Checks bounds, signer and signature.
    ///
    /// # Errors
    /// [`RecordError`]: forged, signed by the wrong peer, or malformed. Nothing was kept.
    pub fn verify(self, verifier: &impl RecordVerifier) -> Result<VerifiedRecord, RecordError> {
        let record = Record::decode(&self.body)?;
        if record.signer() != self.signer {
            return Err(RecordError::Signer);
        }
        let signed = Self::signing_bytes(&self.body);
        if !verifier.is_signed_by(&self.signer, &signed, &self.signature) {
            return Err(RecordError::Signature);
        }
        // The signature is left out: it adds nothing to the identity of what was said.
        let id = RecordId::from_bytes(verifier.digest(&signed));
        Ok(VerifiedRecord { id, record, signed: self })
    }
}

/// A record whose signature, signer and bounds were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRecord {
    id: RecordId,
    record: Record,
    signed: SignedRecord,
}

impl VerifiedRecord {
    /// Digest of what was signed.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        self.id
    }

    /// The content.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The form that travels and is stored.
    #[must_use]
    pub const fn signed(&self) -> &SignedRecord {
        &self.signed
    }

    /// The mesh that the record belongs to; a founding record creates it, so its id is the mesh's.
    #[must_use]
    pub const fn mesh_id(&self) -> MeshId {
        match &self.record {
            Record::Founding(_) => MeshId::from_bytes(*self.id.as_bytes()),
            Record::Admission(admission) => admission.mesh_id,
            Record::Profile(profile) => profile.mesh_id,
            Record::Removal(removal) => removal.mesh_id,
        }
    }
}
