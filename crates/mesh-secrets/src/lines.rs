//! Content as lines: whole ones from a buffer, very long ones through windows that overlap.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::allow::AllowList;
use crate::finding::{Finding, RuleId};
use crate::matching::{CALLED_TABLE, Called, Compiled, compiled};
use crate::rule::{FILE, Rule, TABLE};
use crate::scanner::FINDINGS_MAX;
use crate::table::Columns;
use crate::{ScanError, file_name};

/// A longer line is looked at through windows: each is responsible for what begins in its first half, and sees a second
/// half of the same size, longer than the longest join token.
const WINDOW_BYTES: usize = 16 << 10;
const STEP_BYTES: usize = WINDOW_BYTES / 2;
/// What a window sees before its own start, so that a word is not taken for its end.
const LOOK_BEHIND_BYTES: usize = 128;
/// Longer heads of tables are none.
const HEADS_BYTES_MAX: usize = 4 << 10;

/// What is known of a content so far.
pub(crate) struct Lines {
    rules: &'static Compiled,
    allow: Arc<AllowList>,
    now: i64,
    /// For the allow list; may hold a secret.
    name: String,
    /// For the findings.
    shown: String,
    findings: Vec<Finding>,
    /// The bytes of the content that findings are about, start to end: of several on the same bytes the first counts.
    taken: BTreeMap<u64, u64>,
    /// Of the next byte: its place in the content, the number of its line, and its place in the line.
    offset: u64,
    line: u64,
    in_line: u64,
    /// Within a line that is looked at through windows: the start of the next one.
    window: u64,
    table: Columns,
    line_before: Vec<u8>,
}

/// A line of a block.
struct Line {
    range: Range<usize>,
    number: u64,
}

impl Lines {
    /// For a file or message, whose name counts too.
    pub(crate) fn of_file(allow: Arc<AllowList>, name: &str, now: i64) -> Result<Self, ScanError> {
        let mut lines = Self::new(allow, name, now)?;
        if file_name::holds_secrets(name) {
            lines.add(FILE, 0, 0);
        }
        Ok(lines)
    }

    /// For anything that has a name. Secrets in the name are found, and not repeated.
    pub(crate) fn new(allow: Arc<AllowList>, name: &str, now: i64) -> Result<Self, ScanError> {
        let rules = compiled()?;
        let mut lines = Self {
            rules,
            allow,
            now,
            name: name.to_owned(),
            shown: name.to_owned(),
            findings: Vec::new(),
            taken: BTreeMap::new(),
            offset: 0,
            line: 1,
            in_line: 0,
            window: 0,
            table: Columns::default(),
            line_before: Vec::new(),
        };
        let mut found: Vec<(&Rule, Range<usize>)> = Vec::new();
        let called = rules.called(name.as_bytes());
        rules.scan_line(name.as_bytes(), called, |rule, range| found.push((rule, range)));
        lines.shown = without(name, found.iter().map(|(_, range)| range.clone()).collect());
        for (rule, _) in found {
            lines.add((rule.id, rule.what), 0, 0);
        }
        Ok(lines)
    }

    /// Takes what it can of `buffer`, which goes on after the bytes taken so far, and says how much that was.
    pub(crate) fn advance(&mut self, buffer: &[u8], is_last: bool) -> usize {
        if self.is_full() {
            return buffer.len();
        }
        let mut at = 0;
        if self.in_line > 0 {
            let end = memchr::memchr(b'\n', buffer);
            let line = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or(buffer);
            if end.is_none() && !is_last {
                return self.long_line_goes_on(line);
            }
            self.windows(line, true);
            at = end.map_or(buffer.len(), |end| end + 1);
            self.pass(at, u64::from(end.is_some()));
        }
        let rest = buffer.get(at..).unwrap_or(&[]);
        let whole = if is_last {
            rest.len()
        } else {
            memchr::memrchr(b'\n', rest).map_or(0, |end| end + 1)
        };
        let (block, rest) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
        self.block(block);
        at += whole;
        if rest.len() > WINDOW_BYTES && !is_last {
            at += self.long_line_goes_on(rest);
        }
        at
    }

