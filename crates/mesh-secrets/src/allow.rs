use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use crate::AllowListError;
use crate::finding::RuleId;
use crate::glob::Glob;
use crate::rule::rules;

const ENTRIES_MAX: usize = 1024;
const SECONDS_PER_DAY: i64 = 86_400;

/// What is let through although a rule finds it: each entry with a reason and an expiry.
///
/// ```toml
/// [[allow]]
/// rule = "telegram_bot_token"
/// name = "docs/*.md"          # `*` within a part of a path, `**` across; or a dotted key
/// reason = "the manual's example, revoked"
/// expires = 2027-01-31        # the last day on which it counts, in UTC
/// ```
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    rule: RuleId,
    name: Glob,
    name_text: String,
    reason: String,
    expires: Date,
    line: u64,
}

/// An entry of an allow list that counts no more.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ExpiredAllowance {
    /// The rule that it was about.
    pub rule: RuleId,
    /// Its pattern of names.
    pub name: String,
    /// Why it was there.
    pub reason: String,
    /// The last day on which it counted, such as `2027-01-31`.
    pub expired: String,
    /// Its line in the list, from 1.
    pub line: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    #[serde(default)]
    allow: Vec<Spanned<RawEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    rule: Spanned<String>,
    name: Spanned<String>,
    reason: Spanned<String>,
    expires: Spanned<RawDate>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawDate {
    Toml(toml::value::Datetime),
    Text(String),
}

impl AllowList {
    /// The file that commands look for where they start.
    pub const FILE_NAME: &str = ".mesh-secrets-allow.toml";

    /// Reads a list.
    ///
    /// # Errors
    /// [`AllowListError`] with the line. Nothing of the list counts then.
    pub fn parse(text: &str) -> Result<Self, AllowListError> {
        let line = |offset: usize| line_of(text, offset);
        let raw: RawList = toml::from_str(text).map_err(|error| AllowListError::Syntax {
            line: line(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        if let Some(extra) = raw.allow.get(ENTRIES_MAX) {
            return Err(AllowListError::TooMany { line: line(extra.span().start) });
        }
        let entries = raw.allow.into_iter().map(|raw| Entry::read(raw, line));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// Whether what `rule` finds in `name` is let through at `now`, in seconds of Unix time.
    #[must_use]
    pub fn allows(&self, rule: RuleId, name: &str, now: i64) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.rule == rule && entry.counts(now) && entry.name.matches(name))
    }

    /// The entries that count no more at `now`. They should be renewed or removed.
    #[must_use]
    pub fn expired(&self, now: i64) -> Vec<ExpiredAllowance> {
        let expired = self.entries.iter().filter(|entry| !entry.counts(now));
        expired
            .map(|entry| ExpiredAllowance {
                rule: entry.rule,
                name: entry.name_text.clone(),
                reason: entry.reason.clone(),
                expired: entry.expires.to_string(),
                line: entry.line,
            })
            .collect()
    }
}

impl Entry {
    fn read(raw: Spanned<RawEntry>, line: impl Fn(usize) -> u64) -> Result<Self, AllowListError> {
        let at = raw.span().start;
        let RawEntry { rule, name, reason, expires } = raw.into_inner();
        let rule_line = line(rule.span().start);
        let known = rules().find(|(id, _)| id.as_str() == rule.get_ref().as_str());
        let Some((known, _)) = known else {
            return Err(AllowListError::UnknownRule { line: rule_line });
        };
        if reason.get_ref().trim().is_empty() {
            return Err(AllowListError::ReasonMissing { line: line(reason.span().start) });
        }
        let pattern = Glob::new(name.get_ref())
            .ok_or_else(|| AllowListError::Name { line: line(name.span().start) })?;
        let date = Date::read(expires.get_ref())
            .ok_or_else(|| AllowListError::Expiry { line: line(expires.span().start) })?;
        Ok(Self {
            rule: known,
            name: pattern,
            name_text: name.into_inner(),
            reason: reason.into_inner(),
            expires: date,
            line: line(at),
        })
    }

    fn counts(&self, now: i64) -> bool {
        now < self.expires.ends()
    }
}

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug)]
struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    fn read(raw: &RawDate) -> Option<Self> {
        let date = match raw {
            RawDate::Toml(datetime) => datetime.date?,
            RawDate::Text(text) => text.parse::<toml::value::Datetime>().ok()?.date?,
        };
        let date = Self { year: date.year, month: date.month, day: date.day };
        let is_leap = |year: u16| {
            year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
        };
        let days = match date.month {
            2 if is_leap(date.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (1..=days).contains(&date.day).then_some(date)
    }

    /// The first second behind the day.
    fn ends(self) -> i64 {
        // Years that begin in March put the leap day at their end.
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
            + year.div_euclid(400)
            + day_of_year
            - 719_468;
        (days + 1) * SECONDS_PER_DAY
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn line_of(text: &str, offset: usize) -> u64 {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    memchr::memchr_iter(b'\n', before).count() as u64 + 1
}

#[cfg(test)]
mod tests;
