use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::StreamExt as _;
use mesh_control::{ApiError, BackupDownload, ControlClient};
use mesh_protocol::ErrorCode;
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::signal::ctrl_c;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::{DownloadBar, patiently};
use crate::text::{bytes, plain};

pub(crate) const EXAMPLE: &str = "\
Copies node.key, mesh.db and data.db while the agent runs, each database as it is at one moment, into a
tar archive that only its user may read. The file appears under its name when it is whole. It holds the
agent's private key: keep it as you keep secrets. `mesh-agent restore FILE` makes an agent of it again.

Examples:
  mesh-ctl backup mint.tar
  mesh-ctl backup - | ssh vault 'umask 077; cat > mint.tar'";

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// The file to write; - is standard output
    file: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
}

/// A backup that was written.
#[derive(Serialize)]
struct Written {
    file: String,
    bytes: u64,
}

pub(crate) async fn run(args: BackupArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    if args.file.as_os_str() == "-" {
        return to_output(&client, &context.output).await;
    }
    if !args.force && args.file.symlink_metadata().is_ok() {
        return Err(taken(&args.file));
    }
    // Dropped before it has its name, the file is gone: also when somebody has had enough.
    let written = tokio::select! {
        biased;
        _ended = ctrl_c() => return Ok(Exit::Failed),
        written = to_file(&client, &args) => written?,
    };
    context.output.show(&written, |written| {
        format!("{} is written: {}.\n", plain(&written.file), bytes(written.bytes))
    })?;
    Ok(Exit::Done)
}

async fn to_output(client: &ControlClient, output: &Output) -> Result<Exit, Failure> {
    if output.is_json() {
        return Err(Failure::usage("an archive on standard output is no JSON", "name a file"));
    }
    if output.is_terminal() {
        return Err(Failure::usage("an archive is not for a terminal", "name a file"));
    }
    let backup = patiently("asking the agent", client.backup()).await?;
    receive(backup, |chunk| output.exact(chunk).map_err(Failure::Output)).await?;
    Ok(Exit::Done)
}

async fn to_file(client: &ControlClient, args: &BackupArgs) -> Result<Written, Failure> {
    let path = &args.file;
    let failed = |error: io::Error| unwritten(path, &error);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    // Readable for its user alone from its first moment.
    let mut file = NamedTempFile::with_prefix_in(".mesh-backup-", dir).map_err(failed)?;
    let backup = patiently("asking the agent", client.backup()).await?;
    let bytes = receive(backup, |chunk| file.write_all(chunk).map_err(failed)).await?;
    file.as_file().sync_all().map_err(failed)?;
    let named = if args.force { file.persist(path) } else { file.persist_noclobber(path) };
    named.map_err(|error| match error.error.kind() == io::ErrorKind::AlreadyExists {
        true => taken(path),
        false => failed(error.error),
    })?;
    // The name is as durable as the content.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(Written { file: path.display().to_string(), bytes })
}

/// Hands the archive to `write` as it comes; the number of its bytes.
async fn receive(
    backup: BackupDownload,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let BackupDownload { bytes_total, mut chunks } = backup;
    let mut bar = DownloadBar::new(bytes_total);
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            let mut error = error.to_api_error();
            error.message = format!("the backup broke off and was not kept: {}", error.message);
            Failure::from(error)
        })?;
        write(&chunk)?;
        bytes += chunk.len() as u64;
        bar.advance_to(bytes);
    }
    Ok(bytes)
}

fn taken(path: &Path) -> Failure {
    let message = format!("{} exists; nothing was written", plain(&path.to_string_lossy()));
    Failure::usage(message, "name another file, or replace it with --force")
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let message = format!("writing {} failed: {error}", plain(&path.to_string_lossy()));
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    let code = if full.contains(&error.kind()) {
        ErrorCode::DiskFull
    } else if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        ErrorCode::ReadOnly
    } else {
        ErrorCode::StorageError
    };
    ApiError::new(code, message, "name a file in a directory that can be written").into()
}