    fn pass(&mut self, bytes: usize, lines: u64) {
        self.offset += bytes as u64;
        self.line += lines;
        (self.in_line, self.window) = (0, 0);
    }

    /// Looks at lines that are all there.
    fn block(&mut self, text: &[u8]) {
        let rules = self.rules;
        let mut tables: Vec<(usize, u64, Columns)> = Vec::new();
        if !self.table.is_empty() {
            tables.push((0, self.line, std::mem::take(&mut self.table)));
        }
        let mut line = Line { range: 0..0, number: self.line };
        let mut all: Called = 0;
        for (at, called) in rules.keywords(text) {
            if at >= line.range.end {
                self.line_called(text, &line, all, &mut tables);
                (line, all) = (next_line(text, &line, at), 0);
                if self.is_full() {
                    break;
                }
            }
            all |= called;
        }
        self.line_called(text, &line, all, &mut tables);
        for (start, number, columns) in tables {
            self.rows(text, start, number, columns);
        }
        self.remember_last_line(text);
        let lines = memchr::memchr_iter(b'\n', text).count() as u64;
        self.pass(text.len(), lines);
    }

    fn line_called(
        &mut self,
        text: &[u8],
        line: &Line,
        called: Called,
        tables: &mut Vec<(usize, u64, Columns)>,
    ) {
        let Some(bytes) = text.get(line.range.clone()).filter(|_| called != 0) else { return };
        if bytes.len() > WINDOW_BYTES {
            return self.windows_of(bytes, line);
        }
        let rules = self.rules;
        rules.scan_line(bytes, called, |rule, range| {
            let start = line.range.start + range.start;
            self.found(
                (rule.id, rule.what),
                line.number,
                range.start as u64,
                self.offset + start as u64,
                range.len(),
            );
        });
        if called & CALLED_TABLE != 0 {
            let columns = Columns::of(self.heads(text, line.range.start), bytes);
            if !columns.is_empty() {
                tables.push((line.range.end + 1, line.number + 1, columns));
            }
        }
    }

