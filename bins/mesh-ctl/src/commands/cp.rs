mod back;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use mesh_control::PushRequest;
use mesh_protocol::RootName;

use super::Context;
use super::push::{Until, absolute, watch};
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::rate::parse_rate;
use crate::text::plain;

pub(crate) const EXAMPLE: &str = "\
What stands before the first / behind HOST: is the name of a root there; without a / it is the root
`default`. A single SRC takes the name that DEST has. Several keep their names, and so does one
whose DEST ends with / or is left out. It is a push: announced, verified, in `mesh-ctl pushes`, and
`mesh-ctl rollback` takes it back. Exit codes are those of `push`.

With HOST:[ROOT/]PATH as sources it goes the other way: the member pushes what is there to this
agent, if the root is open for reading (`allow_read`), and it is taken from there to DEST.

Examples:
  mesh-ctl cp notes.txt mint:                    # default/notes.txt
  mesh-ctl cp notes.txt mint:todo.txt            # default/todo.txt
  mesh-ctl cp a.js lib mint:scripts/deploy       # scripts/deploy/a.js, scripts/deploy/lib/
  mesh-ctl cp a.js mint:scripts/
  mesh-ctl cp mint:scripts/deploy/a.js .         # back
  mesh-ctl cp mint:notes.txt old-notes.txt";

#[derive(Args)]
pub(crate) struct CpArgs {
    /// Files and folders of this machine, or HOST:[ROOT/]PATH
    #[arg(required = true, value_name = "SRC")]
    sources: Vec<PathBuf>,
    /// Where to: HOST:[ROOT/]DEST, or a path of this machine
    #[arg(required = true, value_name = "DEST")]
    target: OsString,
    /// What for, for people
    #[arg(long, short = 'm', value_name = "TEXT", default_value = "cp")]
    message: String,
    /// Most bytes per second, with K, M or G
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    limit: Option<u64>,
    /// Copy what .gitignore and .meshignore name as well
    #[arg(long)]
    no_ignore: bool,
    /// Wait also for a target that is not reached, and for approvals
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(args: CpArgs, context: &Context) -> Result<Exit, Failure> {
    let is_back =
        !names_host(&args.target) && args.sources.iter().all(|source| is_elsewhere(source));
    if is_back {
        return back::run(args, context).await;
    }
    let client = context.client()?;
    let target = Target::parse(&args.target)?;
    let paths = args.sources.iter().map(|path| source(path)).collect::<Result<Vec<_>, _>>()?;
    let (dest, rename) = target.place(args.sources.len() == 1);
    let request = PushRequest {
        paths,
        to: vec![target.host],
        root: target.root,
        dest,
        rename,
        message: Some(args.message),
        limit_bytes_per_second: args.limit,
        no_ignore: args.no_ignore,
        ..PushRequest::default()
    };
    let begun = patiently("asking the agent", client.push(&request)).await?;
    watch(&client, begun, Until::of(false, args.wait), context).await
}

/// Whether a `:` stands before the first `/`.
fn names_host(path: &OsStr) -> bool {
    let bytes = path.as_bytes();
    let end = bytes.iter().position(|byte| matches!(byte, b':' | b'/'));
    end.is_some_and(|end| end > 0 && bytes.get(end) == Some(&b':'))
}

/// Whether a source is one of another machine, and no file that happens to be called so.
fn is_elsewhere(path: &Path) -> bool {
    names_host(path.as_os_str()) && path.symlink_metadata().is_err()
}

fn source(path: &Path) -> Result<PathBuf, Failure> {
    if is_elsewhere(path) {
        let message = format!(
            "{} is no file of this machine; nothing was copied",
            plain(&path.to_string_lossy())
        );
        let hint = "files of another machine are copied to this one: HOST:PATH… DEST";
        return Err(Failure::usage(message, hint));
    }
    absolute(path)
}

/// `HOST:[ROOT/]DEST`.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    root: Option<RootName>,
    dest: Vec<u8>,
}

impl Target {
    fn parse(target: &OsStr) -> Result<Self, Failure> {
        const HINT: &str = "write HOST:, HOST:DEST or HOST:ROOT/DEST, such as mint:scripts/a.js";
        let wrong = |why: String| Failure::usage(why, HINT);
        let shown = plain(&target.to_string_lossy());
        let (host, place) = split(target.as_bytes(), b':')
            .ok_or_else(|| wrong(format!("{shown} names no machine")))?;
        let host = std::str::from_utf8(host).ok().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong(format!("{shown} names no machine")))?.to_owned();
        let Some((root, dest)) = split(place, b'/') else {
            return Ok(Self { host, root: None, dest: place.to_vec() });
        };
        let root = std::str::from_utf8(root).ok().and_then(|root| root.parse().ok());
        let root = root.ok_or_else(|| {
            wrong(format!("what stands before the first / of {shown} is no name of a root"))
        })?;
        Ok(Self { host, root: Some(root), dest: dest.to_vec() })
    }

    /// The folder beneath the root, and the name there where it is another one.
    fn place(&self, is_alone: bool) -> (Option<PathBuf>, Option<PathBuf>) {
        let dest = PathBuf::from(OsString::from_vec(self.dest.clone()));
        let keeps_names = !is_alone || self.dest.is_empty() || self.dest.ends_with(b"/");
        let some = |path: PathBuf| Some(path).filter(|path| !path.as_os_str().is_empty());
        if keeps_names {
            return (some(dest.components().collect()), None);
        }
        match (dest.parent(), dest.file_name()) {
            (Some(parent), Some(name)) => (some(parent.to_owned()), Some(name.into())),
            // `..` and the like: the agent says why not.
            _ => (some(dest), None),
        }
    }
}

/// What stands before and behind the first `at`.
fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let found = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..found)?, bytes.get(found + 1..)?))
}

#[cfg(test)]
mod tests;
