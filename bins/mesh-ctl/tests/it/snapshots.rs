//! What each command prints. JSON is a contract; the text for people is kept so that a change of it
//! is meant.

use insta::assert_snapshot;

use crate::harness::{FIXED, Machine};

const COMMANDS: [(&str, &[&str]); 51] = [
    ("status", &["status"]),
    ("token_create", &["token", "create", "--ttl", "1h", "--note", "for mint"]),
    ("token_list", &["token", "list"]),
    ("token_revoke", &["token", "revoke", "a2a2"]),
    ("join", &["join", "TOKEN"]),
    ("peers", &["peers"]),
    ("peers_remove", &["peers", "remove", "oak", "--reason", "sold"]),
    ("peers_remove_asked", &["peers", "remove", "mint"]),
    ("hostname", &["hostname", "elm"]),
    ("ping", &["ping", "mint", "-c", "2", "--interval-ms", "1"]),
    ("ping_relayed", &["ping", "oak"]),
    ("sync", &["sync"]),
    ("sync_forced", &["sync", "--force"]),
    ("doctor", &["doctor"]),
    ("send", &["send", "--to", "mint", "hello"]),
    ("send_wait", &["send", "--to", "mint", "hello", "--wait"]),
    ("send_old_name", &["send", "--to", "old", "hello", "--wait"]),
    ("send_broadcast", &["send", "--broadcast", "hello", "--wait=1"]),
    ("inbox", &["inbox"]),
    ("inbox_filtered", &["inbox", "--app-type", "text", "--from", "mint", "--limit", "1"]),
    ("inbox_followed", &["inbox", "--follow", "--limit", "3", "--ack"]),
    ("outbox", &["outbox"]),
    ("events", &["events", "--limit", "2"]),
    ("table_create", &["table", "create", "CREATE TABLE notes(id PRIMARY KEY)"]),
    ("table_list", &["table", "list"]),
    ("table_list_checksum", &["table", "list", "--checksum"]),
    ("table_drop", &["table", "drop", "notes"]),
    ("sql_query", &["sql", "SELECT * FROM notes"]),
    ("sql_write", &["sql", "DELETE FROM notes WHERE id = ?1", "--param", "a"]),
    ("watch", &["watch", "notes", "--limit", "4"]),
    ("config_get", &["config", "get"]),
    ("config_get_part", &["config", "get", "agents"]),
    ("config_get_value", &["config", "get", "notes.\"a b\""]),
    ("config_set", &["config", "set", "agents.oak.webhook", "true"]),
    ("config_set_local", &["config", "set", "cron", "true"]),
    ("config_set_same", &["config", "set", "same", "true"]),
    ("config_set_sealed", &["config", "set", "--sealed", "a.b", "--to", "oak"]),
    ("config_unset", &["config", "unset", "agents.oak.webhook", "--note", "why"]),
    ("config_history", &["config", "history"]),
    ("config_history_empty", &["config", "history", "other"]),
    ("config_revert", &["config", "revert", "17@oak"]),
    ("config_check", &["config", "check"]),
    ("config_template_export", &["config", "template", "export"]),
    ("config_template_import", &["config", "template", "import", "-"]),
    ("config_template_try", &["config", "template", "import", "-", "--dry-run"]),
    ("config_watch", &["config", "watch", "--limit", "3"]),
    ("conflicts_list", &["conflicts", "list", "--table", "notes"]),
    ("conflicts_list_empty", &["conflicts", "list", "--table", "other"]),
    ("conflicts_restore", &["conflicts", "restore", "c0ffee00"]),
    ("parked", &["parked"]),
    ("parked_accept", &["parked", "accept", "mint"]),
];

fn exit_code(name: &str) -> i32 {
    match name {
        // A delivery to oak still waits.
        "send_broadcast" => 5,
        // The clock of oak is wrong.
        "doctor" => 1,
        // oak has another configuration.
        "config_check" => 1,
        _ => 0,
    }
}

/// What stands on the standard input of those that read it.
const INPUT: &str = "{}";

/// Whether a terminal would obey it.
fn is_active(character: char) -> bool {
    character.is_control() && character != '\n' || ('\u{202a}'..='\u{202e}').contains(&character)
}

#[test]
fn json_is_stable() {
    let machine = Machine::start(FIXED);
    for (name, arguments) in COMMANDS {
        let ended = machine.ctl_with_input(&[arguments, &["--json"]].concat(), INPUT);
        assert_eq!(ended.code, exit_code(name), "{name}: {}", ended.stderr);
        assert_eq!(ended.stderr, "", "{name}");
        for document in serde_json::Deserializer::from_str(&ended.stdout).into_iter() {
            let _whole: serde_json::Value = document.expect("it is JSON");
        }
        assert!(!ended.stdout.contains(is_active), "{name}: {}", ended.stdout);
        assert_snapshot!(format!("{name}.json"), ended.stdout);
    }
}

#[test]
fn text_for_people_is_stable_and_free_of_what_terminals_obey() {
    let machine = Machine::today();
    for (name, arguments) in COMMANDS {
        let ended = machine.ctl_with_input(arguments, INPUT);
        assert_eq!(ended.code, exit_code(name), "{name}: {}", ended.stderr);
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        let active =
            |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!shown.contains(active), "{name}: {shown:?}");
        insta::with_settings!({filters => vec![
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[time]"),
        ]}, {
            assert_snapshot!(format!("{name}.text"), shown);
        });
    }
}

#[test]
fn colours_are_for_terminals_and_for_those_who_insist() {
    let machine = Machine::start(FIXED);
    assert!(!machine.ctl(&["peers"]).stdout.contains('\u{1b}'));
    let mut forced = crate::harness::command();
    forced.env("MESH_SOCKET", &machine.socket).env("CLICOLOR_FORCE", "1");
    let forced = crate::harness::ended(forced.arg("peers"));
    assert!(forced.stdout.contains("\u{1b}[1m"), "{:?}", forced.stdout);
    let mut refused = crate::harness::command();
    refused.env("MESH_SOCKET", &machine.socket).env("NO_COLOR", "1");
    let refused = crate::harness::ended(refused.arg("peers"));
    assert!(!refused.stdout.contains('\u{1b}'));
}
