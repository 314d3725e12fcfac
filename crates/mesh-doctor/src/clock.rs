use std::time::Duration;

use crate::finding::listed;
use crate::{Check, Finding};

/// From here on the clocks of two members are too far apart: a message from the future is refused, and
/// one from the past expires early.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// From here on it is worth a word.
const CLOCK_SKEW_ODD: Duration = Duration::from_secs(30);

/// A round trip cannot tell a clock more exactly than this.
const PRECISION: Duration = Duration::from_secs(1);

/// What a round trip told of a member's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The member.
    pub hostname: String,
    /// Its clock minus this machine's, milliseconds.
    pub offset_ms: i64,
}

/// Judges the clocks of the linked members against this machine's.
#[must_use]
pub fn judge_clock(readings: &[ClockReading]) -> Finding {
    let Some(median) = median(readings) else {
        return Finding::good(Check::Clock, "no linked member to compare the clock with");
    };
    let beyond = |offset: i64, limit: Duration| offset.unsigned_abs() >= as_ms(limit);
    let limit = CLOCK_SKEW_MAX.saturating_sub(PRECISION);
    let off: Vec<String> = readings
        .iter()
        .filter(|reading| beyond(reading.offset_ms, limit))
        .map(|reading| format!("{} ({})", reading.hostname, apart(reading.offset_ms)))
        .collect();
    let count = readings.len();
    if count > 1 && beyond(median, limit) {
        return Finding::failed(
            Check::Clock,
            format!(
                "this machine's clock is wrong, or most others are: {} of {count} linked members differ by 5 minutes or more: {}",
                off.len(),
                listed(&off)
            ),
            "let the system set the clock: `timedatectl set-ntp true`, then look with `timedatectl`; messages between clocks that far apart are refused or expire early",
        );
    }
    if !off.is_empty() {
        return Finding::failed(
            Check::Clock,
            format!("clocks differ by 5 minutes or more: {}", listed(&off)),
            "compare `date -u` on both machines, and let the system set the clock where it is wrong: `timedatectl set-ntp true`; messages between clocks that far apart are refused or expire early",
        );
    }
    let odd: Vec<String> = readings
        .iter()
        .filter(|reading| beyond(reading.offset_ms, CLOCK_SKEW_ODD))
        .map(|reading| format!("{} ({})", reading.hostname, apart(reading.offset_ms)))
        .collect();
    if !odd.is_empty() {
        return Finding::noted(
            Check::Clock,
            format!("clocks differ, though not by 5 minutes yet: {}", listed(&odd)),
            "let the system set the clocks: `timedatectl set-ntp true`",
        );
    }
    Finding::good(
        Check::Clock,
        format!("agrees with the linked members ({count}, median {})", apart(median)),
    )
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn median(readings: &[ClockReading]) -> Option<i64> {
    let mut offsets: Vec<i64> = readings.iter().map(|reading| reading.offset_ms).collect();
    offsets.sort_unstable();
    offsets.get(offsets.len() / 2).copied()
}

/// `5 min 3 s ahead of this machine's`.
fn apart(offset_ms: i64) -> String {
    let ms = offset_ms.unsigned_abs();
    let size = match ms / 1000 {
        0 => format!("{ms} ms"),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..86_400 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} days", seconds / 86_400),
    };
    let side = if offset_ms < 0 { "behind" } else { "ahead of" };
    format!("{size} {side} this machine's")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(offsets: &[(&str, i64)]) -> Finding {
        let readings: Vec<ClockReading> = offsets
            .iter()
            .map(|&(hostname, offset_ms)| ClockReading { hostname: hostname.to_owned(), offset_ms })
            .collect();
        judge_clock(&readings)
    }

    #[test]
    fn a_member_whose_clock_is_five_minutes_off_is_named_with_the_mend() {
        let found = judged(&[("mint", 4), ("oak", -300_000), ("elm", -9)]);
        assert!(!found.ok);
        assert!(found.detail.contains("oak (5 min 0 s behind"), "{}", found.detail);
        assert!(!found.detail.contains("mint"), "{}", found.detail);
        assert!(found.hint.contains("set-ntp"));
    }

    #[test]
    fn a_machine_that_differs_from_most_members_is_told_so() {
        let found = judged(&[("mint", 400_000), ("oak", 400_100), ("elm", 3)]);
        assert!(!found.ok);
        assert!(found.detail.starts_with("this machine's clock is wrong"), "{}", found.detail);
    }

    #[test]
    fn a_minute_is_worth_a_word_and_a_second_is_not() {
        let found = judged(&[("mint", 61_000)]);
        assert!(found.ok && found.detail.contains("1 min 1 s ahead"), "{found:?}");
        let found = judged(&[("mint", 900)]);
        assert!(found.ok && found.hint.is_empty(), "{found:?}");
        assert!(judged(&[]).ok);
        assert!(!judged(&[("mint", i64::MIN)]).ok);
    }
}
