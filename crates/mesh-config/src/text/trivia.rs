//! White space and comments between the tokens of a text.

/// A stretch of one kind.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    kind: Kind,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    LineEnd,
    Space,
    LineComment,
    BlockComment,
}

impl Kind {
    fn is_comment(self) -> bool {
        matches!(self, Self::LineComment | Self::BlockComment)
    }
}

/// The stretches of a gap, in their order.
fn stretches(gap: &str) -> impl Iterator<Item = Stretch> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = gap.get(start..).filter(|rest| !rest.is_empty())?;
        let (kind, length) = stretch(rest);
        let found = Stretch { kind, start, end: start + length };
        start = found.end;
        Some(found)
    })
}

fn stretch(rest: &str) -> (Kind, usize) {
    let until = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("\r\n") {
        (Kind::LineEnd, 2)
    } else if rest.starts_with(['\n', '\r']) {
        (Kind::LineEnd, 1)
    } else if rest.starts_with("//") {
        (Kind::LineComment, until(rest.find(['\n', '\r'])))
    } else if rest.starts_with("/*") {
        // "/*/" opens a comment and does not close it.
        let end = rest.get(2..).and_then(|rest| rest.find("*/"));
        (Kind::BlockComment, until(end.map(|at| at + 4)))
    } else {
        // A gap has nothing else. Whatever it is, the walk goes on by at least a character.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = rest.get(first..).and_then(|rest| rest.find(['\n', '\r', '/']));
        (Kind::Space, until(end.map(|at| at + first)))
    }
}

/// Where the first line ends that is not within a comment.
pub(super) fn first_line_end(gap: &str) -> Option<usize> {
    stretches(gap).find(|each| each.kind == Kind::LineEnd).map(|each| each.start)
}

/// The byte behind the last comment; 0 without one.
pub(super) fn comments_end(gap: &str) -> usize {
    stretches(gap).filter(|each| each.kind.is_comment()).last().map_or(0, |each| each.end)
}

/// Whether what is written behind the gap would be part of a comment.
pub(super) fn is_open(gap: &str) -> bool {
    let last = stretches(gap).filter(|each| each.kind != Kind::Space).last();
    last.is_some_and(|last| last.kind == Kind::LineComment)
}

/// The indentation of what follows a gap; `None` when that does not begin a line.
pub(super) fn indent(gap: &str) -> Option<&str> {
    let line = stretches(gap).filter(|each| each.kind == Kind::LineEnd).last()?;
    let rest = gap.get(line.end..)?;
    rest.get(..rest.len() - rest.trim_start_matches([' ', '\t']).len())
}

/// The part of the gap before a member that does not belong to it: comments that an empty line divides from
/// it, such as the title of a section. Ends with a comment, or is empty.
pub(super) fn detached(gap: &str) -> &str {
    let mut line_ends = 0;
    let found: Vec<_> = stretches(gap).collect();
    for each in found.into_iter().rev() {
        match each.kind {
            Kind::LineEnd => line_ends += 1,
            Kind::Space => {}
            Kind::LineComment | Kind::BlockComment => {
                if line_ends > 1 {
                    return gap.get(..each.end).unwrap_or_default();
                }
                line_ends = 0;
            }
        }
    }
    ""
}

#[cfg(test)]
mod tests;
