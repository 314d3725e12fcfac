use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{LOOKED_AT_MAX, file_of, is_others, look_at, look_at_all};

fn named(key: &str, value: &Value) -> Option<PathBuf> {
    file_of(&key.parse().unwrap(), value, Some(Path::new("/home/ann")))
}

#[test]
fn only_whole_paths_of_keys_that_name_files_are_looked_at() {
    assert_eq!(named("a.token_file", &json!("/etc/t")), Some("/etc/t".into()));
    assert_eq!(named("a.token_file", &json!("~/t")), Some("/home/ann/t".into()));
    assert_eq!(named("a.token", &json!("file:///etc/t")), Some("/etc/t".into()));
    assert_eq!(named("a.token", &json!("file:/etc/t")), Some("/etc/t".into()));
    assert_eq!(named("a.token_file", &json!("secrets/t")), None);
    assert_eq!(named("a.token_file", &json!("~bob/t")), None);
    assert_eq!(named("a.token_file", &json!(7)), None);
    assert_eq!(named("a.path", &json!("/etc/t")), None);
}

#[test]
fn what_an_agent_has_for_itself_is_looked_at_there_alone() {
    let key = |text: &str| text.parse().unwrap();
    assert!(is_others(&key("agents.oak.token_file"), "elm"));
    assert!(!is_others(&key("agents.elm.token_file"), "elm"));
    assert!(!is_others(&key("shared.token_file"), "elm"));
}

#[test]
fn files_that_are_missing_or_open_to_everybody_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let key = "a.token_file".parse().unwrap();
    let path = dir.path().join("token");
    let kind = |path: &Path| look_at(&key, path).map(|problem| problem.kind);
    assert_eq!(kind(&path).as_deref(), Some("reference_missing"));
    std::fs::write(&path, "never read").unwrap();
    let set = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    set(0o644);
    let found = look_at(&key, &path).unwrap();
    assert_eq!(found.kind, "reference_readable");
    assert!(found.detail.contains("mode 644"), "{}", found.detail);
    for quiet in [0o600, 0o640, 0o000] {
        set(quiet);
        assert_eq!(kind(&path), None, "{quiet:o}");
    }
    assert_eq!(kind(dir.path()).as_deref(), Some("reference_missing"), "a folder is no file");
}

#[test]
fn so_many_files_are_looked_at_and_the_others_counted() {
    let key: mesh_config::ConfigKey = "a.token_file".parse().unwrap();
    let reference = (key, PathBuf::from("/"));
    assert_eq!(look_at_all(&vec![reference.clone(); LOOKED_AT_MAX]).len(), LOOKED_AT_MAX);
    let found = look_at_all(&vec![reference; LOOKED_AT_MAX + 7]);
    assert_eq!(found.len(), LOOKED_AT_MAX + 1);
    assert_eq!(found.last().unwrap().kind, "reference_unchecked");
    assert!(found.last().unwrap().detail.starts_with("7 more"));
}
