use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::Context;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::text::plain;

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl man | man -l -
  mesh-ctl man --dir /usr/local/share/man/man1";

#[derive(Args)]
pub(crate) struct ManArgs {
    /// Write a page per command into this directory instead of printing them all
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(dir) = &args.dir {
        clap_mangen::generate_to(cli::description(), dir).map_err(|error| {
            Failure::usage(
                format!("writing the pages to {} failed: {error}", plain(&dir.to_string_lossy())),
                "name a directory that exists and can be written",
            )
        })?;
        return Ok(Exit::Done);
    }
    let mut description = cli::description();
    description.build();
    let mut pages = Vec::new();
    render(&description, &mut pages)?;
    context.output.print(&String::from_utf8_lossy(&pages))?;
    Ok(Exit::Done)
}

/// The page of `command`, then those of the commands inside it.
fn render(command: &clap::Command, pages: &mut Vec<u8>) -> std::io::Result<()> {
    Man::new(command.clone()).render(pages)?;
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        render(inner, pages)?;
    }
    Ok(())
}
