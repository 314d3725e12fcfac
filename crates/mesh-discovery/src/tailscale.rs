//! What the Tailscale on this machine knows: its own state, and the devices of the tailnet.

mod command;
mod local_api;
mod status;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mesh_protocol::UnixMillis;
use tokio::time::timeout;

pub use self::status::DEVICES_MAX;

use crate::TailscaleError;

/// Where Tailscale is asked, and how much it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailscaleConfig {
    /// Unix sockets of the LocalAPI, tried in this order.
    pub sockets: Vec<PathBuf>,
    /// The folder where the macOS application leaves the port of its LocalAPI (`ipnport`) and the
    /// password for it (`sameuserproof-PORT`). Tried after the sockets; none on other systems.
    pub port_folder: Option<PathBuf>,
    /// Commands that understand `status --json`, tried in this order after everything else. A bare
    /// name is looked up in `PATH`.
    pub commands: Vec<PathBuf>,
    /// How long each way may take as a whole.
    pub timeout: Duration,
    /// Longest answer. The status of a device is about 1.2 KiB.
    pub answer_bytes_max: usize,
}

impl Default for TailscaleConfig {
    fn default() -> Self {
        let is_mac = cfg!(target_os = "macos");
        let socket = if is_mac {
            "/var/run/tailscaled.socket"
        } else {
            "/var/run/tailscale/tailscaled.sock"
        };
        let mut commands = vec![PathBuf::from("tailscale")];
        if is_mac {
            // A service of launchd has neither of the usual folders in its PATH.
            commands.extend(
                [
                    "/usr/local/bin/tailscale",
                    "/opt/homebrew/bin/tailscale",
                    "/Applications/Tailscale.app/Contents/MacOS/Tailscale",
                ]
                .map(PathBuf::from),
            );
        }
        Self {
            sockets: vec![PathBuf::from(socket)],
            port_folder: is_mac.then(|| PathBuf::from("/Library/Tailscale")),
            commands,
            timeout: Duration::from_secs(3),
            answer_bytes_max: 16 << 20,
        }
    }
}

impl TailscaleConfig {
    fn ways(&self) -> impl Iterator<Item = TailscaleWay> {
        let sockets = self.sockets.iter().cloned().map(|socket| TailscaleWay::Socket { socket });
        let port = self.port_folder.iter().cloned().map(|folder| TailscaleWay::Port { folder });
        let commands =
            self.commands.iter().cloned().map(|command| TailscaleWay::Command { command });
        sockets.chain(port).chain(commands)
    }
}

/// A way to ask Tailscale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailscaleWay {
    /// The LocalAPI over a Unix socket.
    Socket {
        /// Its path.
        socket: PathBuf,
    },
    /// The LocalAPI over the loopback port of the macOS application.
    Port {
        /// The folder that names port and password.
        folder: PathBuf,
    },
    /// `status --json` of a command.
    Command {
        /// The command.
        command: PathBuf,
    },
}

impl fmt::Display for TailscaleWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { socket } => write!(f, "socket {}", socket.display()),
            Self::Port { folder } => write!(f, "port named in {}", folder.display()),
            Self::Command { command } => write!(f, "command {}", command.display()),
        }
    }
}

/// What came of asking Tailscale, whole, so that an operator can be told.
#[derive(Debug)]
pub struct TailscaleReport {
    /// The first answer; none when no way led to one.
    pub answer: Option<TailscaleAnswer>,
    /// The ways that were tried before it, in their order.
    pub failures: Vec<TailscaleFailure>,
}

impl TailscaleReport {
    /// What Tailscale said, if it did.
    #[must_use]
    pub fn status(&self) -> Option<&TailscaleStatus> {
        self.answer.as_ref().map(|answer| &answer.status)
    }

    /// Whether this machine has no Tailscale at all, which is no fault.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.answer.is_none()
            && self.failures.iter().all(|f| matches!(f.reason, TailscaleError::Absent))
    }
}

/// An answer, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailscaleAnswer {
    /// Who.
    pub way: TailscaleWay,
    /// What.
    pub status: TailscaleStatus,
}

