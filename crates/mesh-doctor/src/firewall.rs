use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::finding::listed;
use crate::{Check, Finding};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// As much of an answer as is looked at.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Something that may not be there, and may not be readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// It is not on this machine.
    Absent,
    /// It is there, but this user may not read it.
    Unreadable,
    /// What it says.
    Is(T),
}

/// Where firewalls are asked. Everything is settable, for machines that differ and for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallSources {
    /// The folder of UFW's settings.
    pub ufw: PathBuf,
    /// The command that lists the rules of nftables.
    pub nft: PathBuf,
    /// The command that asks firewalld.
    pub firewall_cmd: PathBuf,
}

impl Default for FirewallSources {
    fn default() -> Self {
        Self {
            ufw: PathBuf::from("/etc/ufw"),
            nft: PathBuf::from("nft"),
            firewall_cmd: PathBuf::from("firewall-cmd"),
        }
    }
}

/// What is known of the firewalls of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallFacts {
    /// Whether UFW is enabled.
    pub ufw: Reading<bool>,
    /// UFW's own rules.
    pub ufw_rules: Reading<String>,
    /// The rules of nftables.
    pub nft: Reading<String>,
    /// Whether firewalld runs.
    pub firewalld: Reading<bool>,
}

/// Asks the firewalls of this machine. Changes nothing; takes two seconds at the most for each.
pub async fn read_firewall(sources: &FirewallSources) -> FirewallFacts {
    let ufw = match file(sources.ufw.join("ufw.conf")) {
        Reading::Is(text) => Reading::Is(is_ufw_enabled(&text)),
        Reading::Absent => Reading::Absent,
        Reading::Unreadable => Reading::Unreadable,
    };
    let nft = match command(&sources.nft, &["list", "ruleset"]).await {
        Reading::Is((true, rules)) => Reading::Is(rules),
        Reading::Is((false, _)) | Reading::Unreadable => Reading::Unreadable,
        Reading::Absent => Reading::Absent,
    };
    let firewalld = match command(&sources.firewall_cmd, &["--state"]).await {
        // It exits with 0 when the daemon runs, and also says so.
        Reading::Is((is_success, said)) => {
            if is_success || said.contains("not running") {
                Reading::Is(is_success)
            } else {
                Reading::Unreadable
            }
        }
        Reading::Unreadable => Reading::Unreadable,
        Reading::Absent => Reading::Absent,
    };
    FirewallFacts { ufw, ufw_rules: file(sources.ufw.join("user.rules")), nft, firewalld }
}

