//! The service: what installing prints and refuses, and what a service manager hears from the agent.
//!
//! Nothing here can install anything: what is not a dry run has no root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::agent::{PATIENCE, bare_command, eventually};

/// A user that may do nothing.
const NOBODY: u32 = 65_534;

fn output(mut command: Command) -> (Output, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let complained = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said, complained)
}

fn dry_run(unit_dir: &Path, arguments: &[&str]) -> String {
    let mut command = bare_command();
    command.args(arguments).arg("--dry-run").arg("--unit-dir").arg(unit_dir);
    let (output, said, complained) = output(command);
    assert!(output.status.success(), "{complained}");
    assert_eq!(fs::read_dir(unit_dir).unwrap().count(), 0, "nothing is touched");
    said
}

#[test]
fn a_dry_run_prints_a_script_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["install", "--hostname", "oak", "--listen", "100.64.0.7:13500"];
    let script = dry_run(dir.path(), &flags);
    let program = env!("CARGO_BIN_EXE_mesh-agent");
    for part in [program, "oak", "100.64.0.7:13500", "/var/lib/mesh-agent"] {
        assert!(script.contains(part), "{part:?} is not in {script}");
    }
    assert!(script.contains("# It would be refused:"), "a build is no place to run from: {script}");
    let file = dir.path().join("script");
    fs::write(&file, &script).unwrap();
    let mut check = Command::new("sh");
    check.arg("-n").arg(&file);
    let (checked, _, complained) = output(check);
    assert!(checked.status.success(), "a shell reads it: {complained}");
    fs::remove_file(&file).unwrap();

    let script = dry_run(dir.path(), &["uninstall", "--purge"]);
    assert!(script.contains("mesh-agent"), "{script}");
}

#[test]
fn the_unit_names_what_the_configuration_file_says_and_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.toml");
    fs::write(&config, "data_dir = \"/var/lib/elsewhere\"\nlisten = [\"0.0.0.0:443\"]\n").unwrap();
    let units = dir.path().join("units");
    fs::create_dir(&units).unwrap();
    let script = dry_run(&units, &["install", "--config", config.to_str().unwrap()]);
    assert!(script.contains("/var/lib/elsewhere"), "{script}");
    assert!(script.contains(config.to_str().unwrap()), "{script}");
    assert!(!script.contains("0.0.0.0:443"), "a change of the file counts: {script}");
    if cfg!(target_os = "linux") {
        assert!(script.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"), "{script}");
    }
}

#[test]
fn without_root_or_a_service_manager_it_says_so_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Somebody else's program directory may be closed to who is nobody.
    let program = dir.path().join("mesh-agent");
    fs::copy(env!("CARGO_BIN_EXE_mesh-agent"), &program).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.path(), open).unwrap();
    let units = dir.path().join("units");
    fs::create_dir(&units).unwrap();
    for subcommand in ["install", "uninstall"] {
        let mut command = Command::new(&program);
        command.arg(subcommand).arg("--unit-dir").arg(&units).env_clear();
        if geteuid().is_root() {
            command.uid(NOBODY);
        }
        let (output, said, complained) = output(command);
        assert_eq!(output.status.code(), Some(1), "{complained}");
        assert!(
            complained.starts_with("mesh-agent: refused, nothing was changed: "),
            "{complained}"
        );
        assert!(complained.contains("--dry-run"), "{complained}");
        assert_eq!(said, "");
    }
    assert_eq!(fs::read_dir(&units).unwrap().count(), 0);
}

#[test]
fn a_socket_where_nobody_looks_and_a_user_root_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let script = dry_run(dir.path(), &["install", "--socket", "/srv/x/control.sock"]);
    assert!(
        script.contains("refused: a service has its socket at /var/lib/mesh-agent"),
        "{script}"
    );
    let mut command = bare_command();
    command.args(["install", "--dry-run", "--user", "root"]);
    let (output, _, complained) = output(command);
    assert_eq!(output.status.code(), Some(2), "{complained}");
    assert!(complained.contains("needs no root"), "{complained}");
}

#[tokio::test]
async fn a_service_manager_hears_ready_then_the_watchdog_then_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_nonblocking(true).unwrap();
    let mut command = bare_command();
    command
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path().join("data"))
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", Duration::from_millis(100).as_micros().to_string())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut heard: Vec<String> = Vec::new();
    let mut hear = async |what: &str, is_enough: fn(&[String]) -> bool| {
        eventually(PATIENCE, what, async || {
            let mut buffer = [0; 256];
            while let Ok(bytes) = manager.recv(&mut buffer) {
                heard.push(String::from_utf8_lossy(&buffer[..bytes]).trim().to_owned());
            }
            is_enough(&heard).then_some(())
        })
        .await;
    };
    hear("it is ready", |heard| heard.first().is_some_and(|word| word == "READY=1")).await;
    hear("the watchdog is fed", |heard| {
        heard.iter().filter(|word| *word == "WATCHDOG=1").count() >= 3
    })
    .await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    hear("it stops", |heard| heard.last().is_some_and(|word| word == "STOPPING=1")).await;
    eventually(PATIENCE, "it ends", async || child.try_wait().unwrap()).await;
}

#[tokio::test]
async fn an_agent_whose_log_nobody_reads_any_more_stops_as_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = bare_command();
    command.args(["--listen", "127.0.0.1:0", "--log-level", "trace", "--data-dir"]);
    let mut child =
        command.arg(dir.path()).stderr(Stdio::piped()).spawn().expect("the program is there");
    let log = BufReader::new(child.stderr.take().unwrap());
    assert!(log.lines().any(|line| line.unwrap().starts_with("ready ")));
    // The reader is gone with the iterator.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = eventually(PATIENCE, "it ends", async || child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
    assert!(!dir.path().join("mesh.db-wal").exists(), "the database was closed");
}
