//! Pushes: what is asked of the agent, what is told of each target, and how the command ends.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Ended, FIXED, Machine, command, ended};

const ID: &str = "0197a1b2-c3d4-7000-8000-000000000001";

/// A folder with files to be pushed.
fn folder(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("of {name}\n")).unwrap();
    }
    dir
}

fn ctl_in(dir: &Path, machine: &Machine, arguments: &[&str]) -> Ended {
    let mut command = command();
    command.env("MESH_SOCKET", &machine.socket).env("PATH", "/usr/bin:/bin").current_dir(dir);
    ended(command.args(arguments))
}

/// Pushes a file of that name to mint and oak.
fn push(machine: &Machine, name: &str, more: &[&str]) -> Ended {
    let dir = folder(&[name]);
    ctl_in(dir.path(), machine, &[&["push", name, "--to", "mint,oak"], more].concat())
}

/// What was asked first, whose name is `name`.
fn asked(machine: &Machine, name: &str) -> Value {
    let asked = machine.agent.asked();
    let last = asked.iter().rev().find_map(|asked| asked.strip_prefix(&format!("{name} ")));
    serde_json::from_str(last.unwrap()).unwrap()
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn everything_that_is_said_of_a_push_reaches_the_agent() {
    let machine = Machine::start(FIXED);
    let dir = folder(&["a.js", "lib/b.js"]);
    let here = dir.path().canonicalize().unwrap();
    let line = [
        "push",
        "a.js",
        "lib/",
        "./lib",
        "--to",
        "mint,oak",
        "--to",
        "elm",
        "--root",
        "scripts",
        "--dest",
        "x/y",
        "--test",
        "node {file} --help",
        "--message",
        "why",
        "--via",
        "message",
        "--limit",
        "20M",
        "--ttl",
        "2d",
        "--no-ignore",
        "--no-wait",
        "--json",
    ];
    let pushed = ctl_in(&here, &machine, &line);
    assert_eq!((pushed.code, pushed.stderr.as_str()), (0, ""));
    assert_eq!(lines(&pushed).len(), 1);
    let path = |name: &str| format!("{}/{name}", here.display());
    let request = json!({
        "paths": [path("a.js"), path("lib/"), path("lib")],
        "to": ["mint", "oak", "elm"], "all": false, "root": "scripts", "dest": "x/y", "rename": null,
        "test": "node {file} --help", "message": "why", "method": "message",
        "limit_bytes_per_second": 20 << 20, "ttl_s": 172_800, "no_ignore": true,
    });
    assert_eq!(asked(&machine, "push"), request);

    assert_eq!(ctl_in(&here, &machine, &["push", "a.js", "--all"]).code, 0);
    let request = json!({
        "paths": [path("a.js")], "to": [], "all": true, "root": null, "dest": null, "rename": null,
        "test": null, "message": null, "method": null, "limit_bytes_per_second": null,
        "ttl_s": null, "no_ignore": false,
    });
    assert_eq!(asked(&machine, "push"), request);
}

#[test]
fn a_wrong_line_and_a_missing_file_ask_the_agent_nothing() {
    let machine = Machine::start(FIXED);
    let dir = folder(&["a"]);
    let cases: [(&[&str], i32); 13] = [
        (&["push"], 2),
        (&["push", "a"], 2),
        (&["push", "--to", "mint"], 2),
        (&["push", "a", "--to", "mint", "--all"], 2),
        (&["push", "a", "--to", "mint", "--root", "../x"], 2),
        (&["push", "a", "--to", "mint", "--limit", "20X"], 2),
        (&["push", "a", "--to", "mint", "--ttl", "soon"], 2),
        (&["push", "a", "--to", "mint", "--via", "pigeon"], 2),
        (&["push", "a", "--to", "mint", "--test-here"], 2),
        (&["push", "a", "--to", "mint", "--wait", "--no-wait"], 2),
        (&["pushes", "deny", "0197a1b2"], 2),
        (&["rollback"], 2),
        (&["push", "b", "--to", "mint"], 1),
    ];
    for (line, code) in cases {
        let failed = ctl_in(dir.path(), &machine, line);
        assert_eq!(
            (failed.code, failed.stdout.as_str()),
            (code, ""),
            "{line:?}: {}",
            failed.stderr
        );
    }
    let missing = ctl_in(dir.path(), &machine, &["push", "b", "--to", "mint", "--json"]);
    assert_eq!(lines(&missing)[0]["error"]["code"], "not_found");
    assert!(machine.agent.asked().is_empty(), "{:?}", machine.agent.asked());
}

#[test]
fn a_name_that_is_no_text_arrives_as_its_bytes() {
    let machine = Machine::start(FIXED);
    let dir = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"caf\xe9");
    fs::write(dir.path().join(name), "").unwrap();
    let mut command = command();
    command.env("MESH_SOCKET", &machine.socket).current_dir(&dir);
    let pushed = ended(command.arg("push").arg(name).args(["--to", "mint", "--dest"]).arg(name));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let request: mesh_control::PushRequest =
        serde_json::from_value(asked(&machine, "push")).unwrap();
    assert_eq!(request.paths, [dir.path().canonicalize().unwrap().join(name)]);
    assert_eq!(request.dest, Some(PathBuf::from(name)));
}

