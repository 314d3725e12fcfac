//! Secrets as text: base64url without padding, through buffers that are zeroed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Length of the text that `bytes` bytes become.
pub(crate) const fn text_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Appends `bytes` to `text`, which must have room: growing would leave a copy of a secret behind.
pub(crate) fn push(text: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// Reads a text that has exactly one form: other characters, padding or stray bits at its end are refused.
pub(crate) fn read(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    URL_SAFE_NO_PAD.decode(text).ok().map(Zeroizing::new)
}

/// Reads a text of exactly `N` bytes.
pub(crate) fn read_array<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let bytes = read(text)?;
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}
