//! The doctor where no agent runs: what is said of it, and who looks at the machine.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::demo::installed;
use crate::harness::{Ended, FIXED, Machine, ended};

/// A program that finds one fault, and says how it was called.
const FINDS_A_FAULT: &str = r#"printf '[{"check":"port","ok":false,"detail":"called with %s","hint":"stop it"}]' "$*"; exit 1"#;

fn doctor(dir: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(dir.join("mesh-ctl"));
    command.env_clear().arg("doctor").arg("--socket").arg(dir.join("data/control.sock"));
    ended(command.args(arguments))
}

fn checks(ended: &Ended) -> Vec<Value> {
    serde_json::from_str(&ended.stdout).expect("it is a list of checks")
}

#[test]
fn the_program_beside_it_looks_at_the_machine_and_the_agent_comes_first() {
    let dir = installed(Some(FINDS_A_FAULT));
    let found = doctor(dir.path(), &["--json", "--", "--listen", "127.0.0.1:1"]);
    assert_eq!((found.code, found.stderr.as_str()), (1, ""));
    let checks = checks(&found);
    assert_eq!(checks.len(), 2);
    assert_eq!((&checks[0]["check"], &checks[0]["ok"]), (&"agent".into(), &false.into()));
    assert!(checks[0]["hint"].as_str().unwrap().contains("start the agent"), "{checks:?}");
    let data_dir = dir.path().join("data");
    let called =
        format!("called with doctor --json --data-dir {} --listen 127.0.0.1:1", data_dir.display());
    assert_eq!(checks[1]["detail"], called);
    let shown = doctor(dir.path(), &[]);
    assert_eq!(shown.code, 1);
    assert!(shown.stdout.contains("✗ port   called with"), "{}", shown.stdout);
    assert!(shown.stdout.contains("→ stop it"), "{}", shown.stdout);
    assert!(shown.stdout.ends_with("2 of 2 checks failed.\n"), "{}", shown.stdout);
}

#[test]
fn a_data_directory_that_was_named_is_the_one_that_is_looked_at() {
    let dir = installed(Some(FINDS_A_FAULT));
    let found = doctor(dir.path(), &["--json", "--", "--data-dir=/srv/mesh"]);
    assert_eq!(checks(&found)[1]["detail"], "called with doctor --json --data-dir=/srv/mesh");
}

#[test]
fn without_such_a_program_it_says_so_and_fails_all_the_same() {
    for agent in [None, Some("echo \"no such command \x1b[31m\" >&2; exit 2")] {
        let dir = installed(agent);
        let found = doctor(dir.path(), &["--json"]);
        assert_eq!((found.code, found.stderr.as_str()), (1, ""));
        let checks = checks(&found);
        assert_eq!(checks.len(), 1, "{checks:?}");
        let detail = checks[0]["detail"].as_str().unwrap();
        assert!(detail.contains("nothing more was looked at"), "{detail}");
        let shown = doctor(dir.path(), &[]);
        assert!(!shown.stdout.contains('\u{1b}'), "{}", shown.stdout);
    }
}

#[test]
fn an_agent_that_answers_is_asked_and_nothing_is_run() {
    let machine = Machine::start(FIXED);
    let found = machine.ctl(&["doctor", "--json"]);
    assert_eq!(found.code, 1);
    assert_eq!(machine.agent.asked(), ["doctor"]);
}
