mod advice;
mod bars;
mod paths;
mod report;
mod test_here;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use mesh_control::{PushMethodName, PushRequest};
use mesh_protocol::RootName;

pub(super) use self::paths::absolute;
pub(super) use self::report::{details, state_word, step_word};
pub(super) use self::watch::{Until, watch};
use super::Context;
use crate::duration::parse_duration;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::rate::parse_rate;

pub(crate) const EXAMPLE: &str = "\
Each PATH arrives under its own name; what lies in a folder whose path ends with / arrives without
the folder. What .gitignore and .meshignore name stays here. Files are read and scanned for secrets
(PREPARE), every member is told (ANNOUNCE), what a target lacks travels (PUSH), the target checks
it and runs the test (VERIFY), and puts all of it in place at once (CONFIRM). Until then, and after
any failure, it has what it had before.

A target that is not reached gets it when it is back: the command says so and ends. Ctrl-C ends
the command, not the push; `mesh-ctl pushes cancel ID` does.
Exit code: 0 in place or waiting, 1 failed at some target, 4 a secret was found or the target's
rules refuse it, 5 no longer watched.

Examples:
  mesh-ctl push deploy.sh --to mint,oak --root scripts --message 'waits for the database'
  mesh-ctl push src/ --all --root scripts --dest deploy --test 'node {file} --help' --test-here
  mesh-ctl push disk.img --to mint --limit 20M --ttl 2d --no-wait
  mesh-ctl push src --to mint --json | tail -n 1 | jq '.targets[].state'";

#[derive(Args)]
#[command(group = ArgGroup::new("targets").required(true).args(["to", "all"]))]
pub(crate) struct PushArgs {
    /// Files, and folders with all that is in them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The targets: hostnames, peer ids, or the first eight or more digits of them
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    to: Vec<String>,
    /// Push to every other member
    #[arg(long)]
    all: bool,
    /// The targets' root [default: default]
    #[arg(long, value_name = "NAME")]
    root: Option<RootName>,
    /// Where beneath the root
    #[arg(long, value_name = "REL")]
    dest: Option<PathBuf>,
    /// The test, as the targets' root names it
    #[arg(long, value_name = "CMD")]
    test: Option<String>,
    /// Run the test on this machine first; when it fails, nothing is pushed
    #[arg(long, requires = "test")]
    test_here: bool,
    /// What for, for people
    #[arg(long, short = 'm', value_name = "TEXT")]
    message: Option<String>,
    /// How it travels [default: stream]
    #[arg(long, value_name = "METHOD")]
    via: Option<Via>,
    /// Most bytes per second, with K, M or G
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    limit: Option<u64>,
    /// How long it may wait for its targets [default: 7d]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Push what .gitignore and .meshignore name as well
    #[arg(long)]
    no_ignore: bool,
    /// Come back once the push is begun
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// Wait also for targets that are not reached, and for approvals
    #[arg(long)]
    wait: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Via {
    /// In pieces over the link: any size, only what the target lacks
    Stream,
    /// Inside one message: up to 256 KiB, also through other members
    Message,
}

impl From<Via> for PushMethodName {
    fn from(via: Via) -> Self {
        match via {
            Via::Stream => Self::Stream,
            Via::Message => Self::Message,
        }
    }
}

pub(crate) async fn run(args: PushArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let paths = args.paths.iter().map(|path| absolute(path)).collect::<Result<Vec<_>, _>>()?;
    if args.test_here
        && let Some(test) = &args.test
    {
        let test_here = test_here::run(test, &paths, args.no_ignore, context);
        if let Some(exit) = test_here.await? {
            return Ok(exit);
        }
    }
    let until = Until::of(args.no_wait, args.wait);
    let request = PushRequest {
        paths,
        to: args.to,
        all: args.all,
        root: args.root,
        dest: args.dest.as_deref().and_then(paths::beneath),
        rename: None,
        test: args.test,
        message: args.message,
        method: args.via.map(PushMethodName::from),
        limit_bytes_per_second: args.limit,
        ttl_s: args.ttl.map(|ttl| ttl.as_secs()),
        no_ignore: args.no_ignore,
    };
    let begun = patiently("asking the agent", client.push(&request)).await?;
    watch(&client, begun, until, context).await
}
