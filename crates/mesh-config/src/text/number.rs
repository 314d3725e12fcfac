//! Numbers that are kept as they are written, or not at all.

use serde_json::Number;

const TOO_LARGE: &str =
    "this number is too large to be kept; in double quotes, as text, it is kept as it is";
const NOT_EXACT: &str =
    "this number has more digits than can be kept; in double quotes, as text, it is kept as it is";
const TOO_LONG_HEX: &str = "this number is too large to be kept";

/// The number that `text` is, as the scanner found it.
pub(super) fn number(text: &str) -> Result<Number, &'static str> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let value = u64::from_str_radix(hex, 16).map_err(|_| TOO_LONG_HEX)?;
        return whole(is_negative, value).ok_or(TOO_LONG_HEX);
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(value) = digits.parse::<u64>()
        && let Some(number) = whole(is_negative, value)
    {
        return Ok(number);
    }
    let value: f64 = digits.parse().map_err(|_| "this is no number")?;
    let number = Number::from_f64(if is_negative { -value } else { value }).ok_or(TOO_LARGE)?;
    // What is written back is the shortest text of the float, and of two that are as near the one that the library
    // takes. If that is another number than the user wrote, keeping it would alter it.
    let written = number.to_string();
    let is_same = decimal(digits) == decimal(written.trim_start_matches('-'));
    if is_same { Ok(number) } else { Err(NOT_EXACT) }
}

fn whole(is_negative: bool, value: u64) -> Option<Number> {
    if !is_negative {
        return Some(value.into());
    }
    if value == 0 {
        return Number::from_f64(-0.0);
    }
    0_i64.checked_sub_unsigned(value).map(Into::into)
}

/// The digits of an unsigned decimal number without zeros at either end, and the power of ten of the first;
/// no digits for zero. `None` for a power that no float has.
fn decimal(text: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.parse::<i64>().ok()),
        None => (text, Some(0)),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{after}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some((String::new(), 0));
    }
    let leading = i64::try_from(digits.len() - significant.len()).ok()?;
    let point = i64::try_from(before.len()).ok()?;
    let power = exponent?.checked_add(point)?.checked_sub(leading)?;
    Some((significant.trim_end_matches('0').to_owned(), power))
}

#[cfg(test)]
mod tests;
