use super::*;

#[test]
fn numbers_with_units_add_up() {
    let seconds = |text| parse_duration(text).unwrap().as_secs();
    assert_eq!(seconds("90s"), 90);
    assert_eq!(seconds("30m"), 1_800);
    assert_eq!(seconds("24h"), 86_400);
    assert_eq!(seconds("7d"), 604_800);
    assert_eq!(seconds("2w"), 1_209_600);
    assert_eq!(seconds("1h30m5s"), 5_405);
}

#[test]
fn anything_else_says_how_to_write_it() {
    for text in ["", "5", "h", "1.5h", "-1h", "1 h", "1y", "0s", "1h30", "½h", "99999999999999999w"]
    {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}
