//! The replicated tables: what is asked, what is printed of values, and what becomes of a backup.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mesh_protocol::ErrorCode;
use serde_json::Value;

use crate::fake::BACKUP;
use crate::harness::{FIXED, Machine};

fn last(machine: &Machine) -> String {
    machine.agent.asked().last().cloned().unwrap_or_default()
}

#[test]
fn parameters_and_statements_arrive_as_they_are_meant() {
    let machine = Machine::start(FIXED);
    let dir = tempfile::tempdir().unwrap();
    let blob = dir.path().join("blob");
    fs::write(&blob, [0, 0xff]).unwrap();
    let blob = format!("@{}", blob.display());
    let line = ["sql", "DELETE", "-p", "-5", "--param", "a b", "-p", "\"7\"", "-p", &blob];
    assert_eq!(machine.ctl(&line).code, 0);
    let asked = r#"rows {"sql":"DELETE","params":[-5,"a b","7",{"$blob":"AP8="}]}"#;
    assert_eq!(last(&machine), asked);
    assert_eq!(machine.ctl_with_input(&["sql", "--file", "-"], "DELETE\nFROM é").code, 0);
    assert_eq!(last(&machine), r#"rows {"sql":"DELETE\nFROM é","params":[]}"#);
    let file = dir.path().join("statement.sql");
    fs::write(&file, "DELETE").unwrap();
    assert_eq!(machine.ctl(&["sql", "--file", file.to_str().unwrap()]).code, 0);
    assert_eq!(last(&machine), r#"rows {"sql":"DELETE","params":[]}"#);
    fs::write(&file, [0xff]).unwrap();
    let failed = machine.ctl(&["sql", "--file", file.to_str().unwrap()]);
    assert_eq!(failed.code, 2, "{}", failed.stderr);
}

#[test]
fn csv_is_exact() {
    let machine = Machine::start(FIXED);
    let csv = machine.ctl(&["sql", "SELECT 1", "--csv"]);
    let hostile = "\"\u{1b}[2J\u{202e}evil\r\n\u{7}\"";
    let expected = format!(
        "id,title,size,data\r\n1,\"a, \"\"b\"\"\",1.0,00ff\r\n-2,{hostile},Infinity,\r\n9223372036854775807,\"\",,ff\r\n"
    );
    assert_eq!((csv.code, csv.stdout.as_str(), csv.stderr.as_str()), (0, expected.as_str(), ""));
    assert_eq!(machine.ctl(&["sql", "DELETE", "--csv"]).stdout, "changes\r\n2\r\n");
    assert_eq!(machine.ctl(&["sql", "SELECT 1", "--csv", "--json"]).code, 2);
}

#[test]
fn an_answer_that_is_not_whole_is_a_failure() {
    let machine = Machine::start(FIXED);
    let failed = machine.ctl(&["sql", "SELECT half"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.starts_with("error: the query was stopped after 30 s\nhint: "));
    let failed = machine.ctl(&["sql", "SELECT half", "--json"]);
    let document: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(document["error"]["code"], "query_too_long");
    let failed = machine.ctl(&["sql", "SELECT cut"]);
    assert_eq!(failed.code, 3, "{}", failed.stderr);
}

#[test]
fn many_rows_are_aligned_piece_by_piece_under_one_line_of_titles() {
    let machine = Machine::start(FIXED);
    let shown = machine.ctl(&["sql", "SELECT many"]).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 2_502);
    assert!(lines[0].starts_with("id  "), "{}", lines[0]);
    for (number, line) in lines[1..2_501].iter().enumerate() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells, vec![number.to_string(); 4], "{line}");
    }
    assert_eq!(lines[2_501], "2500 rows.");
}

#[test]
fn a_write_names_its_changes_and_a_query_its_rows_in_one_document() {
    let machine = Machine::start(FIXED);
    let document = |sql: &str| -> Value {
        serde_json::from_str(&machine.ctl(&["sql", sql, "--json"]).stdout).unwrap()
    };
    assert_eq!(document("DELETE FROM notes"), serde_json::json!({"changes": 2}));
    let rows = document("SELECT 1");
    assert_eq!(rows["columns"].as_array().unwrap().len(), 4);
    assert_eq!(rows["rows"].as_array().unwrap().len(), 3);
    assert_eq!(rows["rows"][0][2].to_string(), "1.0");
    assert!(rows.get("changes").is_none());
}

#[test]
fn watching_goes_on_from_a_position() {
    let machine = Machine::start(FIXED);
    assert_eq!(machine.ctl(&["watch", "notes", "--from", "47.11", "-n", "1"]).code, 0);
    assert_eq!(last(&machine), r#"watch {"table":"notes","from":"47.11"}"#);
    machine.agent.refuse(ErrorCode::PositionGone);
    assert_eq!(machine.ctl(&["watch", "notes", "--from", "1"]).code, 1);
}

#[test]
fn a_table_is_dropped_without_a_question_where_nobody_is_there_to_answer() {
    let machine = Machine::start(FIXED);
    for line in [["table", "drop", "notes"].as_slice(), &["table", "drop", "notes", "--yes"]] {
        let dropped = machine.ctl(line);
        assert_eq!((dropped.code, dropped.stderr.as_str()), (0, ""));
        assert_eq!(last(&machine), "drop notes");
    }
}

fn backup(machine: &Machine, file: &Path, flags: &[&str]) -> crate::harness::Ended {
    machine.ctl(&[&["backup", file.to_str().unwrap()], flags].concat())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_backup_is_for_its_user_alone_and_replaces_nothing_unless_told_to() {
    let machine = Machine::start(FIXED);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tables.tar");
    let written = backup(&machine, &file, &["--json"]);
    assert_eq!((written.code, written.stderr.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&written.stdout).unwrap();
    assert_eq!(document["bytes"], BACKUP.len());
    assert_eq!(document["file"], file.to_str().unwrap());
    assert_eq!(fs::read(&file).unwrap(), BACKUP);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);

    fs::write(&file, "precious").unwrap();
    let asked = machine.agent.asked().len();
    let refused = backup(&machine, &file, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert_eq!(machine.agent.asked().len(), asked);
    assert_eq!(backup(&machine, &file, &["--force"]).code, 0);
    assert_eq!(fs::read(&file).unwrap(), BACKUP);
    assert_eq!(names(dir.path()), ["tables.tar"]);
}

#[test]
fn a_backup_that_fails_leaves_what_was_there() {
    let machine = Machine::start(FIXED);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tables.tar");
    for chunk in [0, 1] {
        machine.agent.break_backups(chunk);
        let failed = backup(&machine, &file, &[]);
        assert_ne!(failed.code, 0, "{chunk}");
        assert_ne!(failed.stderr, "", "{chunk}");
        assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
    }
    fs::write(&file, "precious").unwrap();
    assert_ne!(backup(&machine, &file, &["--force"]).code, 0);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let nowhere = backup(&machine, Path::new("/nowhere/at/all/tables.tar"), &[]);
    assert_eq!(nowhere.code, 1, "{}", nowhere.stderr);
    assert_eq!(names(dir.path()), ["tables.tar"]);
}

#[test]
fn a_backup_may_go_to_standard_output() {
    let machine = Machine::start(FIXED);
    let printed = machine.ctl(&["backup", "-"]);
    assert_eq!((printed.code, printed.stdout.as_bytes()), (0, BACKUP));
    assert_eq!(machine.ctl(&["backup", "-", "--json"]).code, 2);
}
