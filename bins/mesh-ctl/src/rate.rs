//! Rates as people write them.

/// Reads `20M`, `500K`, `1.5G` or a number of bytes, per second. A unit is 1,024 times the one before it.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    const HELP: &str = "write a number of bytes per second, or one with K, M or G, such as 20M";
    let (number, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => {
            (text.get(..at).ok_or(HELP)?, unit.to_ascii_uppercase())
        }
        Some(_) => (text, 'B'),
        None => return Err(HELP.to_owned()),
    };
    let unit: u64 = match unit {
        'B' => 1,
        'K' => 1 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        _ => return Err(HELP.to_owned()),
    };
    let (whole, tenths) = match number.split_once('.') {
        Some((whole, tenths)) if tenths.len() == 1 => (whole, digits(tenths).ok_or(HELP)?),
        Some(_) => return Err(HELP.to_owned()),
        None => (number, 0),
    };
    let whole = digits(whole).ok_or(HELP)?.checked_mul(unit).ok_or("that is too much")?;
    let rate = whole.checked_add(tenths * unit / 10).ok_or("that is too much")?;
    if rate == 0 { Err("nothing would ever be sent".to_owned()) } else { Ok(rate) }
}

/// A number without a sign or anything else.
fn digits(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
