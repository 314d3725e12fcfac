//! The command, for machines where the LocalAPI cannot be reached.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::TailscaleError;

/// As much of standard error as is looked at.
const SAID_BYTES_MAX: u64 = 1 << 10;

/// As much of it as an operator is shown.
const SAID_CHARS_MAX: usize = 200;

/// Runs `command status --json` without a shell and returns what it printed.
///
/// With `--json` it exits with 0 even when nobody is logged in; any other code means that it did not
/// reach the daemon.
pub(super) async fn run(command: &Path, bytes_max: usize) -> Result<Vec<u8>, TailscaleError> {
    let mut child = Command::new(command)
        .args(["status", "--json"])
        // Started by a service, the program of the macOS application would open its window instead.
        .env("TAILSCALE_BE_CLI", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(TailscaleError::opening)?;
    let printed = read_whole(child.stdout.take(), bytes_max);
    let said = read_start(child.stderr.take());
    // When the bound is passed, this returns at once and drops, which kills, the child.
    let (printed, said) = tokio::try_join!(printed, said)?;
    let exit = child.wait().await.map_err(TailscaleError::Io)?;
    if !exit.success() {
        return Err(TailscaleError::Exit { code: exit.code(), said: first_line(&said) });
    }
    Ok(printed)
}

async fn read_whole(
    pipe: Option<impl AsyncRead + Unpin>,
    bytes_max: usize,
) -> Result<Vec<u8>, TailscaleError> {
    let mut read = Vec::new();
    if let Some(pipe) = pipe {
        let one_more = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        pipe.take(one_more).read_to_end(&mut read).await.map_err(TailscaleError::Io)?;
    }
    if read.len() > bytes_max {
        return Err(TailscaleError::TooLong { bytes_max });
    }
    Ok(read)
}

/// Reads to the end, or the command would be stopped by a full pipe, but keeps the start only.
async fn read_start(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, TailscaleError> {
    let mut start = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe)
            .take(SAID_BYTES_MAX)
            .read_to_end(&mut start)
            .await
            .map_err(TailscaleError::Io)?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await.map_err(TailscaleError::Io)?;
    }
    Ok(start)
}

/// The words are shown on terminals, which obey control characters.
fn first_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    line.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()
}
