//! From text to a document, and to where its members stand.

use std::borrow::Cow;

use jsonc_parser::tokens::Token;
use jsonc_parser::{Scanner, ScannerOptions};
use serde_json::{Map, Value};

use super::number::number;
use super::place::{Mistake, Place, Walk};
use super::{REVISION_NAME, TEXT_DEPTH_MAX, TextError, TextErrorKind};

/// An object of the text: where it and its members stand.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// The byte of its opening brace.
    pub(super) open: usize,
    /// The byte of its closing brace.
    pub(super) close: usize,
    /// Its members, in their order in the text.
    pub(super) members: Vec<Member>,
}

/// A member of an object of the text.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The first byte of the name.
    pub(super) start: usize,
    /// Where the name begins, for people.
    pub(super) place: Place,
    /// The first byte of the value.
    pub(super) value_start: usize,
    /// The byte behind the value.
    pub(super) value_end: usize,
    /// The byte of the comma behind it.
    pub(super) comma: Option<usize>,
    /// Its value's members, if that is an object.
    pub(super) inner: Option<Object>,
}

impl Object {
    pub(super) fn sort(&mut self) {
        self.members.sort_by(|left, right| left.name.cmp(&right.name));
        for member in &mut self.members {
            if let Some(inner) = &mut member.inner {
                inner.sort();
            }
        }
    }

    /// A member of a sorted object.
    pub(super) fn find(&self, name: &str) -> Option<&Member> {
        let at = self.members.binary_search_by(|member| member.name.as_str().cmp(name)).ok()?;
        self.members.get(at)
    }
}

/// What a text says, and where.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The content without the revision.
    pub(super) document: Value,
    pub(super) revision: Option<String>,
    /// Where everything stands, the revision included.
    pub(super) layout: Object,
}

impl Parsed {
    /// The content with the revision.
    pub(super) fn into_members(self) -> (Map<String, Value>, Object) {
        let Value::Object(mut members) = self.document else { return (Map::new(), self.layout) };
        if let Some(revision) = self.revision {
            members.insert(REVISION_NAME.to_owned(), Value::String(revision));
        }
        (members, self.layout)
    }
}

/// The text in these bytes, without the mark of the byte order that some editors write before it.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, TextError> {
    let kind = TextErrorKind::NotText;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let good = bytes.get(..at).and_then(|good| std::str::from_utf8(good).ok());
            let good = good.unwrap_or_default();
            let reason = if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
                "the file is UTF-16; it has to be saved as UTF-8"
            } else {
                "the file is not UTF-8 from here on"
            };
            let good = without_mark(good);
            return Err(Mistake { at: good.len(), reason: reason.into(), kind }.in_text(good));
        }
    };
    let text = without_mark(text);
    match text.find('\0') {
        Some(at) => Err(Mistake { at, reason: "there is a NUL byte".into(), kind }.in_text(text)),
        None => Ok(text),
    }
}

pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Parses a decoded text.
pub(super) fn parse(text: &str) -> Result<Parsed, TextError> {
    Parser::new(text).root().map_err(|mistake| mistake.in_text(text))
}

