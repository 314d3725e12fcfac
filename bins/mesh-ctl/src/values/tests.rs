use super::*;

fn check(value: SqlValue, for_people: &str, in_csv: &str) {
    let value = SqlJson(value);
    assert_eq!((shown(&value).as_str(), csv_value(&value).as_str()), (for_people, in_csv));
}

#[test]
fn every_kind_of_value_has_its_form() {
    check(SqlValue::Null, "NULL", "");
    check(SqlValue::Integer(-5), "-5", "-5");
    check(SqlValue::Real(1.0), "1.0", "1.0");
    check(SqlValue::Real(1e300), "1e300", "1e300");
    check(SqlValue::Real(f64::NEG_INFINITY), "-Infinity", "-Infinity");
    check(SqlValue::Text(String::new()), "", "\"\"");
    check(SqlValue::Text("a,\"b\"\n".to_owned()), "a,\"b\"\\u{a}", "\"a,\"\"b\"\"\n\"");
    check(SqlValue::Text("é".to_owned()), "é", "é");
    check(SqlValue::Blob(vec![0, 0xff]), "x'00ff'", "00ff");
    check(SqlValue::RawText(vec![b'a', 0xff]), "a\u{fffd}", "61ff");
}

#[test]
fn a_large_blob_is_shown_by_its_start_and_size() {
    let edge = SqlJson(SqlValue::Blob(vec![0; BLOB_BYTES_SHOWN]));
    assert_eq!(shown(&edge), format!("x'{}'", "00".repeat(32)));
    let large = SqlJson(SqlValue::Blob(vec![0; 1 << 20]));
    assert_eq!(shown(&large), format!("x'{}…' (1.0 MiB)", "00".repeat(32)));
}

#[test]
fn named_values_are_pairs() {
    let text = SqlJson(SqlValue::Text("b".to_owned()));
    let values = NamedValues(vec![("a".to_owned(), text), ("c".to_owned(), SqlJson::default())]);
    assert_eq!(named(&values), "a=b c=NULL");
}
