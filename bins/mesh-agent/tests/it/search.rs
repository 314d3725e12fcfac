//! Looks for a secret in bytes, in every form that it could be written down in.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Something that must not be found.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    pub(crate) what: String,
    forms: Vec<Vec<u8>>,
}

impl Needle {
    /// A text: as it stands.
    pub(crate) fn text(what: &str, text: &str) -> Self {
        Self { what: what.to_owned(), forms: vec![text.as_bytes().to_vec()] }
    }

    /// Bytes: raw, as hex, and as base64 wherever in a longer text they begin.
    pub(crate) fn bytes(what: &str, bytes: &[u8]) -> Self {
        let mut forms = vec![
            bytes.to_vec(),
            hex::encode(bytes).into_bytes(),
            hex::encode_upper(bytes).into_bytes(),
        ];
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for lead in 0..3 {
                let shifted = [&[0; 3][..lead], bytes].concat();
                let text = engine.encode(shifted);
                // The characters at both ends depend on what stands beside the bytes.
                let inner = &text[[0, 2, 3][lead]..text.len() - 1];
                forms.push(inner.as_bytes().to_vec());
            }
        }
        Self { what: what.to_owned(), forms }
    }

    pub(crate) fn is_in(&self, haystack: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(haystack, form))
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let mut from = haystack;
    while let Some(place) = from.iter().position(|byte| byte == first) {
        from = &from[place + 1..];
        if from.starts_with(rest) {
            return true;
        }
    }
    false
}

/// Which of `needles` are in `haystack`.
pub(crate) fn found<'a>(needles: &'a [Needle], haystack: &[u8]) -> Vec<&'a str> {
    needles
        .iter()
        .filter(|needle| needle.is_in(haystack))
        .map(|needle| needle.what.as_str())
        .collect()
}

/// Every file below `dir`.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_needle_is_found_in_every_form() {
    let secret: Vec<u8> = (1..=32).map(|byte| byte * 7).collect();
    let needle = Needle::bytes("secret", &secret);
    let mut forms = vec![secret.clone(), hex::encode(&secret).into_bytes()];
    for lead in 0..5 {
        let longer = [&[0xaa; 5][..lead], &secret, &[0xbb; 4][..]].concat();
        forms.push(URL_SAFE_NO_PAD.encode(&longer).into_bytes());
        forms.push(STANDARD_NO_PAD.encode(&longer).into_bytes());
    }
    for form in forms {
        let haystack = [b"before ".as_slice(), &form, b" behind"].concat();
        assert!(needle.is_in(&haystack), "{}", String::from_utf8_lossy(&haystack));
    }
    assert!(!needle.is_in(&secret[..31]));
}