/// A way that gave no answer.
#[derive(Debug)]
pub struct TailscaleFailure {
    /// The way.
    pub way: TailscaleWay,
    /// Why.
    pub reason: TailscaleError,
}

/// What Tailscale says about itself and the tailnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailscaleStatus {
    /// What it is doing.
    pub state: TailscaleState,
    /// This machine.
    pub own: TailscaleNode,
    /// The other devices, at most [`DEVICES_MAX`]. They need not run an agent.
    pub peers: Vec<TailscalePeer>,
    /// The devices that were left out.
    pub skipped: TailscaleSkipped,
}

impl TailscaleStatus {
    /// Reads the answer of the LocalAPI or of the command: they are the same.
    ///
    /// # Errors
    /// [`TailscaleError::Unreadable`]: it is no JSON. A field that is not as expected counts as empty.
    pub fn parse(answer: &[u8]) -> Result<Self, TailscaleError> {
        status::read(answer)
    }
}

/// What Tailscale is doing (`BackendState`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailscaleState {
    /// It has not decided yet, or does not say.
    NoState,
    /// Nobody is logged in.
    NeedsLogin,
    /// An administrator of the tailnet has to approve this machine.
    NeedsMachineAuth,
    /// It was switched off.
    Stopped,
    /// It is coming up.
    Starting,
    /// It works.
    Running,
    /// A state of a later version.
    Other(String),
}

impl fmt::Display for TailscaleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoState => "NoState",
            Self::NeedsLogin => "NeedsLogin",
            Self::NeedsMachineAuth => "NeedsMachineAuth",
            Self::Stopped => "Stopped",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Other(name) => name,
        })
    }
}

/// This machine, as Tailscale sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailscaleNode {
    /// Free text of the machine's owner.
    pub host_name: String,
    /// Its name in the tailnet without the final dot; empty when it has none.
    pub dns_name: String,
    /// Its addresses; present while Tailscale is stopped, empty when logged out.
    pub ips: Vec<IpAddr>,
}

/// Another device of the tailnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailscalePeer {
    /// Free text: spaces, apostrophes and duplicates occur, and so may anything else.
    pub host_name: String,
    /// Its name in the tailnet without the final dot; empty when it has none.
    pub dns_name: String,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Whether it is connected to the control server, which does not mean reachable.
    pub is_online: bool,
    /// When it was last connected; only for one that is not.
    pub last_seen: Option<UnixMillis>,
}

/// How many devices were left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailscaleSkipped {
    /// They belong to another tailnet.
    pub shared: usize,
    /// Their keys have expired, so nothing reaches them.
    pub expired: usize,
    /// They are exit nodes of a VPN provider.
    pub exit_nodes: usize,
    /// They came after [`DEVICES_MAX`] others.
    pub beyond_bound: usize,
}

/// Asks Tailscale what it knows, by each way in turn until one answers.
///
/// Nothing is retried and nothing remembered: the answer is as old as the call. Dropping the future
/// closes the connection and kills the command.
pub async fn tailscale_status(config: &TailscaleConfig) -> TailscaleReport {
    let mut failures = Vec::new();
    for way in config.ways() {
        let asked = timeout(config.timeout, ask(&way, config.answer_bytes_max)).await;
        match asked.unwrap_or(Err(TailscaleError::TimedOut)) {
            Ok(status) => {
                return TailscaleReport { answer: Some(TailscaleAnswer { way, status }), failures };
            }
            Err(reason) => {
                tracing::debug!(%way, %reason, "tailscale gave no answer");
                failures.push(TailscaleFailure { way, reason });
            }
        }
    }
    TailscaleReport { answer: None, failures }
}

async fn ask(way: &TailscaleWay, bytes_max: usize) -> Result<TailscaleStatus, TailscaleError> {
    let answer = match way {
        TailscaleWay::Socket { socket } => local_api::over_socket(socket, bytes_max).await?,
        TailscaleWay::Port { folder } => local_api::over_port(folder, bytes_max).await?,
        TailscaleWay::Command { command } => command::run(command, bytes_max).await?.into(),
    };
    TailscaleStatus::parse(&answer)
}
