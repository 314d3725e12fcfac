//! Statements word by word.

use mesh_protocol::SqlValue;
use sqlite3_parser::dialect::TokenType;
use sqlite3_parser::lexer::Scanner;
use sqlite3_parser::lexer::sql::Tokenizer;

use super::unquoted;
use crate::TablesError;

/// SQLite's largest number of a parameter.
const PARAMETERS_MAX: usize = 32_766;

/// A word of a statement.
struct Token<'s> {
    text: &'s str,
    start: usize,
    end: usize,
    kind: TokenType,
}

/// The words of `sql` without spaces and comments; none when it cannot be taken apart.
fn tokens(sql: &str) -> Option<Vec<Token<'_>>> {
    let mut scanner = Scanner::new(Tokenizer::new());
    let mut tokens = Vec::new();
    loop {
        let (_, token, end) = scanner.scan(sql.as_bytes()).ok()?;
        let Some((bytes, kind)) = token else { return Some(tokens) };
        // Some tokens come without the marks around them; what precedes a token is never a part of it but
        // those, so its place is found from its end.
        let length = if kind == TokenType::TK_VARIABLE {
            variable_length(sql, end, bytes)
        } else if kind == TokenType::TK_BLOB {
            bytes.len().checked_add(3)?
        } else {
            bytes.len()
        };
        let start = end.checked_sub(length)?;
        tokens.push(Token { text: sql.get(start..end)?, start, end, kind });
    }
}

/// Length of a parameter, with its mark. `?` and `?7` are told without the question mark.
fn variable_length(sql: &str, end: usize, bytes: &[u8]) -> usize {
    let is_marked = bytes.first().is_some_and(|first| b"$@:#".contains(first));
    let has_question = sql
        .as_bytes()
        .get(..end.saturating_sub(bytes.len()))
        .is_some_and(|before| before.ends_with(b"?"));
    if !is_marked && has_question { bytes.len() + 1 } else { bytes.len() }
}

/// A byte order mark.
pub(super) const MARK: char = '\u{feff}';

/// Whether a word begins with a byte order mark: SQLite passes over it, the parser makes it a part of the name.
/// Also when `sql` cannot be taken apart.
pub(super) fn has_mark(sql: &str) -> bool {
    tokens(sql).is_none_or(|tokens| tokens.iter().any(|token| token.text.starts_with(MARK)))
}

/// Most parentheses in one another: the parser's tree of an expression is as deep, and taken down by recursion.
pub(super) const DEPTH_MAX: usize = 256;

