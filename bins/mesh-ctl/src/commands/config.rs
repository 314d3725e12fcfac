//! The shared configuration.

mod check;
mod get;
mod history;
mod input;
mod set;
mod shown;
mod template;
mod watch;

use clap::{Args, Subcommand};
use mesh_control::{ConfigRevert, ConfigUnset};

use self::history::ChangeName;
use self::shown::changed;
use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;

pub(crate) const EXAMPLE: &str = "\
A key is names joined by dots; a name with other characters than letters, digits, _ and - stands
in double quotes. Whatever a member sets is on every member a moment later, in its file
mesh-config.json as well, which can be edited instead.

Examples:
  mesh-ctl config get agents
  mesh-ctl config set agents.oak.webhook '\"https://oak.example/hook\"'
  mesh-ctl config history agents.oak
  mesh-ctl config check";

#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Shows a value, or everything beneath a key
    #[command(after_help = get::EXAMPLE)]
    Get(get::GetArgs),
    /// Sets a key on every member, or seals its value to some
    #[command(after_help = set::EXAMPLE)]
    Set(set::SetArgs),
    /// Removes a key with everything beneath it, on every member
    #[command(after_help = "\
Examples:
  mesh-ctl config unset agents.oak.webhook
  mesh-ctl config unset databases.old --note 'moved to mint'")]
    Unset {
        /// The key
        key: String,
        /// Why, for those who read the history
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Shows who changed what and when, newest first
    #[command(after_help = history::EXAMPLE)]
    History(history::HistoryArgs),
    /// Undoes a change, as a new one
    #[command(after_help = "\
What the change touched goes back to what was before. Two members can have made a change of the
same number at once: VERSION@HOST says whose is meant.

Examples:
  mesh-ctl config revert 17
  mesh-ctl config revert 17@oak --force")]
    Revert {
        /// The number of the change, and its maker where several made one of that number
        #[arg(value_name = "VERSION[@HOST]")]
        change: ChangeName,
        /// Also take back what was changed again since
        #[arg(long)]
        force: bool,
    },
    /// Compares the configuration of every member with this agent's; exit 1 when they differ
    #[command(after_help = check::EXAMPLE)]
    Check,
    /// Carries the configuration, without secrets, from one mesh to another
    #[command(after_help = template::EXAMPLE)]
    Template(template::TemplateArgs),
    /// Follows the changes of the configuration
    #[command(after_help = watch::EXAMPLE)]
    Watch(watch::WatchArgs),
}

pub(crate) async fn run(args: ConfigArgs, context: &Context) -> Result<Exit, Failure> {
    match args.action {
        Action::Get(args) => get::run(args, context).await,
        Action::Set(args) => set::run(args, context).await,
        Action::Unset { key, note } => {
            let client = context.client()?;
            let request = ConfigUnset { key, note };
            let done = patiently("removing the key", client.config_unset(&request)).await?;
            context.output.show(&done, |done| changed(done, "nothing was there"))?;
            Ok(Exit::Done)
        }
        Action::History(args) => history::run(args, context).await,
        Action::Revert { change: ChangeName { version, by }, force } => {
            let client = context.client()?;
            let request = ConfigRevert { version, by, force };
            let done = patiently("undoing the change", client.config_revert(&request)).await?;
            context
                .output
                .show(&done, |done| changed(done, "everything is as it was before it"))?;
            Ok(Exit::Done)
        }
        Action::Check => check::run(context).await,
        Action::Template(args) => template::run(args, context).await,
        Action::Watch(args) => watch::run(args, context).await,
    }
}
