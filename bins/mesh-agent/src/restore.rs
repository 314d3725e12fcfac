//! `mesh-agent restore`: the data directory of an agent out of a backup.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use mesh_node::default_data_dir;

use crate::settings::{Flags, Settings};

/// What is restored.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RestoreOptions {
    /// The file that `mesh-ctl backup` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Unpacks the backup into the data directory, which must not hold an agent.
pub(crate) fn restore(options: &RestoreOptions, flags: Flags) -> anyhow::Result<()> {
    let settings = Settings::read(flags, || Ok(default_data_dir()?))?;
    let data_dir = settings.data_dir();
    mesh_node::restore(&options.file, data_dir)?;
    let text = format!(
        "Restored to {}. Start the agent there: it is the same member as before, and its tables catch\nup with the others. The agent that the backup was made of must not run any more.\n",
        data_dir.display()
    );
    std::io::stdout().write_all(text.as_bytes()).context("the outcome cannot be printed")
}
