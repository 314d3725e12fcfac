//! What the name of a field says of its value: `bot_token` holds a secret, `token_file` tells where one lies.

/// Single words that hold a secret.
const WORDS: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "pwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "privatekey",
];
/// In front of `key` these make it a secret.
const KEYS: [&str; 14] = [
    "api",
    "access",
    "account",
    "auth",
    "encryption",
    "license",
    "master",
    "node",
    "private",
    "secret",
    "service",
    "session",
    "signing",
    "store",
];
/// Behind a word for secrets these say that the value is about the secret, not the secret.
const ABOUT: [&str; 62] = [
    "alias",
    "arn",
    "at",
    "audience",
    "backend",
    "bytes",
    "class",
    "command",
    "count",
    "dir",
    "directory",
    "endpoint",
    "env",
    "expires",
    "expiry",
    "field",
    "file",
    "filename",
    "folder",
    "format",
    "header",
    "hint",
    "id",
    "ids",
    "issuer",
    "kind",
    "label",
    "length",
    "lifetime",
    "limit",
    "location",
    "manager",
    "max",
    "min",
    "mode",
    "name",
    "namespace",
    "note",
    "path",
    "pattern",
    "policy",
    "prefix",
    "provider",
    "ref",
    "reference",
    "regex",
    "required",
    "rotation",
    "rule",
    "scheme",
    "service",
    "size",
    "source",
    "status",
    "store",
    "title",
    "ttl",
    "type",
    "uri",
    "url",
    "usage",
    "version",
];
/// Anywhere in the name these say that the value may be seen by everybody.
const OPEN: [&str; 14] = [
    "blake",
    "blake3",
    "checksum",
    "commit",
    "digest",
    "etag",
    "fingerprint",
    "integrity",
    "md",
    "md5",
    "public",
    "pub",
    "sha",
    "sha256",
];

/// Whether the value of a field with this name is a secret. Words may be joined by signs or by capitals.
pub(crate) fn holds_secret(name: &[u8]) -> bool {
    let words = words(name);
    if words.iter().any(|word| OPEN.contains(&word.as_str())) {
        return false;
    }
    let mut last = None;
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        if is_secret(word)
            || word == "key" && before.is_some_and(|word| KEYS.contains(&word.as_str()))
        {
            last = Some(index);
        }
    }
    last.is_some_and(|last| !words.iter().skip(last + 1).any(|word| ABOUT.contains(&word.as_str())))
}

/// Whether the name says that its value is about something, or open to everybody.
pub(crate) fn is_about(name: &[u8]) -> bool {
    let words = words(name);
    words.last().is_some_and(|word| ABOUT.contains(&word.as_str()))
        || words.iter().any(|word| OPEN.contains(&word.as_str()))
}

/// Also `authtoken` and `tokens`, but not `tokenizer`.
fn is_secret(word: &str) -> bool {
    WORDS.iter().any(|secret| {
        word.ends_with(secret) || word.strip_suffix('s').is_some_and(|one| one.ends_with(secret))
    })
}

/// The words of `botToken`, `bot_token` or `BOT-TOKEN` in lower case, without numbers. Names are short: longer ones are
/// read from their end.
fn words(name: &[u8]) -> Vec<String> {
    const NAME_BYTES_MAX: usize = 256;
    let name = name.get(name.len().saturating_sub(NAME_BYTES_MAX)..).unwrap_or(name);
    let mut words: Vec<String> = Vec::new();
    let mut before = b'_';
    for byte in name.iter().copied() {
        if byte.is_ascii_alphanumeric() {
            let is_first = !before.is_ascii_alphanumeric()
                || (byte.is_ascii_uppercase() && before.is_ascii_lowercase());
            if is_first {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(char::from(byte.to_ascii_lowercase()));
            }
        }
        before = byte;
    }
    for word in &mut words {
        let trimmed = word.trim_end_matches(|last: char| last.is_ascii_digit());
        if !trimmed.is_empty() && !OPEN.contains(&word.as_str()) {
            *word = trimmed.to_owned();
        }
    }
    words
}

#[cfg(test)]
mod tests;
