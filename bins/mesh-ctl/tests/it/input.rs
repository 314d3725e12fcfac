//! What commands read: bodies, tokens, the environment.

use crate::harness::{FIXED, Machine, command, ended};

fn last(machine: &Machine) -> String {
    machine.agent.asked().last().cloned().unwrap_or_default()
}

#[test]
fn text_becomes_a_document_of_type_text() {
    let machine = Machine::start(FIXED);
    assert_eq!(machine.ctl(&["send", "--to", "mint", "a \"b\""]).code, 0);
    let asked = last(&machine);
    assert!(asked.contains("app_type: \"text\""), "{asked}");
    assert!(asked.contains(r#"{"text": String("a \"b\"")}"#), "{asked}");
    let line = ["send", "--to", "mint", "--stdin", "--seal", "--ttl", "2h", "--app-type", "note"];
    assert_eq!(machine.ctl_with_input(&line, "two\nlines\n").code, 0);
    let asked = last(&machine);
    assert!(asked.contains("app_type: \"note\""), "{asked}");
    assert!(asked.contains(r#"{"text": String("two\nlines\n")}"#), "{asked}");
    assert!(asked.contains("seal: true, ttl_seconds: Some(7200)"), "{asked}");
}

#[test]
fn json_is_sent_as_it_is() {
    let machine = Machine::start(FIXED);
    let line = ["send", "--broadcast", "--json-body", "[1,null]", "--priority", "urgent"];
    assert_eq!(machine.ctl(&line).code, 0);
    let asked = last(&machine);
    assert!(asked.contains("app_type: \"json\""), "{asked}");
    assert!(asked.contains("data: Array [Number(1), Null]"), "{asked}");
    assert!(asked.contains("broadcast: true") && asked.contains("priority: Urgent"), "{asked}");
    let line = ["send", "--broadcast", "--json-body", "-"];
    assert_eq!(machine.ctl_with_input(&line, " -5 \n").code, 0);
    assert!(last(&machine).contains("data: Number(-5)"));
    assert_eq!(machine.ctl(&["send", "--broadcast", "--json-body", "-7"]).code, 0);
    assert!(last(&machine).contains("data: Number(-7)"));
}

#[test]
fn more_input_than_a_message_holds_is_refused_unsent() {
    let machine = Machine::start(FIXED);
    let input = "x".repeat((1 << 20) + 1);
    let failed = machine.ctl_with_input(&["send", "--to", "mint", "--stdin", "--json"], &input);
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("message_too_large"), "{}", failed.stdout);
    assert!(machine.agent.asked().is_empty());
}

#[test]
fn a_token_may_come_from_the_argument_the_environment_or_standard_input() {
    let machine = Machine::start(FIXED);
    assert_eq!(machine.ctl(&["join", "SECRET1"]).code, 0);
    assert_eq!(last(&machine), "join SECRET1");
    assert_eq!(machine.ctl_with_input(&["join", "-"], "\n SECRET2 \n").code, 0);
    assert_eq!(last(&machine), "join SECRET2");
    let mut joining = command();
    joining.env("MESH_SOCKET", &machine.socket).env("MESH_JOIN_TOKEN", "SECRET3");
    assert_eq!(ended(joining.arg("join")).code, 0);
    assert_eq!(last(&machine), "join SECRET3");
    // All that `token create` says.
    let said = "SECRET5\n\nIt admits one agent\n";
    assert_eq!(machine.ctl_with_input(&["join", "-"], said).code, 0);
    assert_eq!(last(&machine), "join SECRET5");
    assert_eq!(machine.ctl_with_input(&["join", "-"], "\n").code, 2);
    let help = ended(command().env("MESH_JOIN_TOKEN", "SECRET4").args(["join", "--help"]));
    assert!(!help.stdout.contains("SECRET4"), "{}", help.stdout);
}

#[test]
fn the_flag_names_the_socket_before_the_environment_does() {
    let machine = Machine::start(FIXED);
    let socket = machine.socket.to_str().unwrap();
    let mut asking = command();
    asking.env("MESH_SOCKET", "/nowhere").args(["status", "--socket", socket]);
    assert_eq!(ended(&mut asking).code, 0);
}

#[test]
fn acknowledging_takes_what_was_printed() {
    let machine = Machine::start(FIXED);
    assert_eq!(machine.ctl(&["inbox", "--ack", "--limit", "2"]).code, 0);
    assert_eq!(last(&machine), "ack 2");
    assert_eq!(machine.ctl(&["inbox", "--ack", "--from", "nobody"]).code, 0);
    assert!(last(&machine).starts_with("InboxQuery"), "{}", last(&machine));
}
