//! `git-remote-mesh`: what git runs for an address such as `mesh://mint/notes`.
//!
//! It asks the agent of this machine for one of git's services in a member's repository, and carries bytes.
//! Never in here: a decision of the mesh, or a word of git's own protocol.

mod address;
mod helper;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use mesh_control::{ClientError, ControlClient, default_socket_path};

use crate::address::Address;

/// Lets git clone, fetch and push over the links of the agent mesh. Git runs it by itself.
#[derive(Debug, Parser)]
#[command(
    name = "git-remote-mesh",
    version,
    after_help = "Examples:\n  git clone mesh://mint/notes                    the repository that mint has opened as `notes`\n  git remote add mint mesh://mint/notes\n\nIt has to lie where git finds programs (`git clone` says \"remote-mesh is not a git command\" otherwise), and\nan agent has to run on this machine. MESH_SOCKET names its socket, where it is not the default one. What is\nopen, and to whom, is said in the configuration file of the other agent: [[repositories]]."
)]
struct Arguments {
    /// The remote's name in this repository, or its address again
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// mesh://HOST/NAME
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    /// The agent's control socket [default: the agent's default one]
    #[arg(long, env = "MESH_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let Arguments { remote, address, socket } = arguments;
    let address: Address = address.unwrap_or(remote).parse()?;
    let socket = socket.map_or_else(default_socket_path, Ok)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let code = runtime.block_on(helper::run(&ControlClient::new(socket), &address));
    // Reading standard input cannot be given up: it may wait for git, which waits for this end.
    runtime.shutdown_background();
    code
}

#[expect(clippy::print_stderr, reason = "git shows what its helper writes there")]
fn report(error: &anyhow::Error) {
    let Some(error) = error.downcast_ref::<ClientError>() else {
        eprintln!("mesh: {error:#}");
        return;
    };
    let told = error.to_api_error();
    eprintln!("mesh: {}", helper::shown(&told.message));
    if !told.hint.is_empty() {
        eprintln!("mesh: {}", helper::shown(&told.hint));
    }
}
