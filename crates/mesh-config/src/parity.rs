//! Whether two members have the same configuration, and since when they do not.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{ConfigKey, EntryValue};

mod drift;

pub use drift::{DRIFT_KEYS_MAX, Drift, DriftNews};

/// How many ranges the keys are divided into.
pub const RANGES: usize = 256;

/// Stands for a value: equal for equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueDigest([u8; 16]);

/// Stands for all keys and values of a configuration, by range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests(Vec<[u8; 16]>);

/// What is not the same at a peer, in terms of the configuration of whoever asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parity {
    /// Keys that the peer lacks.
    pub missing: Vec<ConfigKey>,
    /// Keys that only the peer has.
    pub extra: Vec<ConfigKey>,
    /// Keys that have another value there.
    pub different: Vec<ConfigKey>,
}

/// The range that a key belongs to: the first byte of its text's BLAKE3.
#[must_use]
pub fn range_of(key: &ConfigKey) -> u8 {
    let [first, ..] = *blake3::hash(key.to_string().as_bytes()).as_bytes();
    first
}

impl ValueDigest {
    /// The digest of a value; of a sealed one of its envelopes, as they are the same everywhere.
    #[must_use]
    pub fn of(value: &EntryValue) -> Self {
        let mut hasher = blake3::Hasher::new();
        match value {
            EntryValue::Plain(value) => {
                hasher.update(b"value\0");
                hash_value(&mut hasher, value);
            }
            EntryValue::Sealed(sealed) => {
                hasher.update(b"sealed\0");
                for envelope in &sealed.envelopes {
                    hasher.update(envelope.to.as_bytes());
                    hash_text(&mut hasher, &envelope.data);
                }
            }
        }
        Self(first_half(&hasher))
    }

    /// The digest of a value of a document or a file.
    #[must_use]
    pub fn of_plain(value: &Value) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"value\0");
        hash_value(&mut hasher, value);
        Self(first_half(&hasher))
    }

    /// As it travels.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As it came.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

fn first_half(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut half = [0; 16];
    hasher.finalize_xof().fill(&mut half);
    half
}

/// Canonical: members in the order of their names, whatever the order of the map.
fn hash_value(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            hasher.update(b"{");
            hasher.update(&(sorted.len() as u64).to_le_bytes());
            for (name, member) in sorted {
                hash_text(hasher, name);
                hash_value(hasher, member);
            }
        }
        Value::Array(items) => {
            hasher.update(b"[");
            hasher.update(&(items.len() as u64).to_le_bytes());
            for item in items {
                hash_value(hasher, item);
            }
        }
        Value::String(text) => {
            hasher.update(b"\"");
            hash_text(hasher, text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            hasher.update(b"=");
            hash_text(hasher, &value.to_string());
        }
    }
}

fn hash_text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

impl Digests {
    /// The digests of these keys with their values.
    #[must_use]
    pub fn of<'k>(entries: impl IntoIterator<Item = (&'k ConfigKey, ValueDigest)>) -> Self {
        let mut ranges: BTreeMap<u8, BTreeMap<String, ValueDigest>> = BTreeMap::new();
        for (key, digest) in entries {
            ranges.entry(range_of(key)).or_default().insert(key.to_string(), digest);
        }
        let mut digests = vec![[0; 16]; RANGES];
        for (range, keys) in ranges {
            let mut hasher = blake3::Hasher::new();
            for (key, digest) in keys {
                hash_text(&mut hasher, &key);
                hasher.update(&digest.0);
            }
            if let Some(place) = digests.get_mut(usize::from(range)) {
                *place = first_half(&hasher);
            }
        }
        Self(digests)
    }

    /// As they travel: 16 bytes for each range.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// As they came; none when that is not 16 bytes for each range.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (digests, rest) = bytes.as_chunks::<16>();
        (digests.len() == RANGES && rest.is_empty()).then(|| Self(digests.to_vec()))
    }
}

/// The ranges in which two configurations differ.
#[must_use]
pub fn differing(mine: &Digests, theirs: &Digests) -> Vec<u8> {
    let pairs = (0..=u8::MAX).zip(mine.0.iter().zip(&theirs.0));
    pairs.filter(|(_, (mine, theirs))| mine != theirs).map(|(range, _)| range).collect()
}

/// What of these keys is not the same at the peer.
#[must_use]
pub fn compare(
    mine: &BTreeMap<ConfigKey, ValueDigest>,
    theirs: &BTreeMap<ConfigKey, ValueDigest>,
) -> Parity {
    let mut parity = Parity::default();
    for (key, digest) in mine {
        match theirs.get(key) {
            None => parity.missing.push(key.clone()),
            Some(other) if other != digest => parity.different.push(key.clone()),
            Some(_) => {}
        }
    }
    parity.extra = theirs.keys().filter(|key| !mine.contains_key(*key)).cloned().collect();
    parity
}

impl Parity {
    /// Whether there is no difference.
    #[must_use]
    pub const fn is_in_sync(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty()
    }

    /// How many keys are not the same.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.missing.len() + self.extra.len() + self.different.len()
    }
}

#[cfg(test)]
mod tests;
