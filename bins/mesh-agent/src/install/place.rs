//! Where a service's program and data may lie.

use std::path::{Component, Path};

use super::machine::Manager;

/// What the unit hides from the service, or what is gone after a restart of the machine.
const HIDDEN_ON_LINUX: [&str; 11] = [
    "/home",
    "/root",
    "/run",
    "/tmp",
    "/var/tmp",
    "/dev",
    "/proc",
    "/sys",
    // Homes of image-based systems, where `/home` is a link.
    "/var/home",
    "/var/roothome",
    // What systemd keeps for services with a user that it makes up.
    "/var/lib/private",
];

/// Homes, which a service's user cannot enter, and what the system clears.
const HIDDEN_ON_MACOS: [&str; 6] =
    ["/Users", "/tmp", "/private/tmp", "/private/var/folders", "/var/folders", "/dev"];

/// What is in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirState {
    Absent,
    Empty,
    /// Files that an agent makes at its start.
    OfAnAgent,
    /// Something, but nothing of an agent.
    OfOthers,
    /// Nobody but root can tell, and this is not root.
    Unreadable,
}

/// A data directory, and whether systemd makes it by itself.
#[derive(Debug)]
pub(super) enum DataDir {
    /// This name below `/var/lib`.
    State {
        path: String,
        name: String,
    },
    Elsewhere(String),
}

impl DataDir {
    pub(super) fn of(path: String) -> Self {
        match path.strip_prefix("/var/lib/").map(|name| name.trim_end_matches('/').to_owned()) {
            Some(name) if !name.is_empty() => Self::State { path, name },
            Some(_) | None => Self::Elsewhere(path),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::State { path, .. } | Self::Elsewhere(path) => path,
        }
    }
}

fn is_hidden(manager: Manager, path: &Path) -> bool {
    let hidden: &[&str] = match manager {
        Manager::Systemd => &HIDDEN_ON_LINUX,
        Manager::Launchd => &HIDDEN_ON_MACOS,
    };
    hidden.iter().any(|place| path.starts_with(place))
}

/// Why a service cannot run the program at `path`. `is_guarded`: only root may write it.
pub(super) fn program_refusal(manager: Manager, path: &Path, is_guarded: bool) -> Option<String> {
    let is_build = path.iter().any(|part| part == "target" || part == ".cargo");
    let why = if is_hidden(manager, path) {
        "lies where a service cannot reach it"
    } else if is_build {
        "lies where a build puts it, and may vanish or change"
    } else if !is_guarded {
        "can be written by others than root, who could run anything as the service"
    } else {
        return None;
    };
    Some(format!(
        "{path} {why}: `sudo install -o root -m 0755 {path} /usr/local/bin/mesh-agent`, then `sudo /usr/local/bin/mesh-agent install`",
        path = path.display()
    ))
}

/// Why a service cannot keep its data at `path`.
pub(super) fn data_dir_refusal(manager: Manager, path: &Path, state: DirState) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let names = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    let has_dots = path.iter().any(|part| part == ".." || part == ".");
    let why = if !path.is_absolute() || has_dots {
        "is not an absolute path without `..`"
    } else if !path.to_str().is_some_and(|text| text.chars().all(is_plain)) {
        "has characters other than letters, digits and /._-+@"
    } else if is_hidden(manager, path) {
        "lies where a service cannot reach it, or where it would vanish"
    } else if names < 2 || path == Path::new("/var/lib") {
        "is a directory of the system: name one inside it"
    } else if state == DirState::OfOthers {
        "holds something else already: name a directory that is empty, new or an agent's"
    } else {
        return None;
    };
    Some(format!("the data directory {} {why}", path.display()))
}

/// Why a service cannot read the configuration file at `path`.
pub(super) fn config_refusal(manager: Manager, path: &Path) -> Option<String> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    is_hidden(manager, &path).then(|| {
        format!(
            "the configuration file {} lies where a service cannot reach it: /etc/mesh-agent.toml is a good place",
            path.display()
        )
    })
}
