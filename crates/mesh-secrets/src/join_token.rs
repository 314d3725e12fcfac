//! This project's own join tokens, found exactly: fixed prefix, layout and checksum (`docs/protocol.md`).

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const CHECKSUM_PURPOSE: &str = "agent-mesh v1 checksum of a join token";
const CHECKSUM_BYTES: usize = 8;
/// Mesh id, issuer, token id, expiry, secret; the number of addresses stands behind them.
const COUNT_AT: usize = 32 + 32 + 16 + 8 + 32;

/// What stands behind a token is read with it when it has the same letters.
const READER: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Whether `encoded`, the letters behind the prefix, begins with the rest of a token.
pub(crate) fn is_join_token(encoded: &[u8]) -> bool {
    // One letter more than a multiple of four holds no byte.
    let letters = encoded.len() - usize::from(encoded.len() % 4 == 1);
    let bytes = encoded.get(..letters).and_then(|letters| READER.decode(letters).ok());
    bytes.is_some_and(|bytes| body_bytes(&bytes).is_some_and(|length| has_checksum(&bytes, length)))
}

fn body_bytes(bytes: &[u8]) -> Option<usize> {
    let mut at = COUNT_AT + 1;
    for _ in 0..*bytes.get(COUNT_AT)? {
        let length = bytes.get(at..)?.first_chunk()?;
        at += 2 + usize::from(u16::from_le_bytes(*length));
    }
    Some(at)
}

fn has_checksum(bytes: &[u8], body_bytes: usize) -> bool {
    let Some((body, rest)) = bytes.split_at_checked(body_bytes) else { return false };
    rest.get(..CHECKSUM_BYTES)
        .is_some_and(|sum| blake3::derive_key(CHECKSUM_PURPOSE, body).starts_with(sum))
}

#[cfg(test)]
mod tests;
