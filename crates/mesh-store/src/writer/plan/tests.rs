use super::insert_steps;
use crate::columns::Value;
use crate::statements::ROWS_PER_INSERT;

fn rows(count: usize) -> Vec<Vec<Value>> {
    vec![vec![Value::Int(1), Value::Int(2), Value::Int(3)]; count]
}

fn shape(count: usize) -> Vec<(&'static str, usize, usize)> {
    let steps = insert_steps("one", "many", 3, rows(count));
    let shape = |step: super::Step| {
        let nulls = step.values.iter().filter(|value| matches!(value, Value::Null)).count();
        (step.sql, step.values.len(), nulls)
    };
    steps.into_iter().map(shape).collect()
}

#[test]
fn rows_are_spread_over_as_few_statements_as_possible() {
    let full = 3 * ROWS_PER_INSERT;
    assert_eq!(shape(0), []);
    assert_eq!(shape(1), [("one", 3, 0)]);
    assert_eq!(shape(2), [("many", full, full - 6)]);
    assert_eq!(shape(ROWS_PER_INSERT), [("many", full, 0)]);
    assert_eq!(shape(ROWS_PER_INSERT + 1), [("many", full, 0), ("one", 3, 0)]);
}
