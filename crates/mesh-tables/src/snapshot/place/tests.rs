use std::cmp::Ordering;

use mesh_protocol::{SnapshotPosition, SqlValue, TableId};
use proptest::prelude::*;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use super::{Place, compare_keys};
use crate::catalog::Column;
use crate::key::Collation;
use crate::sql::{Columns, fetch_all};

fn a_text() -> impl Strategy<Value = String> {
    "[abAB ]{0,4}|\\PC{0,6}"
}

fn a_value() -> impl Strategy<Value = SqlValue> {
    prop_oneof![
        any::<i64>().prop_map(SqlValue::Integer),
        (-3_i64..3).prop_map(SqlValue::Integer),
        any::<f64>()
            .prop_filter("SQLite has no NaN", |real| !real.is_nan())
            .prop_map(SqlValue::Real),
        (-3_i32..3).prop_map(|whole| SqlValue::Real(f64::from(whole) / 2.0)),
        Just(SqlValue::Real(9_007_199_254_740_993.0)),
        Just(SqlValue::Integer(9_007_199_254_740_993)),
        a_text().prop_map(SqlValue::Text),
        any::<Vec<u8>>().prop_map(SqlValue::Blob),
    ]
}

fn columns(collation: Collation) -> Vec<Column> {
    vec![Column { no: 0, name: "k".to_owned(), collation, stand_in: None }]
}

/// What SQLite says of two values: -1, 0 or 1.
async fn asked(values: &[(SqlValue, SqlValue)], collation: &str) -> Vec<i64> {
    let options = SqliteConnectOptions::new().filename(":memory:");
    let mut conn = options.connect().await.unwrap();
    let mut answers = Vec::new();
    for (one, two) in values {
        let sql = format!("SELECT (?1 > ?2 COLLATE {collation}) - (?1 < ?2 COLLATE {collation})");
        let rows = fetch_all(&mut conn, sql, [one.clone(), two.clone()]).await.unwrap();
        answers.push(Columns::of(&rows[0]).int().unwrap());
    }
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn keys_are_in_the_order_of_sqlite(
        values in prop::collection::vec((a_value(), a_value()), 64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (collation, name) in
            [(Collation::Binary, "BINARY"), (Collation::NoCase, "NOCASE"), (Collation::RTrim, "RTRIM")]
        {
            let has_zero = |value: &SqlValue| {
                matches!(value, SqlValue::Text(text) if text.contains('\0'))
            };
            let values: Vec<_> = (values.iter())
                .filter(|(one, two)| !has_zero(one) && !has_zero(two))
                .cloned()
                .collect();
            let expected = runtime.block_on(asked(&values, name));
            for ((one, two), expected) in values.iter().zip(expected) {
                let (ones, twos) = ([one.clone()], [two.clone()]);
                let order = compare_keys(&columns(collation), &ones, &twos) as i64;
                prop_assert_eq!(order, expected, "{:?} {:?} {}", one, two, name);
            }
        }
    }

    #[test]
    fn places_come_back_as_they_were(key in prop::option::of(prop::collection::vec(a_value(), 1..3)), sent: u64) {
        let position = SnapshotPosition { table: TableId::from_bytes([3; 16]), after: key, sent };
        for place in [Place::Start, Place::End, Place::At(position)] {
            prop_assert_eq!(Place::decode(&place.encode()).unwrap(), place);
        }
    }
}

#[test]
fn whole_numbers_are_not_rounded_when_they_meet_others() {
    let columns = columns(Collation::Binary);
    let large = [SqlValue::Integer(i64::MAX)];
    let rounded = [SqlValue::Real(9_223_372_036_854_775_808.0)];
    assert_eq!(compare_keys(&columns, &large, &rounded), Ordering::Less);
    assert_eq!(compare_keys(&columns, &rounded, &large), Ordering::Greater);
}
