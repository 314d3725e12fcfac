use super::*;

#[test]
fn a_parameter_is_json_where_it_reads_as_a_value_else_text() {
    let text = |text: &str| SqlValue::Text(text.to_owned());
    let cases = [
        ("5", SqlValue::Integer(5)),
        ("-5", SqlValue::Integer(-5)),
        ("5.0", SqlValue::Real(5.0)),
        ("1e3", SqlValue::Real(1000.0)),
        ("true", SqlValue::Integer(1)),
        ("false", SqlValue::Integer(0)),
        ("null", SqlValue::Null),
        ("\"5\"", text("5")),
        ("\"@x\"", text("@x")),
        (r#"{"$blob":"AP8="}"#, SqlValue::Blob(vec![0, 0xff])),
        ("NULL", text("NULL")),
        ("007", text("007")),
        (" 5", text(" 5")),
        ("", text("")),
        ("it's", text("it's")),
        ("[1]", text("[1]")),
        ("{}", text("{}")),
    ];
    for (param, expected) in cases {
        assert_eq!(value(param).unwrap().0, expected, "{param:?}");
    }
}

#[test]
fn a_file_becomes_a_blob_up_to_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blob");
    let param = format!("@{}", path.display());
    assert!(value(&param).is_err());
    std::fs::write(&path, [0, 0xff]).unwrap();
    assert_eq!(value(&param).unwrap().0, SqlValue::Blob(vec![0, 0xff]));
    File::create(&path).unwrap().set_len(FILE_BYTES_MAX).unwrap();
    assert!(value(&param).is_ok());
    File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    let Err(Failure::Told(error)) = value(&param) else { panic!("it is taken") };
    assert_eq!(error.code, ErrorCode::MessageTooLarge);
}