fn file(path: PathBuf) -> Reading<String> {
    match fs::read_to_string(path) {
        Ok(text) => Reading::Is(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Reading::Absent,
        Err(_) => Reading::Unreadable,
    }
}

/// Runs a command without a shell: whether it succeeded, and what it printed.
async fn command(program: &PathBuf, arguments: &[&str]) -> Reading<(bool, String)> {
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Reading::Absent,
        Err(_) => return Reading::Unreadable,
    };
    let asked = async {
        let mut said = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            pipe.take(ANSWER_BYTES_MAX).read_to_end(&mut said).await?;
        }
        let exit = child.wait().await?;
        io::Result::Ok((exit.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    // What is not done in time is killed when it is dropped.
    match timeout(COMMAND_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Reading::Is(answer),
        Ok(Err(_)) | Err(_) => Reading::Unreadable,
    }
}

fn is_ufw_enabled(conf: &str) -> bool {
    let value = conf.lines().filter_map(|line| line.trim().strip_prefix("ENABLED=")).next_back();
    value.is_some_and(|value| value.trim_matches(['"', '\'']).eq_ignore_ascii_case("yes"))
}

/// Whether a rule of UFW lets others in on `port`. Its file keeps each rule as a comment:
/// `### tuple ### ACTION PROTOCOL DPORT DST SPORT SRC DIRECTION`.
fn does_ufw_let_in(rules: &str, port: u16) -> bool {
    let tuples = rules.lines().filter_map(|line| line.trim().strip_prefix("### tuple ###"));
    tuples.into_iter().any(|tuple| {
        let words: Vec<&str> = tuple.split_whitespace().collect();
        let (Some(action), Some(protocol), Some(ports)) =
            (words.first(), words.get(1), words.get(2))
        else {
            return false;
        };
        let is_in = !words.iter().skip(3).any(|word| word.starts_with("out"));
        let lets_in = action.starts_with("allow") || action.starts_with("limit");
        is_in && lets_in && matches!(*protocol, "tcp" | "any") && is_among(ports, port)
    })
}

/// `any`, `13500`, `80,443` or `13000:14000`.
fn is_among(ports: &str, port: u16) -> bool {
    ports.split(',').any(|part| match part.split_once(':') {
        Some((from, to)) => {
            let bounds = (from.parse::<u16>(), to.parse::<u16>());
            matches!(bounds, (Ok(from), Ok(to)) if (from..=to).contains(&port))
        }
        None => part == "any" || part.parse() == Ok(port),
    })
}

/// Whether nftables drop what no rule lets in, and no rule names the port.
fn does_nft_drop(rules: &str, port: u16) -> bool {
    let drops =
        rules.lines().any(|line| line.contains("hook input") && line.contains("policy drop"));
    let word = port.to_string();
    let names_port = rules.split(|c: char| !c.is_ascii_digit()).any(|digits| digits == word);
    drops && !names_port
}

/// Judges whether the firewalls of this machine let others in on `port`.
///
/// Only rules that were read and plainly lack the port are a fault: that something cannot be read, or is
/// more than this program understands, is told without judging.
#[must_use]
pub fn judge_firewall(facts: &FirewallFacts, port: u16) -> Finding {
    let ufw_mend = format!(
        "let the members in: `sudo ufw allow {port}/tcp`, or on the tailnet alone: `sudo ufw allow in on tailscale0 to any port {port} proto tcp`"
    );
    if let (Reading::Is(true), Reading::Is(rules)) = (&facts.ufw, &facts.ufw_rules)
        && !does_ufw_let_in(rules, port)
    {
        let detail = format!("UFW is enabled, and no rule of it lets others in on TCP port {port}");
        return Finding::failed(Check::Firewall, detail, ufw_mend);
    }
    let (mut known, mut hints) = (Vec::new(), Vec::new());
    match (&facts.ufw, &facts.ufw_rules) {
        (Reading::Is(true), Reading::Is(_)) => {
            known.push(format!("UFW lets others in on TCP port {port}"))
        }
        (Reading::Is(true), Reading::Absent | Reading::Unreadable) => {
            known.push(String::from("UFW is enabled, its rules cannot be read without root"));
            hints.push(ufw_mend);
        }
        (Reading::Is(false), _) => known.push(String::from("UFW is not enabled")),
        (Reading::Unreadable, _) => known.push(String::from("UFW cannot be read without root")),
        (Reading::Absent, _) => {}
    }
    match facts.firewalld {
        Reading::Is(true) => {
            known.push(String::from("firewalld runs"));
            hints.push(format!("if others cannot reach this machine: `sudo firewall-cmd --permanent --add-port={port}/tcp && sudo firewall-cmd --reload`"));
        }
        Reading::Is(false) => known.push(String::from("firewalld does not run")),
        Reading::Unreadable => known.push(String::from("firewalld cannot be read without root")),
        Reading::Absent => {}
    }
    match &facts.nft {
        Reading::Is(rules) if does_nft_drop(rules, port) => {
            known
                .push(format!("nftables drop what no rule lets in, and no rule names port {port}"));
            hints.push(format!("if others cannot reach this machine: `sudo nft add rule inet filter input tcp dport {port} accept`, in the table and chain that drop"));
        }
        Reading::Is(_) => {
            known.push(format!("nftables do not close port {port} as far as can be told"))
        }
        Reading::Unreadable => known.push(String::from("nftables cannot be read without root")),
        Reading::Absent => {}
    }
    if known.is_empty() {
        known
            .push(String::from("no firewall of a known kind was found (UFW, firewalld, nftables)"));
    }
    Finding::noted(Check::Firewall, listed(&known), hints.join("; "))
}

#[cfg(test)]
mod tests;
