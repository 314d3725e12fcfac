use std::fmt;

use mesh_protocol::{KeyId, SealingPublicKey};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::digest::key_id;

/// Label under which the two ends of a link export their pair secret from TLS (RFC 8446 §7.5): 32 bytes,
/// with the 32 bytes of the mesh's id as context, so that two meshes never share a secret.
pub const PAIR_EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL agent-mesh/v1 pair secret";

/// The secret half of what messages to a peer are sealed to.
#[derive(Clone)]
pub struct SealingKey {
    secret: StaticSecret,
    public: SealingPublicKey,
    key_id: KeyId,
}

impl SealingKey {
    /// Makes a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(StaticSecret::random_from_rng(rng))
    }

    /// Restores a key; every 32 bytes are one.
    #[must_use]
    pub fn from_secret_bytes(secret: &Zeroizing<[u8; 32]>) -> Self {
        Self::new(StaticSecret::from(**secret))
    }

    fn new(secret: StaticSecret) -> Self {
        let public = SealingPublicKey::from_bytes(PublicKey::from(&secret).to_bytes());
        Self { secret, public, key_id: sealing_key_id(&public) }
    }

    /// The 32 bytes that [`SealingKey::from_secret_bytes`] restores.
    #[must_use]
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> SealingPublicKey {
        self.public
    }

    /// The key's name in envelopes.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A sealing key's name in envelopes.
#[must_use]
pub fn sealing_key_id(public: &SealingPublicKey) -> KeyId {
    key_id("agent-mesh v1 id of a sealing key", public.as_bytes())
}

/// What two peers that have linked both know and nobody else does, relays and thieves of one sealing key
/// included.
#[derive(Clone)]
pub struct PairSecret {
    secret: Zeroizing<[u8; 32]>,
    key_id: KeyId,
}

impl PairSecret {
    /// Takes what TLS exported under [`PAIR_EXPORTER_LABEL`], or what was stored of it.
    #[must_use]
    pub fn from_bytes(secret: Zeroizing<[u8; 32]>) -> Self {
        let key_id = key_id("agent-mesh v1 id of a pair secret", &secret);
        Self { secret, key_id }
    }

    /// The secret itself, to be stored sealed.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The secret's name in envelopes and on links.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }
}

impl fmt::Debug for PairSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairSecret").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
