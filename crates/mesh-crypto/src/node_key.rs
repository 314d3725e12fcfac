use std::fmt;

use ed25519_dalek::ed25519::signature::MultipartSigner as _;
use ed25519_dalek::{SigningKey, VerifyingKey};
use mesh_protocol::{
    DeliverItem, DeliverOutcome, EncodeError, LinkState, MeshId, MessageId, Parcel, PeerId,
    Receipt, Record, RecordError, RecordVerifier, Signature, SignedLinkState, SignedRecord,
    UnixMillis, VerifiedRecord,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// What a signature is about. A signature for one purpose is worthless for any other.
///
/// Membership records, link states, parcels and receipts bring labels of their own
/// ([`SignedRecord::signing_bytes`] and its kin).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Header and ciphertext of a sealed message.
    Envelope,
    /// A sealing key and the time it is good for.
    SealingKey,
}

impl Domain {
    /// Ends in a zero byte that occurs nowhere else, so no label is the beginning of another.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Envelope => b"agent-mesh/v1/envelope\0",
            Self::SealingKey => b"agent-mesh/v1/sealing-key\0",
        }
    }
}

/// Stands in a structure until its other fields have been signed.
const UNSIGNED: Signature = Signature::from_bytes([0; 64]);

/// The secret half of a [`PeerId`]: whoever has it is the peer.
#[derive(Clone)]
pub struct NodeKey {
    signing: SigningKey,
}

impl NodeKey {
    /// Makes a new identity.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        Self::from_secret_bytes(&secret)
    }

    /// Restores an identity; every 32 bytes are one.
    #[must_use]
    pub fn from_secret_bytes(secret: &Zeroizing<[u8; 32]>) -> Self {
        Self { signing: SigningKey::from_bytes(secret) }
    }

    /// The 32 bytes that [`NodeKey::from_secret_bytes`] restores.
    #[must_use]
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.signing.as_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::from_bytes(self.signing.verifying_key().to_bytes())
    }

    /// Signs `bytes` for one purpose.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Signature {
        self.sign_parts(&[domain.label(), bytes])
    }

    fn sign_parts(&self, parts: &[&[u8]]) -> Signature {
        Signature::from_bytes(self.signing.multipart_sign(parts).to_bytes())
    }

    /// Signs a membership record that names this peer as its signer.
    ///
    /// # Errors
    /// [`EncodeError`] when a bound is exceeded, or when the record must come from another peer.
    pub fn sign_record(&self, record: &Record) -> Result<VerifiedRecord, EncodeError> {
        let body = record.encode()?;
        let signature = self.sign_parts(&[&SignedRecord::signing_bytes(&body)]);
        let signed = SignedRecord { signer: self.peer_id(), body, signature };
        signed.verify(&Verifier).map_err(|error| match error {
            RecordError::Signer | RecordError::Signature => {
                EncodeError::FieldTooLarge { what: "a signer other than the record's own" }
            }
            RecordError::Decode(_) => EncodeError::FieldTooLarge { what: "record" },
        })
    }

    /// Signs the links of this peer.
    ///
    /// # Errors
    /// [`EncodeError`] when a bound is exceeded, or when these are the links of another peer.
    pub fn sign_link_state(&self, state: &LinkState) -> Result<SignedLinkState, EncodeError> {
        if state.origin != self.peer_id() {
            return Err(EncodeError::FieldTooLarge { what: "an origin other than the signer" });
        }
        let body = state.encode()?;
        let signature = self.sign_parts(&[&SignedLinkState::signing_bytes(&body)]);
        Ok(SignedLinkState { body, signature })
    }

    /// Addresses a message of this peer to `to`, for a way through others.
    ///
    /// # Errors
    /// As [`Parcel::signing_bytes`].
    pub fn sign_parcel(
        &self,
        mesh_id: MeshId,
        to: PeerId,
        message_id: MessageId,
        item: DeliverItem,
    ) -> Result<Parcel, EncodeError> {
        let (from, signature) = (self.peer_id(), UNSIGNED);
        let mut parcel = Parcel { mesh_id, from, to, message_id, item, signature };
        parcel.signature = self.sign_parts(&[&parcel.signing_bytes(&Verifier)?]);
        Ok(parcel)
    }

    /// Tells `to`, the sender of a message, what became of it here.
    ///
    /// # Errors
    /// As [`Receipt::signing_bytes`].
    pub fn sign_receipt(
        &self,
        mesh_id: MeshId,
        to: PeerId,
        message_id: MessageId,
        outcome: DeliverOutcome,
        at: UnixMillis,
    ) -> Result<Receipt, EncodeError> {
        let (from, signature) = (self.peer_id(), UNSIGNED);
        let mut receipt = Receipt { mesh_id, from, to, message_id, outcome, at, signature };
        receipt.signature = self.sign_parts(&[&receipt.signing_bytes()?]);
        Ok(receipt)
    }

    /// The key as PKCS #8 (RFC 8410 §7, without the public key), the form that TLS libraries read.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        // SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING (32) } }
        const PREFIX: [u8; 16] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        Zeroizing::new([PREFIX.as_slice(), self.signing.as_bytes()].concat())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

/// Whether `signature` is `peer`'s over `bytes` for this purpose.
///
/// Strict (RFC 8032 with canonical points only, none of small order): of one message and key there is
/// no second signature that anybody but the key's owner could make.
#[must_use]
pub fn verify(peer: &PeerId, domain: Domain, bytes: &[u8], signature: &Signature) -> bool {
    is_signed_by(peer, &[domain.label(), bytes].concat(), signature)
}

fn is_signed_by(peer: &PeerId, bytes: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
    VerifyingKey::from_bytes(peer.as_bytes())
        .is_ok_and(|key| key.verify_strict(bytes, &signature).is_ok())
}

/// Checks the signatures of membership records and of what travels through others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verifier;

impl RecordVerifier for Verifier {
    fn is_signed_by(&self, signer: &PeerId, bytes: &[u8], signature: &Signature) -> bool {
        is_signed_by(signer, bytes, signature)
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        crate::digest(bytes)
    }
}
