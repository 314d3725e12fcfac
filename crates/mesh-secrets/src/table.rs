//! Markdown tables: the cells of a column whose head is a word for secrets.

use std::ops::Range;

use crate::judge::{is_placeholder, looks_like_password, looks_random};
use crate::key;

/// What the line below a table's heads has in it.
pub(crate) const STARTS: [&str; 6] = ["|-", "| -", "|:-", "| :-", "-|", "- |"];

/// The columns for secrets of a table: one bit each. Columns behind the 64th are not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns(u64);

impl Columns {
    /// The columns of the table with these heads, if `below` is the line below them.
    pub(crate) fn of(heads: &[u8], below: &[u8]) -> Self {
        let is_rule = below.iter().all(|byte| b"|-: \t\r".contains(byte)) && below.contains(&b'|');
        if !is_rule {
            return Self::default();
        }
        let bits = cells(heads).enumerate().filter(|(_, cell)| {
            let head = heads.get(cell.clone()).unwrap_or(&[]);
            is_for_secrets(head)
        });
        Self(bits.fold(0, |bits, (index, _)| bits | 1 << index))
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Hands the secrets of a row to `found`. False when the line is no row, and the table is over.
    pub(crate) fn scan_row(self, row: &[u8], mut found: impl FnMut(Range<usize>)) -> bool {
        if !row.contains(&b'|') {
            return false;
        }
        for (index, cell) in cells(row).enumerate() {
            let text = row.get(cell.clone()).unwrap_or(&[]);
            let is_secret = looks_random(text) || looks_like_password(text);
            if self.0 & (1 << index) != 0
                && is_secret
                && !is_placeholder(text)
                && !text.contains(&b' ')
            {
                found(cell);
            }
        }
        true
    }
}

fn is_for_secrets(head: &[u8]) -> bool {
    let lower = head.to_ascii_lowercase();
    let words: [&[u8]; 2] = [b"key", b"hash"];
    let is_word =
        lower.split(|byte| !byte.is_ascii_alphanumeric()).any(|part| words.contains(&part));
    (is_word && !key::is_about(&lower)) || key::holds_secret(&lower)
}

/// The cells of a row, without the space and the marks around their text.
fn cells(row: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let indent = row.len() - row.trim_ascii_start().len();
    let first = indent + usize::from(row.get(indent) == Some(&b'|'));
    let body = row.get(first..).unwrap_or(&[]);
    let mut start = first;
    body.split(|byte| *byte == b'|').take(64).map(move |cell| {
        let at = start;
        start += cell.len() + 1;
        let is_edge = |byte: &u8| byte.is_ascii_whitespace() || b"`*\"'".contains(byte);
        let before = cell.iter().take_while(|byte| is_edge(byte)).count();
        let behind = cell.iter().skip(before).rev().take_while(|byte| is_edge(byte)).count();
        at + before..at + cell.len() - behind
    })
}
