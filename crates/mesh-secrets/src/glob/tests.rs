use super::*;

#[test]
fn stars_stay_within_a_part_and_double_stars_cross_parts() {
    let cases = [
        ("docs/*.md", "docs/a.md", true),
        ("docs/*.md", "./docs/a.md", true),
        ("docs/*.md", "docs/x/a.md", false),
        ("docs/**", "docs/x/a.md", true),
        ("**/a.md", "docs/x/a.md", true),
        ("**/a.md", "a.md", true),
        ("*.pem", "certs/test.pem", true),
        ("*.pem", "certs/test.pem.txt", false),
        ("?.txt", "a.txt", true),
        ("a.b", "axb", false),
        ("agents.*.token", "agents.oak.token", true),
        ("é/*", "é/x", true),
    ];
    for (pattern, name, matches) in cases {
        assert_eq!(Glob::new(pattern).unwrap().matches(name), matches, "{pattern} {name}");
    }
}

#[test]
fn an_empty_or_endless_pattern_is_none() {
    assert!(Glob::new("").is_none());
    assert!(Glob::new(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_none());
    assert!(Glob::new(&"*".repeat(PATTERN_BYTES_MAX)).is_some());
}
