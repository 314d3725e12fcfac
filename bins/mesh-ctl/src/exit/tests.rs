use super::*;

#[test]
fn only_these_codes_leave_the_ordinary_failure() {
    let special: Vec<_> = ErrorCode::ALL
        .iter()
        .filter(|code| Exit::of(**code) != Exit::Failed)
        .map(|code| (code.as_str(), Exit::of(*code) as u8))
        .collect();
    let expected = [
        ("secret_found", 4),
        ("path_refused", 4),
        ("not_a_member", 4),
        ("agent_unreachable", 3),
        ("timed_out", 5),
        ("bad_request", 2),
        ("shutting_down", 3),
    ];
    assert_eq!(special, expected);
}
