//! The service as a systemd unit.

use std::path::{Path, PathBuf};

use super::machine::{self, Machine};
use super::place::DataDir;
use super::plan::{Action, CommandLine, Installed, Plan, Service};
use super::{DATA_DIR, USER_COMMENT, UserName};

/// Where an administrator's units are.
pub(super) const UNIT_DIR: &str = "/etc/systemd/system";

pub(super) const UNIT: &str = "mesh-agent.service";

/// The first line of a unit: what has another one is somebody else's.
const MARK: &str = "# Written by `mesh-agent install`, which overwrites it. Own settings: `systemctl edit mesh-agent`.";

/// From this version on, systemd waits longer after each failed start.
const BACKOFF_SINCE: u32 = 254;

pub(super) fn plan_install(plan: &mut Plan, service: &Service, machine: &Machine) {
    let user = service.user.as_str();
    let create = CommandLine::new(
        "useradd",
        &[
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            service.data_dir.as_str(),
            "--shell",
            "/usr/sbin/nologin",
            "--comment",
            USER_COMMENT,
            user,
        ],
    );
    plan.user_step(service, machine, vec![create]);
    if let DataDir::Elsewhere(_) = service.data_dir {
        plan.data_dir_step(service, machine);
    }
    plan.unit_step(service, machine, unit(service, machine.version));
    plan.step("make systemd read it", systemctl(&["daemon-reload"]));
    plan.step(
        "enable it at every start of the machine",
        systemctl(&["enable", &name(&service.unit)]),
    );
    plan.step_with_hint(
        "start it, or start it anew",
        systemctl(&["restart", UNIT]),
        "the agent's own words: journalctl -u mesh-agent -n 20",
    );
    let socket = match service.data_dir.as_str() {
        DATA_DIR => String::new(),
        elsewhere => format!(" --socket {elsewhere}/control.sock"),
    };
    plan.notes.push(format!("The agent runs as {user}. Now, as root: mesh-ctl{socket} status"));
    plan.notes.push(String::from("Its log: journalctl -u mesh-agent -f"));
}

pub(super) fn plan_uninstall(plan: &mut Plan, unit: &Path, machine: &Machine) {
    let stop = match &machine.unit_text {
        None => Action::Nothing("it is not installed"),
        // A pattern never fails: it means what is loaded, and after a failed start that is the unit.
        Some(_) => Action::Run(vec![
            CommandLine::new("systemctl", &["disable", "--now", UNIT]),
            CommandLine::new("systemctl", &["reset-failed", &format!("{UNIT}*")]),
        ]),
    };
    plan.step("stop the service, and disable it", stop);
    plan.step(format!("remove {}", unit.display()), Action::RemoveFile(unit.to_owned()));
    plan.step("make systemd forget it", systemctl(&["daemon-reload"]));
}

fn systemctl(arguments: &[&str]) -> Action {
    Action::Run(vec![CommandLine::new("systemctl", arguments)])
}

/// By name where systemd looks by itself, else by path, so that it links the unit.
fn name(unit: &Path) -> String {
    if unit.parent() == Some(Path::new(UNIT_DIR)) {
        return String::from(UNIT);
    }
    unit.to_string_lossy().into_owned()
}

/// The unit. Every line of the last block takes something away that the agent has no use for; what
/// is left is the network, its data directory and the notification socket.
pub(super) fn unit(service: &Service, version: Option<u32>) -> String {
    let mut command = quoted(&service.program);
    for argument in &service.arguments {
        command.push(' ');
        command.push_str(&quoted(argument));
    }
    let (mounts, data) = match &service.data_dir {
        DataDir::State { name, .. } => {
            (String::new(), format!("StateDirectory={name}\nStateDirectoryMode=0700"))
        }
        DataDir::Elsewhere(path) => {
            (format!("RequiresMountsFor={path}\n"), format!("ReadWritePaths={path}"))
        }
    };
    let restart = match version {
        Some(BACKOFF_SINCE..) => "RestartSec=1s\nRestartSteps=8\nRestartMaxDelaySec=5min",
        Some(_) | None => "RestartSec=10s",
    };
    // A capability counts in the user namespace that it was given in, and ports are the machine's:
    // an agent that opens a port below 1024 cannot have a namespace of its own.
    let privileges = if service.has_privileged_port {
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE"
    } else {
        "CapabilityBoundingSet=\nAmbientCapabilities=\nPrivateUsers=yes"
    };
    format!(
        "{MARK}
[Unit]
Description=Agent mesh
Wants=network-online.target
After=network-online.target tailscaled.service
{mounts}# A port that is taken or a disk that is full may be free tomorrow: there is no last attempt.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
User={user}
{data}
UMask=0077
LimitNOFILE=16384
# Keys are in memory: no dump of it, not even when the watchdog ends the agent.
LimitCORE=0

Restart=on-failure
{restart}
# A command line that is wrong stays wrong.
RestartPreventExitStatus=2
WatchdogSec=60s
TimeoutStartSec=3min
TimeoutStopSec=15s

{privileges}
{HARDENING}
[Install]
WantedBy=multi-user.target
",
        user = service.user.as_str(),
    )
}

/// `AF_NETLINK` is how the machine's own addresses are asked for, `AF_UNIX` is the control socket.
const HARDENING: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
PrivateIPC=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
";

/// An argument as systemd's command lines want it, where `%` and `$` are special even in quotes.
pub(super) fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=[]%$".contains(c);
    let mut escaped = String::with_capacity(argument.len());
    for c in argument.chars() {
        match c {
            '%' => escaped.push_str("%%"),
            '$' => escaped.push_str("$$"),
            '\\' => escaped.push_str(r"\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str(r"\n"),
            other => escaped.push(other),
        }
    }
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return escaped;
    }
    format!("\"{escaped}\"")
}

/// Reads the lines that systemd obeys, so that a change by hand counts.
pub(super) fn read_back(unit: &str) -> Option<Installed> {
    if unit.lines().next() != Some(MARK) {
        return None;
    }
    let value = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name));
    let mut words = value("ExecStart=")?.split_whitespace();
    let _before = words.by_ref().find(|word| *word == "--data-dir")?;
    let data_dir = PathBuf::from(words.next()?);
    Some(Installed { user: value("User=")?.parse().ok()?, data_dir })
}

/// How the user database describes the user; none when there is no such user.
pub(super) fn user_comment(user: &UserName) -> Option<String> {
    let entry = machine::ask("getent", &["passwd", user.as_str()])?;
    entry.split(':').nth(4).map(str::to_owned)
}

pub(super) fn version() -> Option<u32> {
    version_in(&machine::ask("systemctl", &["--version"])?)
}

/// `systemd 252 (252.38-1~deb12u1)` and a second line, or `systemd 258~rc1 (…)`.
pub(super) fn version_in(said: &str) -> Option<u32> {
    let number = said.split_whitespace().nth(1)?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