#[test]
fn a_push_that_arrives_everywhere_is_exit_code_0_and_each_change_a_line() {
    let machine = Machine::today();
    let pushed = push(&machine, "fine", &[]);
    assert_eq!((pushed.code, pushed.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("push.text", pushed.stdout);
    let pushed = push(&Machine::start(FIXED), "fine", &["--json"]);
    assert_eq!((pushed.code, pushed.stderr.as_str()), (0, ""));
    let views = lines(&pushed);
    let states: Vec<_> = views.iter().map(|view| view["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["preparing", "running", "running", "ended"]);
    insta::assert_snapshot!("push.json", pushed.stdout.lines().last().unwrap());
    let last = views.last().unwrap();
    for field in ["push_id", "files", "bytes_total", "bytes_sent", "targets"] {
        assert!(!last[field].is_null(), "{field}");
    }
    for target in last["targets"].as_array().unwrap() {
        assert!(target["hostname"].is_string(), "{target}");
        assert_eq!((&target["state"], &target["error"]), (&json!("confirmed"), &Value::Null));
    }
}

#[test]
fn a_target_that_fails_is_told_with_step_reason_and_what_its_test_said() {
    let failed = push(&Machine::today(), "failing", &[]);
    assert_eq!(failed.code, 1);
    insta::assert_snapshot!("push_failing.text", format!("{}\n{}", failed.stdout, failed.stderr));
    let failed = push(&Machine::start(FIXED), "failing", &["--json"]);
    assert_eq!((failed.code, failed.stderr.as_str()), (1, ""));
    let last = lines(&failed).pop().unwrap();
    let oak = &last["targets"][1];
    assert_eq!((&oak["state"], &oak["error"]["reason"]), (&json!("failed"), &json!("test_failed")));
    assert_eq!(oak["error"]["test"]["exit_code"], 1);
}

#[test]
fn a_secret_and_a_rule_of_a_target_are_exit_code_4() {
    let found = push(&Machine::today(), "secret", &[]);
    assert_eq!(found.code, 4);
    insta::assert_snapshot!("push_secret.text", format!("{}\n{}", found.stdout, found.stderr));
    let found = push(&Machine::start(FIXED), "secret", &["--json"]);
    assert_eq!((found.code, found.stderr.as_str()), (4, ""));
    assert_eq!(lines(&found).pop().unwrap()["error"]["reason"], "secret_found");
    let refused = push(&Machine::start(FIXED), "refused", &[]);
    assert_eq!(refused.code, 4, "{}", refused.stdout);
    assert!(refused.stderr.contains("allow_from"), "{}", refused.stderr);
}

#[test]
fn a_target_that_is_away_does_not_keep_the_command_waiting() {
    let machine = Machine::today();
    let waits = push(&machine, "away", &[]);
    assert_eq!((waits.code, waits.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("push_away.text", waits.stdout);
    let waits = push(&machine, "approve", &["--json"]);
    assert_eq!((waits.code, waits.stderr.as_str()), (0, ""));
    let last = lines(&waits).pop().unwrap();
    assert_eq!(last["targets"][1]["state"], "waiting_for_approval");
}

#[test]
fn a_push_that_is_only_begun_is_not_watched() {
    let machine = Machine::start(FIXED);
    let begun = push(&machine, "endless", &["--no-wait"]);
    assert_eq!((begun.code, begun.stderr.as_str()), (0, ""));
    assert!(begun.stdout.contains(&format!("mesh-ctl pushes cancel {ID}")), "{}", begun.stdout);
    assert_eq!(machine.agent.asked().len(), 1);
}

/// A command that watches a push which does not end.
fn watching(machine: &Machine, dir: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mesh-ctl"))
        .env_clear()
        .env("MESH_SOCKET", &machine.socket)
        .current_dir(dir)
        .args(["push", "endless", "--to", "mint"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn an_interrupt_ends_the_command_and_not_the_push() {
    let machine = Machine::start(FIXED);
    let dir = folder(&["endless"]);
    let mut child = watching(&machine, dir.path(), &[]);
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("confirmed") {
        assert!(std::io::BufRead::read_line(&mut out, &mut shown).unwrap() > 0, "{shown}");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    std::io::Read::read_to_string(&mut out, &mut shown).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert!(shown.contains(&format!("The push goes on. `mesh-ctl pushes {ID}`")), "{shown}");
    let asked = machine.agent.asked();
    assert!(!asked.iter().any(|asked| asked.starts_with("push_cancel")), "{asked:?}");
}

#[test]
fn an_agent_that_stops_is_told_apart_from_a_push_that_fails() {
    let machine = Machine::start(FIXED);
    let dir = folder(&["endless"]);
    let mut child = watching(&machine, dir.path(), &["--json"]);
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("confirmed") {
        assert!(std::io::BufRead::read_line(&mut out, &mut shown).unwrap() > 0, "{shown}");
    }
    machine.stop();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(rest.contains("it goes on when the agent does"), "{rest}");
}

/// A test that says no to files whose content begins with `bad`, and tells what it finds around it.
fn tester(dir: &Path) -> PathBuf {
    let path = dir.join("tester");
    let script =
        "#!/bin/sh\necho \"looked at $1 in $(pwd) with $SECRET_OF_MINE\"\n! grep -q bad \"$1\"\n";
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_test_that_fails_here_stops_the_push_before_the_agent_is_asked() {
    let machine = Machine::start(FIXED);
    let tools = tempfile::tempdir().unwrap();
    let tester = format!("'{}' {{file}}", tester(tools.path()).display());
    let dir = folder(&["a b.js", "lib/c.js", ".gitignore", ".meshignore", "left.js", "out.js"]);
    fs::write(dir.path().join(".gitignore"), "left.js\n").unwrap();
    fs::write(dir.path().join(".meshignore"), "out.js\n").unwrap();
    for name in ["left.js", "out.js"] {
        fs::write(dir.path().join(name), "bad\n").unwrap();
    }
    let line = ["push", ".", "--to", "mint", "--test", &tester, "--test-here"];
    let mut command = command();
    command.env("MESH_SOCKET", &machine.socket).env("PATH", "/usr/bin:/bin").current_dir(&dir);
    let passed = ended(command.env("SECRET_OF_MINE", "shown").args(line));
    assert_eq!(passed.code, 0, "{}", passed.stderr);
    let here = dir.path().canonicalize().unwrap();
    let looked =
        format!("looked at {}/a b.js in {}", here.display(), here.parent().unwrap().display());
    assert!(passed.stderr.contains(&looked), "{}", passed.stderr);
    assert!(passed.stderr.contains("lib/c.js"), "{}", passed.stderr);
    assert!(!passed.stderr.contains("left.js") && !passed.stderr.contains("out.js"));
    assert!(!passed.stderr.contains("shown"), "{}", passed.stderr);
    assert_eq!(asked(&machine, "push")["test"], tester);

    let count = machine.agent.asked().len();
    fs::write(dir.path().join("lib/c.js"), "bad\n").unwrap();
    let failed = ctl_in(&here, &machine, &line);
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""));
    assert!(failed.stderr.contains("/lib/c.js: exit status: 1\nhint: "), "{}", failed.stderr);
    let failed = ctl_in(&here, &machine, &[line.as_slice(), &["--json"]].concat());
    assert_eq!(failed.code, 1);
    assert_eq!(lines(&failed)[0]["error"]["code"], "test_failed");
    assert_eq!(machine.agent.asked().len(), count);
}

#[test]
fn a_copy_back_asks_the_member_and_says_where_it_is_when_it_cannot_be_taken() {
    let machine = Machine::start(FIXED);
    let dir = folder(&["a.js"]);
    let copy = |line: &[&str]| ctl_in(dir.path(), &machine, &[&["cp"], line].concat());
    // The location is one of the agent that is made up.
    let done = copy(&["mint:scripts/x/a.js", "b.js"]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("b.js"), "{}", done.stderr);
    let request = asked(&machine, "pull");
    assert_eq!(request, json!({ "from": "mint", "root": "scripts", "path": "x/a.js" }));
    let _done = copy(&["mint:notes.txt", "."]);
    let request = asked(&machine, "pull");
    assert_eq!(request, json!({ "from": "mint", "root": null, "path": "notes.txt" }));
    let count = machine.agent.asked().len();
    for line in [["mint:a", "mint:b", "there"].as_slice(), &["mint:a", ".", "--limit", "1M"]] {
        assert_eq!(copy(line).code, 2, "{line:?}");
    }
    assert_eq!(machine.agent.asked().len(), count);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing came");
}

#[test]
fn a_test_here_knows_no_shell_and_names_a_program_that_is_not_there() {
    let machine = Machine::start(FIXED);
    let dir = folder(&["a"]);
    let run = |test: &str| {
        ctl_in(dir.path(), &machine, &["push", "a", "--to", "mint", "--test", test, "--test-here"])
    };
    let failed = run("no-such-program {file}");
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("no-such-program does not start"), "{}", failed.stderr);
    assert_eq!(run("false; true").code, 1);
    assert_eq!(run("'unclosed").code, 2);
    assert_eq!(run("").code, 2);
    assert!(machine.agent.asked().is_empty());
    // Without a file it runs once, where the files are.
    assert_eq!(run("cat a").code, 0);
}

#[test]
fn the_audit_trail_is_listed_and_told_line_by_line() {
    let machine = Machine::today();
    let shown = |ended: &Ended| {
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        let is_active = |c: char| c.is_control() && c != '\n';
        assert!(!ended.stdout.contains(is_active), "{:?}", ended.stdout);
        ended.stdout.clone()
    };
    insta::with_settings!({filters => vec![(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[time]")]}, {
        insta::assert_snapshot!("pushes.text", shown(&machine.ctl(&["pushes"])));
        insta::assert_snapshot!("pushes_id.text", shown(&machine.ctl(&["pushes", ID])));
    });
    let machine = Machine::start(FIXED);
    let listed: Value =
        serde_json::from_str(&shown(&machine.ctl(&["pushes", "-n", "2", "--json"]))).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    for field in ["push_id", "by", "at", "message", "files", "targets"] {
        assert!(!listed[0][field].is_null(), "{field}");
    }
    insta::assert_snapshot!("pushes_id.json", shown(&machine.ctl(&["pushes", ID, "--json"])));
    let unknown = machine.ctl(&["pushes", "ffffffff"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("no push begins with ffffffff\nhint: "), "{}", unknown.stderr);
}

#[test]
fn a_push_that_waits_is_decided_upon_and_cancelled() {
    let machine = Machine::start(FIXED);
    let done = |line: &[&str]| {
        let done = machine.ctl(line);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{line:?}");
        done.stdout
    };
    assert_eq!(done(&["pushes", "approve", "0197a1b2"]), format!("Push {ID} is approved.\n"));
    assert_eq!(asked(&machine, "push_decide"), json!({"push_id": "0197a1b2", "deny": null}));
    done(&["pushes", "deny", "0197a1b2", "not now"]);
    assert_eq!(asked(&machine, "push_decide")["deny"], "not now");
    done(&["pushes", "cancel", "0197a1b2"]);
    assert_eq!(asked(&machine, "push_cancel"), json!({"push_id": "0197a1b2"}));
    let view: Value = serde_json::from_str(&done(&["pushes", "cancel", ID, "--json"])).unwrap();
    assert_eq!(view["push_id"], ID);
}

#[test]
fn a_rollback_is_watched_like_a_push() {
    let machine = Machine::today();
    let line = ["rollback", "0197a1b2", "--to", "mint,oak", "--message", "why"];
    let failed = machine.ctl(&line);
    assert_eq!(failed.code, 1);
    let request =
        json!({"push_id": "0197a1b2", "to": ["mint", "oak"], "force": false, "message": "why"});
    assert_eq!(asked(&machine, "rollback"), request);
    insta::assert_snapshot!(
        "rollback_changed.text",
        format!("{}\n{}", failed.stdout, failed.stderr)
    );
    let done = machine.ctl(&["rollback", "0197a1b2", "--force"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("rollback.text", done.stdout);
    let done = machine.ctl(&["rollback", "0197a1b2", "--force", "--json"]);
    assert!(lines(&done).iter().all(|view| view["rollback_of"].is_string()), "{}", done.stdout);
}

#[test]
fn a_copy_is_a_push_with_a_place_of_its_own() {
    let machine = Machine::start(FIXED);
    let dir = folder(&["a.js", "lib/b.js"]);
    let copy = |line: &[&str]| ctl_in(dir.path(), &machine, &[&["cp"], line].concat());
    assert_eq!(copy(&["a.js", "mint:scripts/x/c.js"]).code, 0);
    let request = asked(&machine, "push");
    let told = ["to", "root", "dest", "rename", "message"].map(|field| request[field].clone());
    assert_eq!(told, [json!(["mint"]), json!("scripts"), json!("x"), json!("c.js"), json!("cp")]);
    assert_eq!(copy(&["a.js", "lib/", "mint:", "--message", "why"]).code, 0);
    let request = asked(&machine, "push");
    let told = ["root", "dest", "rename", "message"].map(|field| request[field].clone());
    assert_eq!(told, [Value::Null, Value::Null, Value::Null, json!("why")]);
    assert_eq!(request["paths"].as_array().unwrap().len(), 2);
    let count = machine.agent.asked().len();
    for line in
        [["a.js"].as_slice(), &["a.js", "mint"], &["oak:x", "mint:"], &["a.js", "oak:x", "."]]
    {
        assert_eq!(copy(line).code, 2, "{line:?}");
    }
    assert_eq!(machine.agent.asked().len(), count);
}
