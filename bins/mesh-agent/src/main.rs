//! The service of the agent mesh: arguments, configuration file, logging, signals, exit code.

mod doctor;
mod install;
mod restore;
mod settings;

use std::convert::Infallible;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use mesh_node::{Node, default_data_dir};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;

use crate::settings::{Arguments, Command, Flags, LogFormat, Settings};

/// A stop that lasts longer is cut off: nothing that was acknowledged depends on it.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let Arguments { command, flags } = Arguments::of_this_process();
    let done = |()| ExitCode::SUCCESS;
    let result = match command {
        None | Some(Command::Run) => run(flags).map(done),
        Some(Command::Doctor(options)) => doctor::doctor(&options, flags),
        Some(Command::Restore(options)) => restore::restore(&options, flags).map(done),
        Some(Command::Install(options)) => install::install(&options, &flags).map(done),
        Some(Command::Uninstall(options)) => install::uninstall(&options, &flags).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever started this is told why it ends")]
fn report(error: &anyhow::Error) {
    eprintln!("mesh-agent: {error:#}");
}

fn run(flags: Flags) -> anyhow::Result<()> {
    let settings = Settings::read(flags, || Ok(default_data_dir()?))?;
    start_logging(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let result = runtime.block_on(serve(&settings));
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    // Before anything else: a signal that arrives during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut signalled = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let node = settings.builder().start().await?;
    announce(&node, settings);
    let name = tokio::select! {
        name = signalled() => name,
        never = feed_watchdog(&node) => match never {},
    };
    tracing::info!(signal = name, "stopping");
    let _no_systemd = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tokio::select! {
        () = node.stop() => tracing::info!("stopped"),
        name = signalled() => tracing::warn!(signal = name, "second signal, stopping at once"),
        () = tokio::time::sleep(STOP_TIMEOUT) => tracing::warn!("stopping takes too long, ending"),
    }
    Ok(())
}

/// Tells a service manager that watches, twice in each of its intervals, that the node answers. A node
/// that is stuck holds this up too, and is started anew.
async fn feed_watchdog(node: &Node) -> Infallible {
    let half = sd_notify::watchdog_enabled().map(|interval| interval / 2);
    let Some(pace) = half.filter(|half| !half.is_zero()) else {
        return std::future::pending().await;
    };
    let mut pace = tokio::time::interval(pace);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        // Needs the membership and the links, which everything else in a node needs too.
        tracing::trace!(members = node.peers().len(), "the node answers");
        let _no_systemd = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

/// One line that names everything a person or script needs to find this agent.
fn announce(node: &Node, settings: &Settings) {
    let listen: Vec<String> = node.listening().iter().map(ToString::to_string).collect();
    let hostname = node.hostname().map(|name| name.to_string()).unwrap_or_default();
    let line = format!(
        "ready hostname={hostname} peer_id={} listen={} socket={}\n",
        node.peer_id(),
        listen.join(","),
        settings.socket.display(),
    );
    // A contract, whatever the log level, and in one piece, so that no reader sees half of it. That
    // nobody reads it is no reason to stop.
    let _unread = std::io::stderr().write_all(line.as_bytes());
    let _no_systemd = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

fn start_logging(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log_level)
        .with_context(|| format!("{:?} is no log level", settings.log_level))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A log that cannot be written would be complained about where it cannot be written, and that panics.
    let logs = logs.log_internal_errors(false);
    // The journal stamps each line itself and shows colours as noise.
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let logs = logs.with_ansi(is_terminal && !in_journal && std::env::var_os("NO_COLOR").is_none());
    match (settings.log_format, in_journal) {
        (LogFormat::Json, _) => logs.json().init(),
        (LogFormat::Text, true) => logs.without_time().init(),
        (LogFormat::Text, false) => logs.init(),
    }
    Ok(())
}
