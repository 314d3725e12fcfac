//! The table that is measured: a key and five columns, as small records of an application are.

use mesh_protocol::SqlValue;

pub(crate) const COLUMNS: usize = 5;

pub(crate) const TABLE: &str = "CREATE TABLE bench (
    id INTEGER PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    amount INTEGER NOT NULL,
    weight REAL NOT NULL,
    note TEXT NOT NULL
)";

pub(crate) const INSERT: &str =
    "INSERT INTO bench (id, name, state, amount, weight, note) VALUES (?, ?, ?, ?, ?, ?)";

/// The row of a key.
#[expect(clippy::cast_precision_loss, reason = "keys are small")]
pub(crate) fn row(key: i64) -> [SqlValue; COLUMNS + 1] {
    [
        SqlValue::Integer(key),
        SqlValue::Text(format!("record number {key}")),
        SqlValue::Text("waiting".to_owned()),
        SqlValue::Integer(key * 7919 % 100_003),
        SqlValue::Real(key as f64 / 8.0),
        SqlValue::Text("a short note of an agent about this".to_owned()),
    ]
}
