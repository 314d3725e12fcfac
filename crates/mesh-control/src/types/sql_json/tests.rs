use proptest::prelude::*;
use serde_json::json;

use super::*;

fn values() -> impl Strategy<Value = SqlValue> {
    prop_oneof![
        Just(SqlValue::Null),
        any::<i64>().prop_map(SqlValue::Integer),
        any::<f64>().prop_map(SqlValue::Real),
        (-1000_i32..1000).prop_map(|whole| SqlValue::Real(f64::from(whole))),
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("there is no NaN", |real| !real.is_nan())
            .prop_map(SqlValue::Real),
        any::<String>().prop_map(SqlValue::Text),
        any::<Vec<u8>>().prop_map(SqlValue::Blob),
        any::<Vec<u8>>().prop_map(SqlValue::RawText),
    ]
}

fn read(text: &str) -> Result<SqlValue, serde_json::Error> {
    serde_json::from_str::<SqlJson>(text).map(SqlValue::from)
}

/// Reads by way of what serde keeps while it looks for a tag.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Tagged {
    Item { value: SqlJson },
}

proptest! {
    #[test]
    fn every_value_comes_back_as_it_was(value in values()) {
        let text = serde_json::to_string(&SqlJson(value.clone())).unwrap();
        prop_assert_eq!(&read(&text).unwrap(), &value, "{}", text);
        let tagged = serde_json::to_string(&Tagged::Item { value: SqlJson(value.clone()) }).unwrap();
        let Tagged::Item { value: back } = serde_json::from_str(&tagged).unwrap();
        prop_assert_eq!(&back.0, &value, "{}", tagged);
        let document = serde_json::to_value(SqlJson(value.clone())).unwrap();
        prop_assert_eq!(&serde_json::from_value::<SqlJson>(document).unwrap().0, &value);
    }
}

#[test]
fn the_forms_are_as_documented() {
    let cases = [
        (SqlValue::Null, "null"),
        (SqlValue::Integer(i64::MIN), "-9223372036854775808"),
        (SqlValue::Integer(i64::MAX), "9223372036854775807"),
        (SqlValue::Real(1.0), "1.0"),
        (SqlValue::Real(-0.0), "-0.0"),
        (SqlValue::Real(1e300), "1e+300"),
        (SqlValue::Real(f64::INFINITY), r#"{"$real":"Infinity"}"#),
        (SqlValue::Real(f64::NEG_INFINITY), r#"{"$real":"-Infinity"}"#),
        (SqlValue::Text("a\"b\0é".to_owned()), r#""a\"b\u0000é""#),
        (SqlValue::Blob(vec![]), r#"{"$blob":""}"#),
        (SqlValue::Blob(vec![0, 0xff]), r#"{"$blob":"AP8="}"#),
        (SqlValue::RawText(vec![0xff]), r#"{"$text":"/w=="}"#),
    ];
    for (value, text) in cases {
        assert_eq!(serde_json::to_string(&SqlJson(value.clone())).unwrap(), text);
        assert_eq!(read(text).unwrap(), value, "{text}");
    }
    let nan = serde_json::to_string(&SqlJson(SqlValue::Real(f64::NAN))).unwrap();
    assert_eq!(nan, "null");
}

#[test]
fn what_other_programs_write_is_understood() {
    let cases = [
        ("true", SqlValue::Integer(1)),
        ("false", SqlValue::Integer(0)),
        ("9223372036854775808", SqlValue::Real(9_223_372_036_854_775_808.0)),
        ("1e3", SqlValue::Real(1000.0)),
        (r#"{"$blob":"AP8"}"#, SqlValue::Blob(vec![0, 0xff])),
    ];
    for (text, value) in cases {
        assert_eq!(read(text).unwrap(), value, "{text}");
    }
}

#[test]
fn what_is_no_value_is_refused() {
    let cases = [
        "[]",
        "[1]",
        "{}",
        r#"{"a":1}"#,
        r#"{"a":"b"}"#,
        r#"{"$blob":1}"#,
        r#"{"$blob":"*"}"#,
        r#"{"$real":"1"}"#,
        r#"{"$real":"NaN"}"#,
        r#"{"$blob":"","$text":""}"#,
        r#"{"$blob":"","more":"x"}"#,
        "1e999",
    ];
    for text in cases {
        assert!(read(text).is_err(), "{text}");
    }
    assert_eq!(SqlValue::from(json_value(json!("x"))), SqlValue::Text("x".to_owned()));
}

fn json_value(document: serde_json::Value) -> SqlJson {
    serde_json::from_value(document).unwrap()
}

#[test]
fn what_a_value_says_is_not_in_its_debug_form() {
    let shown = format!("{:?}", SqlJson(SqlValue::Text("secret".to_owned())));
    assert!(!shown.contains("secret"), "{shown}");
}
