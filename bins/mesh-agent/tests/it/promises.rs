//! `docs/security.md` names a test for what it says; each of these is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCUMENT: &str = include_str!("../../../../docs/security.md");

/// Names of tests are sentences: words of small letters, five of them at least.
fn is_sentence(word: &str) -> bool {
    let of_a_sentence = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.chars().all(of_a_sentence) && word.split('_').count() >= 5
}

fn gather(folder: &Path, functions: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, functions);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let named = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
            functions.extend(named.filter(|name| is_sentence(name)).map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_security_document_names_exists() {
    let named: Vec<&str> =
        DOCUMENT.split('`').skip(1).step_by(2).filter(|word| is_sentence(word)).collect();
    assert!(named.len() > 30, "the document names its tests: {}", named.len());
    let mut functions = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for part in ["bins", "crates"] {
        gather(&root.join(part), &mut functions);
    }
    let missing: Vec<&&str> = named.iter().filter(|name| !functions.contains(**name)).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}
