use std::time::Duration;

use mesh_control::{
    ClockSkewView, ConfigFileState, ConfigStatusView, DataState, DataView, QueueView, RouteCounts,
    StatusView,
};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, Columns, NORMAL, ODD, bytes, or_dash, plain, span, styled};

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl status
  mesh-ctl status --json | jq .peers.active";

pub(crate) async fn run(context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let status = patiently("asking the agent", client.status()).await?;
    context.output.show(&status, render)?;
    Ok(Exit::Done)
}

fn render(status: &StatusView) -> String {
    let mut lines = Columns::untitled();
    let mut line = |name: &str, value: String| lines.row(NORMAL, [name.to_owned(), value]);
    line("hostname", plain(&status.hostname));
    line("peer id", status.peer_id.to_string());
    line("mesh id", status.mesh_id.to_string());
    line("version", plain(&status.version));
    let uptime = span(Duration::from_secs(status.uptime_seconds));
    line("running", format!("{uptime} (process {})", status.pid));
    line("listens on", or_dash(Some(plain(&status.listen.join(", ")))));
    line("data", plain(&status.data_dir));
    line("peers", format!("{} active, {} inactive", status.peers.active, status.peers.inactive));
    let RouteCounts { direct, relayed, unreachable } = &status.routes;
    line("routes", format!("{direct} direct, {relayed} relayed, {unreachable} unreachable"));
    line("outbox", queue(&status.outbox));
    line("inbox", queue(&status.inbox));
    line("custody", queue(&status.custody));
    line(
        "sync",
        match status.sync.behind {
            0 => "up to date".to_owned(),
            behind => styled(ODD, &format!("{behind} linked members know other records")),
        },
    );
    line("tables", tables(&status.data));
    line("config", config(&status.config));
    let mut text = lines.render();
    for ClockSkewView { hostname, ahead_seconds, transactions } in &status.data.clock_skew {
        let ahead = span(Duration::from_secs(*ahead_seconds));
        let hostname = plain(hostname);
        let skew = format!(
            "The clock of {hostname} is {ahead} ahead; {transactions} transactions wait for ours."
        );
        text.push_str(&styled(ODD, &skew));
        text.push('\n');
    }
    if !status.pending_removals.is_empty() {
        let names = plain(&status.pending_removals.join(", "));
        let pending =
            format!("Removals that others have to ask for as well: {names} (`mesh-ctl peers`).");
        text.push_str(&styled(ODD, &pending));
        text.push('\n');
    }
    if status.removed {
        text.push_str(&styled(BAD, "This agent was expelled from its mesh."));
        text.push('\n');
    }
    text
}

fn config(config: &ConfigStatusView) -> String {
    let ConfigStatusView { valid, keys, version, file } = config;
    let mut text = format!("{keys} keys, version {version}");
    if !valid {
        text.push_str(&styled(BAD, ", not valid: the last good one is in force"));
    }
    match file {
        None | Some(ConfigFileState::InStep) => {}
        Some(ConfigFileState::Pending) => text.push_str(", the file is about to follow"),
        Some(ConfigFileState::Broken) => {
            text.push_str(&styled(BAD, ", the file is broken and waits to be mended"));
        }
        Some(ConfigFileState::Unreadable) => {
            text.push_str(&styled(BAD, ", the file cannot be read"));
        }
        Some(ConfigFileState::Unwritable) => {
            text.push_str(&styled(BAD, ", the file cannot be written"));
        }
    }
    text
}

fn queue(queue: &QueueView) -> String {
    let QueueView { messages, bytes: size, messages_max, bytes_max } = queue;
    format!("{messages} of {messages_max} messages, {} of {}", bytes(*size), bytes(*bytes_max))
}

fn tables(data: &DataView) -> String {
    let state = match (data.state, data.snapshot_percent) {
        (DataState::Ok, _) => "ok".to_owned(),
        (DataState::Snapshot, Some(percent)) => {
            styled(ODD, &format!("taking in a member's state ({percent} %)"))
        }
        (DataState::Snapshot, None) => styled(ODD, "taking in a member's state"),
        (DataState::DiskFull, _) => {
            styled(BAD, "no room: the disk is full, or database_bytes_max is reached")
        }
        (DataState::ReadOnly, _) => styled(BAD, "the file cannot be written"),
        (DataState::Locked, _) => styled(BAD, "another program keeps the database locked"),
        (DataState::Failed, _) => {
            styled(BAD, &format!("the database refuses: {}", plain(&data.detail)))
        }
    };
    let DataView { tables, log_bytes, parked, conflicts, behind, .. } = data;
    let mut text = format!("{tables}, log of {}, {state}", bytes(*log_bytes));
    let figures = [("behind", *behind), ("parked", *parked), ("conflicts", *conflicts)];
    for (word, count) in figures.into_iter().filter(|(_, count)| *count > 0) {
        text.push_str(&styled(ODD, &format!(", {word}: {count}")));
    }
    text
}