/// Whether parentheses stand deeper in one another than [`DEPTH_MAX`]. Also when `sql` cannot be taken apart.
pub(super) fn is_deep(sql: &str) -> bool {
    if sql.bytes().filter(|byte| *byte == b'(').count() <= DEPTH_MAX {
        return false;
    }
    let Some(tokens) = tokens(sql) else { return true };
    let mut depth = 0_usize;
    tokens.iter().any(|token| {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}

/// What stands behind `ALTER TABLE name ADD [COLUMN]`.
pub(super) fn added_column(sql: &str) -> Option<String> {
    let tokens = tokens(sql)?;
    let is_qualified = tokens.get(3).is_some_and(|token| token.kind == TokenType::TK_DOT);
    let add = if is_qualified { 5 } else { 3 };
    if tokens.get(add)?.kind != TokenType::TK_ADD {
        return None;
    }
    let has_word = tokens.get(add + 1)?.kind == TokenType::TK_COLUMNKW;
    let first = tokens.get(if has_word { add + 2 } else { add + 1 })?;
    let last = tokens.iter().rev().find(|token| token.kind != TokenType::TK_SEMI)?;
    sql.get(first.start..last.end).map(ToOwned::to_owned)
}

/// The text without what makes no difference: spaces, comments, the case of words that are not quoted.
/// `skip` words at the start are left out.
pub(crate) fn normalised(sql: &str, skip: usize) -> Option<String> {
    let mut text = String::with_capacity(sql.len());
    for token in tokens(sql)?.iter().skip(skip).filter(|token| token.kind != TokenType::TK_SEMI) {
        if !text.is_empty() {
            text.push(' ');
        }
        if token.text.starts_with(['"', '\'', '`', '[']) {
            text.push_str(token.text);
        } else {
            text.push_str(&token.text.to_ascii_lowercase());
        }
    }
    Some(text)
}

/// The text of a CREATE INDEX without what makes no difference: also where the index should be made.
pub(crate) fn normalised_index(sql: &str) -> Option<String> {
    let text = normalised(sql, 2)?;
    let text = text.strip_prefix("if not exists ").unwrap_or(&text);
    Some(text.strip_prefix("main . ").unwrap_or(text).to_owned())
}

/// A CREATE TABLE in which `definition` stands where that of `column` stood.
pub(crate) fn redefined(create: &str, column: &str, definition: &str) -> Option<String> {
    let tokens = tokens(create)?;
    let mut depth = 0_usize;
    // First and last word of the definition that is passed.
    let mut place: Option<(&Token<'_>, usize)> = None;
    for token in &tokens {
        let is_end = depth == 1 && [",", ")"].contains(&token.text);
        match (place, is_end) {
            (Some((first, end)), true) if is_named(first, column) => {
                let (before, after) = (create.get(..first.start)?, create.get(end..)?);
                return Some(format!("{before}{definition}{after}"));
            }
            (Some(_) | None, true) => place = None,
            (Some((first, _)), false) => place = Some((first, token.end)),
            (None, false) if depth == 1 => place = Some((token, token.end)),
            (None, false) => {}
        }
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn is_named(token: &Token<'_>, column: &str) -> bool {
    unquoted(token.text).eq_ignore_ascii_case(column)
}

/// The statement alone, with its parameters by number (`?1`), and as many values as it has parameters:
/// what was not given is NULL, as SQLite has it.
///
/// Text that is not UTF-8 cannot be bound as text, so the statement casts it.
pub(crate) fn bindable(
    sql: &str,
    params: &[SqlValue],
) -> Result<(String, Vec<SqlValue>), TablesError> {
    let tokens = tokens(sql).ok_or_else(|| TablesError::Statement {
        detail: "the statement is not understood".to_owned(),
    })?;
    let end = tokens
        .iter()
        .rev()
        .find(|token| token.kind != TokenType::TK_SEMI)
        .map_or(0, |token| token.end);
    let mut text = String::with_capacity(sql.len());
    let (mut copied, mut largest) = (0, 0_usize);
    let mut names: Vec<(&str, usize)> = Vec::new();
    for token in tokens.iter().filter(|token| token.kind == TokenType::TK_VARIABLE) {
        let known = names.iter().find(|(name, _)| *name == token.text).map(|(_, number)| *number);
        let number = match (token.text.strip_prefix('?'), known) {
            (Some(""), _) => largest + 1,
            (Some(digits), _) => digits.parse().unwrap_or(0),
            (None, Some(number)) => number,
            (None, None) => {
                names.push((token.text, largest + 1));
                largest + 1
            }
        };
        if !(1..=PARAMETERS_MAX).contains(&number) {
            let detail = format!("parameters are numbered from 1 to {PARAMETERS_MAX}");
            return Err(TablesError::Statement { detail });
        }
        largest = largest.max(number);
        text.push_str(sql.get(copied..token.start).unwrap_or_default());
        match params.get(number - 1) {
            Some(SqlValue::RawText(_)) => text.push_str(&format!("CAST(?{number} AS TEXT)")),
            Some(_) | None => text.push_str(&format!("?{number}")),
        }
        copied = token.end;
    }
    text.push_str(sql.get(copied..end).unwrap_or_default());
    if params.len() > largest {
        let given = params.len();
        let detail = format!("{given} values are given for {largest} parameters");
        return Err(TablesError::Statement { detail });
    }
    let mut values = params.to_vec();
    values.resize(largest, SqlValue::Null);
    Ok((text, values))
}

/// The statement alone with nameless parameters, and how many: for statements that are run one behind the
/// other in one text. None where the parameters do not stand in order, each once.
pub(crate) fn nameless(sql: &str) -> Option<(String, usize)> {
    let tokens = tokens(sql)?;
    let end = tokens.iter().rev().find(|token| token.kind != TokenType::TK_SEMI)?.end;
    let (mut text, mut copied, mut count) = (String::with_capacity(sql.len()), 0, 0_usize);
    for token in tokens.iter().filter(|token| token.kind == TokenType::TK_VARIABLE) {
        count += 1;
        let number = token.text.strip_prefix('?')?;
        if !number.is_empty() && number.parse() != Ok(count) {
            return None;
        }
        text.push_str(sql.get(copied..token.start)?);
        text.push('?');
        copied = token.end;
    }
    text.push_str(sql.get(copied..end)?);
    (count <= PARAMETERS_MAX).then_some((text, count))
}
