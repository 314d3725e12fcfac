//! Durations as people write them.

use std::time::Duration;

/// Reads `90s`, `30m`, `24h`, `7d`, `2w` and sums such as `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const HELP: &str = "write a number and a unit: s, m, h, d or w, such as 90s, 24h or 1h30m";
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at_checked(digits).ok_or(HELP)?;
        let number: u64 = number.parse().map_err(|_| HELP)?;
        let mut tail = tail.chars();
        let seconds = match tail.next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 24 * 3600,
            Some('w') => 7 * 24 * 3600,
            Some(_) | None => return Err(HELP.to_owned()),
        };
        rest = tail.as_str();
        let part = number.checked_mul(seconds);
        total = part.and_then(|part| total.checked_add(part)).ok_or("that is too long")?;
    }
    if total == 0 {
        return Err(HELP.to_owned());
    }
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests;
