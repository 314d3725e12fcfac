//! Writing a document into a user's text.

use serde_json::{Map, Value};

use super::REVISION_NAME;
use super::parse::{Member, Object, parse, without_mark};
use super::trivia::{comments_end, detached, first_line_end, indent, is_open};
use super::write::{PLAIN, Style, compact, pretty, sorted, text};

/// Writes `document` as a text with that revision, into `old` if there is such a text.
///
/// What stays equal keeps its bytes, its place and its comments; a value that differs is written anew where
/// it stands, with the comments within a list lost; a new member follows the last of its object; a member
/// that is gone takes along the comments at its line and directly above. The result says exactly what was
/// asked for, ends with a line end, and comes out as it is when it is rendered again. An `old` that does not
/// parse is not kept.
///
/// The document is an object with at most [`TEXT_DEPTH_MAX`](super::TEXT_DEPTH_MAX) levels; what is no object
/// is written as an empty one, and a member with the name of the revision is not written.
#[must_use]
pub fn render_text(old: Option<&str>, document: &Value, revision: &str) -> String {
    let mut members = document.as_object().cloned().unwrap_or_default();
    members.insert(REVISION_NAME.to_owned(), revision.into());
    old.and_then(|old| rewrite(old, &members))
        .filter(|text| says(text, &members))
        .unwrap_or_else(|| plain(&members))
}

/// Whether the text says that and nothing else, the revision first. No comment of a user, however odd its
/// place, may make a text of ours mean something else.
fn says(text: &str, members: &Map<String, Value>) -> bool {
    let Ok(parsed) = parse(without_mark(text)) else { return false };
    let (said, layout) = parsed.into_members();
    let is_first = layout.members.first().is_some_and(|first| first.name == REVISION_NAME);
    is_first && text.ends_with('\n') && said == *members
}

fn plain(members: &Map<String, Value>) -> String {
    let revision = members.get(REVISION_NAME).into_iter().map(|value| (REVISION_NAME, value));
    let others = sorted(members).into_iter().filter(|(name, _)| *name != REVISION_NAME);
    let mut out = String::new();
    for (name, value) in revision.chain(others.map(|(name, value)| (name.as_str(), value))) {
        out.push_str(if out.is_empty() { "{\n  " } else { ",\n  " });
        text(&mut out, name);
        out.push_str(": ");
        pretty(&mut out, value, PLAIN, "  ");
    }
    out.push_str("\n}\n");
    out
}

fn rewrite(old: &str, members: &Map<String, Value>) -> Option<String> {
    let text = without_mark(old);
    let mark = old.get(..old.len() - text.len())?;
    let (said, layout) = parse(text).ok()?.into_members();
    let first = layout.members.first();
    let first_indent = first.and_then(|first| indent(text.get(layout.open + 1..first.start)?));
    let unit = first_indent.filter(|unit| !unit.is_empty()).unwrap_or(PLAIN.unit);
    let is_crlf =
        text.find('\n').is_some_and(|at| text.get(..at).is_some_and(|line| line.ends_with('\r')));
    let line_end = if is_crlf { "\r\n" } else { PLAIN.line_end };
    let out = format!("{mark}{}", text.get(..layout.open)?);
    let style = Style { line_end, unit };
    let mut rewrite = Rewrite { old: text, style, out, is_open: false };
    rewrite.object(&layout, &said, members, "", Some(REVISION_NAME))?;
    rewrite.out.push_str(text.get(layout.close + 1..)?);
    if !rewrite.out.ends_with('\n') {
        rewrite.out.push_str(line_end);
    }
    Some(rewrite.out)
}

/// A text that is written from the parts of another. Its functions give `None` for a layout that is not
/// that of the text.
struct Rewrite<'o> {
    old: &'o str,
    style: Style<'o>,
    out: String,
    /// Whether the end of `out` is within a comment to the end of the line.
    is_open: bool,
}

impl<'o> Rewrite<'o> {
    /// Writes the object of `layout`, which holds `old`, with the members `new`. Before its line stands
    /// `outer`. The member called `first` has to be the first.
    fn object(
        &mut self,
        layout: &Object,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        outer: &str,
        first: Option<&str>,
    ) -> Option<()> {
        let is_displaced = |name: &str| Some(name) == first;
        let leads = layout.members.first().is_some_and(|member| is_displaced(&member.name));
        let front = first.filter(|_| !leads).and_then(|name| new.get_key_value(name));
        let is_kept = |index: usize, member: &Member| {
            new.contains_key(&member.name) && (index == 0 || !is_displaced(&member.name))
        };
        let added: Vec<_> = sorted(new)
            .into_iter()
            .filter(|(name, _)| !old.contains_key(*name) && !is_displaced(name))
            .collect();
        let members = || layout.members.iter().enumerate();
        let kept = members().filter(|(index, member)| is_kept(*index, member)).count();
        let mut left = usize::from(front.is_some()) + kept + added.len();
        let has_last_comma = layout.members.last().is_some_and(|member| member.comma.is_some());
        let mut takes_comma = || {
            left = left.saturating_sub(1);
            left > 0 || has_last_comma
        };

        self.push("{");
        let mut end = self.header_end(layout)?;
        self.push_gap(self.old.get(layout.open + 1..end)?);
        let mut gap = None;
        if let Some((name, value)) = front {
            let lead = layout.members.first().and_then(|member| self.old.get(end..member.start));
            self.added(name, value, lead, outer, takes_comma())?;
        }
        for (index, member) in members() {
            let lead = self.old.get(end..member.start)?;
            end = self.trail_end(layout, index)?;
            gap = Some(lead);
            if is_kept(index, member) {
                self.push_gap(lead);
                self.kept(member, old, new, lead, outer)?;
                self.comma(member, takes_comma())?;
                self.push_gap(
                    self.old.get(member.comma.map_or(member.value_end, |at| at + 1)..end)?,
                );
            } else {
                self.push_gap(detached(lead));
            }
        }
        for (name, value) in &added {
            self.added(name, value, gap, outer, takes_comma())?;
        }
        self.footer(self.old.get(end..layout.close)?, layout, new.is_empty(), outer);
        Some(())
    }

