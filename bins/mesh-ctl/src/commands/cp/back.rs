//! Files of another machine, copied to this one: its agent pushes them to this agent, and they are taken from there.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mesh_control::{ApiError, PullRequest};
use mesh_protocol::ErrorCode;
use tempfile::NamedTempFile;

use super::super::Context;
use super::super::push::{Until, watch};
use super::{CpArgs, Target};
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::plain;

pub(super) async fn run(args: CpArgs, context: &Context) -> Result<Exit, Failure> {
    if args.limit.is_some() || args.no_ignore {
        let message = "--limit and --no-ignore are for files of this machine; nothing was copied";
        return Err(Failure::usage(message, "leave them out"));
    }
    let dest = PathBuf::from(&args.target);
    let is_folder = dest.is_dir() || dest.as_os_str().as_bytes().ends_with(b"/");
    if args.sources.len() > 1 && !is_folder {
        let message = "several sources need a folder to go to; nothing was copied";
        return Err(Failure::usage(message, "name one that is there, or end its name with /"));
    }
    let sources = args.sources.iter().map(|source| Target::parse(source.as_os_str()));
    for source in sources.collect::<Result<Vec<_>, _>>()? {
        let exit = copy(source, &dest, is_folder, args.wait, context).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    Ok(Exit::Done)
}

async fn copy(
    source: Target,
    dest: &Path,
    is_folder: bool,
    wait: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    let client = context.client()?;
    let path = String::from_utf8(source.dest).map_err(|_| {
        let message =
            "the name of what is copied from elsewhere has to be text; nothing was copied";
        Failure::usage(message, "name the folder that it is in")
    })?;
    let is_whole = path.trim_matches('/').is_empty();
    let wish = PullRequest { from: source.host, root: source.root, path: Some(path) };
    let begun = patiently("asking the agent", client.pull(&wish)).await?;
    let push_id = begun.push_id.to_string();
    let exit = watch(&client, begun, Until::of(false, wait), context).await?;
    if exit != Exit::Done {
        return Ok(exit);
    }
    let push = client.push_detail(&push_id).await?.push;
    let Some(from) = push.targets.into_iter().find_map(|target| target.location) else {
        return Ok(Exit::TimedOut);
    };
    let from = PathBuf::from(from);
    take(&from, dest, is_folder || is_whole).map_err(|error| {
        let (dest, from) = (plain(&dest.to_string_lossy()), plain(&from.to_string_lossy()));
        let message = format!("it cannot be put to {dest}: {error}; it is in {from}");
        let is_denied = error.kind() == ErrorKind::PermissionDenied;
        let hint = if is_denied {
            "run it as root, or as the user that the agent runs as"
        } else {
            "take it from there before the agent starts anew"
        };
        ApiError::new(ErrorCode::StorageError, message, hint)
    })?;
    context.output.news(&format!("Copied to {}", plain(&dest.to_string_lossy())))?;
    Ok(Exit::Done)
}

/// Moves everything that is in `from`, and removes that.
fn take(from: &Path, dest: &Path, is_folder: bool) -> io::Result<()> {
    let entries = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
    if is_folder {
        fs::create_dir_all(dest)?;
        for entry in entries {
            place(&entry.path(), &dest.join(entry.file_name()))?;
        }
    } else {
        for entry in entries {
            place(&entry.path(), dest)?;
        }
    }
    fs::remove_dir_all(from)
}

fn place(from: &Path, to: &Path) -> io::Result<()> {
    let facts = from.symlink_metadata()?;
    let there = match to.symlink_metadata() {
        Ok(there) => Some(there),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if facts.is_dir() {
        return place_folder(from, to, &facts, there.as_ref());
    }
    if there.is_some_and(|there| there.is_dir()) {
        return Err(in_the_way(to));
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => place_across(from, to, &facts),
        done => done,
    }
}

fn in_the_way(to: &Path) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("{} is in the way", to.display()))
}

/// Folders that are there stay; what is in them and not in `from`, too.
fn place_folder(
    from: &Path,
    to: &Path,
    facts: &Metadata,
    there: Option<&Metadata>,
) -> io::Result<()> {
    match there {
        Some(there) if !there.is_dir() => return Err(in_the_way(to)),
        Some(_) => {}
        None => fs::create_dir(to)?,
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        place(&entry.path(), &to.join(entry.file_name()))?;
    }
    if there.is_none() {
        fs::set_permissions(to, facts.permissions())?;
        File::open(to)?.set_times(FileTimes::new().set_modified(facts.modified()?))?;
    }
    Ok(())
}

/// To another file system: whole, or not at all.
fn place_across(from: &Path, to: &Path, facts: &Metadata) -> io::Result<()> {
    if facts.is_symlink() {
        if to.symlink_metadata().is_ok() {
            fs::remove_file(to)?;
        }
        return symlink(fs::read_link(from)?, to);
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut copy = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    io::copy(&mut File::open(from)?, copy.as_file_mut())?;
    copy.as_file().set_permissions(facts.permissions())?;
    copy.as_file().set_times(FileTimes::new().set_modified(facts.modified()?))?;
    copy.persist(to)?;
    Ok(())
}

#[cfg(test)]
mod tests;
