//! Lines and columns.

use super::{TextError, TextErrorKind};

/// A line and a column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// Walks through a text, so that all places of a parse together cost one pass.
#[derive(Debug)]
pub(super) struct Walk<'t> {
    text: &'t str,
    offset: usize,
    place: Place,
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, offset: 0, place: Place { line: 1, column: 1 } }
    }

    /// The place of a byte at or behind the one that was asked for before.
    pub(super) fn go_to(&mut self, offset: usize) -> Place {
        let passed = self.text.get(self.offset..offset).unwrap_or_default();
        let behind = self.text.as_bytes().get(offset).copied();
        let mut characters = passed.chars().peekable();
        while let Some(character) = characters.next() {
            let follows = characters.peek().map_or(behind, |next| u8::try_from(*next).ok());
            // A carriage return alone ends a line, and so a comment, too.
            if character == '\n' || (character == '\r' && follows != Some(b'\n')) {
                self.place = Place { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
        self.offset = offset.max(self.offset);
        self.place
    }
}

/// A mistake at a byte of the text.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) reason: String,
    pub(super) kind: TextErrorKind,
}

impl Mistake {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into(), kind: TextErrorKind::Broken }
    }

    pub(super) fn in_text(self, text: &str) -> TextError {
        let Place { line, column } = Walk::new(text).go_to(self.at);
        TextError { line, column, reason: self.reason, kind: self.kind }
    }
}
