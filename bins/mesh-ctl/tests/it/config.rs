//! The shared configuration: what is asked, what is refused, and where secrets may come from.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mesh_protocol::ErrorCode;
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

use crate::harness::{Ended, FIXED, Machine};

const SECRET: &str = "hunter2 of the database";

fn last(machine: &Machine) -> String {
    machine.agent.asked().last().cloned().unwrap_or_default()
}

/// What a command that is to be refused before the agent is asked said.
fn refused(machine: &Machine, ended: &Ended) -> String {
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
    assert!(machine.agent.asked().is_empty(), "{:?}", machine.agent.asked());
    ended.stderr.clone()
}

#[test]
fn values_arrive_as_they_are_meant() {
    let machine = Machine::start(FIXED);
    let set = |arguments: &[&str], input: &str| {
        let ended = machine.ctl_with_input(&[&["config", "set", "a.b"], arguments].concat(), input);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        let asked = last(&machine);
        let asked: Value = serde_json::from_str(asked.strip_prefix("set ").unwrap()).unwrap();
        assert_eq!(asked["key"], "a.b");
        asked["value"].clone()
    };
    assert_eq!(set(&["\"text\""], ""), json!("text"));
    assert_eq!(set(&["-5"], ""), json!(-5));
    assert_eq!(set(&["null", "--note", "why"], ""), Value::Null);
    assert_eq!(set(&["{\"c\": [1.0]}"], ""), json!({"c": [1.0]}));
    assert_eq!(set(&["-"], " [1]\n"), json!([1]));
    assert_eq!(set(&["--string", "5"], ""), json!("5"));
    assert_eq!(set(&["--string", "-"], "[1]"), json!("-"));
    assert_eq!(set(&["--string", "", "--note", "why"], ""), json!(""));
    assert!(last(&machine).ends_with(r#""note":"why"}"#), "{}", last(&machine));
}

#[test]
fn text_that_is_no_json_is_refused_with_what_to_write_instead() {
    let machine = Machine::start(FIXED);
    let told = refused(&machine, &machine.ctl(&["config", "set", "a.b", SECRET]));
    assert!(told.contains("'\"text\"'") && told.contains("--string"), "{told}");
    assert!(!told.contains(SECRET), "{told}");
}

#[test]
fn a_sealed_value_never_comes_from_the_command_line() {
    let machine = Machine::start(FIXED);
    let line = ["config", "set", "--sealed", "a.b", SECRET, "--to", "oak"];
    let told = refused(&machine, &machine.ctl_with_input(&line, "x"));
    assert!(told.contains("standard input") && told.contains("history"), "{told}");
    assert!(!told.contains(SECRET), "{told}");
    for line in [
        ["config", "set", "--sealed", "a.b"].as_slice(),
        &["config", "set", "a.b"],
        &["config", "set", "a.b", "1", "--to", "oak"],
        &["config", "set", "a.b", "1", "--as-json"],
        &["config", "set", "--sealed", "a.b", "--to", "oak", "--as-json", "--string"],
    ] {
        refused(&machine, &machine.ctl_with_input(line, "x"));
    }
}

#[test]
fn a_sealed_value_is_text_without_its_line_end_or_json_when_that_is_said() {
    let machine = Machine::start(FIXED);
    let seal = |more: &[&str], input: &str| {
        let line = [&["config", "set", "--sealed", "a.b", "--to", "oak,mint"], more].concat();
        let ended = machine.ctl_with_input(&line, input);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("hunter2"));
        last(&machine)
    };
    let asked = |value: &str| {
        format!(r#"seal {{"key":"a.b","to":["oak","mint"],"value":{value},"note":null}}"#)
    };
    assert_eq!(seal(&[], "hunter2\r\n"), asked("\"hunter2\""));
    assert_eq!(seal(&["--string"], "5\n\n"), asked("\"5\\n\""));
    assert_eq!(seal(&["--as-json"], "{\"a\": \"hunter2\"}\n"), asked("{\"a\":\"hunter2\"}"));
}

#[test]
fn more_than_a_sealed_value_holds_is_refused_unasked() {
    let machine = Machine::start(FIXED);
    let line = ["config", "set", "--sealed", "a.b", "--to", "oak"];
    assert_eq!(machine.ctl_with_input(&line, &"x".repeat(256 << 10)).code, 0);
    let asked = machine.agent.asked().len();
    let failed = machine.ctl_with_input(&line, &"x".repeat((256 << 10) + 1));
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("more than 262144 bytes"), "{}", failed.stderr);
    assert_eq!(machine.agent.asked().len(), asked);
}

/// The command on a terminal of its own, once it asks for the value.
fn at_a_terminal(machine: &Machine) -> (Child, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let mut input = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut input, OFlags::NOCTTY.bits() as i32);
    let input = input.read(true).write(true).open(name).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-ctl"));
    command.env_clear().env("MESH_SOCKET", &machine.socket);
    command.args(["config", "set", "--sealed", "a.b", "--to", "oak"]);
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut question = [0; 26];
    child.stderr.as_mut().unwrap().read_exact(&mut question).unwrap();
    assert_eq!(&question, b"Value for a.b (not shown):");
    (child, File::from(terminal))
}

fn shows_what_is_typed(terminal: &File) -> bool {
    tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO)
}

