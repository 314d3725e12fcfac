use super::*;

#[test]
fn what_a_terminal_would_obey_is_shown_instead() {
    assert_eq!(plain("é ✓ 漢 \u{1f980}"), "é ✓ 漢 \u{1f980}");
    assert_eq!(plain("a\u{1b}[2Jb\r\n\u{7}"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{7}");
    assert_eq!(plain("\u{9b}1m\u{7f}"), "\\u{9b}1m\\u{7f}");
    assert_eq!(
        plain("a\u{202e}b\u{2066}\u{200b}\u{feff}"),
        "a\\u{202e}b\\u{2066}\\u{200b}\\u{feff}"
    );
    let value = serde_json::json!({"k\u{9b}": "\u{1b}\u{202e}"});
    assert!(!json(&value).chars().any(is_active), "{}", json(&value));
}

#[test]
fn json_stays_the_same_value_when_it_is_made_harmless() {
    let value = serde_json::json!({"a\u{9b}": ["\u{1b}\u{202e}\u{7f}é\u{e0001}\u{1f980}", "\n"]});
    let text = plain_json(&serde_json::to_string_pretty(&value).unwrap());
    assert!(!text.contains(|c| c != '\n' && is_active(c)), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
}

#[test]
fn times_are_told_by_their_largest_unit() {
    let now = UnixMillis(1_000_000_000);
    let before = |seconds: u64| UnixMillis(now.0 - seconds * 1000);
    assert_eq!(ago(now, now), "now");
    assert_eq!(ago(before(1), now), "1 s ago");
    assert_eq!(ago(before(119), now), "2 min ago");
    assert_eq!(ago(before(65), now), "1 min ago");
    assert_eq!(ago(before(3_599), now), "1 h ago");
    assert_eq!(ago(before(86_399), now), "1 d ago");
    assert_eq!(ago(before(200_000), now), "2 d ago");
    assert_eq!(ago(UnixMillis(now.0 + 5_000), now), "now");
    assert_eq!(until(UnixMillis(now.0 + 5_000), now), "in 5 s");
    assert_eq!(until(before(61), now), "1 min ago");
}

#[test]
fn a_time_that_no_calendar_has_is_still_told() {
    assert_eq!(clock_time(UnixMillis(u64::MAX)), "18446744073709551615 ms");
}

#[test]
fn sizes_are_told_by_their_largest_unit() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (u64::MAX, "16777215.9 TiB"),
    ];
    for (size, text) in cases {
        assert_eq!(bytes(size), text);
    }
}

#[test]
fn columns_are_aligned_and_lines_end_where_their_text_does() {
    let mut columns = Columns::new(["NAME", "STATE"]);
    columns.row(NORMAL, ["a".to_owned(), "active".to_owned()]);
    columns.row(NORMAL, ["漢字漢字".to_owned(), String::new()]);
    let text = anstream::adapter::strip_str(&columns.render()).to_string();
    assert_eq!(text, "NAME      STATE\na         active\n漢字漢字\n");
}
