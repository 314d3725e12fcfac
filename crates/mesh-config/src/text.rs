//! The text of a view: what a user's file says, and how the configuration is written into it.
//!
//! Accepted is JSON with what people write by hand: comments, commas at the end, single quotes, names
//! without quotes, `0x` numbers, `.5` and `+5`. Written is JSON, around whatever stays of the user's text.

use std::fmt;

use serde_json::Value;

use self::parse::Object;
use crate::{ConfigKey, Flat};

mod number;
mod parse;
mod place;
mod render;
mod trivia;
mod write;

pub use render::render_text;
pub(crate) use write::{SHOWN_BYTES_AROUND, shown_bytes};

/// The member that names what a text was rendered from. It stands first, and is no part of the document.
pub const REVISION_NAME: &str = "$revision";

/// Most objects and lists within one another, the outermost counted. Less than what JSON libraries take,
/// so that a value of a file fits into an entry, a change and a message.
pub const TEXT_DEPTH_MAX: usize = 100;

/// What a text says.
#[derive(Clone, Debug)]
pub struct ParsedText {
    /// Its content, an object, without the revision.
    pub document: Value,
    /// What it was rendered from.
    pub revision: Option<String>,
    /// Where members stand, sorted by their names within each object.
    layout: Object,
}

impl ParsedText {
    /// The line and column, both from 1, at which the name of a member begins. The key is relative to the
    /// document. `None` for what is not in the text, and for what is within a list.
    #[must_use]
    pub fn place_of(&self, key: &ConfigKey) -> Option<(u64, u64)> {
        let mut object = Some(&self.layout);
        let mut place = None;
        for name in key.segments() {
            let member = object?.find(name)?;
            place = Some((member.place.line, member.place.column));
            object = member.inner.as_ref();
        }
        place
    }
}

/// Why a text is no configuration, and where. It never repeats a value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct TextError {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, in characters.
    pub column: u64,
    /// What is wrong there.
    pub reason: String,
    /// What kind of mistake it is.
    pub kind: TextErrorKind,
}

/// What callers tell apart among broken texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextErrorKind {
    /// Nothing but white space, as a writer leaves behind that was interrupted after it opened the file.
    Empty,
    /// Bytes that are no UTF-8 text, or NUL.
    NotText,
    /// A list or a single value, or comments alone.
    NotAnObject,
    /// Anything else.
    Broken,
}

impl fmt::Display for TextErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty",
            Self::NotText => "not text",
            Self::NotAnObject => "not an object",
            Self::Broken => "broken",
        })
    }
}

/// Reads the text of a view. Linear in its length, which the caller bounds.
///
/// # Errors
/// [`TextError`] with the first mistake. No value is guessed, shortened, rounded or left out: what cannot be
/// kept as it stands is a mistake.
pub fn parse_text(bytes: &[u8]) -> Result<ParsedText, TextError> {
    let text = parse::decode(bytes)?;
    let mut parsed = parse::parse(text)?;
    parsed.layout.sort();
    Ok(ParsedText { document: parsed.document, revision: parsed.revision, layout: parsed.layout })
}

/// Names the content of a view: equal content has the same name on every member.
#[must_use]
pub fn revision_of(flat: &Flat) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut line = String::new();
    for (key, value) in flat {
        // Neither a key nor compact JSON holds a tab or a line end as it is, so lines cannot run together.
        line.clear();
        line.push_str(&key.to_string());
        line.push('\t');
        write::compact(&mut line, value);
        line.push('\n');
        hasher.update(line.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

#[cfg(test)]
mod tests;
