//! The one place that names bincode: little-endian, fixed-width integers, complete slices only.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DecodeError, EncodeError};

/// Encodes `value`, refusing what would exceed `bytes_max`.
pub(crate) fn encode<T: Serialize>(value: &T, bytes_max: usize) -> Result<Vec<u8>, EncodeError> {
    bincode::DefaultOptions::new()
        .with_limit(bytes_max as u64)
        .with_fixint_encoding()
        .serialize(value)
        .map_err(|_| EncodeError::TooLarge { bytes_max })
}

/// Decodes all of `bytes`. Lengths inside are checked against what is left before anything is allocated.
///
/// With `is_newer` (the sender speaks a newer minor version) bytes behind the known fields are
/// skipped: that is where a newer minor version puts its additions.
pub(crate) fn decode<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
    is_newer: bool,
) -> Result<T, DecodeError> {
    let options =
        bincode::DefaultOptions::new().with_limit(bytes.len() as u64).with_fixint_encoding();
    let decoded = if is_newer {
        options.allow_trailing_bytes().deserialize(bytes)
    } else {
        options.reject_trailing_bytes().deserialize(bytes)
    };
    decoded.map_err(|_| DecodeError::Malformed { what })
}

/// Refuses a collection that holds more than its stated bound.
pub(crate) const fn check_count(
    what: &'static str,
    count: usize,
    count_max: usize,
) -> Result<(), DecodeError> {
    if count > count_max { Err(DecodeError::Malformed { what }) } else { Ok(()) }
}

/// Base64 in JSON, a byte string on the wire.
pub(crate) mod binary {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(bytes))
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            STANDARD.decode(text).map_err(serde::de::Error::custom)
        } else {
            serde_bytes::deserialize(deserializer)
        }
    }
}

/// A fixed-size byte string: base64 in JSON, raw bytes on the wire.
pub(crate) mod binary_array {
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            super::binary::serialize(bytes, serializer)
        } else {
            serde_bytes::serialize(&serde_bytes::ByteArray::new(*bytes), serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        if deserializer.is_human_readable() {
            let bytes = super::binary::deserialize(deserializer)?;
            bytes.try_into().map_err(|_| serde::de::Error::custom("wrong length of a byte string"))
        } else {
            serde_bytes::deserialize::<serde_bytes::ByteArray<N>, D>(deserializer)
                .map(serde_bytes::ByteArray::into_array)
        }
    }
}
