use std::collections::BTreeMap;

use mesh_protocol::{SqlValue, TableId};
use proptest::prelude::*;

use super::{Collation, canonical, decode_values, encode_values};
use crate::catalog::{Column, Table};

fn table(collation: Collation) -> Table {
    Table {
        no: 1,
        id: TableId::from_bytes([7; 16]),
        name: "t".to_owned(),
        sql: String::new(),
        key: vec![Column { no: 0, name: "k".to_owned(), collation, stand_in: None }],
        columns: Vec::new(),
        coverage: BTreeMap::new(),
    }
}

fn is_same(collation: Collation, one: SqlValue, two: SqlValue) -> bool {
    let table = table(collation);
    canonical(&table, &[one]) == canonical(&table, &[two])
}

fn text(text: &str) -> SqlValue {
    SqlValue::Text(text.to_owned())
}

fn a_value() -> impl Strategy<Value = SqlValue> {
    prop_oneof![
        Just(SqlValue::Null),
        any::<i64>().prop_map(SqlValue::Integer),
        any::<f64>().prop_map(SqlValue::Real),
        any::<String>().prop_map(SqlValue::Text),
        any::<Vec<u8>>().prop_map(SqlValue::Blob),
        any::<Vec<u8>>().prop_map(SqlValue::RawText),
    ]
}

proptest! {
    #[test]
    fn values_come_back_as_they_were(values in prop::collection::vec(a_value(), 0..6)) {
        prop_assert_eq!(decode_values(&encode_values(&values)).unwrap(), values);
    }

    #[test]
    fn whatever_is_read_as_values_does_no_harm(bytes: Vec<u8>) {
        if let Ok(values) = decode_values(&bytes) {
            prop_assert!(values.len() <= bytes.len());
        }
    }
}

#[test]
fn text_keys_are_the_same_as_their_collation_says() {
    assert!(is_same(Collation::NoCase, text("Straße A"), text("sTRAßE a")));
    assert!(!is_same(Collation::NoCase, text("Ä"), text("ä")));
    assert!(!is_same(Collation::NoCase, text("a "), text("a")));
    assert!(is_same(Collation::RTrim, text("a  "), text("a")));
    assert!(!is_same(Collation::RTrim, text(" a"), text("a")));
    assert!(!is_same(Collation::Binary, text("A"), text("a")));
}

#[test]
fn numbers_are_the_same_key_when_they_are_equal() {
    let (integer, real) = (SqlValue::Integer, SqlValue::Real);
    assert!(is_same(Collation::Binary, integer(1), real(1.0)));
    assert!(is_same(Collation::Binary, real(0.0), real(-0.0)));
    assert!(!is_same(Collation::Binary, integer(1), real(1.5)));
    assert!(!is_same(Collation::Binary, integer(i64::MAX), real(9_223_372_036_854_775_808.0)));
}
