use super::*;

#[test]
fn rows_that_are_no_entries_are_counted_and_the_first_is_named() {
    let (mut state, mut left) = (ConfigState::default(), LeftAlone::default());
    for number in 0..1000 {
        assert!(left.take(&mut state, &format!("a.b{number}"), Some("{")));
    }
    assert!(!left.take(&mut state, "c", None));
    assert_eq!(left.count, 1000);
    assert!(left.first.unwrap().to_string().contains("a.b0"));
}
