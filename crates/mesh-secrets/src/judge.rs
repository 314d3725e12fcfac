//! What a value looks like: a placeholder, a path, a password, something random.
//!
//! **Random** is what no person would write. The threshold: 16 bytes or more, an entropy of 3 bits per byte or
//! more, and a change between lower case, upper case, digits and signs at every fourth byte or oftener. Entropy alone
//! takes `getAuthenticationTokenFromRequest` (3.9 bits) for a secret and a hexadecimal key (at most 4) for a word;
//! what tells them apart is that words keep to one kind of letter for a while. Letters of one case, where nothing changes, count
//! when six consonants follow one another.

/// Shorter values are not taken for random.
const RANDOM_BYTES_MIN: usize = 16;
/// Longer ones are judged by their start.
const JUDGED_BYTES_MAX: usize = 512;
/// Bits per byte: random hexadecimal digits have 3.3 or more from 16 on, `aaaabbbbccccdddd` has 2.
const ENTROPY_MIN: f64 = 3.0;
/// One change of kind in so many neighbours. English words in camel case: one in seven.
const CHANGES_EVERY: usize = 4;
/// No English word has so many consonants in a row as letters alone that were drawn.
const CONSONANTS_MIN: usize = 6;
const PASSWORD_BYTES_MIN: usize = 8;

/// Whether nobody would have written `value` by hand.
pub(crate) fn looks_random(value: &[u8]) -> bool {
    let value = value.get(..JUDGED_BYTES_MAX).unwrap_or(value);
    if value.len() < RANDOM_BYTES_MIN || entropy(value) < ENTROPY_MIN {
        return false;
    }
    // A capital goes on in lower case in every word of camel case.
    let changes = value.windows(2).filter(|pair| match pair {
        [a, b] => kind(*a) != kind(*b) && (kind(*a), kind(*b)) != (Kind::Upper, Kind::Lower),
        _ => false,
    });
    // A sign changes twice, so words joined by signs would count as much as what was drawn.
    let words = value.split(|byte| !byte.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let joints = (words.count().saturating_sub(1)) * 2;
    let changes = changes.count().saturating_sub(joints);
    let is_mixed = changes * CHANGES_EVERY >= value.len() - joints / 2;
    is_mixed || longest_run_of_consonants(value) >= CONSONANTS_MIN
}

/// Whether `value` is what people take for a password: letters with digits or signs among them.
pub(crate) fn looks_like_password(value: &[u8]) -> bool {
    let has = |what: fn(&u8) -> bool| value.iter().any(what);
    let is_sign =
        |byte: &u8| byte.is_ascii_punctuation() && !b"-_./:,;()[]{}<>\"'\\".contains(byte);
    value.len() >= PASSWORD_BYTES_MIN
        && !value.iter().any(u8::is_ascii_whitespace)
        && has(u8::is_ascii_alphabetic)
        && (has(u8::is_ascii_digit) || has(is_sign))
        && entropy(value) >= 2.0
}

/// Shannon's entropy of the bytes, in bits per byte.
pub(crate) fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let parts = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    parts.map(|part| -part * part.log2()).sum()
}

#[derive(PartialEq, Eq)]
enum Kind {
    Lower,
    Upper,
    Digit,
    Sign,
}

fn kind(byte: u8) -> Kind {
    match byte {
        b'a'..=b'z' => Kind::Lower,
        b'A'..=b'Z' => Kind::Upper,
        b'0'..=b'9' => Kind::Digit,
        _ => Kind::Sign,
    }
}

fn longest_run_of_consonants(value: &[u8]) -> usize {
    // Capitals are counted out: `XMLHttpRequest`.
    let ends = |byte: &u8| b"aeiouy".contains(byte) || !byte.is_ascii_lowercase();
    value.split(ends).map(<[u8]>::len).max().unwrap_or(0)
}