    /// The line before the one that starts at `start`.
    fn heads<'a>(&'a self, text: &'a [u8], start: usize) -> &'a [u8] {
        let Some(end) = start.checked_sub(1) else { return &self.line_before };
        let before = text.get(..end).unwrap_or(&[]);
        let start = memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1);
        before.get(start..).filter(|heads| heads.len() <= HEADS_BYTES_MAX).unwrap_or(&[])
    }

    /// The rows of a table from `start` on. One that goes on behind the block is remembered.
    fn rows(&mut self, text: &[u8], start: usize, number: u64, columns: Columns) {
        let (mut start, mut number) = (start, number);
        while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let row = rest.get(..end).unwrap_or(rest);
            let offset = self.offset + start as u64;
            let goes_on = row.len() <= WINDOW_BYTES
                && columns.scan_row(row, |cell| {
                    self.found(
                        TABLE,
                        number,
                        cell.start as u64,
                        offset + cell.start as u64,
                        cell.len(),
                    );
                });
            if !goes_on {
                return;
            }
            start += end + 1;
            number += 1;
        }
        self.table = columns;
    }

    fn remember_last_line(&mut self, text: &[u8]) {
        let Some(lines) = text.strip_suffix(b"\n") else { return };
        let start = memchr::memrchr(b'\n', lines).map_or(0, |feed| feed + 1);
        let last = lines.get(start..).unwrap_or(&[]);
        self.line_before.clear();
        if last.len() <= HEADS_BYTES_MAX {
            self.line_before.extend_from_slice(last);
        }
    }

    /// A long line in the middle of a block.
    fn windows_of(&mut self, bytes: &[u8], line: &Line) {
        let (offset, number) = (self.offset, self.line);
        self.offset += line.range.start as u64;
        self.line = line.number;
        self.windows(bytes, true);
        (self.offset, self.line) = (offset, number);
        (self.in_line, self.window) = (0, 0);
    }

    /// Looks at what is there of a long line, and says how much of it is needed no more.
    fn long_line_goes_on(&mut self, line: &[u8]) -> usize {
        self.windows(line, false);
        self.table = Columns::default();
        self.line_before.clear();
        let needed = self.window.saturating_sub(LOOK_BEHIND_BYTES as u64);
        let passed = needed.saturating_sub(self.in_line);
        self.offset += passed;
        self.in_line += passed;
        usize::try_from(passed).unwrap_or(usize::MAX).min(line.len())
    }

    /// Looks at the windows of a long line that are all there; `line` begins at `in_line`.
    fn windows(&mut self, line: &[u8], is_end: bool) {
        let rules = self.rules;
        loop {
            let Ok(own) = usize::try_from(self.window - self.in_line) else { return };
            let is_there = if is_end { own < line.len() } else { own + WINDOW_BYTES <= line.len() };
            if !is_there || self.is_full() {
                return;
            }
            let start = own.saturating_sub(LOOK_BEHIND_BYTES);
            let seen = line.get(start..line.len().min(own + WINDOW_BYTES)).unwrap_or(&[]);
            let own = own - start..own - start + STEP_BYTES;
            rules.scan_line(seen, rules.called(seen), |rule, range| {
                if own.contains(&range.start) {
                    let in_line = self.in_line + (start + range.start) as u64;
                    let offset = self.offset + (start + range.start) as u64;
                    self.found((rule.id, rule.what), self.line, in_line, offset, range.len());
                }
            });
            self.window += STEP_BYTES as u64;
        }
    }

    fn found(
        &mut self,
        rule: (RuleId, &'static str),
        line: u64,
        in_line: u64,
        offset: u64,
        bytes: usize,
    ) {
        let end = offset + bytes as u64;
        let is_taken =
            self.taken.range(..end).next_back().is_some_and(|(_, taken)| *taken > offset);
        if !is_taken && self.add(rule, line, in_line + 1) {
            self.taken.insert(offset, end);
        }
    }

    /// Keeps a finding that is not allowed, while there is room.
    pub(crate) fn add(
        &mut self,
        (rule, what): (RuleId, &'static str),
        line: u64,
        column: u64,
    ) -> bool {
        if self.is_full() || self.allow.allows(rule, &self.name, self.now) {
            return false;
        }
        self.findings.push(Finding { name: self.shown.clone(), line, column, rule, what });
        true
    }

    pub(crate) fn is_full(&self) -> bool {
        self.findings.len() >= FINDINGS_MAX
    }

    /// Whether nothing was found so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn finish(self) -> Vec<Finding> {
        let mut findings = self.findings;
        findings.sort();
        findings.dedup();
        findings
    }
}

/// The line around `at`, which lies behind `line`.
fn next_line(text: &[u8], line: &Line, at: usize) -> Line {
    let between = text.get(line.range.start..at).unwrap_or(&[]);
    let start = memchr::memrchr(b'\n', between)
        .map_or(line.range.start, |feed| line.range.start + feed + 1);
    let end = text
        .get(at..)
        .and_then(|rest| memchr::memchr(b'\n', rest))
        .map_or(text.len(), |end| at + end);
    let passed = memchr::memchr_iter(b'\n', between).count() as u64;
    Line { range: start..end, number: line.number + passed }
}

/// `name` with `ranges` replaced.
fn without(name: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let mut shown = Vec::new();
    let mut at = 0;
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        if range.start >= at {
            shown.extend_from_slice(name.as_bytes().get(at..range.start).unwrap_or(&[]));
            shown.extend_from_slice(b"[secret]");
        }
        at = at.max(range.end);
    }
    shown.extend_from_slice(name.as_bytes().get(at..).unwrap_or(&[]));
    String::from_utf8_lossy(&shown).into_owned()
}
