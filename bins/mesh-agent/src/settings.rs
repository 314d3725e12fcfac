//! Where settings come from: a flag, else `MESH_…`, else the configuration file, else the default.

mod config;
mod files;
mod tables;

use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use config::RawConfig;
use files::{RawFiles, RawRepository, RawRoot};
use mesh_node::{
    Address, DiscoveryConfig, ExchangeConfig, Hostname, LanConfig, Node, NodeBuilder, PushSettings,
    REMOVE_QUORUM_MAX, RepositorySettings, SharedConfigSettings, TablesConfig, TailscaleConfig,
};
use serde::Deserialize;
use tables::RawTables;

use crate::doctor::DoctorOptions;
use crate::install::{InstallOptions, UninstallOptions};
use crate::restore::RestoreOptions;

/// A configuration file is small; more is not one.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// One member of an agent mesh: membership, sealed durable messages, a local admin socket.
#[derive(Debug, Parser)]
#[command(
    name = "mesh-agent",
    version,
    after_help = "Examples:\n  mesh-agent                                     start with nothing configured\n  mesh-agent --hostname mint --listen 100.64.0.7:13500\n  mesh-agent --config /etc/mesh-agent.toml --log-format json\n\nThen, on this machine: mesh-ctl status"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

impl Arguments {
    /// Reads the command line of this process, and ends it where that is wrong or asks for help.
    pub(crate) fn of_this_process() -> Self {
        // Flags of a running agent are taken everywhere; where they mean nothing, help is silent.
        let mut line = Self::command();
        line.build();
        let line = line.mut_subcommand("uninstall", |uninstall| {
            uninstall.mut_args(|argument| {
                let is_its_own = ["data_dir", "purge", "unit_dir", "dry_run", "help"]
                    .contains(&argument.get_id().as_str());
                if is_its_own { argument } else { argument.hide(true) }
            })
        });
        Self::from_arg_matches(&line.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the agent in the foreground (the default)
    #[command(after_help = "Example:\n  mesh-agent run --hostname mint")]
    Run,
    /// Looks for what would keep an agent with these flags from starting, and names what mends it
    #[command(
        after_help = "Examples:\n  mesh-agent doctor                                    on a machine where it does not start\n  mesh-agent doctor --config /etc/mesh-agent.toml --json\n\nAn agent that runs knows more: ask it with `mesh-ctl doctor`, which also calls this one\nwhere none runs. Exit code 1 when a check fails."
    )]
    Doctor(DoctorOptions),
    /// Makes the agent a service that starts with the machine: systemd, or launchd on macOS
    #[command(
        after_help = "Examples:\n  mesh-agent install --dry-run                         see what it would do\n  sudo mesh-agent install\n  sudo mesh-agent install --hostname mint --listen 100.64.0.7:13500\n\nThe flags above are those that the service runs with. Repeating it is harmless:\nthe unit is written anew and the agent restarted."
    )]
    Install(InstallOptions),
    /// Makes the data directory of an agent out of a backup
    #[command(
        after_help = "Examples:\n  mesh-agent restore /backups/mint.tar --data-dir /var/lib/mesh-agent\n\nThe directory must not hold an agent yet. The file is what `mesh-ctl backup FILE` wrote; it holds the\nagent's key, so keep it as one."
    )]
    Restore(RestoreOptions),
    /// Stops and removes the service; its data stays unless --purge is given
    #[command(
        after_help = "Examples:\n  mesh-agent uninstall --purge --dry-run               see what it would do\n  sudo mesh-agent uninstall"
    )]
    Uninstall(UninstallOptions),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Flags {
    /// Where keys and databases are kept [default: /var/lib/mesh-agent for root, else ~/.local/state/mesh-agent]
    #[arg(long, global = true, value_name = "DIR", env = "MESH_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// This member's name at its first start [default: the machine's]
    #[arg(long, global = true, value_name = "NAME", env = "MESH_HOSTNAME")]
    hostname: Option<Hostname>,
    /// How many members have to ask for a removal in the mesh that this agent founds at its first start [default: 1]
    #[arg(long, global = true, value_name = "N", env = "MESH_REMOVE_QUORUM")]
    remove_quorum: Option<NonZeroU8>,
    /// Address to listen on; repeatable [default: port 13500 of all addresses]
    #[arg(
        long,
        global = true,
        value_name = "ADDR:PORT",
        env = "MESH_LISTEN",
        value_delimiter = ','
    )]
    listen: Vec<SocketAddr>,
    /// Address that the members are to dial; repeatable [default: the machine's]
    #[arg(
        long,
        global = true,
        value_name = "ADDR:PORT",
        env = "MESH_ADVERTISE",
        value_delimiter = ','
    )]
    advertise: Vec<Address>,
    /// Address to try while a member cannot be reached; repeatable. Whoever is there has to prove to be one
    #[arg(long, global = true, value_name = "ADDR:PORT", env = "MESH_PEER", value_delimiter = ',')]
    peer: Vec<Address>,
    /// Neither announce this agent on the LAN nor look for members there
    #[arg(
        long,
        global = true,
        env = "MESH_NO_LAN",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    no_lan: bool,
    /// Do not ask Tailscale for devices that may be members
    #[arg(
        long,
        global = true,
        env = "MESH_NO_TAILSCALE",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    no_tailscale: bool,
    /// The local admin socket [default: DATA_DIR/control.sock]
    #[arg(long, global = true, value_name = "PATH", env = "MESH_SOCKET")]
    socket: Option<PathBuf>,
    /// Loopback address for figures in Prometheus' format, at /metrics [default: none]
    #[arg(long, global = true, value_name = "ADDR:PORT", env = "MESH_METRICS")]
    metrics: Option<SocketAddr>,
    /// Configuration file (TOML) with the same names as these flags
    #[arg(long, global = true, value_name = "FILE", env = "MESH_CONFIG")]
    config: Option<PathBuf>,
    /// error, warn, info, debug or trace, or a filter such as mesh_node=debug [default: info]
    #[arg(long, global = true, value_name = "LEVEL", env = "MESH_LOG_LEVEL")]
    log_level: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "MESH_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