/// Words that stand for a value.
const STAND_INS: [&str; 43] = [
    "...",
    "***",
    "bearer",
    "bool",
    "boolean",
    "default",
    "disabled",
    "enabled",
    "env",
    "false",
    "file",
    "foo",
    "foobar",
    "generate",
    "generated",
    "hidden",
    "key",
    "missing",
    "nil",
    "no",
    "none",
    "null",
    "number",
    "omitted",
    "optional",
    "pass",
    "passwd",
    "password",
    "prompt",
    "pwd",
    "required",
    "secret",
    "string",
    "tbd",
    "test",
    "todo",
    "token",
    "true",
    "undefined",
    "unset",
    "user",
    "vault",
    "yes",
];
/// What a stand-in says of itself, wherever it says so.
const MARKS: [&[u8]; 14] = [
    b"example",
    b"changeme",
    b"change_me",
    b"change-me",
    b"change_this",
    b"placeholder",
    b"redacted",
    b"replace_me",
    b"replace-me",
    b"replaceme",
    b"xxxx",
    b"****",
    b"....",
    "…".as_bytes(),
];
/// What a stand-in or a reference begins with.
const STARTS: [&[u8]; 18] = [
    b"{{",
    b"%(",
    b"%{",
    b"#{",
    b"op://",
    b"env:",
    b"env.",
    b"file:",
    b"vault:",
    b"ref+",
    b"your-",
    b"your_",
    b"my-secret",
    b"secret://",
    b"keyring:",
    b"process.env",
    b"os.environ",
    b"id=",
];

/// Whether `value` only stands for a secret, or says where it lies.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let start = value.get(..JUDGED_BYTES_MAX).unwrap_or(value);
    let lower = start.to_ascii_lowercase();
    let holds = |mark: &[u8]| memchr::memmem::find(&lower, mark).is_some();
    let one = |byte: u8| value.iter().all(|other| *other == byte);
    value.first().is_none_or(|first| one(*first))
        || STAND_INS.iter().any(|word| word.as_bytes() == lower)
        || STARTS.iter().any(|start| lower.starts_with(start))
        || MARKS.iter().any(|mark| holds(mark))
        || (lower.starts_with(b"%") && lower.ends_with(b"%"))
        || (lower.starts_with(b"<") && lower.ends_with(b">"))
        || is_variable(value)
        || is_name_in_capitals(value)
        || is_path(value)
}

/// `$NAME`, `$env:NAME`, `$1`, `${NAME:-}`, `$(command)`, and a path that begins with one. A hash begins with `$` too:
/// `$2b$10$…`.
fn is_variable(value: &[u8]) -> bool {
    let Some(behind) = value.strip_prefix(b"$") else { return false };
    let closed = |close: u8| behind.iter().position(|byte| *byte == close).map(|at| at + 1);
    let end = match behind.first() {
        Some(b'{') => closed(b'}'),
        // A command has brackets of its own.
        Some(b'(') => behind.iter().rposition(|byte| *byte == b')').map(|at| at + 1),
        Some(_) | None => {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_:".contains(byte);
            let length = behind.iter().take_while(|byte| is_name(byte)).count();
            let name = behind.get(..length).unwrap_or_default();
            let is_numbered = name.first().is_some_and(u8::is_ascii_digit);
            (!(is_numbered && length > 1) && length > 0 && !looks_random(name)).then_some(length)
        }
    };
    let rest = end.and_then(|end| behind.get(end..));
    rest.is_some_and(|rest| rest.is_empty() || is_path(rest))
}

/// `TOKEN`, `YOUR_TOKEN_HERE`: what manuals write where a value goes.
fn is_name_in_capitals(value: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_numbered = digits == 0 || value.contains(&b'_') && digits * 3 <= value.len();
    is_numbered
        && value.iter().all(|byte| is_name(byte) || byte.is_ascii_digit())
        && (value.len() < RANDOM_BYTES_MIN || value.contains(&b'_'))
}

/// `/run/secrets/x`, `./x`, `~/x`, `C:\x`. Base64 begins with a slash too, but then goes on at random.
pub(crate) fn is_path(value: &[u8]) -> bool {
    let starts: [&[u8]; 4] = [b"/", b"./", b"../", b"~/"];
    let is_drive = matches!(value, [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic());
    let is_rooted = is_drive || starts.iter().any(|start| value.starts_with(start));
    is_rooted
        && !value.split(|byte| matches!(byte, b'/' | b'\\')).any(looks_random)
        && !(value.iter().filter(|byte| **byte == b'/').count() < 2 && looks_random(value))
}

#[cfg(test)]
mod tests;
