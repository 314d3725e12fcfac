use mesh_protocol::{KeyId, RecordId};

/// BLAKE3 of `bytes`.
#[must_use]
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Digest of a set of records: equal on two members exactly when they have the same records.
///
/// The ids come in ascending order, each once; another order is another digest.
#[must_use]
pub fn records_digest(ids: impl IntoIterator<Item = RecordId>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("agent-mesh v1 digest of a set of records");
    for id in ids {
        hasher.update(id.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Names a key by a truncated digest. `purpose` keeps the names of different kinds of key apart, and
/// keeps what is shown from being the digest of a secret that anything else uses.
pub(crate) fn key_id(purpose: &str, key: &[u8; 32]) -> KeyId {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
        blake3::derive_key(purpose, key);
    KeyId::from_bytes(id)
}

/// Eight bytes that catch a text that was cut short or altered by accident. They prove nothing else.
pub(crate) fn checksum(purpose: &str, bytes: &[u8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key(purpose, bytes);
    [a, b, c, d, e, f, g, h]
}
