//! How commands fail: exit codes, the message, and the document.

use mesh_protocol::ErrorCode;
use serde_json::Value;

use crate::harness::{FIXED, Machine, command, ended};

fn error(stdout: &str) -> Value {
    let mut document: Value = serde_json::from_str(stdout).unwrap();
    document["error"].take()
}

#[test]
fn a_stopped_agent_is_exit_code_3_with_what_to_do() {
    let machine = Machine::start(FIXED);
    machine.stop();
    let commands: [&[&str]; 19] = [
        &["status"],
        &["sync"],
        &["token", "list"],
        &["join", "TOKEN"],
        &["peers"],
        &["hostname", "elm"],
        &["ping", "mint"],
        &["send", "--to", "mint", "hi"],
        &["inbox", "--follow"],
        &["outbox"],
        &["events", "--follow"],
        &["table", "list"],
        &["sql", "SELECT 1"],
        &["watch", "notes"],
        &["conflicts", "list"],
        &["parked"],
        &["pushes"],
        &["rollback", "0197a1b2"],
        &["backup", "/nowhere-at-all"],
    ];
    for arguments in commands {
        let failed = machine.ctl(arguments);
        assert_eq!((failed.code, failed.stdout.as_str()), (3, ""), "{arguments:?}");
        assert!(failed.stderr.starts_with("error: no agent answers on "), "{}", failed.stderr);
        assert!(failed.stderr.contains("\nhint: start the agent with `mesh-agent`"));

        let failed = machine.ctl(&[arguments, &["--json"]].concat());
        assert_eq!((failed.code, failed.stderr.as_str()), (3, ""), "{arguments:?}");
        let error = error(&failed.stdout);
        assert_eq!(error["code"], "agent_unreachable");
        assert!(error["hint"].as_str().unwrap().contains("mesh-agent"));
    }
}

#[test]
fn the_default_socket_lies_in_the_default_data_directory() {
    let home = tempfile::tempdir().unwrap();
    let failed = ended(command().env("HOME", home.path()).arg("status"));
    assert_eq!(failed.code, 3);
    let is_named = failed.stderr.contains("/var/lib/mesh-agent/control.sock")
        || failed.stderr.contains("/.local/state/mesh-agent/control.sock");
    assert!(is_named, "{}", failed.stderr);
}

#[test]
fn every_code_has_its_exit_code_in_text_and_json() {
    let machine = Machine::start(FIXED);
    for &code in ErrorCode::ALL {
        machine.agent.refuse(code);
        let exit = match code.as_str() {
            "bad_request" => 2,
            "agent_unreachable" | "shutting_down" => 3,
            "secret_found" | "path_refused" | "not_a_member" => 4,
            "timed_out" => 5,
            _ => 1,
        };
        for arguments in [
            ["status"].as_slice(),
            &["inbox", "--follow"],
            &["join", "TOKEN"],
            &["sync"],
            &["doctor"],
            &["table", "drop", "notes"],
            &["sql", "SELECT 1"],
            &["watch", "notes"],
            &["config", "get"],
            &["config", "watch"],
        ] {
            let failed = machine.ctl(arguments);
            assert_eq!(failed.code, exit, "{code} {arguments:?}");
            let told = format!("error: refused with {code}\nhint: try something else\n");
            assert_eq!(failed.stderr, told);
            let failed = machine.ctl(&[&["--json"], arguments].concat());
            assert_eq!((failed.code, failed.stderr.as_str()), (exit, ""), "{code}");
            assert_eq!(error(&failed.stdout)["code"], code.as_str());
            assert_eq!(failed.stdout.lines().count(), 1, "{}", failed.stdout);
        }
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let cases: [&[&str]; 23] = [
        &[],
        &["nonsense"],
        &["token"],
        &["token", "create", "--ttl", "soon"],
        &["join"],
        &["hostname"],
        &["ping"],
        &["ping", "mint", "-c", "0"],
        &["send", "hi"],
        &["send", "--to", "mint"],
        &["send", "--to", "mint", "--broadcast", "hi"],
        &["send", "--to", "mint", "hi", "--stdin"],
        &["send", "--to", "mint", "--json-body", "{"],
        &["inbox", "--limit", "many"],
        &["completions", "tcl"],
        &["table"],
        &["table", "drop"],
        &["sql"],
        &["sql", "SELECT 1", "--file", "x"],
        &["sql", "--file", "/nowhere/at/all"],
        &["sql", "SELECT ?1", "--param", "@/nowhere/at/all"],
        &["watch", "notes", "--limit", "many"],
        &["conflicts"],
    ];
    for arguments in cases {
        let failed = ended(command().args(["--socket", "/nowhere"]).args(arguments));
        assert_eq!(failed.code, 2, "{arguments:?}: {}", failed.stderr);
        assert_eq!(failed.stdout, "", "{arguments:?}");
        assert_ne!(failed.stderr, "", "{arguments:?}");
    }
}

#[test]
fn a_wrong_command_line_is_told_in_json_when_asked_for() {
    let failed = ended(command().args(["--json", "nonsense"]));
    assert_eq!((failed.code, failed.stderr.as_str()), (2, ""));
    let error = error(&failed.stdout);
    assert_eq!(error["code"], "bad_request");
    assert_eq!(error["message"], "unrecognized subcommand 'nonsense'");
    // Behind `--` it is somebody's text, not a wish.
    let failed = ended(command().args(["nonsense", "--", "--json"]));
    assert_eq!((failed.code, failed.stdout.as_str()), (2, ""));
}

#[test]
fn deliveries_that_wait_are_5_and_those_that_failed_are_1() {
    let machine = Machine::start(FIXED);
    let code = |to| machine.ctl(&["send", "--to", to, "--wait=1", "hi"]).code;
    assert_eq!(code("mint"), 0);
    assert_eq!(code("oak"), 5);
    assert_eq!(code("gone"), 1);
}

#[test]
fn a_member_that_does_not_answer_is_told_apart_from_one_that_does_not_exist() {
    let machine = Machine::start(FIXED);
    let ping = ["ping", "mint", "-c", "2", "--interval-ms", "1"];
    machine.agent.refuse(ErrorCode::TimedOut);
    let failed = machine.ctl(&ping);
    assert_eq!(failed.code, 5);
    assert_eq!(failed.stdout.matches("no answer").count(), 2, "{}", failed.stdout);
    machine.agent.refuse(ErrorCode::UnknownPeer);
    let failed = machine.ctl(&ping);
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""));
}
