//! Runs a push's test on this machine, as the targets will: no shell, and next to nothing of this environment.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ignore::WalkBuilder;
use mesh_control::ApiError;
use mesh_protocol::ErrorCode;
use tokio::process::Command;

use super::super::Context;
use crate::exit::{Exit, Failure};
use crate::text::plain;

const FILE: &str = "{file}";

/// What a test finds in its environment.
const KEPT: [&str; 3] = ["PATH", "HOME", "LANG"];

const HINT: &str = "nothing was asked of the agent; correct it, or push without --test-here";

/// Runs the test once, or once per file where it names `{file}`. What it prints goes to standard error.
/// Answers how the command ends when it failed, which has been told then.
pub(super) async fn run(
    test: &str,
    paths: &[PathBuf],
    no_ignore: bool,
    context: &Context,
) -> Result<Option<Exit>, Failure> {
    let words = words(test)?;
    let is_per_file = words.iter().any(|word| word.contains(FILE));
    for path in paths {
        let folder = folder_of(path);
        let files = if is_per_file { files(path, no_ignore)? } else { vec![PathBuf::new()] };
        for file in files {
            let Some(why) = failed(&words, folder, &file).await? else { continue };
            let about = if is_per_file {
                format!(" with {}", plain(&file.to_string_lossy()))
            } else {
                String::new()
            };
            let message = format!("the test `{test}` failed on this machine{about}: {why}");
            context.output.tell("test_failed", &message, HINT)?;
            return Ok(Some(Exit::Failed));
        }
    }
    Ok(None)
}

fn words(test: &str) -> Result<Vec<String>, Failure> {
    let words = shlex::split(test).filter(|words| !words.is_empty());
    words.ok_or_else(|| {
        let hint = "it is a program with its arguments, quoted as a shell has them";
        Failure::usage("the test is no command line", hint)
    })
}

/// What stands for the destination: the folder that holds `path`, or the one whose content is pushed.
fn folder_of(path: &Path) -> &Path {
    let is_content = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    if is_content { path } else { path.parent().unwrap_or(path) }
}

/// The files that a push of `path` carries.
fn files(path: &Path, no_ignore: bool) -> Result<Vec<PathBuf>, Failure> {
    let mut builder = WalkBuilder::new(path);
    builder
        .standard_filters(false)
        .git_ignore(!no_ignore)
        .git_exclude(!no_ignore)
        .parents(!no_ignore)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(move |entry| no_ignore || entry.depth() == 0 || entry.file_name() != ".git");
    if !no_ignore {
        builder.add_custom_ignore_filename(".meshignore");
    }
    let mut files = Vec::new();
    for entry in builder.build() {
        let entry = entry.map_err(|error| {
            let message = format!("{}: {error}", plain(&path.to_string_lossy()));
            ApiError::new(ErrorCode::StorageError, message, HINT)
        })?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// Why the test said no, or none when it said yes.
async fn failed(words: &[String], folder: &Path, file: &Path) -> Result<Option<String>, Failure> {
    let mut words = words.iter().map(|word| with_file(word, file.as_os_str()));
    let Some(program) = words.next() else { return Ok(None) };
    let mut command = Command::new(&program);
    command.args(words).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.envs(KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    // Standard output is for the result of this command.
    command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
    let ended = match command.status().await {
        Ok(ended) => ended,
        Err(error) => {
            return Ok(Some(format!(
                "{} does not start: {error}",
                plain(&program.to_string_lossy())
            )));
        }
    };
    Ok((!ended.success()).then(|| ended.to_string()))
}

/// A word of the test with the file's path in it.
fn with_file(word: &str, file: &OsStr) -> OsString {
    let mut parts = word.split(FILE);
    let mut whole = OsString::from(parts.next().unwrap_or_default());
    for part in parts {
        whole.push(file);
        whole.push(part);
    }
    whole
}
