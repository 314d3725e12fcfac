//! The one place that names bincode: little-endian, fixed-width integers, complete slices only.

use std::fmt;
use std::marker::PhantomData;

use bincode::Options;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{DecodeError, EncodeError};

/// Encodes `value`, refusing what would exceed `bytes_max`.
pub(crate) fn encode<T: Serialize>(value: &T, bytes_max: usize) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    encode_into(value, bytes_max, &mut bytes)?;
    Ok(bytes)
}

/// Encodes `value` behind what `bytes` holds already, so that a structure inside another one is written
/// once, where it stays. After an error `bytes` may hold a part of it.
pub(crate) fn encode_into<T: Serialize>(
    value: &T,
    bytes_max: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let too_large = |_| EncodeError::TooLarge { bytes_max };
    let options =
        bincode::DefaultOptions::new().with_limit(bytes_max as u64).with_fixint_encoding();
    let size = options.serialized_size(value).map_err(too_large)?;
    bytes.reserve_exact(usize::try_from(size).unwrap_or(0));
    options.serialize_into(bytes, value).map_err(too_large)
}

/// Writes a byte string whose content `write` appends: a length and the bytes. Says how many they are.
pub(crate) fn byte_string_into(
    bytes: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<usize, EncodeError> {
    const LENGTH_BYTES: usize = size_of::<u64>();
    let length_at = bytes.len();
    bytes.extend_from_slice(&[0; LENGTH_BYTES]);
    write(bytes)?;
    let count = bytes.len() - length_at - LENGTH_BYTES;
    if let Some(length) = bytes.get_mut(length_at..length_at + LENGTH_BYTES) {
        length.copy_from_slice(&(count as u64).to_le_bytes());
    }
    Ok(count)
}

/// Decodes all of `bytes`. Lengths inside are checked against what is left before anything is allocated.
///
/// With `is_newer` (the sender speaks a newer minor version) bytes behind the known fields are
/// skipped: that is where a newer minor version puts its additions.
pub(crate) fn decode<'de, T: Deserialize<'de>>(
    what: &'static str,
    bytes: &'de [u8],
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

/// Names what holds more than its stated bound.
pub(crate) const fn check_count(
    what: &'static str,
    count: usize,
    count_max: usize,
) -> Result<(), &'static str> {
    if count > count_max { Err(what) } else { Ok(()) }
}

/// Reads a collection. Its announced length is checked against `COUNT_MAX` before the first element
/// is read, and room is made for elements that came, never for elements that were announced.
pub(crate) fn list<'de, D, T, const COUNT_MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(ListVisitor::<T, COUNT_MAX>(PhantomData))
}

struct ListVisitor<T, const COUNT_MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const COUNT_MAX: usize> Visitor<'de> for ListVisitor<T, COUNT_MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {COUNT_MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        if let Some(announced) = elements.size_hint().filter(|count| *count > COUNT_MAX) {
            return Err(A::Error::invalid_length(announced, &self));
        }
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() == COUNT_MAX {
                return Err(A::Error::invalid_length(list.len() + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}

/// Shows how many bytes there are instead of the bytes: what they say is the user's.
pub(crate) struct ByteCount(pub(crate) usize);

impl fmt::Debug for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// The form of replicated changes: as the rest, but with integers as short as they can be written, because
/// most of a change are lengths, lives, counters and small numbers (docs/decisions/0012).
pub(crate) mod compact {
    use bincode::Options;
    use serde::{Deserialize, Serialize};

    use crate::{DecodeError, EncodeError};

    pub(crate) fn encode<T: Serialize>(
        value: &T,
        bytes_max: usize,
    ) -> Result<Vec<u8>, EncodeError> {
        bincode::DefaultOptions::new()
            .with_limit(bytes_max as u64)
            .with_varint_encoding()
            .serialize(value)
            .map_err(|_| EncodeError::TooLarge { bytes_max })
    }

    pub(crate) fn decode<'de, T: Deserialize<'de>>(
        what: &'static str,
        bytes: &'de [u8],
        bytes_max: usize,
    ) -> Result<T, DecodeError> {
        if bytes.len() > bytes_max {
            return Err(DecodeError::TooLarge { bytes: bytes.len() as u64, bytes_max });
        }
        bincode::DefaultOptions::new()
            .with_limit(bytes.len() as u64)
            .with_varint_encoding()
            .reject_trailing_bytes()
            .deserialize(bytes)
            .map_err(|_| DecodeError::Malformed { what })
    }

    /// Decodes what stands at the beginning.
    pub(crate) fn decode_prefix<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
        bincode::DefaultOptions::new()
            .with_limit(bytes.len() as u64)
            .with_varint_encoding()
            .allow_trailing_bytes()
            .deserialize(bytes)
            .ok()
    }
}

/// A fixed-size byte string: its bytes and nothing else, because both sides know the length.
pub(crate) mod fixed {
    use std::fmt;

    use serde::de::{Error as _, SeqAccess, Visitor};
    use serde::ser::SerializeTuple as _;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N)?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        deserializer.deserialize_tuple(N, FixedVisitor::<N>)
    }

    struct FixedVisitor<const N: usize>;

    impl<'de, const N: usize> Visitor<'de> for FixedVisitor<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
            let mut bytes = [0; N];
            for (index, byte) in bytes.iter_mut().enumerate() {
                let element = elements.next_element()?;
                *byte = element.ok_or_else(|| A::Error::invalid_length(index, &self))?;
            }
            Ok(bytes)
        }
    }
}

/// Base64 in JSON; on the wire a length and the bytes.
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

/// A fixed-size byte string: base64 in JSON, [`fixed`] on the wire.
pub(crate) mod binary_array {
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            super::binary::serialize(bytes, serializer)
        } else {
            super::fixed::serialize(bytes, serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        if deserializer.is_human_readable() {
            let bytes = super::binary::deserialize(deserializer)?;
            bytes.try_into().map_err(|_| serde::de::Error::custom("wrong length of a byte string"))
        } else {
            super::fixed::deserialize(deserializer)
        }
    }
}
