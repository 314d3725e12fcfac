//! Makes the agent a service of the machine, and takes it away again.
//!
//! What is to be done is planned from facts (`systemd.rs`, `launchd.rs`: pure, so both are tested
//! everywhere), then carried out step by step (`perform.rs`) or printed as a shell script
//! (`script.rs`). Only `machine.rs` asks the system for facts. Start reading at [`install`].

mod launchd;
mod machine;
mod perform;
mod place;
mod plan;
mod script;
mod systemd;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail};

use crate::settings::{Flags, Settings};

use self::machine::{Machine, Manager};
use self::place::DataDir;
use self::plan::{Installed, Plan, Service};

/// Where the data of a service is, on both systems: `mesh-ctl` looks there when root runs it.
const DATA_DIR: &str = "/var/lib/mesh-agent";

/// Tells a user that was made for the service from one that somebody else made and uses.
const USER_COMMENT: &str = "agent mesh service";

/// What `mesh-agent install` takes beside the flags of the agent.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallOptions {
    /// User that the service runs as, created when missing [default: mesh-agent; _mesh-agent on macOS]
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// Where the unit is written [default: /etc/systemd/system; /Library/LaunchDaemons on macOS]
    #[arg(long, value_name = "DIR")]
    unit_dir: Option<PathBuf>,
    /// Prints unit and commands as a shell script; changes nothing, needs no root
    #[arg(long)]
    dry_run: bool,
}

/// What `mesh-agent uninstall` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct UninstallOptions {
    /// Removes data directory and user too: this member's keys and messages are gone for good
    #[arg(long)]
    purge: bool,
    /// Where the unit was written [default: /etc/systemd/system; /Library/LaunchDaemons on macOS]
    #[arg(long, value_name = "DIR")]
    unit_dir: Option<PathBuf>,
    /// Prints the commands as a shell script; changes nothing, needs no root
    #[arg(long)]
    dry_run: bool,
}

/// The name of a user that a service may run as: plain enough for every file it is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserName(String);

impl UserName {
    fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_first = |c: char| c.is_ascii_lowercase() || c == '_';
        let is_next = |c: char| is_first(c) || c.is_ascii_digit() || c == '-';
        if text.is_empty()
            || text.len() > 31
            || !text.starts_with(is_first)
            || !text.chars().all(is_next)
        {
            return Err(String::from(
                "a user name is 1 to 31 characters: a-z, 0-9, '_' and '-', with a letter or '_' in front",
            ));
        }
        if text == "root" {
            return Err(String::from("the agent needs no root: give it a user of its own"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Installs, enables and starts the service, or prints how.
///
/// # Errors
/// What was refused, with nothing changed; or the step that failed, what was done before it, what not.
pub(crate) fn install(options: &InstallOptions, flags: &Flags) -> anyhow::Result<()> {
    let manager = Manager::of_this_system()?;
    let settings = Settings::read(flags.clone(), || Ok(PathBuf::from(DATA_DIR)))?;
    let data_dir = settings.data_dir().to_owned();
    let user = options.user.clone().unwrap_or_else(|| manager.default_user());
    let unit = manager.unit(options.unit_dir.clone());
    let machine = Machine::look(manager, &unit, &user, &data_dir)?;
    let mut plan = Plan::default();
    plan.refuse(machine.unfit(options.dry_run));
    plan.refuse(place::program_refusal(manager, &machine.program, machine.program_is_guarded));
    plan.refuse(place::data_dir_refusal(manager, &data_dir, machine.data_dir));
    plan.refuse(other_socket(&settings));
    plan.refuse(flags.config().and_then(|config| place::config_refusal(manager, config)));
    let service = Service {
        program: text_of(machine.program.clone(), "the path of this program")?,
        arguments: flags.service_arguments(&data_dir)?,
        has_privileged_port: settings.listen().iter().any(is_privileged),
        data_dir: DataDir::of(text_of(data_dir, "the data directory")?),
        user,
        unit,
    };
    match manager {
        Manager::Systemd => systemd::plan_install(&mut plan, &service, &machine),
        Manager::Launchd => launchd::plan_install(&mut plan, &service, &machine),
    }
    finish(&plan, options.dry_run, "install")
}

/// Stops and removes the service, with `purge` its data and user too, or prints how.
///
/// # Errors
/// As for [`install`].
pub(crate) fn uninstall(options: &UninstallOptions, flags: &Flags) -> anyhow::Result<()> {
    let manager = Manager::of_this_system()?;
    let unit = manager.unit(options.unit_dir.clone());
    let text = machine::read_unit(&unit)?;
    let installed = text.as_deref().and_then(|text| manager.read_back(text));
    let (user, data_dir) = match &installed {
        Some(Installed { user, data_dir }) => (user.clone(), data_dir.clone()),
        None => {
            let data_dir = flags.data_dir().map_or_else(|| PathBuf::from(DATA_DIR), PathBuf::from);
            (manager.default_user(), data_dir)
        }
    };
    let machine = Machine::look(manager, &unit, &user, &data_dir)?;
    let mut plan = Plan::default();
    plan.refuse(machine.unfit(options.dry_run));
    if text.is_some() && installed.is_none() {
        plan.refuse(Some(plan::foreign_unit(&unit)));
    }
    if let Some(named) = flags.data_dir().filter(|named| *named != data_dir) {
        plan.refuse(Some(format!(
            "the service keeps its data in {}, not in {} (--data-dir or MESH_DATA_DIR)",
            data_dir.display(),
            named.display()
        )));
    }
    match manager {
        Manager::Systemd => systemd::plan_uninstall(&mut plan, &unit, &machine),
        Manager::Launchd => launchd::plan_uninstall(&mut plan, &unit, &machine),
    }
    if options.purge {
        plan::plan_purge(&mut plan, &machine, &user, &data_dir);
    } else {
        plan.notes.push(format!(
            "Keys and messages of this member stay in {}, its user is still there.",
            data_dir.display()
        ));
    }
    finish(&plan, options.dry_run, "uninstall")
}

/// Prints the plan or carries it out.
fn finish(plan: &Plan, is_dry_run: bool, command: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    if is_dry_run {
        let script = script::of(plan, command);
        return output.write_all(script.as_bytes()).context("the script cannot be printed");
    }
    if !plan.refusals.is_empty() {
        bail!("refused, nothing was changed: {}", plan.refusals.join("\n  and: "));
    }
    perform::all(plan, command, &mut output)
}

/// A socket elsewhere would be out of reach: of the service, which may write to its data directory
/// alone, and of `mesh-ctl`, which looks there.
fn other_socket(settings: &Settings) -> Option<String> {
    let wanted = settings.data_dir().join("control.sock");
    (settings.socket != wanted).then(|| {
        format!(
            "a service has its socket at {}, so --socket, MESH_SOCKET or `socket` in the configuration file cannot be {}",
            wanted.display(),
            settings.socket.display()
        )
    })
}

fn is_privileged(address: &SocketAddr) -> bool {
    (1..1024).contains(&address.port())
}

fn text_of(path: PathBuf, what: &str) -> anyhow::Result<String> {
    path.into_os_string()
        .into_string()
        .ok()
        .with_context(|| format!("{what} is not Unicode, so no unit can name it"))
}

#[cfg(test)]
mod tests;
