use super::*;

const DAY: i64 = 1_780_185_600; // 2026-05-31, midnight

fn list(expires: &str) -> Result<AllowList, AllowListError> {
    AllowList::parse(&format!(
        "# reviewed\n[[allow]]\nrule = \"jwt\"\nname = \"docs/*.md\"\nreason = \"an example\"\nexpires = {expires}\n"
    ))
}

fn jwt() -> RuleId {
    rules().find(|(id, _)| id.as_str() == "jwt").unwrap().0
}

#[test]
fn an_entry_counts_through_its_last_day_and_not_longer() {
    for expires in ["2026-05-31", "\"2026-05-31\""] {
        let list = list(expires).unwrap();
        assert!(list.allows(jwt(), "docs/a.md", DAY));
        assert!(list.allows(jwt(), "docs/a.md", DAY + SECONDS_PER_DAY - 1));
        assert!(!list.allows(jwt(), "docs/a.md", DAY + SECONDS_PER_DAY));
        assert!(!list.allows(jwt(), "src/a.md", DAY));
        assert_eq!(list.expired(DAY), []);
        let expired = list.expired(DAY + SECONDS_PER_DAY);
        assert_eq!(expired.len(), 1);
        assert_eq!((expired[0].line, expired[0].expired.as_str()), (2, "2026-05-31"));
    }
}

#[test]
fn days_are_counted_as_the_calendar_does() {
    let ends = |text: &str| Date::read(&RawDate::Text(text.to_owned())).unwrap().ends();
    assert_eq!(ends("1970-01-01"), SECONDS_PER_DAY);
    assert_eq!(ends("2000-02-29"), 951_868_800);
    assert_eq!(ends("2000-03-01") - ends("2000-02-29"), SECONDS_PER_DAY);
    assert_eq!(ends("2100-03-01") - ends("2100-02-28"), SECONDS_PER_DAY);
    assert_eq!(ends("2027-01-01") - ends("2026-12-31"), SECONDS_PER_DAY);
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let entry = |rule: &str, name: &str, reason: &str, expires: &str| {
        let text = format!(
            "\n[[allow]]\nrule = {rule}\nname = {name}\nreason = {reason}\nexpires = {expires}\n"
        );
        AllowList::parse(&text).unwrap_err()
    };
    let (rule, name, reason, day) = ("\"jwt\"", "\"*\"", "\"why\"", "2027-01-31");
    assert_eq!(entry("\"jwtt\"", name, reason, day), AllowListError::UnknownRule { line: 3 });
    assert_eq!(entry(rule, "\"\"", reason, day), AllowListError::Name { line: 4 });
    assert_eq!(entry(rule, name, "\" \"", day), AllowListError::ReasonMissing { line: 5 });
    assert_eq!(entry(rule, name, reason, "\"soon\""), AllowListError::Expiry { line: 6 });
    assert_eq!(entry(rule, name, reason, "\"2027-02-29\""), AllowListError::Expiry { line: 6 });
    for (text, line) in [
        ("[[allow]]\nrule = \"jwt\"\nname = \"*\"\nexpires = 2027-01-31\n", 1),
        ("[[allow]]\nrule = \"jwt\"\nname = \"*\"\nreason = \"why\"\n", 1),
        ("\n\nallow = 3\n", 3),
        ("[[allow]]\nrule = \"jwt\nname", 3),
        (
            "[[allow]]\nrule = \"jwt\"\nname = \"*\"\nreason = \"w\"\nexpires = 2027-01-31\nuntil = 3\n",
            6,
        ),
    ] {
        let error = AllowList::parse(text).unwrap_err();
        assert!(
            matches!(error, AllowListError::Syntax { line: found, .. } if found == line),
            "{error}"
        );
    }
}

#[test]
fn a_list_has_an_end() {
    let entry = "[[allow]]\nrule=\"jwt\"\nname=\"*\"\nreason=\"why\"\nexpires=2027-01-31\n";
    assert!(AllowList::parse(&entry.repeat(ENTRIES_MAX)).is_ok());
    let error = AllowList::parse(&entry.repeat(ENTRIES_MAX + 1)).unwrap_err();
    assert!(matches!(error, AllowListError::TooMany { line: 5121 }), "{error}");
}

#[test]
fn an_empty_list_allows_nothing() {
    let list = AllowList::parse("").unwrap();
    assert!(!list.allows(jwt(), "a", 0));
}
