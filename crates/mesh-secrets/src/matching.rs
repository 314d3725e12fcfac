//! The rules, compiled once for a process, and carried out on one line.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::bytes::{Captures, Regex, RegexBuilder};

use crate::judge::{entropy, is_placeholder, looks_like_password, looks_random};
use crate::key::{holds_secret, is_about};
use crate::rule::{Check, RULES, Rule};
use crate::{ScanError, join_token, table};

/// Below this a shape is a drawing of the shape: `AKIA` and sixteen times the same letter.
const SHAPE_ENTROPY_MIN: f64 = 2.5;
/// How far before and behind hexadecimal digits a word for secrets is looked for.
const WORD_BEFORE_BYTES_MAX: usize = 64;
const WORD_BEHIND_BYTES_MAX: usize = 24;

/// A set of rules, and whether a table begins: one bit each.
pub(crate) type Called = u64;
/// The line may be the second of a table.
pub(crate) const CALLED_TABLE: Called = 1 << 63;

/// Keywords and expressions, ready to be looked for.
pub(crate) struct Compiled {
    words: AhoCorasick,
    /// Which rules a word calls, by its number.
    calls: Vec<Called>,
    expressions: Vec<Regex>,
}

static COMPILED: LazyLock<Option<Compiled>> = LazyLock::new(Compiled::new);

/// The rules of this build.
pub(crate) fn compiled() -> Result<&'static Compiled, ScanError> {
    COMPILED.as_ref().ok_or(ScanError::Rules)
}

impl Compiled {
    fn new() -> Option<Self> {
        let mut words: Vec<&str> = Vec::new();
        let mut calls: Vec<Called> = Vec::new();
        let mut call = |word: &'static str, bit: Called| match words
            .iter()
            .position(|known| *known == word)
            .and_then(|known| calls.get_mut(known))
        {
            Some(known) => *known |= bit,
            None => {
                words.push(word);
                calls.push(bit);
            }
        };
        for (index, rule) in RULES.iter().enumerate() {
            rule.keywords.iter().for_each(|word| call(word, 1 << index));
        }
        table::STARTS.iter().for_each(|word| call(word, CALLED_TABLE));
        let expressions =
            RULES.iter().map(|rule| RegexBuilder::new(rule.expression).unicode(false).build());
        Some(Self {
            words: AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::DFA))
                .build(&words)
                .ok()?,
            calls,
            expressions: expressions.collect::<Result<_, _>>().ok()?,
        })
    }

    /// The keywords in `text`: where each begins, and whom it calls. The places of their ends ascend.
    pub(crate) fn keywords<'t>(
        &'t self,
        text: &'t [u8],
    ) -> impl Iterator<Item = (usize, Called)> + 't {
        let calls = |word: usize| self.calls.get(word).copied().unwrap_or(0);
        self.words
            .find_overlapping_iter(text)
            .map(move |found| (found.start(), calls(found.pattern().as_usize())))
    }

    /// Which rules are called to `text`.
    pub(crate) fn called(&self, text: &[u8]) -> Called {
        self.keywords(text).fold(0, |all, (_, called)| all | called)
    }

    /// Carries out the called rules on one line.
    pub(crate) fn scan_line(
        &self,
        line: &[u8],
        called: Called,
        mut found: impl FnMut(&'static Rule, Range<usize>),
    ) {
        for (index, (rule, expression)) in RULES.iter().zip(&self.expressions).enumerate() {
            if called & (1 << index) == 0 {
                continue;
            }
            for captures in expression.captures_iter(line) {
                if let Some(range) = judge(rule.check, line, &captures) {
                    found(rule, range);
                }
            }
        }
    }
}

/// Where the secret stands, if the match is one.
fn judge(check: Check, line: &[u8], captures: &Captures<'_>) -> Option<Range<usize>> {
    let whole = captures.get(0)?;
    let named = ["v", "q", "d", "u", "w"].into_iter().find_map(|name| captures.name(name));
    let name = captures.name("k");
    let user = name.filter(|_| check == Check::UserInfo);
    let value = named.or(user).unwrap_or(whole);
    let text = value.as_bytes();
    let name = name.map_or(&[][..], |name| name.as_bytes());
    let is_quoted = captures.name("q").or_else(|| captures.name("d")).is_some();
    let is_secret = match check {
        Check::Mark => true,
        Check::Shape => !is_placeholder(text) && entropy(text) >= SHAPE_ENTROPY_MIN,
        Check::Random => !is_placeholder(text) && looks_random(text),
        Check::Basic => is_basic(text),
        Check::Jwt => is_jwt(text),
        Check::JoinToken => join_token::is_join_token(text),
        Check::UserInfo => match captures.name("v") {
            Some(_) => !is_placeholder(text),
            // A token alone, in the place of the user.
            None => !is_placeholder(text) && looks_random(text),
        },
        Check::Flag => holds_secret(name) && is_given(text, is_quoted),
        Check::ShortFlag => {
            let is_likely = looks_random(text) || looks_like_password(text);
            !is_placeholder(text) && (!is_quoted || is_likely && !is_expression(text))
        }
        Check::Assigned => {
            let sign = captures.name("s").map_or(&[][..], |sign| sign.as_bytes());
            let behind = line.get(value.end()).copied();
            is_assigned(name, sign, text, is_quoted, behind)
        }
        Check::BesideWord => {
            entropy(text) >= SHAPE_ENTROPY_MIN && is_beside_word(line, value.range())
        }
    };
    is_secret.then(|| value.range())
}