    /// Where the first member's surroundings begin: behind what stands at the line of the brace.
    fn header_end(&self, layout: &Object) -> Option<usize> {
        let next = layout.members.first().map_or(layout.close, |member| member.start);
        let gap = self.old.get(layout.open + 1..next)?;
        Some(layout.open + 1 + first_line_end(gap).unwrap_or(0))
    }

    /// Where a member's surroundings end: behind its comma and the comments at its line.
    fn trail_end(&self, layout: &Object, index: usize) -> Option<usize> {
        let member = layout.members.get(index)?;
        let start = member.comma.map_or(member.value_end, |at| at + 1);
        let next = layout.members.get(index + 1);
        let gap = self.old.get(start..next.map_or(layout.close, |next| next.start))?;
        let rest = if next.is_some() { 0 } else { comments_end(gap) };
        Some(start + first_line_end(gap).unwrap_or(rest))
    }

    /// Writes a member that stays, from its name to its value.
    fn kept(
        &mut self,
        member: &Member,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        lead: &str,
        outer: &str,
    ) -> Option<()> {
        self.push(self.old.get(member.start..member.value_start)?);
        let (was, value) = (old.get(&member.name)?, new.get(&member.name)?);
        if was == value {
            self.push(self.old.get(member.value_start..member.value_end)?);
            return Some(());
        }
        let inner = self.inner(lead, outer);
        if let (Some(layout), Value::Object(was), Value::Object(members)) =
            (&member.inner, was, value)
        {
            return self.object(layout, was, members, &inner, None);
        }
        self.value(value, indent(lead).is_some(), &inner);
        Some(())
    }

    /// Writes what stands between a member's value and what follows its comma.
    fn comma(&mut self, member: &Member, is_wanted: bool) -> Option<()> {
        if let Some(comma) = member.comma {
            self.push_gap(self.old.get(member.value_end..comma)?);
        }
        if is_wanted {
            self.push(",");
        }
        Some(())
    }

    /// Writes a new member in the way of a sibling, which has `lead` before it.
    fn added(
        &mut self,
        name: &str,
        value: &Value,
        lead: Option<&str>,
        outer: &str,
        takes_comma: bool,
    ) -> Option<()> {
        let inner = self.inner(lead.unwrap_or_default(), outer);
        let is_own_line = lead.is_none_or(|lead| indent(lead).is_some());
        if is_own_line {
            self.push(self.style.line_end);
            self.push(&inner);
        } else if lead.is_some_and(|lead| !lead.is_empty()) {
            self.push(" ");
        }
        let mut name_text = String::new();
        text(&mut name_text, name);
        self.push(&name_text);
        self.push(": ");
        self.value(value, is_own_line, &inner);
        if takes_comma {
            self.push(",");
        }
        Some(())
    }

    fn footer(&mut self, footer: &str, layout: &Object, is_empty: bool, outer: &str) {
        let is_blank = footer.trim().is_empty();
        let has_line_end = first_line_end(footer).is_some();
        if is_blank && is_empty && !layout.members.is_empty() && self.out.ends_with('{') {
            // Nothing is left.
        } else if is_blank && !has_line_end && layout.members.is_empty() && !is_empty {
            self.push(self.style.line_end);
            self.push(outer);
        } else {
            self.push_gap(footer);
        }
        self.push("}");
    }

    /// The indentation of a member with that gap before it.
    fn inner(&self, lead: &str, outer: &str) -> String {
        indent(lead).map_or_else(|| format!("{outer}{}", self.style.unit), str::to_owned)
    }

    fn value(&mut self, value: &Value, has_lines: bool, indent: &str) {
        if has_lines {
            pretty(&mut self.out, value, self.style, indent);
        } else {
            compact(&mut self.out, value);
        }
    }

    /// Writes white space and comments.
    fn push_gap(&mut self, gap: &str) {
        self.push(gap);
        self.is_open |= is_open(gap);
    }

    /// Writes anything, on a line of its own if it would be part of a comment otherwise.
    fn push(&mut self, part: &str) {
        let visible = part.trim_start_matches([' ', '\t']);
        if self.is_open && !part.is_empty() {
            if !visible.starts_with(['\n', '\r']) {
                self.out.push_str(self.style.line_end);
            }
            self.is_open = false;
        }
        self.out.push_str(part);
    }
}

#[cfg(test)]
mod tests;
