//! Recipes of the workspace that need an `if`.
//!
//! `demo [--release] [ARGUMENTS]` builds the agent and its command, then runs `mesh-ctl demo` with the
//! remaining arguments. `figures [--markdown | --write]` shows what benchmarks found. `.cargo/config.toml` makes
//! them `cargo demo` and `cargo figures`.

mod figures;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|recipe| recipe.to_str()) {
        Some("demo") => demo(arguments.collect()),
        Some("figures") => figures::figures(&arguments.collect::<Vec<_>>()),
        Some(_) | None => bail!(
            "usage: cargo demo [--release] [ARGUMENTS OF `mesh-ctl demo`], cargo figures [--markdown | --write]"
        ),
    }
}

fn demo(mut arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let count = arguments.len();
    arguments.retain(|argument| argument != "--release");
    let is_release = arguments.len() < count;

    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of the whole workspace: `cargo test --workspace` afterwards finds the same libraries built
    // instead of others that differ by a feature. Not quiet: it takes minutes on a fresh machine.
    build.args(["build", "--workspace", "--bins"]);
    if is_release {
        build.arg("--release");
    }
    let status = build.current_dir(workspace()?).status().context("running cargo")?;
    if !status.success() {
        return Ok(exit_code(status));
    }

    let profile = if is_release { "release" } else { "debug" };
    let program = target()?.join(profile).join("mesh-ctl");
    let status = Command::new(&program)
        .arg("demo")
        .args(arguments)
        .status()
        .with_context(|| format!("running {}", program.display()))?;
    Ok(exit_code(status))
}

/// As cargo says that runs this program: the folder that it was built in may have been moved since.
fn workspace() -> anyhow::Result<PathBuf> {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").context("cargo runs this: `cargo demo`")?;
    let workspace = Path::new(&xtask).parent().context("xtask lies in the workspace")?;
    Ok(workspace.to_owned())
}

/// The folder that cargo builds into: this program lies in `TARGET/PROFILE/`.
fn target() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("finding this program")?;
    let target = program.ancestors().nth(2).context("this program lies in the target folder")?;
    Ok(target.to_owned())
}

/// A program that a signal ended has no code of its own; a shell says 128 and the signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
