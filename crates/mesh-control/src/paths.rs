//! Where an agent keeps its data and opens its socket when nobody says otherwise. Agent and
//! command share these, so that they meet.

use std::env;
use std::path::{Path, PathBuf};

use crate::DefaultPathError;

const NAME: &str = "mesh-agent";

/// `/var/lib/mesh-agent` for root, else `$XDG_STATE_HOME/mesh-agent` or `~/.local/state/mesh-agent`.
///
/// # Errors
/// [`DefaultPathError::NoHome`] when the environment names no home.
pub fn default_data_dir() -> Result<PathBuf, DefaultPathError> {
    let is_root = rustix::process::geteuid().is_root();
    let variable = |name| env::var_os(name).map(PathBuf::from);
    data_dir_of(is_root, variable("XDG_STATE_HOME"), variable("HOME"))
}

/// The socket in the default data directory.
///
/// # Errors
/// [`DefaultPathError::NoHome`] when the environment names no home.
pub fn default_socket_path() -> Result<PathBuf, DefaultPathError> {
    default_data_dir().map(|dir| socket_path_in(&dir))
}

/// The socket of the agent whose data directory is `data_dir`.
#[must_use]
pub fn socket_path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

fn data_dir_of(
    is_root: bool,
    state_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> Result<PathBuf, DefaultPathError> {
    if is_root {
        return Ok(Path::new("/var/lib").join(NAME));
    }
    // The XDG specification has relative paths ignored; joined to a working directory they would
    // make agent and command miss each other.
    let absolute = |path: &PathBuf| path.is_absolute();
    let state = state_home.filter(absolute);
    let state = state.or_else(|| home.filter(absolute).map(|home| home.join(".local/state")));
    state.map(|state| state.join(NAME)).ok_or(DefaultPathError::NoHome)
}

#[cfg(test)]
mod tests;
