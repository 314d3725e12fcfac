//! AES-256-GCM in place, with the tag behind the ciphertext.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Nonce};

pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;

/// The key, nonce, context or bytes do not belong together, or there are more than 64 GiB of them.
#[derive(Debug)]
pub(crate) struct Refused;

/// Seals what stands in `buffer` from `start` on, and appends the tag. What stands before is left alone.
pub(crate) fn seal_in_place(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    context: &[u8],
    buffer: &mut Vec<u8>,
    start: usize,
) -> Result<(), Refused> {
    let plaintext = buffer.get_mut(start..).ok_or(Refused)?;
    let nonce: &Nonce<_> = nonce.into();
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(nonce, context, plaintext.into())
        .map_err(|_| Refused)?;
    buffer.reserve_exact(TAG_BYTES);
    buffer.extend_from_slice(&tag);
    Ok(())
}

/// Length of what is inside `sealed`.
pub(crate) fn opened_len(sealed: &[u8]) -> Result<usize, Refused> {
    sealed.len().checked_sub(TAG_BYTES).ok_or(Refused)
}

/// Opens `sealed` into `plaintext`, which has [`opened_len`], without a copy in between. The tag is checked
/// before anything is decrypted, so after a refusal `plaintext` is what it was.
pub(crate) fn open_into(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    context: &[u8],
    sealed: &[u8],
    plaintext: &mut [u8],
) -> Result<(), Refused> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(Refused)?;
    let buffer = InOutBuf::new(ciphertext, plaintext).map_err(|_| Refused)?;
    let nonce: &Nonce<_> = nonce.into();
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(nonce, context, buffer, tag.into())
        .map_err(|_| Refused)
}
