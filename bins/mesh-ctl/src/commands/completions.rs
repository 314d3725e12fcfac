use clap::Args;
use clap_complete::{Shell, generate};

use super::Context;
use crate::cli;
use crate::exit::{Exit, Failure};

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl completions bash > /etc/bash_completion.d/mesh-ctl
  mesh-ctl completions zsh > ~/.zfunc/_mesh-ctl
  mesh-ctl completions fish > ~/.config/fish/completions/mesh-ctl.fish";

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, context: &Context) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut cli::description(), "mesh-ctl", &mut script);
    context.output.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