impl Flags {
    pub(crate) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    pub(crate) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The command line of a service with these flags. What only the configuration file says is left
    /// to the file, so that a change of it counts.
    ///
    /// # Errors
    /// A path is not Unicode, or there is no working directory to complete it from.
    pub(crate) fn service_arguments(&self, data_dir: &Path) -> anyhow::Result<Vec<String>> {
        let text = |path: &Path| -> anyhow::Result<String> {
            let path = std::path::absolute(path)?;
            path.to_str().map(str::to_owned).context("a path is not Unicode")
        };
        let mut arguments = vec![String::from("run"), String::from("--data-dir"), text(data_dir)?];
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        if let Some(config) = &self.config {
            add("--config", text(config)?);
        }
        if let Some(hostname) = &self.hostname {
            add("--hostname", hostname.to_string());
        }
        if let Some(members) = self.remove_quorum {
            add("--remove-quorum", members.to_string());
        }
        if let Some(metrics) = self.metrics {
            add("--metrics", metrics.to_string());
        }
        self.listen.iter().for_each(|address| add("--listen", address.to_string()));
        self.advertise.iter().for_each(|address| add("--advertise", address.to_string()));
        self.peer.iter().for_each(|address| add("--peer", address.to_string()));
        if let Some(level) = &self.log_level {
            add("--log-level", level.clone());
        }
        match self.log_format {
            Some(LogFormat::Json) => add("--log-format", String::from("json")),
            Some(LogFormat::Text) => add("--log-format", String::from("text")),
            None => {}
        }
        for (flag, is_given) in [("--no-lan", self.no_lan), ("--no-tailscale", self.no_tailscale)] {
            if is_given {
                arguments.push(flag.to_owned());
            }
        }
        Ok(arguments)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON document per line.
    Json,
}

/// The configuration file. An unknown name is an error: a typing mistake must not pass in silence.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFile {
    data_dir: Option<PathBuf>,
    hostname: Option<Hostname>,
    remove_quorum: Option<NonZeroU8>,
    listen: Vec<SocketAddr>,
    advertise: Vec<Address>,
    socket: Option<PathBuf>,
    metrics: Option<SocketAddr>,
    log_level: Option<String>,
    log_format: Option<LogFormat>,
    discovery: RawDiscovery,
    tables: RawTables,
    config: RawConfig,
    files: RawFiles,
    roots: Vec<RawRoot>,
    repositories: Vec<RawRepository>,
}

/// Its part about where members are looked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDiscovery {
    peers: Vec<Address>,
    lan: Option<bool>,
    tailscale: Option<bool>,
    tailscale_socket: Option<PathBuf>,
    tailscale_port: Option<NonZeroU16>,
    tailscale_command: Option<PathBuf>,
}

impl RawDiscovery {
    /// A source runs unless the flag or the file says no.
    fn join(self, peers: Vec<Address>, no_lan: bool, no_tailscale: bool) -> DiscoveryConfig {
        let has_lan = !no_lan && self.lan.unwrap_or(true);
        let has_tailscale = !no_tailscale && self.tailscale.unwrap_or(true);
        let mut tailscale = TailscaleConfig::default();
        if let Some(socket) = self.tailscale_socket {
            tailscale.sockets = vec![socket];
            tailscale.port_folder = None;
        }
        if let Some(command) = self.tailscale_command {
            tailscale.commands = vec![command];
        }
        let defaults = DiscoveryConfig::none();
        DiscoveryConfig {
            peers: first_filled(peers, self.peers),
            lan: has_lan.then(LanConfig::default),
            tailscale: has_tailscale.then_some(tailscale),
            tailscale_port: self.tailscale_port.map_or(defaults.tailscale_port, NonZeroU16::get),
        }
    }
}

