use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_config::{ConfigKey, ValueDigest, flatten};
use mesh_control::ConfigFileState;
use mesh_protocol::CONFIG_KEYS_PER_FRAME_MAX;
use serde_json::json;

use super::{Known, Picture, SeenFile, Values, row_values, shown_values, table_of};

fn values<'k>(keys: impl IntoIterator<Item = &'k str>, value: u64) -> Values {
    let digest = ValueDigest::of_plain(&json!(value));
    keys.into_iter().map(|key| (key.parse().unwrap(), digest)).collect()
}

/// A node whose table, memory and file have these.
fn picture(table: &Values, memory: &Values, file: Option<&Values>) -> Picture {
    let known = |values: &Values| Arc::new(Known::new(values.clone()));
    Picture {
        count: 1,
        table: known(table),
        readable: known(table),
        memory: known(memory),
        shown: known(memory),
        file: SeenFile {
            stamp: None,
            known: file.map(known),
            state: ConfigFileState::InStep,
            detail: "not there".to_owned(),
        },
    }
}

fn all() -> BTreeSet<u8> {
    (0..=u8::MAX).collect()
}

fn kinds(picture: &Picture) -> Vec<String> {
    picture.own_problems().into_iter().map(|problem| problem.kind).collect()
}

#[test]
fn pages_name_every_key_of_the_table_and_the_file_once() {
    let keys: Vec<String> = (0..3 * CONFIG_KEYS_PER_FRAME_MAX).map(|n| format!("k.n{n}")).collect();
    let (in_table, in_file) = keys.split_at(2 * CONFIG_KEYS_PER_FRAME_MAX + 7);
    let table = values(in_table.iter().map(String::as_str), 1);
    let mut file = values(in_file.iter().map(String::as_str), 2);
    file.extend(values(["k.n0"], 3));
    let picture = picture(&table, &table, Some(&file));
    let (mut after, mut seen) = (String::new(), Vec::new());
    let mut pages = 0;
    loop {
        let (page, is_done) = picture.page(&all(), &after);
        assert!(page.len() <= CONFIG_KEYS_PER_FRAME_MAX);
        pages += 1;
        after = page.last().map_or(after, |last| last.key.clone());
        seen.extend(page);
        if is_done {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert!(seen.is_sorted_by(|one, next| one.key < next.key));
    assert_eq!(seen.len(), keys.len());
    let first = seen.iter().find(|one| one.key == "k.n0").unwrap();
    assert!(first.table.is_some() && first.file.is_some());
    let (page, is_done) = picture.page(&all(), &after);
    assert!(page.is_empty() && is_done);
}

#[test]
fn a_page_holds_the_ranges_that_were_asked_for() {
    let table = values(["a", "b", "c", "d", "e.f", "g.h.i"], 1);
    let picture = picture(&table, &table, None);
    let mut named = 0;
    for range in all() {
        let (page, is_done) = picture.page(&[range].into(), "");
        assert!(is_done);
        let of_range = |text: &str| mesh_config::range_of(&text.parse().unwrap()) == range;
        assert!(page.iter().all(|one| of_range(&one.key)));
        assert_eq!(picture.table.within(&[range].into(), None).len(), page.len());
        named += page.len();
    }
    assert_eq!(named, table.len());
    assert_eq!(picture.table.within(&all(), Some("c")).len(), 3);
}

#[test]
fn a_sealed_value_is_one_value_of_the_file() {
    let document = json!({ "a": { "door": { "$sealed": { "to": ["one"] } }, "b": 1 } });
    let shown = shown_values(&flatten(None, &document).unwrap());
    let keys: Vec<String> = shown.keys().map(ConfigKey::to_string).collect();
    assert_eq!(keys, ["a.b", "a.door"]);
}

fn row(key: &str, entry: &str) -> (String, String) {
    (key.to_owned(), entry.to_owned())
}

fn entry() -> String {
    json!({ "value": 1, "version": 1, "by": "0a".repeat(32), "at": 7 }).to_string()
}

#[test]
fn a_row_that_is_no_entry_differs_from_every_entry() {
    let good = row_values(&[row("a", &entry()), row("b..c", &entry())]).0;
    assert_eq!(good, values(["a"], 1));
    assert_ne!(row_values(&[row("a", "{")]).0, good);
}

#[test]
fn rows_that_nobody_goes_by_are_not_what_another_program_did() {
    let odd = entry().replacen("\"value\":1", "\"value\":{\"x\":1}", 1);
    let rows = [row("a", &entry()), row("\"b\"", &entry()), row("c", "{"), row("d", &odd)];
    let mut picture = picture(&Values::new(), &values(["a"], 1), None);
    (picture.table, picture.readable) = table_of(&rows);
    assert!(picture.is_memory_right());
    // Members still see that such a row is there.
    let keys: Vec<String> = picture.table.values.keys().map(ConfigKey::to_string).collect();
    assert_eq!(keys, ["a", "c", "d"]);
}

#[test]
fn what_another_program_did_on_the_own_disk_is_a_problem() {
    let (right, wrong) = (values(["a", "b"], 1), values(["a", "c"], 1));
    assert!(kinds(&picture(&right, &right, Some(&right))).is_empty());
    assert_eq!(kinds(&picture(&wrong, &right, Some(&right))), ["table_differs"]);
    assert_eq!(kinds(&picture(&right, &right, Some(&wrong))), ["file_differs"]);
    let gone = picture(&right, &right, None).own_problems();
    assert_eq!(gone[0].detail, "not there");
    let detail = &picture(&wrong, &right, Some(&right)).own_problems()[0].detail;
    assert!(detail.ends_with("b, c"), "{detail}");
}
