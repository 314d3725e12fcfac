//! HPKE contexts (RFC 9180 §5) of DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256, in mode PSK when there is a
//! pre-shared key, else in mode base.
//!
//! Generic over the AEAD, which takes part in the key schedule, so that every published vector of this
//! KEM and KDF runs through the code that messages run through.

use hpke::aead::{Aead, AeadCtxR, AeadCtxS};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{
    Deserializable as _, HpkeError, Kem, OpModeR, OpModeS, PskBundle, Serializable as _,
    setup_receiver, setup_sender_with_rng,
};
use mesh_protocol::KeyId;
use rand_core::CryptoRng;

use crate::PairSecret;

pub(crate) type SenderContext<A> = AeadCtxS<A, HkdfSha256, X25519HkdfSha256>;
pub(crate) type ReceiverContext<A> = AeadCtxR<A, HkdfSha256, X25519HkdfSha256>;

/// A secret that both sides have, and its public name.
#[derive(Clone, Copy)]
pub(crate) struct PreShared<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) id: &'a [u8],
}

impl<'a> PreShared<'a> {
    /// The pair's secret under its id.
    pub(crate) fn of(pair: Option<&'a PairSecret>, id: Option<&'a KeyId>) -> Option<Self> {
        pair.zip(id).map(|(pair, id)| Self { key: pair.bytes(), id: id.as_bytes() })
    }

    fn bundle(self) -> Result<PskBundle<'a>, HpkeError> {
        PskBundle::new(self.key, self.id)
    }
}

/// Encapsulates a fresh secret for `receiver`: what travels, and the sender's context.
pub(crate) fn setup_as_sender<A: Aead>(
    rng: &mut impl CryptoRng,
    receiver: &[u8; 32],
    info: &[u8],
    pre_shared: Option<PreShared<'_>>,
) -> Result<([u8; 32], SenderContext<A>), HpkeError> {
    let mode = match pre_shared {
        Some(pre_shared) => OpModeS::Psk(pre_shared.bundle()?),
        None => OpModeS::Base,
    };
    let receiver = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(receiver)?;
    let (encapsulated_key, context) =
        setup_sender_with_rng::<A, HkdfSha256, X25519HkdfSha256>(&mode, &receiver, info, rng)?;
    Ok((encapsulated_key.to_bytes().into(), context))
}

/// Takes the secret out of `encapsulated_key`: the receiver's context.
pub(crate) fn setup_as_receiver<A: Aead>(
    secret: &[u8; 32],
    encapsulated_key: &[u8; 32],
    info: &[u8],
    pre_shared: Option<PreShared<'_>>,
) -> Result<ReceiverContext<A>, HpkeError> {
    let mode = match pre_shared {
        Some(pre_shared) => OpModeR::Psk(pre_shared.bundle()?),
        None => OpModeR::Base,
    };
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret)?;
    let encapsulated_key = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated_key)?;
    setup_receiver(&mode, &secret, &encapsulated_key, info)
}

#[cfg(test)]
mod tests;
