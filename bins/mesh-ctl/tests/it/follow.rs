//! Commands that go on until somebody has had enough.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::harness::{FIXED, Machine};

fn command(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-ctl"));
    command.env_clear().env("MESH_SOCKET", &machine.socket).args(arguments);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

fn follower(machine: &Machine, arguments: &[&str]) -> Child {
    command(machine, arguments).stdout(Stdio::piped()).spawn().unwrap()
}

/// A command whose reader is gone before it starts: after its start it might have written everything.
fn unread(machine: &Machine, arguments: &[&str]) -> Child {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command(machine, arguments).stdout(writer).spawn().unwrap()
}

/// The end of `child`, once its standard output has been read from elsewhere.
fn finish(mut child: Child) -> (Option<i32>, String) {
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code(), stderr)
}

#[test]
fn lines_come_one_by_one_and_ctrl_c_ends_them_quietly() {
    let machine = Machine::start(FIXED);
    for (arguments, count) in [
        (["inbox", "--follow", "--json"], 3),
        (["events", "-f", "--json"], 2),
        (["watch", "notes", "--json"], 4),
        (["config", "watch", "--json"], 3),
    ] {
        let mut child = follower(&machine, &arguments);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..count {
            let line = lines.next().unwrap().unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap().is_object());
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        assert!(lines.next().is_none());
        assert_eq!(finish(child), (Some(0), String::new()));
    }
}

#[test]
fn a_reader_that_has_had_enough_ends_it_quietly() {
    let machine = Machine::start(FIXED);
    for arguments in [
        ["inbox", "--follow"].as_slice(),
        &["inbox"],
        &["man"],
        &["events", "-f"],
        &["watch", "notes"],
        &["sql", "SELECT 1"],
        &["sql", "SELECT 1", "--csv"],
        &["backup", "-"],
    ] {
        let child = unread(&machine, arguments);
        assert_eq!(finish(child), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn messages_that_nobody_read_are_not_acknowledged() {
    let machine = Machine::start(FIXED);
    for arguments in [["inbox", "--follow", "--ack"].as_slice(), &["inbox", "--ack"]] {
        finish(unread(&machine, arguments));
    }
    let asked = machine.agent.asked();
    assert!(!asked.iter().any(|question| question.starts_with("ack")), "{asked:?}");
}

#[test]
fn an_agent_that_stops_is_told() {
    let machine = Machine::start(FIXED);
    let mut child = follower(&machine, &["events", "--follow"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    machine.stop();
    assert_eq!(lines.count(), 1);
    let (code, stderr) = finish(child);
    assert_eq!(code, Some(3));
    assert!(stderr.starts_with("error: the agent has stopped"), "{stderr}");
}
