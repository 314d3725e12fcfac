//! One module per command.

pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod conflicts;
pub(crate) mod cp;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod hostname;
pub(crate) mod inbox;
pub(crate) mod join;
pub(crate) mod man;
pub(crate) mod outbox;
pub(crate) mod parked;
pub(crate) mod peers;
pub(crate) mod ping;
pub(crate) mod push;
pub(crate) mod pushes;
pub(crate) mod rollback;
pub(crate) mod scan;
pub(crate) mod send;
pub(crate) mod sql;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod table;
pub(crate) mod token;
pub(crate) mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mesh_control::{ApiError, ControlClient, default_socket_path};
use mesh_protocol::ErrorCode;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// What a command works with.
pub(crate) struct Context {
    socket: Option<PathBuf>,
    pub(crate) output: Output,
}

impl Context {
    /// The agent to ask; it has not been asked anything yet.
    pub(crate) fn client(&self) -> Result<ControlClient, Failure> {
        if let Some(path) = &self.socket {
            return Ok(ControlClient::new(path));
        }
        default_socket_path().map(ControlClient::new).map_err(|error| {
            Failure::usage(
                format!("the agent's socket is not known: {error}"),
                "name it with --socket or MESH_SOCKET",
            )
        })
    }
}

/// Carries out a command.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let context = Context { socket: cli.global.socket, output: Output::new(cli.global.json) };
    // One thread is plenty: a command waits for the agent, it does not compute.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(carry_out(cli.command, &context)),
        Err(error) => {
            let message = format!("the operating system refused to start the command: {error}");
            Err(ApiError::new(ErrorCode::Internal, message, "").into())
        }
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => context.output.fail(failure),
    }
}

async fn carry_out(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Status => status::run(context).await,
        Command::Token(args) => token::run(args, context).await,
        Command::Join(args) => join::run(args, context).await,
        Command::Peers(args) => peers::run(args, context).await,
        Command::Hostname(args) => hostname::run(args, context).await,
        Command::Ping(args) => ping::run(args, context).await,
        Command::Send(args) => send::run(args, context).await,
        Command::Inbox(args) => inbox::run(args, context).await,
        Command::Outbox => outbox::run(context).await,
        Command::Events(args) => events::run(args, context).await,
        Command::Sync(args) => sync::run(args, context).await,
        Command::Table(args) => table::run(args, context).await,
        Command::Sql(args) => sql::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Config(args) => config::run(args, context).await,
        Command::Conflicts(args) => conflicts::run(args, context).await,
        Command::Parked(args) => parked::run(args, context).await,
        Command::Push(args) => push::run(args, context).await,
        Command::Pushes(args) => pushes::run(args, context).await,
        Command::Rollback(args) => rollback::run(args, context).await,
        Command::Cp(args) => cp::run(args, context).await,
        Command::Backup(args) => backup::run(args, context).await,
        Command::Scan(args) => scan::run(&args, context),
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Demo(args) => demo::run(args, context).await,
        Command::Completions(args) => completions::run(&args, context),
        Command::Man(args) => man::run(&args, context),
    }
}

/// The agent's program that was built or installed with this command, or else one in `PATH`.
fn agent_program() -> Option<PathBuf> {
    const NAME: &str = "mesh-agent";
    let beside = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = beside.into_iter().chain(std::env::split_paths(&path));
    places.find_map(|place| Some(place.join(NAME)).filter(|found| found.is_file()))
}
