//! Patterns of names: `*` within a part of a path, `**` across parts, `?` for one character.

use regex::bytes::{Regex, RegexBuilder};

const PATTERN_BYTES_MAX: usize = 1024;

/// A pattern that matches whole names. A pattern without `/` matches the last part of a path.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Regex);

impl Glob {
    /// `None` for a pattern that is empty or too long.
    pub(crate) fn new(pattern: &str) -> Option<Self> {
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
            return None;
        }
        let mut expression = String::from(if pattern.contains('/') { "^" } else { "(?:^|/)" });
        let mut rest = pattern.strip_prefix("./").unwrap_or(pattern);
        while let Some(first) = rest.chars().next() {
            let (piece, taken) = match first {
                '*' if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
                '*' if rest.starts_with("**") => (".*".to_owned(), 2),
                '*' => ("[^/]*".to_owned(), 1),
                '?' => ("[^/]".to_owned(), 1),
                other => (regex::escape(other.encode_utf8(&mut [0; 4])), other.len_utf8()),
            };
            expression.push_str(&piece);
            rest = rest.get(taken..)?;
        }
        expression.push('$');
        // Names are bytes: a `?` is one byte, and a line feed in a name is a character like others.
        let built =
            RegexBuilder::new(&expression).unicode(false).dot_matches_new_line(true).build();
        built.ok().map(Self)
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name.strip_prefix("./").unwrap_or(name).as_bytes())
    }
}

#[cfg(test)]
mod tests;
