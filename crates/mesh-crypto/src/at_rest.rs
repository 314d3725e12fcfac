use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::AtRestError;
use crate::aead::{self, NONCE_BYTES, TAG_BYTES};

/// First byte of every sealed value: AES-256-GCM with a random nonce of 96 bits behind it.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + NONCE_BYTES;

/// Seals the secret columns of the database.
///
/// ```text
///  0         1         13                       n-16    n
///  | version |  nonce  |  ciphertext …          |  tag  |
/// ```
/// Nonces are random, so one key may seal 2³² values (NIST SP 800-38D §8.3): an agent seals a few a day.
#[derive(Clone)]
pub struct StoreKey {
    key: Zeroizing<[u8; 32]>,
}

impl StoreKey {
    /// Makes a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *key);
        Self { key }
    }

    /// Restores a key; every 32 bytes are one.
    #[must_use]
    pub const fn from_secret_bytes(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key }
    }

    /// The 32 bytes that [`StoreKey::from_secret_bytes`] restores.
    #[must_use]
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.key.clone()
    }

    /// Seals `plaintext` for the place that `context` names (table, column, row): the value opens
    /// nowhere else.
    ///
    /// # Panics
    /// For a plaintext of more than 64 GiB.
    #[must_use]
    pub fn seal(&self, rng: &mut impl CryptoRng, context: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let mut sealed = Vec::with_capacity(HEADER_BYTES + plaintext.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let outcome = aead::seal_in_place(&self.key, &nonce, context, &mut sealed, HEADER_BYTES);
        #[expect(
            clippy::expect_used,
            reason = "the buffer holds the header, and no column 64 GiB"
        )]
        outcome.expect("a column fits AES-GCM");
        sealed
    }

    /// Opens what [`StoreKey::seal`] made for the same `context`.
    ///
    /// # Errors
    /// [`AtRestError`]; nothing of the content is handed out.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AtRestError> {
        let Some((&VERSION, body)) = sealed.split_first() else {
            return Err(AtRestError::Version);
        };
        let (nonce, ciphertext) =
            body.split_first_chunk::<NONCE_BYTES>().ok_or(AtRestError::Sealed)?;
        let len = aead::opened_len(ciphertext).map_err(|_| AtRestError::Sealed)?;
        let mut plaintext = Zeroizing::new(vec![0; len]);
        aead::open_into(&self.key, nonce, context, ciphertext, &mut plaintext)
            .map_err(|_| AtRestError::Sealed)?;
        Ok(plaintext)
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreKey").finish_non_exhaustive()
    }
}