#[test]
fn a_terminal_is_asked_and_does_not_show_what_is_typed() {
    let machine = Machine::start(FIXED);
    let (mut child, mut terminal) = at_a_terminal(&machine);
    assert!(!shows_what_is_typed(&terminal));
    terminal.write_all(b"hunter2\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(shows_what_is_typed(&terminal));
    assert!(last(&machine).contains(r#""value":"hunter2""#), "{}", last(&machine));
}

#[test]
fn a_terminal_shows_again_what_is_typed_when_somebody_has_had_enough() {
    let machine = Machine::start(FIXED);
    let (mut child, terminal) = at_a_terminal(&machine);
    assert!(!shows_what_is_typed(&terminal));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(shows_what_is_typed(&terminal));
    assert!(machine.agent.asked().is_empty());
}

#[test]
fn a_secret_that_is_found_is_exit_code_4() {
    let machine = Machine::start(FIXED);
    machine.agent.refuse(ErrorCode::SecretFound);
    assert_eq!(machine.ctl(&["config", "set", "a.b", "1"]).code, 4);
    let template = machine.ctl_with_input(&["config", "template", "import", "-"], "{}");
    assert_eq!(template.code, 4, "{}", template.stderr);
}

#[test]
fn one_value_is_printed_alone_and_json_is_the_value() {
    let machine = Machine::start(FIXED);
    let get = |arguments: &[&str]| {
        let ended = machine.ctl(&[&["config", "get"], arguments].concat());
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        ended.stdout
    };
    assert_eq!(get(&["agents.oak.webhook"]), "https://oak.example/hook\n");
    assert_eq!(get(&["agents.oak.webhook", "--json"]), "\"https://oak.example/hook\"\n");
    assert_eq!(get(&["agents.oak.bot"]), "[\"@oak\",1.5,null]\n");
    assert_eq!(get(&["empty"]), "{}\n");
    assert_eq!(get(&["cron"]), "{\"nightly\":\"3 h\"}\n");
    assert_eq!(get(&["databases.main.password"]), "sealed for mint, oak\n");
    assert_eq!(get(&["databases.main.password", "--reveal"]), "an opened value\n");
    assert_eq!(last(&machine), r#"config {"key":"databases.main.password","reveal":true}"#);
    let failed = machine.ctl(&["config", "get", "sealed", "--reveal"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("sealed is sealed to oak\nhint: "), "{}", failed.stderr);
}

#[test]
fn a_change_is_undone_by_its_number_and_where_needed_its_maker() {
    let machine = Machine::start(FIXED);
    let revert = |arguments: &[&str]| machine.ctl(&[&["config", "revert"], arguments].concat());
    let ambiguous = revert(&["5"]);
    assert_eq!(ambiguous.code, 1);
    assert!(ambiguous.stderr.contains("17@oak"), "{}", ambiguous.stderr);
    assert_eq!(revert(&["5@oak"]).stdout, "Change 18 of agents.oak.webhook.\n");
    assert_eq!(last(&machine), r#"revert {"version":5,"by":"oak","force":false}"#);
    let changed = revert(&["6"]);
    assert_eq!(changed.code, 1);
    assert!(changed.stderr.contains("--force"), "{}", changed.stderr);
    assert_eq!(revert(&["6", "--force"]).code, 0);
    assert_eq!(revert(&["v6"]).code, 2);
    assert_eq!(revert(&["6@"]).code, 2);
}

#[test]
fn a_check_fails_only_while_something_differs() {
    let machine = Machine::start(FIXED);
    assert_eq!(machine.ctl(&["config", "check"]).code, 1);
    machine.agent.mend();
    let check = machine.ctl(&["config", "check"]);
    assert_eq!(check.code, 0);
    assert!(check.stdout.ends_with("same configuration.\n"), "{}", check.stdout);
    assert_eq!(machine.ctl(&["config", "check", "--json"]).code, 0);
}

#[test]
fn a_template_is_written_whole_and_read_back() {
    let machine = Machine::start(FIXED);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mesh.json");
    let name = file.to_str().unwrap();
    fs::write(&file, "something else").unwrap();
    let written = machine.ctl(&["config", "template", "export", name, "--json"]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    let content = fs::read_to_string(&file).unwrap();
    let reply: Value = serde_json::from_str(&written.stdout).unwrap();
    assert_eq!(reply, json!({"file": name, "bytes": content.len()}));
    assert_eq!(content, machine.ctl(&["config", "template", "export"]).stdout);
    assert!(content.starts_with("{\n  \"agents\"") && content.ends_with("}\n"), "{content}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o600, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    assert_eq!(machine.ctl(&["config", "template", "import", name, "--dry-run"]).code, 0);
    let template: Value = serde_json::from_str(&content).unwrap();
    let asked = last(&machine);
    let asked: Value = serde_json::from_str(asked.strip_prefix("import ").unwrap()).unwrap();
    assert_eq!(asked, json!({"template": template, "dry_run": true, "note": null}));
}

#[test]
fn a_template_that_cannot_be_read_or_written_is_told_so() {
    let machine = Machine::start(FIXED);
    let import = |file: &str, input: &str| {
        machine.ctl_with_input(&["config", "template", "import", file], input)
    };
    refused(&machine, &import("/nowhere/at/all", ""));
    let told = refused(&machine, &import("-", "{\n  \"a\": }"));
    assert!(told.contains("line 2"), "{told}");
    let failed = machine.ctl(&["config", "template", "export", "/nowhere/at/all"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(!Path::new("/nowhere").exists());
}

#[test]
fn only_changes_beneath_a_key_are_followed() {
    let machine = Machine::start(FIXED);
    assert_eq!(machine.ctl(&["config", "watch", "agents", "-n", "1"]).code, 0);
    assert_eq!(last(&machine), r#"config_watch {"prefix":"agents"}"#);
    assert_eq!(machine.ctl(&["config", "history", "agents", "-n", "7"]).code, 0);
    assert_eq!(last(&machine), r#"history {"key":"agents","limit":7}"#);
}
