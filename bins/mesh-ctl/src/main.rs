//! `mesh-ctl`: asks the agent of this machine over its control socket, and prints what it answers.
//!
//! Each command is one file under `commands/`: it parses, calls `mesh-control` and prints. Never in
//! here: a decision of the mesh, or a connection to another machine.

mod cli;
mod clock;
mod commands;
mod duration;
mod exit;
mod output;
mod progress;
mod rate;
mod text;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli) => commands::run(cli),
        Err(usage) => usage.report(),
    }
}
