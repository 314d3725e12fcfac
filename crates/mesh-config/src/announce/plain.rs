//! Text that does nothing but be read.

use std::fmt::Write as _;

/// The beginning of `text`, without anything that moves a cursor, breaks a line or turns the direction of
/// reading: such characters are written as their numbers.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    let mut plain = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == chars_max {
            plain.push('…');
            break;
        }
        if char.is_control() || is_invisible(char) {
            // A string takes whatever is written to it.
            let _written = write!(plain, "\\u{{{:x}}}", u32::from(char));
        } else {
            plain.push(char);
        }
    }
    plain
}

/// The beginning of `text`.
pub(super) fn shorten(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// Line and paragraph separators, marks of direction, joiners and what else has no width.
const fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
