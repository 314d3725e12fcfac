use super::*;
use crate::state::tests::{entry, key, sealed_entry};

#[test]
fn a_row_has_room_for_the_envelopes_of_a_value_and_is_refused_beyond_it() {
    let one = entry(serde_json::json!(1), 1, 1);
    // Blanks after it are no fault in JSON.
    let mut longest = one.to_text();
    longest.push_str(&" ".repeat(2 * VALUE_BYTES_MAX - longest.len()));
    assert_eq!(Entry::parse("a", &longest), Ok(one));
    let refused = Entry::parse("a", &format!("{longest} ")).unwrap_err();
    assert_eq!(
        refused,
        ConfigError::Entry { key: "a".to_owned(), reason: "it is too large".to_owned() }
    );
}

#[test]
fn a_sealed_value_counts_with_its_envelopes() {
    let bytes = |length| sealed_entry(&"x".repeat(length), 1).value.bytes(&key("a"));
    assert_eq!(bytes(100), Ok(164));
    assert_eq!(bytes(VALUE_BYTES_MAX - 64), Ok(VALUE_BYTES_MAX));
    let too_large = ConfigError::ValueTooLarge {
        key: key("a"),
        bytes: VALUE_BYTES_MAX + 1,
        max: VALUE_BYTES_MAX,
    };
    assert_eq!(bytes(VALUE_BYTES_MAX - 63), Err(too_large));
}
