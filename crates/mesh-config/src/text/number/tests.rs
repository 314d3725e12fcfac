use serde_json::json;

use super::*;

#[test]
fn a_number_is_kept_as_it_is_written() {
    let cases = [
        ("0", json!(0)),
        ("+5", json!(5)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551615", json!(u64::MAX)),
        ("0xFF", json!(255)),
        ("-0x8000000000000000", json!(i64::MIN)),
        ("0xffffffffffffffff", json!(u64::MAX)),
        ("1.0", json!(1.0)),
        ("1.10", json!(1.1)),
        (".5", json!(0.5)),
        ("5.", json!(5.0)),
        ("-0.1e1", json!(-1.0)),
        // It lies in the middle between 0.12 and 0.13.
        ("234642971088402.12", json!(234_642_971_088_402.12)),
        ("1e2", json!(100.0)),
        ("100000000000000000000", json!(1e20)),
        ("-100000000000000000000", json!(-1e20)),
        ("1.7976931348623157e308", json!(f64::MAX)),
        ("5e-324", json!(5e-324)),
        ("0e999999999999999999999", json!(0.0)),
        ("0.000", json!(0.0)),
    ];
    for (text, value) in cases {
        assert_eq!(serde_json::Value::from(number(text).unwrap()), value, "{text}");
    }
    assert_eq!(number("-0").unwrap().to_string(), "-0.0");
}

#[test]
fn a_number_that_would_become_another_is_refused() {
    for text in ["1e999", "-1e999", "1e99999999999999999999999"] {
        assert_eq!(number(text), Err(TOO_LARGE), "{text}");
    }
    for text in [
        "18446744073709551616",
        "-9223372036854775809",
        "12345678901234567890123",
        "3.14159265358979323846",
        "0.1000000000000000000001",
        "1e-999",
        "1e-99999999999999999999999",
        "2e-324",
    ] {
        assert_eq!(number(text), Err(NOT_EXACT), "{text}");
    }
    for text in ["0x10000000000000000", "-0x8000000000000001"] {
        assert_eq!(number(text), Err(TOO_LONG_HEX), "{text}");
    }
}
