//! How values look to people. Everything that another machine may have written goes through
//! [`plain`], so that no peer can draw on this terminal.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use mesh_protocol::UnixMillis;
use serde_json::Value;

/// Titles of columns and names of fields.
pub(crate) const TITLE: Style = Style::new().bold();
/// What is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What should be looked at.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What needs no mark.
pub(crate) const NORMAL: Style = Style::new();

/// `text` in `style`.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// `text` with every character escaped that moves, hides or reorders other characters.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_active(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters, line and paragraph separators, and the invisible marks for direction and
/// joining (Unicode's `Default_Ignorable` ones that appear in text).
fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// A JSON value on one line.
pub(crate) fn json(value: &Value) -> String {
    plain(&value.to_string())
}

/// A JSON text with the same characters escaped as JSON does it: the value stays the same. Line
/// feeds are left, since in a JSON text they stand between values only.
pub(crate) fn plain_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_active(character) {
            shown.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _infallible = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

/// `3 h ago`.
pub(crate) fn ago(at: UnixMillis, now: UnixMillis) -> String {
    match now.since(at) {
        elapsed if elapsed < Duration::from_secs(1) => "now".to_owned(),
        elapsed => format!("{} ago", span(elapsed)),
    }
}

/// `in 3 h`, or `3 h ago` for what is past.
pub(crate) fn until(at: UnixMillis, now: UnixMillis) -> String {
    if at <= now { ago(at, now) } else { format!("in {}", span(at.since(now))) }
}

/// A duration by its largest unit, rounded to the nearest.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_millis().saturating_add(500) / 1000;
    let nearest = |unit: u128| (seconds + unit / 2) / unit;
    match (nearest(60), nearest(3_600), nearest(86_400)) {
        _ if seconds < 60 => format!("{seconds} s"),
        (minutes @ 0..60, _, _) => format!("{minutes} min"),
        (_, hours @ 0..24, _) => format!("{hours} h"),
        (_, _, days) => format!("{days} d"),
    }
}

/// Date and time in this machine's time zone.
pub(crate) fn clock_time(at: UnixMillis) -> String {
    let zoned = i64::try_from(at.0)
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .map(|timestamp| timestamp.to_zoned(jiff::tz::TimeZone::system()));
    match zoned {
        Some(zoned) => zoned.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        // A peer may have written any number.
        None => format!("{at} ms"),
    }
}

/// A size by its largest unit.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = "KiB";
    for larger in UNITS.iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Milliseconds with two digits behind the point, or none from a hundred on.
pub(crate) fn millis(millis: f64) -> String {
    if millis < 100.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

/// Text, or a dash when there is none.
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// Columns under titles.
pub(crate) struct Columns {
    table: Table,
    styles: Vec<Style>,
}

impl Columns {
    pub(crate) fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self::titled(titles.map(str::to_owned).into())
    }

    /// As many columns as there are titles.
    pub(crate) fn titled(titles: Vec<String>) -> Self {
        let mut columns = Self::untitled();
        columns.table.set_header(titles);
        columns.styles.push(TITLE);
        columns
    }

    /// Columns that explain themselves.
    pub(crate) fn untitled() -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        Self { table, styles: Vec::new() }
    }

    /// Adds a row; each cell is one line.
    pub(crate) fn row<const N: usize>(&mut self, style: Style, cells: [String; N]) {
        self.cells(style, cells.into());
    }

    /// Adds a row of any number of cells.
    pub(crate) fn cells(&mut self, style: Style, cells: Vec<String>) {
        self.table.add_row(cells);
        self.styles.push(style);
    }

    /// The lines, with a line feed behind each.
    pub(crate) fn render(mut self) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut text = String::new();
        for (line, style) in self.table.lines().zip(self.styles) {
            // Writing to a string cannot fail.
            let _infallible = writeln!(text, "{}", styled(style, line.trim_end()));
        }
        text
    }
}

#[cfg(test)]
mod tests;