struct Parser<'t> {
    text: &'t str,
    scanner: Scanner<'t>,
    walk: Walk<'t>,
    /// The token that is looked at; `None` at the end.
    token: Option<Token<'t>>,
    /// Its first byte.
    start: usize,
    /// The byte behind it.
    end: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        let options = ScannerOptions {
            allow_single_quoted_strings: true,
            allow_hexadecimal_numbers: true,
            allow_unary_plus_numbers: true,
            allow_bare_decimal_point_numbers: true,
            allow_non_finite_numbers: false,
            // With them "\d" would be "d": a pattern or a path would lose its backslashes.
            allow_extended_string_escapes: false,
        };
        let scanner = Scanner::new(text, &options);
        Self { text, scanner, walk: Walk::new(text), token: None, start: 0, end: 0, depth: 0 }
    }

    fn root(mut self) -> Result<Parsed, Mistake> {
        self.advance()?;
        let kind = TextErrorKind::NotAnObject;
        match &self.token {
            Some(Token::OpenBrace) => {}
            Some(_) => {
                let reason =
                    "the file has to be an object: names with values between { and }".into();
                return Err(Mistake { at: self.start, reason, kind });
            }
            None if self.text.trim().is_empty() => {
                let reason = "the file is empty".into();
                return Err(Mistake { at: 0, reason, kind: TextErrorKind::Empty });
            }
            None => {
                let reason = "the file has comments, but no object between { and }".into();
                return Err(Mistake { at: self.start, reason, kind });
            }
        }
        let (mut members, layout) = self.object(true)?;
        self.advance()?;
        if self.token.is_some() {
            return Err(Mistake::new(self.start, "there is something behind the last }"));
        }
        let revision = match members.remove(REVISION_NAME) {
            None => None,
            Some(Value::String(revision)) => Some(revision),
            Some(_) => {
                let name = layout.members.iter().find(|member| member.name == REVISION_NAME);
                let reason = "\"$revision\" is written by the agent and is a text";
                return Err(Mistake::new(name.map_or(0, |member| member.value_start), reason));
            }
        };
        Ok(Parsed { document: Value::Object(members), revision, layout })
    }

    /// Moves to the next token that is no comment.
    fn advance(&mut self) -> Result<(), Mistake> {
        loop {
            let token =
                self.scanner.scan().map_err(|error| self.unreadable(error.range().start))?;
            self.start = self.scanner.token_start();
            self.end = self.scanner.token_end();
            if matches!(token, Some(Token::CommentLine(_) | Token::CommentBlock(_))) {
                continue;
            }
            if matches!(token, Some(Token::String(_))) && has_line_end(self.source()) {
                let reason = "this text is not closed on its line: a quote is missing";
                return Err(Mistake::new(self.start, reason));
            }
            self.token = token;
            return Ok(());
        }
    }

    /// The text of the token.
    fn source(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    /// Says in our words what the scanner stumbled over.
    fn unreadable(&self, at: usize) -> Mistake {
        let rest = self.text.get(at..).unwrap_or_default();
        let mut characters = rest.chars();
        let reason = match characters.next() {
            None => "the text ends too early",
            Some('"' | '\'') => "this text is not closed: a quote is missing",
            Some('\\') => {
                "this backslash means nothing here: write \\\\ for a backslash, \\n for a line end"
            }
            Some('/') if rest.starts_with("/*") => "this comment is not closed: */ is missing",
            Some('/') => "a comment begins with // or /*",
            Some('+' | '-' | '.' | '0'..='9') => "this is no number",
            Some('#') => "a comment begins with // or /*, not with #",
            Some('`' | '“' | '”' | '„' | '‘' | '’' | '«' | '»') => {
                "these are no quotes: texts stand between \" and \""
            }
            Some(_) => "this is neither a value nor a name: texts stand in double quotes",
        };
        Mistake::new(at, reason)
    }

    /// The value that begins at the token; its last token is the one looked at then.
    fn value(&mut self, has_layout: bool) -> Result<(Value, Option<Object>), Mistake> {
        let value = match self.token.take() {
            Some(Token::OpenBrace) => {
                let (members, layout) = self.object(has_layout)?;
                return Ok((Value::Object(members), has_layout.then_some(layout)));
            }
            Some(Token::OpenBracket) => Value::Array(self.list()?),
            Some(Token::String(text)) => Value::String(text.into_owned()),
            Some(Token::Boolean(is_true)) => Value::Bool(is_true),
            Some(Token::Null) => Value::Null,
            Some(Token::Number(text)) => {
                Value::Number(number(text).map_err(|reason| Mistake::new(self.start, reason))?)
            }
            Some(Token::Word(_)) => {
                let reason = "this word is no value: texts stand in double quotes";
                return Err(Mistake::new(self.start, reason));
            }
            Some(
                Token::CloseBrace
                | Token::CloseBracket
                | Token::Comma
                | Token::Colon
                | Token::CommentLine(_)
                | Token::CommentBlock(_),
            ) => return Err(Mistake::new(self.start, "a value is missing here")),
            None => {
                let reason = "the text ends where a value is missing";
                return Err(Mistake::new(self.start, reason));
            }
        };
        Ok((value, None))
    }

    fn object(&mut self, has_layout: bool) -> Result<(Map<String, Value>, Object), Mistake> {
        let open = self.start;
        self.enter()?;
        let mut values = Map::new();
        let mut members: Vec<Member> = Vec::new();
        while let Some(name) = self.name(open)? {
            let start = self.start;
            self.advance()?;
            if self.token != Some(Token::Colon) {
                return Err(Mistake::new(self.start, "a colon is missing between name and value"));
            }
            if values.contains_key(name.as_ref()) {
                let first = members.iter().find(|member| member.name == name);
                return Err(self.twice(&name, first.map_or(open, |member| member.start), start));
            }
            self.advance()?;
            let place = self.walk.go_to(start);
            let value_start = self.start;
            let (value, inner) = self.value(has_layout)?;
            let value_end = self.end;
            self.advance()?;
            let comma = (self.token == Some(Token::Comma)).then_some(self.start);
            let name = name.into_owned();
            values.insert(name.clone(), value);
            members.push(Member { name, start, place, value_start, value_end, comma, inner });
            self.separate(&Token::CloseBrace, open, value_end)?;
        }
        self.depth -= 1;
        Ok((values, Object { open, close: self.start, members }))
    }

    fn list(&mut self) -> Result<Vec<Value>, Mistake> {
        let open = self.start;
        self.enter()?;
        let mut values = Vec::new();
        while self.token != Some(Token::CloseBracket) {
            if self.token.is_none() {
                return Err(self.unclosed(open));
            }
            values.push(self.value(false)?.0);
            let value_end = self.end;
            self.advance()?;
            self.separate(&Token::CloseBracket, open, value_end)?;
        }
        self.depth -= 1;
        Ok(values)
    }

    /// Goes behind the token that opens an object or a list.
    fn enter(&mut self) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > TEXT_DEPTH_MAX {
            let reason = format!("more than {TEXT_DEPTH_MAX} objects and lists within one another");
            return Err(Mistake::new(self.start, reason));
        }
        self.advance()
    }

    /// Goes behind the comma that follows a value, unless what closes its surroundings follows.
    fn separate(
        &mut self,
        closing: &Token<'_>,
        open: usize,
        value_end: usize,
    ) -> Result<(), Mistake> {
        match &self.token {
            Some(Token::Comma) => self.advance(),
            Some(token) if token == closing => Ok(()),
            Some(Token::CloseBrace) => Err(Mistake::new(self.start, "] is missing before this }")),
            Some(Token::CloseBracket) => {
                Err(Mistake::new(self.start, "} is missing before this ]"))
            }
            Some(_) => Err(Mistake::new(value_end, "a comma is missing behind this value")),
            None => Err(self.unclosed(open)),
        }
    }

    /// The name that begins at the token; `None` at the end of the object.
    fn name(&mut self, open: usize) -> Result<Option<Cow<'t, str>>, Mistake> {
        let reason = match self.token.take() {
            Some(Token::CloseBrace) => return Ok(None),
            Some(Token::String(name)) => return Ok(Some(name)),
            Some(Token::Word(name)) => return Ok(Some(Cow::Borrowed(name))),
            Some(Token::Boolean(_) | Token::Null) => return Ok(Some(Cow::Borrowed(self.source()))),
            Some(Token::Number(_)) => "a name that begins as a number stands in double quotes",
            Some(Token::Comma) => "there is a comma too much here",
            Some(Token::Colon) => "a name is missing before this colon",
            Some(Token::CloseBracket) => "} is missing before this ]",
            Some(
                Token::OpenBrace
                | Token::OpenBracket
                | Token::CommentLine(_)
                | Token::CommentBlock(_),
            ) => "a name is missing before this value",
            None => return Err(self.unclosed(open)),
        };
        Err(Mistake::new(self.start, reason))
    }

    fn unclosed(&self, open: usize) -> Mistake {
        let Place { line, column } = Walk::new(self.text).go_to(open);
        let opened = self.text.get(open..=open).unwrap_or_default();
        let reason = format!(
            "the text ends, but the {opened} of line {line}, column {column} is not closed"
        );
        Mistake::new(self.text.trim_end().len(), reason)
    }

    fn twice(&self, name: &str, first: usize, second: usize) -> Mistake {
        let Place { line, column } = Walk::new(self.text).go_to(first);
        let name: String = name.chars().take(80).collect();
        let reason = format!(
            "{name:?} stands here for the second time, the first is at line {line}, column {column}: \
             one of them has to go"
        );
        Mistake::new(second, reason)
    }
}

/// Whether a text in quotes goes over the end of a line. A backslash before it is no excuse: the scanner
/// does not join lines.
fn has_line_end(source: &str) -> bool {
    source.contains(['\n', '\r'])
}
