//! A peer's public key as TLS raw public keys carry it (RFC 7250 with RFC 8410 §4).

use ed25519_dalek::VerifyingKey;
use mesh_protocol::PeerId;

/// SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING (256 bits) }: of a fixed length, so in DER there is
/// exactly one form, and comparing bytes is parsing.
const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The peer's key as `SubjectPublicKeyInfo`.
#[must_use]
pub fn spki_der(peer: &PeerId) -> Vec<u8> {
    [PREFIX.as_slice(), peer.as_bytes()].concat()
}

/// The peer whose key `der` is; none when it is anything but one Ed25519 key that can sign.
#[must_use]
pub fn peer_id_from_spki(der: &[u8]) -> Option<PeerId> {
    let key: &[u8; 32] = der.strip_prefix(&PREFIX)?.try_into().ok()?;
    let point = VerifyingKey::from_bytes(key).ok()?;
    (!point.is_weak()).then_some(PeerId::from_bytes(*key))
}
