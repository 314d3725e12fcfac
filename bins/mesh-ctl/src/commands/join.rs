use std::io::{self, BufRead, Read as _};

use clap::Args;
use futures_util::StreamExt as _;
use mesh_control::{ApiError, JoinProgress, JoinRequestBody, JoinStep, PeerView};
use mesh_protocol::{ErrorCode, MeshId};
use serde::Serialize;

use super::{Context, peers};
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{DIM, GOOD, plain, styled};

pub(crate) const EXAMPLE: &str = "\
A token is a secret, and every user of this machine can read the arguments of a command. Give it
on standard input (`join -`) or in MESH_JOIN_TOKEN where that matters.

Examples:
  mesh-ctl join -                       # and paste the token
  ssh mint mesh-ctl token create | mesh-ctl join -
  mesh-ctl join TOKEN";

/// Longest text that is read as a token; a real one has a few hundred bytes.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

#[derive(Args)]
pub(crate) struct JoinArgs {
    /// The token's text, or - to read it from standard input
    #[arg(value_name = "TOKEN", env = "MESH_JOIN_TOKEN", hide_env_values = true)]
    token: String,
}

/// How a join ended.
#[derive(Serialize)]
struct Joined {
    mesh_id: MeshId,
    peers: Vec<PeerView>,
}

pub(crate) async fn run(args: JoinArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let request = JoinRequestBody { token: token_text(args.token)? };
    let mut progress = patiently("asking the agent", client.join(&request)).await?;
    while let Some(item) = patiently("joining", progress.next()).await {
        match item? {
            JoinProgress::Step { step, number, total, detail } => {
                context.output.news(&step_line(step, number, total, &detail))?;
            }
            JoinProgress::Done { mesh_id, peers } => {
                context.output.show(&Joined { mesh_id, peers }, render)?;
                return Ok(Exit::Done);
            }
            JoinProgress::Failed { error } => return Err(error.into()),
        }
    }
    Err(ApiError::new(
        ErrorCode::AgentUnreachable,
        "the agent stopped before the join was over",
        "start it and join again with the same token: a join that was half done is completed",
    )
    .into())
}

fn token_text(given: String) -> Result<String, Failure> {
    let token = if given == "-" {
        let read = first_line(io::stdin().lock().take(TOKEN_BYTES_MAX));
        read.map_err(|error| {
            Failure::usage(format!("reading the token failed: {error}"), "a token is plain text")
        })?
    } else {
        given.trim().to_owned()
    };
    if token.is_empty() {
        return Err(Failure::usage(
            "the token is empty",
            "`mesh-ctl token create` on a member makes one",
        ));
    }
    Ok(token)
}

/// The first line with something on it: what `token create` prints behind the token says how to use it, and whoever types
/// need not say that nothing more comes.
fn first_line(mut from: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    while from.read_line(&mut line)? > 0 {
        if !line.trim().is_empty() {
            break;
        }
        line.clear();
    }
    Ok(line.trim().to_owned())
}

fn step_line(step: JoinStep, number: u8, total: u8, detail: &str) -> String {
    let number = styled(GOOD, &format!("[{number}/{total}]"));
    let done = match step {
        JoinStep::TokenChecked => "token checked",
        JoinStep::IssuerReached => "issuer reached",
        JoinStep::Admitted => "admitted",
        JoinStep::PeersReceived => "members received",
        JoinStep::PeersStored => "members stored",
        JoinStep::MembersLinked => "members linked",
    };
    match detail {
        "" => format!("{number} {done}"),
        detail => format!("{number} {done:16}  {}", styled(DIM, &plain(detail))),
    }
}

fn render(joined: &Joined) -> String {
    let Joined { mesh_id, peers } = joined;
    let count = peers.len();
    format!("Joined mesh {} with {count} members.\n\n{}", mesh_id.short(), peers::render(peers))
}