/// A regular expression, which `-p` stands for as often as for a password.
fn is_expression(value: &[u8]) -> bool {
    value.iter().filter(|byte| b"()[]{}\\".contains(byte)).count() >= 2
}

/// A value on a command line. Prose about flags goes on in words.
fn is_given(value: &[u8], is_quoted: bool) -> bool {
    let is_sign =
        |byte: &u8| byte.is_ascii_punctuation() && !b"-_./:,;()[]{}<>|\"'\\=".contains(byte);
    let is_written = value.iter().any(|byte| byte.is_ascii_digit() || is_sign(byte));
    let is_prose = value.contains(&b' ') && !is_written;
    !is_placeholder(value)
        && !value.starts_with(b"-")
        && (is_quoted || !value.iter().any(|byte| b"([{<".contains(byte)))
        && (looks_random(value) || is_written || is_quoted && !is_prose)
}

fn is_assigned(
    name: &[u8],
    sign: &[u8],
    value: &[u8],
    is_quoted: bool,
    behind: Option<u8>,
) -> bool {
    let ends = |byte: &u8| b".,;:!?".contains(byte);
    let kept = value.len() - value.iter().rev().take_while(|byte| ends(byte)).count();
    let value = value.get(..kept).unwrap_or(value);
    let calls: &[u8] = if sign == b">" { b"([{" } else { b"([{<" };
    let is_called = !is_quoted && behind.is_some_and(|behind| calls.contains(&behind));
    // `Secrets::Aes128`: the first of two signs.
    let is_half = value.first().is_some_and(|first| b":=>".contains(first));
    if is_called
        || is_half
        || sign == b"," && !is_quoted
        || is_placeholder(value)
        || !holds_secret(name)
    {
        return false;
    }
    if looks_random(value) {
        return true;
    }
    // A password is shorter than what is drawn by chance, so more is asked of what stands around it.
    let is_password = is_for_passwords(name) && !matches!(sign, b"" | b"," | b"==");
    is_password && looks_like_password(value) && (is_quoted || !is_code(value))
}

fn is_for_passwords(name: &[u8]) -> bool {
    let words: [&[u8]; 5] = [b"pass", b"pwd", b"secret", b"token", b"key"];
    let lower = name.to_ascii_lowercase();
    words.iter().any(|word| memchr::memmem::find(&lower, word).is_some())
}

/// `config.auth2`, `password2`, `self->x1`: names of other things.
fn is_code(value: &[u8]) -> bool {
    let is_name = |part: &[u8]| {
        part.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let is_dotted = value.contains(&b'.') && value.split(|byte| *byte == b'.').all(is_name);
    let operators: [&[u8]; 8] = [b"->", b"::", b"=>", b"&&", b"||", b"==", b"!=", b"?."];
    is_dotted
        || is_name(value) && holds_secret(value)
        || value.starts_with(b"&")
        || value.starts_with(b"*")
        || value.starts_with(b"@")
        || value.starts_with(b"!")
        || operators.iter().any(|operator| memchr::memmem::find(value, operator).is_some())
}

fn is_beside_word(line: &[u8], value: Range<usize>) -> bool {
    let before =
        line.get(value.start.saturating_sub(WORD_BEFORE_BYTES_MAX)..value.start).unwrap_or(&[]);
    let behind = line.get(value.end..).unwrap_or(&[]);
    let behind = behind.get(..WORD_BEHIND_BYTES_MAX).unwrap_or(behind);
    // `HEX  name` is a line of a list of checksums.
    let is_first = before.trim_ascii().is_empty();
    let near = [before, if is_first { &[] } else { behind }];
    let is_open = names(before).any(is_about);
    !is_open && near.into_iter().flat_map(names).any(holds_secret)
}

/// The names in a text; those of files tell nothing of what stands beside them.
fn names(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parts =
        text.split(|byte| byte.is_ascii_whitespace() || b"\"'`=:,;()<>[]{}|".contains(byte));
    parts
        .map(|part| part.strip_suffix(b".").unwrap_or(part))
        .filter(|part| !part.is_empty() && !part.contains(&b'.') && !part.contains(&b'/'))
}

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, BASE64);
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, BASE64);

fn is_basic(value: &[u8]) -> bool {
    let Ok(decoded) = PLAIN.decode(value).or_else(|_| URL.decode(value)) else { return false };
    let Some(colon) = memchr::memchr(b':', &decoded) else { return false };
    let password = decoded.get(colon + 1..).unwrap_or(&[]);
    decoded.iter().all(|byte| !byte.is_ascii_control()) && !is_placeholder(password)
}

fn is_jwt(header: &[u8]) -> bool {
    let words: [&[u8]; 3] = [b"\"alg\"", b"\"typ\"", b"\"enc\""];
    URL.decode(header)
        .is_ok_and(|json| words.iter().any(|word| memchr::memmem::find(&json, word).is_some()))
}
