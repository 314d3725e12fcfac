use mesh_control::{
    ConfigCheckView, ConfigFileState, ConfigFileView, ConfigPeerView, ConfigProblem,
    ConfigStateView,
};

use super::super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, DIM, GOOD, ODD, plain, styled};

pub(super) const EXAMPLE: &str = "\
Every member that can be reached is asked for what it has, and for its file. Exit 1 when somebody
has something else, when a file shows something else, or when this agent's configuration breaks
the rules. A member that cannot be reached is named, and changes nothing about that.

Examples:
  mesh-ctl config check
  mesh-ctl config check --json | jq '.peers[] | select(.in_sync | not)'";

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let check = patiently("asking the members", client.config_check()).await?;
    context.output.show(&check, render)?;
    Ok(if is_well(&check) { Exit::Done } else { Exit::Failed })
}

/// Whether the file waits for somebody to mend it.
const fn is_stuck(state: ConfigFileState) -> bool {
    match state {
        ConfigFileState::InStep | ConfigFileState::Pending => false,
        ConfigFileState::Broken | ConfigFileState::Unreadable | ConfigFileState::Unwritable => true,
    }
}

fn is_well(check: &ConfigCheckView) -> bool {
    let ConfigCheckView { in_sync, local, peers: _ } = check;
    *in_sync && local.valid && !local.views.iter().any(|view| is_stuck(view.state))
}

fn render(check: &ConfigCheckView) -> String {
    let mut text = String::new();
    let width = check.peers.iter().map(|peer| plain(&peer.hostname).chars().count()).max();
    for peer in &check.peers {
        text.push_str(&peer_lines(peer, width.unwrap_or(0)));
    }
    if !check.peers.is_empty() {
        text.push('\n');
    }
    text.push_str(&local_lines(&check.local));
    let last = if is_well(check) && check.peers.is_empty() {
        styled(GOOD, "There is no other member to compare with.")
    } else if is_well(check) {
        styled(GOOD, "Everybody who answered has the same configuration.")
    } else {
        styled(BAD, "The configuration is not the same everywhere, or not in order.")
    };
    format!("{text}\n{last}\n")
}

fn peer_lines(peer: &ConfigPeerView, width: usize) -> String {
    let hostname = plain(&peer.hostname);
    if !peer.reachable {
        let detail = plain(&peer.detail);
        return format!("{} {hostname:width$}  not reached: {detail}\n", styled(ODD, "?"));
    }
    let lists = [
        ("missing", &peer.missing),
        ("extra", &peer.extra),
        ("different", &peer.different),
        ("stale", &peer.stale),
    ];
    let counts = lists.iter().filter(|(_, keys)| !keys.is_empty());
    let mut found: Vec<_> = counts.map(|(word, keys)| format!("{} {word}", keys.len())).collect();
    if peer.left_out > 0 {
        found.push(format!("{} more", peer.left_out));
    }
    if let Some(file) = peer.file.as_ref().filter(|file| file.state != ConfigFileState::InStep) {
        let detail = if file.detail.is_empty() { "" } else { ": " };
        found.push(format!("file {}{detail}{}", word(file.state), plain(&file.detail)));
    }
    let mark = if peer.in_sync { styled(GOOD, "✓") } else { styled(BAD, "✗") };
    let found = match (found.is_empty(), peer.in_sync) {
        (true, true) => "in step".to_owned(),
        (true, false) => "has something else".to_owned(),
        (false, _) => found.join(", "),
    };
    let mut text = format!("{mark} {hostname:width$}  {found}\n");
    for (word, keys) in lists {
        for key in keys {
            text.push_str(&format!("  {:width$}  {word:9}  {}\n", "", plain(key)));
        }
    }
    for ConfigProblem { kind, key, detail, hint: _ } in &peer.problems {
        let key = key.as_deref().map(|key| format!("{}: ", plain(key))).unwrap_or_default();
        let (kind, detail) = (plain(kind), plain(detail));
        text.push_str(&format!("  {:width$}  {} {key}{detail} ({kind})\n", "", styled(ODD, "!")));
    }
    text
}

const fn word(state: ConfigFileState) -> &'static str {
    match state {
        ConfigFileState::InStep => "in step",
        ConfigFileState::Pending => "about to change",
        ConfigFileState::Broken => "broken",
        ConfigFileState::Unreadable => "not readable",
        ConfigFileState::Unwritable => "not writable",
    }
}

fn local_lines(local: &ConfigStateView) -> String {
    let ConfigStateView { valid, problems, keys, version, views } = local;
    let state = if *valid {
        styled(GOOD, "in order")
    } else {
        styled(BAD, "against the rules; the last good one is in force")
    };
    let mut text = format!("This agent: {keys} keys, version {version}, {state}\n");
    for problem in problems {
        let key = problem.key.as_deref().map(plain).unwrap_or_default();
        let gap = if key.is_empty() { "" } else { ": " };
        let (kind, detail) = (plain(&problem.kind), plain(&problem.detail));
        let mark = styled(ODD, "!");
        text.push_str(&format!("  {mark} {key}{gap}{detail} ({kind})\n"));
        if !problem.hint.is_empty() {
            let hint = format!("→ {}", plain(&problem.hint));
            text.push_str(&format!("    {}\n", styled(DIM, &hint)));
        }
    }
    for view in views {
        text.push_str(&file_line(view));
    }
    text
}

fn file_line(view: &ConfigFileView) -> String {
    let style = match view.state {
        ConfigFileState::InStep => GOOD,
        ConfigFileState::Pending => ODD,
        ConfigFileState::Broken | ConfigFileState::Unreadable | ConfigFileState::Unwritable => BAD,
    };
    let mut line = format!("  file {}", plain(&view.path));
    if let Some(prefix) = &view.prefix {
        line.push_str(&format!(" ({})", plain(prefix)));
    }
    line.push_str(&format!(": {}", styled(style, word(view.state))));
    if let (Some(row), Some(column)) = (view.line, view.column) {
        line.push_str(&format!(", line {row}, column {column}"));
    }
    if let Some(key) = &view.key {
        line.push_str(&format!(", {}", plain(key)));
    }
    if !view.detail.is_empty() {
        line.push_str(&format!(": {}", plain(&view.detail)));
    }
    if let Some(rule) = &view.rule {
        line.push_str(&format!(" ({})", plain(rule)));
    }
    line.push('\n');
    line
}
