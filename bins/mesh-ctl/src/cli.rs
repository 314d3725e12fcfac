//! The command line. Names and flags are a contract: add, never rename.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use mesh_control::ApiError;
use mesh_protocol::ErrorCode;

use crate::commands::{
    backup, completions, config, conflicts, cp, demo, doctor, events, hostname, inbox, join, man,
    outbox, parked, peers, ping, push, pushes, rollback, scan, send, sql, status, sync, table,
    token, watch,
};
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the message says why
  2  wrong usage
  3  the agent is not running or not reachable
  4  refused by policy
  5  timed out; the work goes on

Example:
  mesh-ctl status";

/// Asks the mesh agent of this machine.
#[derive(Parser)]
#[command(name = "mesh-ctl", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args)]
pub(crate) struct Global {
    /// The agent's control socket [default: DATA_DIR/control.sock]
    #[arg(long, global = true, env = "MESH_SOCKET", value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print JSON: one document, or one per line where the command follows
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Shows this agent at a glance
    #[command(after_help = status::EXAMPLE)]
    Status,
    /// Makes, lists and withdraws join tokens
    #[command(after_help = token::EXAMPLE)]
    Token(token::TokenArgs),
    /// Joins this agent to the mesh that issued a token
    #[command(after_help = join::EXAMPLE)]
    Join(join::JoinArgs),
    /// Lists the members of the mesh, or expels one
    #[command(after_help = peers::EXAMPLE)]
    Peers(peers::PeersArgs),
    /// Renames this machine across the mesh
    #[command(after_help = hostname::EXAMPLE)]
    Hostname(hostname::HostnameArgs),
    /// Measures the round trip to a member
    #[command(after_help = ping::EXAMPLE)]
    Ping(ping::PingArgs),
    /// Sends a message to a member or to all
    #[command(after_help = send::EXAMPLE)]
    Send(send::SendArgs),
    /// Shows the messages received, oldest first
    #[command(after_help = inbox::EXAMPLE)]
    Inbox(inbox::InboxArgs),
    /// Shows what waits to be delivered, for whom, and why
    #[command(after_help = outbox::EXAMPLE)]
    Outbox,
    /// Shows what happened on this agent
    #[command(after_help = events::EXAMPLE)]
    Events(events::EventsArgs),
    /// Brings this agent and the members in step at once
    #[command(after_help = sync::EXAMPLE)]
    Sync(sync::SyncArgs),
    /// Makes, lists and drops replicated tables
    #[command(after_help = table::EXAMPLE)]
    Table(table::TableArgs),
    /// Reads or writes replicated tables with SQL
    #[command(after_help = sql::EXAMPLE)]
    Sql(sql::SqlArgs),
    /// Follows the committed changes of a table
    #[command(after_help = watch::EXAMPLE)]
    Watch(watch::WatchArgs),
    /// Shows and changes the configuration that every member has
    #[command(after_help = config::EXAMPLE)]
    Config(config::ConfigArgs),
    /// Lists writes that lost against others, and restores them
    #[command(after_help = conflicts::EXAMPLE)]
    Conflicts(conflicts::ConflictsArgs),
    /// Lists changes of other members that cannot be applied yet
    #[command(after_help = parked::EXAMPLE)]
    Parked(parked::ParkedArgs),
    /// Pushes files to members: announced, verified, all or nothing
    #[command(after_help = push::EXAMPLE)]
    Push(push::PushArgs),
    /// Shows what was pushed, and decides upon what waits
    #[command(after_help = pushes::EXAMPLE)]
    Pushes(pushes::PushesArgs),
    /// Brings back what was there before a push
    #[command(after_help = rollback::EXAMPLE)]
    Rollback(rollback::RollbackArgs),
    /// Copies files to a member, as a push
    #[command(after_help = cp::EXAMPLE)]
    Cp(cp::CpArgs),
    /// Looks for secrets in files, which the mesh does not carry
    #[command(after_help = scan::EXAMPLE)]
    Scan(scan::ScanArgs),
    /// Writes a copy of this agent into a file: keys, membership, messages, tables
    #[command(after_help = backup::EXAMPLE)]
    Backup(backup::BackupArgs),
    /// Looks for faults of this agent and its machine, and names what mends them
    #[command(after_help = doctor::EXAMPLE)]
    Doctor(doctor::DoctorArgs),
    /// Runs three agents on this machine and shows what a mesh does
    #[command(after_help = demo::EXAMPLE)]
    Demo(demo::DemoArgs),
    /// Prints a completion script for a shell
    #[command(after_help = completions::EXAMPLE)]
    Completions(completions::CompletionsArgs),
    /// Prints the manual pages
    #[command(after_help = man::EXAMPLE)]
    Man(man::ManArgs),
}

/// A command line that is not to be carried out: a mistake, or a question such as `--help`.
pub(crate) struct Usage {
    error: clap::Error,
    is_json: bool,
}

/// Reads the command line of this process.
pub(crate) fn parse() -> Result<Cli, Usage> {
    let words: Vec<OsString> = std::env::args_os().collect();
    // The parser did not get as far as the flag, or nobody would need this.
    let is_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    Cli::try_parse_from(words).map_err(|error| Usage { error, is_json })
}

impl Usage {
    /// Tells what is wrong, or answers the question.
    pub(crate) fn report(self) -> ExitCode {
        if !self.error.use_stderr() {
            let text = self.error.render().ansi().to_string();
            return match Output::new(false).print(&text) {
                Ok(()) => Exit::Done.into(),
                Err(error) => Output::new(false).fail(Failure::Output(error)),
            };
        }
        if self.is_json {
            let text = self.error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            let message = first.strip_prefix("error: ").unwrap_or(first);
            let hint = "`mesh-ctl help` lists the commands, `mesh-ctl help COMMAND` their flags";
            let error = ApiError::new(ErrorCode::BadRequest, message, hint);
            return Output::new(true).fail(error.into());
        }
        // With nobody left to read it there is nothing to be done.
        let _unread = self.error.print();
        Exit::Usage.into()
    }
}

/// The description of the whole command line.
pub(crate) fn description() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests;