/// What this agent runs with.
#[derive(Debug)]
pub(crate) struct Settings {
    data_dir: PathBuf,
    hostname: Option<Hostname>,
    remove_quorum: NonZeroU8,
    listen: Vec<SocketAddr>,
    advertise: Vec<Address>,
    discovery: DiscoveryConfig,
    tables: TablesConfig,
    exchange: ExchangeConfig,
    config: SharedConfigSettings,
    pushes: PushSettings,
    repositories: Vec<RepositorySettings>,
    pub(crate) socket: PathBuf,
    metrics: Option<SocketAddr>,
    pub(crate) log_level: String,
    pub(crate) log_format: LogFormat,
}

/// Figures name members: they are for programs of this machine.
fn loopback(metrics: Option<SocketAddr>) -> anyhow::Result<Option<SocketAddr>> {
    match metrics {
        Some(address) if !address.ip().to_canonical().is_loopback() => anyhow::bail!(
            "metrics cannot be shown on {address}, which is no loopback address: use 127.0.0.1:{}, and let a collector on this machine fetch them",
            address.port()
        ),
        taken => Ok(taken),
    }
}

fn remove_quorum(given: Option<NonZeroU8>) -> anyhow::Result<NonZeroU8> {
    let members = given.unwrap_or(NonZeroU8::MIN);
    anyhow::ensure!(
        members.get() <= REMOVE_QUORUM_MAX,
        "a removal can be made to need {REMOVE_QUORUM_MAX} members at the most, not {members}"
    );
    Ok(members)
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

fn seconds(given: Option<u64>) -> Option<Duration> {
    given.map(Duration::from_secs)
}

fn first_filled<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

impl Settings {
    /// Joins the flags with the configuration file that they name, and with the defaults.
    ///
    /// # Errors
    /// The file cannot be read or is not valid, or no data directory is known.
    pub(crate) fn read(
        flags: Flags,
        default_data_dir: impl FnOnce() -> anyhow::Result<PathBuf>,
    ) -> anyhow::Result<Self> {
        let file = flags.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let data_dir = flags.data_dir.or(file.data_dir).map_or_else(default_data_dir, Ok)?;
        let (tables, exchange) = file.tables.join();
        let no_file = Path::new("");
        let invalid = || not_valid(flags.config.as_deref().unwrap_or(no_file));
        let socket = flags.socket.or(file.socket).unwrap_or_else(|| data_dir.join("control.sock"));
        Ok(Self {
            data_dir,
            hostname: flags.hostname.or(file.hostname),
            remove_quorum: remove_quorum(flags.remove_quorum.or(file.remove_quorum))?,
            listen: first_filled(flags.listen, file.listen),
            advertise: first_filled(flags.advertise, file.advertise),
            discovery: file.discovery.join(flags.peer, flags.no_lan, flags.no_tailscale),
            tables,
            exchange,
            config: file.config.join().with_context(invalid)?,
            pushes: file.files.join(file.roots).with_context(invalid)?,
            repositories: files::repositories(file.repositories).with_context(invalid)?,
            socket,
            metrics: loopback(flags.metrics.or(file.metrics))?,
            log_level: flags.log_level.or(file.log_level).unwrap_or_else(|| "info".to_owned()),
            log_format: flags.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
        })
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    pub(crate) fn builder(&self) -> NodeBuilder {
        let mut builder = Node::builder(&self.data_dir)
            .control_socket(self.socket.clone())
            .tables(self.tables.clone())
            .exchange(self.exchange.clone())
            .shared_config(self.config.clone())
            .pushes(self.pushes.clone())
            .repositories(self.repositories.clone())
            .discovery(self.discovery.clone())
            .remove_quorum(self.remove_quorum);
        if let Some(hostname) = &self.hostname {
            builder = builder.hostname(hostname.clone());
        }
        if let Some(metrics) = self.metrics {
            builder = builder.metrics(metrics);
        }
        builder = self.listen.iter().fold(builder, |builder, address| builder.listen(*address));
        self.advertise.iter().cloned().fold(builder, NodeBuilder::advertise)
    }
}

fn read_file(path: &Path) -> anyhow::Result<RawFile> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)
        .with_context(|| format!("the configuration file {} cannot be opened", path.display()))?;
    let _bytes = file
        .take(CONFIG_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
    toml::from_str(&text).with_context(|| not_valid(path))
}

fn not_valid(path: &Path) -> String {
    format!("the configuration file {} is not valid", path.display())
}

#[cfg(test)]
mod tests;
