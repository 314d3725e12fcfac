//! Carries a plan out, and says at each step how it went.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, bail};

use super::machine::PROGRAM_PATH;
use super::plan::{Action, CommandLine, Plan, Step};
use super::script;

/// Lines of what a failed program said that are passed on.
const SAID_LINES_MAX: usize = 6;

/// Carries out every step, in order, up to the first that fails.
///
/// # Errors
/// Names the step that failed, what was done before it and what was not done.
pub(super) fn all(plan: &Plan, command: &str, output: &mut impl Write) -> anyhow::Result<()> {
    // Nobody reading the output is no reason to stop half-way: what is said may be lost.
    let mut say = |text: &str| {
        let _unread = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    };
    let total = plan.steps.len();
    let mut done = Vec::new();
    let mut rest = plan.steps.iter();
    while let Some(step) = rest.next() {
        say(&format!("[{}/{total}] {}: ", done.len() + 1, step.what));
        match carry_out(&step.action) {
            Ok(outcome) => say(&format!("{outcome}\n")),
            Err(error) => {
                say("failed\n");
                return Err(left_behind(step, &error, &done, rest.as_slice(), command));
            }
        }
        done.push(step.what.as_str());
    }
    for note in &plan.notes {
        say(&format!("{note}\n"));
    }
    Ok(())
}

/// The error that tells the whole state.
fn left_behind(
    failed: &Step,
    error: &anyhow::Error,
    done: &[&str],
    rest: &[Step],
    command: &str,
) -> anyhow::Error {
    let list = |names: Vec<&str>| {
        if names.is_empty() { String::from("nothing") } else { names.join("; ") }
    };
    let hint = if failed.hint.is_empty() { String::new() } else { format!("\n  {}", failed.hint) };
    anyhow!(
        "could not {}: {error:#}{hint}\n  done before it: {}\n  not done: {}\n  every step can be repeated: mend the cause, then `mesh-agent {command}` again",
        failed.what,
        list(done.to_vec()),
        list(rest.iter().map(|step| step.what.as_str()).collect()),
    )
}

/// Says in a word how it went.
fn carry_out(action: &Action) -> anyhow::Result<&'static str> {
    match action {
        Action::Nothing(why) => Ok(why),
        Action::Run(commands) => {
            commands.iter().try_for_each(run)?;
            Ok("done")
        }
        Action::Write { path, text } => write(path, text),
        Action::RemoveFile(path) => match fs::remove_file(path) {
            Ok(()) => Ok("done"),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok("it was not there"),
            Err(error) => Err(error.into()),
        },
        Action::RemoveDataDir(path) => remove_data_dir(path),
    }
}

fn run(line: &CommandLine) -> anyhow::Result<()> {
    let shown = script::line(line);
    let mut command = Command::new(&line.program);
    command.args(&line.arguments).env("PATH", PROGRAM_PATH).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = command
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .with_context(|| format!("`{shown}` cannot be run"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let (_, last) = said.split_at(said.len().saturating_sub(SAID_LINES_MAX));
    bail!("`{shown}` ended with {}: {}", ended.status, last.join("\n    "));
}

/// Writes a file that is whole or as it was, whatever happens meanwhile.
fn write(path: &Path, text: &str) -> anyhow::Result<&'static str> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok("it is there, unchanged");
    }
    let dir = path.parent().context("it has no directory")?;
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let partial = path.with_extension("partial");
    let written = write_whole(&partial, text).and_then(|()| fs::rename(&partial, path));
    if let Err(error) = written {
        let _absent = fs::remove_file(&partial);
        return Err(error.into());
    }
    File::open(dir).and_then(|dir| dir.sync_all()).context("the directory cannot be synced")?;
    Ok("done")
}

fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    const EVERYBODY_READS: u32 = 0o644;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(EVERYBODY_READS);
    let mut file = options.open(path)?;
    // Root's umask may be stricter, and the service manager's own tools complain then.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(EVERYBODY_READS))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn remove_data_dir(path: &Path) -> anyhow::Result<&'static str> {
    match File::open(path.join("agent.lock")) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("an agent runs on it that is not the service: stop it first")
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    match fs::remove_dir_all(path) {
        Ok(()) => Ok("done"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok("it was not there"),
        Err(error) => Err(error.into()),
    }
}
