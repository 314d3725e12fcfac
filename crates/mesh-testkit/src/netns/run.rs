//! The programs that change namespaces, and what can go wrong with them.

use std::io;
use std::process::Command;

use thiserror::Error;

/// Why a LAN is not as it should be.
#[derive(Debug, Error)]
pub enum NetnsError {
    /// The program is not there, or may not be run.
    #[error("`{command}` cannot be run; is iproute2 installed?")]
    NotRun {
        /// The whole command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The program did not do it. Usually this process is not root, or may not make namespaces.
    #[error("`{command}` failed: {answer}")]
    Refused {
        /// The whole command.
        command: String,
        /// What it wrote to standard error.
        answer: String,
    },
    /// The kernel has no `netem`, so it can neither delay nor lose at random.
    #[error("this kernel has no queueing discipline `netem`")]
    NetemMissing,
    /// The kernel has no devices for user-space networks, or keeps them from this process.
    #[error("there is no /dev/net/tun")]
    TunMissing,
    /// A device could not be handed over.
    #[error("a socket between two processes failed")]
    Socket(#[source] io::Error),
    /// A LAN has 253 addresses.
    #[error("the LAN has no address left")]
    Full,
}

/// Runs a program to its end; what it wrote to standard output.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<String, NetnsError> {
    let command = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| NetnsError::NotRun { command: command(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let answer = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(NetnsError::Refused { command: command(), answer })
}

/// `ip` in the namespace of the process.
pub(super) fn ip(arguments: &[&str]) -> Result<String, NetnsError> {
    run("ip", arguments)
}

/// `ip` in `namespace`.
pub(super) fn in_namespace(namespace: &str, arguments: &[&str]) -> Result<String, NetnsError> {
    ip(&[&["-n", namespace][..], arguments].concat())
}
