//! Looking for secrets in files: what is walked, what is told, how it ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ended, command, ended};

/// Nothing that opens anything, in two pieces.
fn token() -> String {
    ["ghp_", "Zq7Xw2Vk9Tb4Rn6Pm1Lj8Hg3Fd5Sa0YuIeOc"].concat()
}

/// A folder with files in it; `TOKEN` in a content stands for a secret.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.replace("TOKEN", &token())).unwrap();
    }
    dir
}

fn scan(dir: &Path, arguments: &[&str]) -> Ended {
    ended(command().current_dir(dir).arg("scan").args(arguments))
}

fn document(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap()
}

fn files(document: &Value, field: &str) -> Vec<String> {
    let files = document[field].as_array().unwrap().iter();
    files.map(|finding| finding["file"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_clean_folder_is_exit_code_0() {
    let dir = folder(&[("a.md", "nothing\n"), ("b/c.md", "at all\n")]);
    let clean = scan(dir.path(), &["."]);
    assert_eq!((clean.code, clean.stderr.as_str()), (0, ""));
    assert_eq!(clean.stdout, "No secrets found in 2 files, 15 B.\n");
}

#[test]
fn a_secret_is_named_by_place_and_rule_and_never_shown() {
    let dir = folder(&[("notes/deploy.md", "first\nuse TOKEN\n"), ("z.md", "fine\n")]);
    let found = scan(dir.path(), &["."]);
    assert_eq!((found.code, found.stderr.as_str()), (4, ""));
    insta::assert_snapshot!("scan.text", found.stdout);
    let found = scan(dir.path(), &[".", "--json"]);
    assert_eq!((found.code, found.stderr.as_str()), (4, ""));
    insta::assert_snapshot!("scan.json", found.stdout);
    assert!(!found.stdout.contains(&token()));
}

#[test]
fn hidden_files_count_ignored_ones_and_the_folder_of_git_do_not() {
    let dir = folder(&[
        (".gitignore", "/built\n*.log\n"),
        (".env", "X=1\n"),
        (".hidden/a.txt", "TOKEN"),
        ("built/a.txt", "TOKEN"),
        ("x.log", "TOKEN"),
        ("inner/.git/config", "TOKEN"),
        ("inner/.git/deep/er", "TOKEN"),
        (".ignore", "shown.txt\n"),
        ("shown.txt", "TOKEN"),
    ]);
    let found = document(&scan(dir.path(), &[".", "--json"]));
    assert_eq!(files(&found, "findings"), [".env", ".hidden/a.txt", "shown.txt"]);
    assert_eq!(files(&found, "skipped"), ["inner/.git"]);
    let all = document(&scan(dir.path(), &[".", "--json", "--no-ignore"]));
    assert_eq!(files(&all, "findings").len(), 7);
    assert_eq!(files(&all, "skipped"), [""; 0]);
    // What is named is looked at, whatever else is said of it.
    assert_eq!(scan(dir.path(), &["x.log"]).code, 4);
    assert_eq!(scan(dir.path(), &["inner/.git"]).code, 4);
}

#[test]
fn links_inside_are_skipped_and_links_that_are_named_are_errors() {
    let dir = folder(&[("a/x.md", "fine\n"), ("b/secret.md", "TOKEN")]);
    symlink(dir.path().join("b"), dir.path().join("a/link")).unwrap();
    symlink("secret.md", dir.path().join("b/other.md")).unwrap();
    let clean = scan(dir.path(), &["a", "--json"]);
    assert_eq!(clean.code, 0, "{}", clean.stdout);
    assert_eq!(files(&document(&clean), "skipped"), ["a/link"]);
    let refused = scan(dir.path(), &["a/link"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("a/link cannot be read: a symbolic link"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_cannot_be_read_is_named_and_fails() {
    let dir = folder(&[("a.md", "fine\n"), ("b.md", "TOKEN")]);
    let failed = scan(dir.path(), &["a.md", "missing.md", "gone"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""));
    assert!(
        failed.stderr.starts_with("error: missing.md cannot be read: No such file"),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains(", and 1 more\n"), "{}", failed.stderr);
    let failed = document(&scan(dir.path(), &["missing.md", "--json"]));
    assert_eq!(failed["error"]["code"], "storage_error");
    // A secret that was found is the stronger news, and what was not read is named with it.
    let found = scan(dir.path(), &["b.md", "missing.md", "--json"]);
    assert_eq!(found.code, 4);
    let found = document(&found);
    assert_eq!(
        (files(&found, "findings").len(), files(&found, "unreadable")),
        (1, vec!["missing.md".to_owned()])
    );
    assert_eq!(found["error"]["code"], "secret_found");
    // Root reads what nobody may; a device is no file for anybody.
    assert_eq!(scan(dir.path(), &["/dev/null"]).code, 1);
}

#[test]
fn the_allow_list_is_taken_from_here_or_from_where_it_is_named() {
    let entry = |expires: &str| {
        format!(
            "[[allow]]\nrule = \"github_token\"\nname = \"docs/**\"\nreason = \"revoked\"\nexpires = {expires}\n"
        )
    };
    let dir =
        folder(&[("docs/a/b.md", "TOKEN"), (".mesh-secrets-allow.toml", &entry("9999-12-31"))]);
    assert_eq!(scan(dir.path(), &["."]).code, 0);
    assert_eq!(scan(dir.path(), &["./docs"]).code, 0);
    fs::write(dir.path().join("old.toml"), entry("2020-01-31")).unwrap();
    let found = scan(dir.path(), &["docs", "--allow", "old.toml"]);
    assert_eq!(found.code, 4);
    let told = "warning: the allowance of github_token for docs/** counted until 2020-01-31\n";
    assert_eq!(found.stderr, told);
    let found = document(&scan(dir.path(), &["docs", "--allow", "old.toml", "--json"]));
    assert_eq!(found["expired_allowances"][0]["expired"], "2020-01-31");
    assert_eq!(found["expired_allowances"][0]["line"], 1);
    fs::write(dir.path().join("broken.toml"), "[[allow]]\nrule = \"nonsense\"\n").unwrap();
    for (list, told) in
        [("broken.toml", "is not taken: line 1: "), ("none.toml", "cannot be read: ")]
    {
        let failed = scan(dir.path(), &["docs", "--allow", list]);
        assert_eq!((failed.code, failed.stdout.as_str()), (1, ""));
        assert!(failed.stderr.contains(told), "{}", failed.stderr);
    }
}

#[test]
fn a_file_larger_than_any_buffer_is_looked_at_to_its_end() {
    let line = "nothing to see on this line at all, or on the next one either\n";
    let dir = folder(&[("big.txt", &format!("{}TOKEN\n", line.repeat(50_000)))]);
    let found = document(&scan(dir.path(), &["big.txt", "--json"]));
    assert_eq!(
        (&found["findings"][0]["line"], &found["findings"][0]["column"]),
        (&50_001.into(), &1.into())
    );
    assert_eq!((&found["files"], &found["bytes"]), (&1.into(), &(62 * 50_000 + 41).into()));
}

#[test]
fn a_name_cannot_draw_on_the_terminal() {
    let dir = folder(&[("a\u{1b}[31m.md", "TOKEN")]);
    let found = scan(dir.path(), &["."]);
    assert!(!found.stdout.contains('\u{1b}'), "{}", found.stdout);
}

#[test]
fn without_a_path_the_command_line_is_wrong() {
    assert_eq!(scan(Path::new("/"), &[]).code, 2);
}
