//! What sealing and opening have in common: the signed bytes and the message's key.

use hpke::HpkeError;
use mesh_protocol::{Envelope, KeyId, MessageId, PeerId};
use zeroize::Zeroizing;

use crate::{Domain, digest, verify};

const INFO_LABEL: &[u8] = b"agent-mesh/v1/seal\0";
const MESSAGE_KEY_LABEL: &[u8] = b"agent-mesh/v1/message-key\0";

/// A message's key is used for one message, so the nonce needs no value of its own.
pub(crate) const MESSAGE_NONCE: [u8; crate::aead::NONCE_BYTES] = [0; crate::aead::NONCE_BYTES];

/// Binds a context to the two peers: an encapsulation that is copied into another sender's envelope
/// leads to other keys.
pub(crate) fn context_info(from: &PeerId, to: &PeerId, sealing_key_id: &KeyId) -> Vec<u8> {
    [
        INFO_LABEL,
        from.as_bytes().as_slice(),
        to.as_bytes().as_slice(),
        sealing_key_id.as_bytes().as_slice(),
    ]
    .concat()
}

/// The key of one message, taken from a context's exporter (RFC 9180 §5.3).
pub(crate) fn message_key(
    export: impl FnOnce(&[u8], &mut [u8]) -> Result<(), HpkeError>,
    salt: &[u8; 16],
    message_id: &MessageId,
) -> Result<Zeroizing<[u8; 32]>, HpkeError> {
    let context = [MESSAGE_KEY_LABEL, salt.as_slice(), message_id.as_bytes().as_slice()].concat();
    let mut key = Zeroizing::new([0; 32]);
    export(&context, &mut *key)?;
    Ok(key)
}

/// What an envelope's signature is over: its header's exact bytes, and its ciphertext by digest, so that
/// signing reads the ciphertext once (Ed25519 alone reads it twice, at a quarter of the speed).
pub(crate) fn signing_bytes(header: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    [header, digest(ciphertext).as_slice()].concat()
}

/// Whether header and ciphertext are signed by the sender that the header names: all that a relay can
/// check, and enough to know whose fault a bad envelope is.
#[must_use]
pub fn verify_envelope(envelope: &Envelope) -> bool {
    envelope.header.encode().is_ok_and(|header| is_signed(envelope, &header))
}

pub(crate) fn is_signed(envelope: &Envelope, header: &[u8]) -> bool {
    let signed = signing_bytes(header, &envelope.ciphertext);
    verify(&envelope.header.from, Domain::Envelope, &signed, &envelope.signature)
}
