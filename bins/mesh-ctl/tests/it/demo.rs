//! The demo when something is wrong; with real agents it is run by `cargo demo`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::Command as Checked;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::ended;

/// A directory with `mesh-ctl`, an agent that is this script, and room for temporary files.
pub(crate) fn installed(agent: Option<&str>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    shell("cp \"$1\" \"$2\"", env!("CARGO_BIN_EXE_mesh-ctl"), &dir.path().join("mesh-ctl"));
    fs::create_dir(dir.path().join("tmp")).unwrap();
    if let Some(script) = agent {
        let path = dir.path().join("mesh-agent");
        let script = format!("#!/bin/sh\n{script}\n");
        shell("printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", &script, &path);
    }
    dir
}

/// Makes a program in a process of its own: a file that this one had open for writing could be in the
/// hands of a child that another test is starting, and the system runs no file that is being written.
fn shell(line: &str, first: &str, second: &Path) {
    let mut command = Command::new("sh");
    let made = command.args(["-c", line, "sh", first]).arg(second).status().unwrap();
    assert!(made.success(), "{line}");
}

fn demo(dir: &Path) -> Checked {
    let mut command = Checked::new(dir.join("mesh-ctl"));
    command.env_clear().env("TMPDIR", dir.join("tmp")).arg("demo");
    command
}

fn left_behind(dir: &Path) -> usize {
    fs::read_dir(dir.join("tmp")).unwrap().count()
}

#[test]
fn without_an_agent_it_says_how_to_build_one() {
    let dir = installed(None);
    let failed = ended(&mut demo(dir.path()));
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("cargo build --package mesh-agent"), "{}", failed.stderr);
    assert_eq!(left_behind(dir.path()), 0);
}

#[test]
fn an_agent_that_does_not_start_fails_the_step_and_shows_its_log() {
    let dir = installed(Some("echo \"boom \x1b[31m $1\" >&2; exit 7"));
    let failed = ended(&mut demo(dir.path()));
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("✗ three agents start"), "{}", failed.stdout);
    assert!(failed.stdout.contains("exit status: 7"), "{}", failed.stdout);
    assert!(failed.stdout.contains("boom"), "{}", failed.stdout);
    assert_eq!(left_behind(dir.path()), 0);

    let failed = ended(demo(dir.path()).arg("--json"));
    assert_eq!(failed.code, 1);
    let document: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(document["steps"][0]["name"], "three agents start");
    assert_eq!(document["steps"][0]["ok"], false);
    assert!(document["steps"][0]["ms"].is_number());
}

#[test]
fn what_is_kept_is_named() {
    let dir = installed(Some("exit 0"));
    let failed = ended(demo(dir.path()).arg("--keep"));
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("/tmp/mesh-demo-"), "{}", failed.stdout);
    assert_eq!(left_behind(dir.path()), 1);
}

#[test]
fn an_interrupt_ends_the_agents_and_removes_the_directory() {
    let dir = installed(Some("echo $$ >> \"$PIDS\"; exec sleep 1000"));
    let pids = dir.path().join("pids");
    for signal in ["-INT", "-TERM"] {
        fs::write(&pids, "").unwrap();
        let mut child = Command::new(dir.path().join("mesh-ctl"))
            .env_clear()
            .envs([("TMPDIR", dir.path().join("tmp")), ("PIDS", pids.clone())])
            .env("PATH", "/usr/bin:/bin")
            .arg("demo")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = || fs::read_to_string(&pids).unwrap().lines().count();
        // The demo gives up by itself after a while, so this ends whatever happens.
        while started() < 3 {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was interrupted");
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{signal}");
        assert_eq!(left_behind(dir.path()), 0);
        for agent in fs::read_to_string(&pids).unwrap().lines() {
            assert!(!Path::new("/proc").join(agent).exists(), "agent {agent} still runs");
        }
    }
}
