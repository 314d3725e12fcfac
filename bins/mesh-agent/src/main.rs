//! The service of the agent mesh: arguments, configuration file, logging, signals, exit code.

mod settings;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use mesh_node::Node;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::settings::{Arguments, LogFormat, Settings};

/// A stop that lasts longer is cut off: nothing that was acknowledged depends on it.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "an agent that does not start says why to whoever started it"
)]
fn report(error: &anyhow::Error) {
    eprintln!("mesh-agent: {error:#}");
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = Settings::read(arguments)?;
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
    let name = signalled().await;
    tracing::info!(signal = name, "stopping");
    let _no_systemd = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tokio::select! {
        () = node.stop() => tracing::info!("stopped"),
        name = signalled() => tracing::warn!(signal = name, "second signal, stopping at once"),
        () = tokio::time::sleep(STOP_TIMEOUT) => tracing::warn!("stopping takes too long, ending"),
    }
    Ok(())
}

/// One line that names everything a person or script needs to find this agent.
#[expect(clippy::print_stderr, reason = "the ready line is a contract, whatever the log level")]
fn announce(node: &Node, settings: &Settings) {
    let listen: Vec<String> = node.listening().iter().map(ToString::to_string).collect();
    let hostname = node.hostname().map(|name| name.to_string()).unwrap_or_default();
    eprintln!(
        "ready hostname={hostname} peer_id={} listen={} socket={}",
        node.peer_id(),
        listen.join(","),
        settings.socket.display(),
    );
    let _no_systemd = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

fn start_logging(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log_level)
        .with_context(|| format!("{:?} is no log level", settings.log_level))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
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
