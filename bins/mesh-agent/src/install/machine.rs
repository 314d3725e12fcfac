//! What the machine is like: the facts that plans are made from.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::place::DirState;
use super::plan::Installed;
use super::{UserName, launchd, systemd};

/// The programs of the system, whatever the caller's own path is: `su` leaves out the last ones.
pub(super) const PROGRAM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Files of which an agent has at least one from its first start on.
const AGENT_FILES: [&str; 3] = ["agent.lock", "node.key", "mesh.db"];

/// Who runs the services of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    Systemd,
    Launchd,
}

impl Manager {
    pub(super) fn of_this_system() -> anyhow::Result<Self> {
        match std::env::consts::OS {
            "linux" => Ok(Self::Systemd),
            "macos" => Ok(Self::Launchd),
            other => bail!("a service can be installed on Linux and macOS, not on {other}"),
        }
    }

    pub(super) fn default_user(self) -> UserName {
        UserName(String::from(match self {
            Self::Systemd => "mesh-agent",
            // There, users of services are told by their first character.
            Self::Launchd => "_mesh-agent",
        }))
    }

    /// The file that describes the service.
    pub(super) fn unit(self, dir: Option<PathBuf>) -> PathBuf {
        let (default_dir, name) = match self {
            Self::Systemd => (systemd::UNIT_DIR, systemd::UNIT),
            Self::Launchd => (launchd::PLIST_DIR, launchd::PLIST),
        };
        dir.unwrap_or_else(|| PathBuf::from(default_dir)).join(name)
    }

    /// User and data directory of a unit; none when `install` did not write it.
    pub(super) fn read_back(self, unit_text: &str) -> Option<Installed> {
        match self {
            Self::Systemd => systemd::read_back(unit_text),
            Self::Launchd => launchd::read_back(unit_text),
        }
    }
}

/// Facts about the machine, and about one service on it.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) manager: Manager,
    pub(super) is_root: bool,
    /// Whether the manager runs this machine. It may be installed without (in a container, say).
    pub(super) has_manager: bool,
    /// Version of systemd; none where there is none to be asked.
    pub(super) version: Option<u32>,
    /// Whether launchd knows the service.
    pub(super) is_loaded: bool,
    /// This program.
    pub(super) program: PathBuf,
    /// Whether root alone may write it.
    pub(super) program_is_guarded: bool,
    /// What the service's user is described as; none when there is no such user.
    pub(super) user_comment: Option<String>,
    /// A number for a new user, where numbers are not given out by the system.
    pub(super) free_user_id: u32,
    /// The unit that is there.
    pub(super) unit_text: Option<String>,
    pub(super) data_dir: DirState,
}

impl Machine {
    pub(super) fn look(
        manager: Manager,
        unit: &Path,
        user: &UserName,
        data_dir: &Path,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program does not find itself")?;
        let (user_comment, free_user_id) = match manager {
            Manager::Systemd => (systemd::user_comment(user), 0),
            Manager::Launchd => (launchd::user_comment(user), launchd::free_user_id()),
        };
        Ok(Self {
            manager,
            is_root: rustix::process::geteuid().is_root(),
            has_manager: match manager {
                Manager::Systemd => sd_notify::booted().unwrap_or(false),
                Manager::Launchd => true,
            },
            version: match manager {
                Manager::Systemd => systemd::version(),
                Manager::Launchd => None,
            },
            is_loaded: manager == Manager::Launchd && launchd::is_loaded(),
            program_is_guarded: is_guarded(&program),
            program,
            user_comment,
            free_user_id,
            unit_text: read_unit(unit)?,
            data_dir: state_of(data_dir),
        })
    }

    /// Why nothing can be changed here. A dry run changes nothing, so nothing stops it.
    pub(super) fn unfit(&self, is_dry_run: bool) -> Option<String> {
        if is_dry_run {
            None
        } else if !self.has_manager {
            Some(String::from(
                "systemd does not run this machine; `--dry-run` prints the unit and the commands, for another way to run services or for building an image",
            ))
        } else if !self.is_root {
            Some(String::from("this needs root: use sudo, or see with --dry-run what it would do"))
        } else {
            None
        }
    }
}

/// The unit that is there, if there is one.
pub(super) fn read_unit(unit: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(unit) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", unit.display())),
    }
}

/// What a program that only asks prints; none when it is not there or fails.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", PROGRAM_PATH).env("LC_ALL", "C");
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_guarded(program: &Path) -> bool {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    std::fs::metadata(program)
        .is_ok_and(|file| file.uid() == 0 && file.mode() & OTHERS_MAY_WRITE == 0)
}

pub(super) fn state_of(data_dir: &Path) -> DirState {
    let mut names = match std::fs::read_dir(data_dir) {
        Ok(entries) => entries.map_while(Result::ok).map(|entry| entry.file_name()).peekable(),
        Err(error) if error.kind() == ErrorKind::NotFound => return DirState::Absent,
        Err(error) if error.kind() == ErrorKind::NotADirectory => return DirState::OfOthers,
        Err(_) => return DirState::Unreadable,
    };
    if names.peek().is_none() {
        DirState::Empty
    } else if names.any(|name| AGENT_FILES.iter().any(|file| name == *file)) {
        DirState::OfAnAgent
    } else {
        DirState::OfOthers
    }
}
