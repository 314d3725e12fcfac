//! Many agents with default settings: how soon each of them lists all, how soon all of them miss one
//! that was killed, what each costs while nothing happens, and how that grows with their number. Fifty,
//! or as many as `MESH_BENCH_AGENTS` says; on the way there each of [`STOPS`] is measured as well.
//!
//! Whoever looks costs the agents time, so nobody looks while they are measured: when something was
//! seen is read from their event logs afterwards, which also hold what a look would have missed.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use mesh_control::{EventView, PeerState};
use mesh_protocol::UnixMillis;

use crate::process::Agent;
use crate::reach;
use crate::{IDLE, MIB, SETTLED_AFTER, folder, line};

const AGENTS: usize = 50;
/// Sizes at which a growing mesh is looked at.
const STOPS: [usize; 5] = [10, 50, 100, 200, 500];
/// Not one issuer for all: it would take them for a flood from one address.
const JOINS_PER_ISSUER: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The aim for missing the killed one, and five seconds more for anybody else to be missed.
const WATCHED_FOR: Duration = Duration::from_secs(8);
/// The same where gossip has to say it, because not every pair keeps a link.
const WATCHED_FOR_WHEN_LARGE: Duration = Duration::from_secs(30);
/// Up to so many members every pair keeps a link.
const FULL_MESH_MAX: usize = 64;
/// More than an agent keeps.
const EVENTS: usize = 10_000;

fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(since.as_millis()).unwrap())
}

/// Bytes that went over the loopback interface so far, the headers of every layer among them. Whatever
/// else of this network namespace uses it counts as well.
pub(crate) fn loopback_bytes() -> u64 {
    let table = std::fs::read_to_string("/proc/net/dev").unwrap();
    let lines = table.lines().filter_map(|line| line.trim_start().strip_prefix("lo:"));
    let received = lines.flat_map(str::split_whitespace).next().unwrap();
    received.parse().unwrap()
}

/// Waits until every agent lists all of them as active.
async fn complete(agents: &[Agent]) {
    let mut incomplete: Vec<&Agent> = agents.iter().collect();
    loop {
        let counts = join_all(incomplete.iter().map(|agent| agent.active_members())).await;
        let counted = incomplete.into_iter().zip(counts);
        incomplete =
            counted.filter(|(_, count)| *count < agents.len()).map(|(agent, _)| agent).collect();
        if incomplete.is_empty() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Starts agents until there are `size`, lets each of them join, and waits until all know all.
async fn grow(agents: &mut Vec<Agent>, folder: &Path, size: usize) {
    let before = agents.len().max(1);
    agents.extend((agents.len()..size).map(|number| Agent::start(folder, &format!("f{number}"))));
    let sent_before = loopback_bytes();
    let issuer = |number: usize| agents.get((number - 1) / JOINS_PER_ISSUER * JOINS_PER_ISSUER);
    let (mut joins, mut last_join) = (Vec::new(), Instant::now());
    for (number, joiner) in agents.iter().enumerate().skip(before) {
        last_join = Instant::now();
        joins.push(issuer(number).unwrap().admit(joiner).await.as_secs_f64());
    }
    let joined_after = last_join.elapsed();
    complete(agents).await;
    let complete_after = last_join.elapsed();
    let sent = (loopback_bytes() - sent_before) as f64 / (size - before) as f64;
    show_mean_and_worst(&format!("joins {} to {size}", before + 1), "s", "", &joins);
    let joined_after = format!("{:.2} s", joined_after.as_secs_f64());
    line(&format!("the last join of {size}, until it is done"), joined_after, "");
    line(
        &format!("the last join, until all list all {size} as active"),
        format!("{:.2} s", complete_after.as_secs_f64()),
        "≤ 5 s",
    );
    let bytes = format!("{:.2} MiB", sent / MIB);
    line(&format!("bytes between all {size}, per join"), bytes, "");
}

fn show_mean_and_worst(figure: &str, unit: &str, aim: &str, values: &[f64]) {
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    let worst = values.iter().copied().fold(0.0, f64::max);
    line(&format!("{figure}: mean of {count}"), format!("{mean:.2} {unit}"), aim);
    line(&format!("{figure}: worst of {count}"), format!("{worst:.2} {unit}"), aim);
}

async fn measure_idle(agents: &[Agent]) {
    let spent = |agent: &Agent| (Instant::now(), agent.processor_seconds());
    let sent_before = loopback_bytes();
    let before: Vec<_> = agents.iter().map(spent).collect();
    tokio::time::sleep(IDLE).await;
    let after = agents.iter().map(spent);
    let sent = (loopback_bytes() - sent_before) as f64 / agents.len() as f64;
    let shares: Vec<f64> = before
        .into_iter()
        .zip(after)
        .map(|((from, before), (to, after))| 100.0 * (after - before) / (to - from).as_secs_f64())
        .collect();
    let links = join_all(agents.iter().map(|agent| agent.links())).await;
    let resident: Vec<f64> = agents.iter().map(|agent| agent.memory("VmRSS:")).collect();
    let anonymous: Vec<f64> = agents.iter().map(|agent| agent.memory("RssAnon:")).collect();
    let shared_out: Vec<f64> = agents.iter().map(Agent::memory_shared_out).collect();
    let files: Vec<f64> = agents.iter().map(Agent::open_files).collect();
    show_mean_and_worst("idle, of a core", "%", "≤ 1 %", &shares);
    show_mean_and_worst("idle, resident", "MiB", "≤ 25 MiB", &resident);
    show_mean_and_worst("idle, of it not from files", "MiB", "", &anonymous);
    show_mean_and_worst("idle, what is shared counted once", "MiB", "", &shared_out);
    show_mean_and_worst("idle, links", "", "", &links);
    show_mean_and_worst("idle, open files", "", "", &files);
    let sent = sent / IDLE.as_secs_f64();
    line(&format!("idle, sent by each of {}", agents.len()), format!("{sent:.0} B/s"), "");
}

/// A member that was killed.
struct Death {
    hostname: String,
    at: UnixMillis,
}

/// What an agent believed of others since some moment.
struct Log {
    events: Vec<EventView>,
}

impl Log {
    async fn read(agent: &Agent, since: UnixMillis) -> Self {
        let mut events = agent.client.events(EVENTS).await.unwrap();
        events.retain(|event| event.kind == "member_state" && event.at >= since);
        Self { events }
    }

    /// How long after the death the dead member was first believed to be in one of these states.
    fn noticed_after(&self, death: &Death, states: &[PeerState]) -> Option<Duration> {
        let is_notice = |event: &&EventView| {
            death.explains(event) && states.iter().any(|state| says(event, "to", state.as_str()))
        };
        let notice = self.events.iter().find(is_notice)?;
        Some(Duration::from_millis(notice.at.0 - death.at.0))
    }

    /// How often a member was not believed to be alive that was.
    fn errors(&self, death: &Death) -> usize {
        let is_error = |event: &&EventView| {
            !says(event, "to", PeerState::Alive.as_str()) && !death.explains(event)
        };
        self.events.iter().filter(is_error).count()
    }
}

impl Death {
    fn explains(&self, event: &EventView) -> bool {
        event.at >= self.at && says(event, "hostname", &self.hostname)
    }
}

fn says(event: &EventView, field: &str, value: &str) -> bool {
    event.fields.get(field).and_then(|found| found.as_str()) == Some(value)
}

fn show_last(figure: &str, aim: &str, noticed: &[Option<Duration>]) {
    let unaware = noticed.iter().filter(|after| after.is_none()).count();
    let value = match noticed.iter().flatten().max() {
        Some(last) if unaware == 0 => format!("{:.3} s", last.as_secs_f64()),
        Some(_) | None => format!("{unaware} did not"),
    };
    line(figure, value, aim);
}

/// `settled_at`: from then on nobody had a reason to suspect anybody.
async fn measure_death(mut agents: Vec<Agent>, settled_at: UnixMillis) {
    let mut killed = agents.pop().unwrap();
    let death = Death { hostname: killed.name.clone(), at: wall() };
    killed.kill();
    let is_large = agents.len() > FULL_MESH_MAX;
    tokio::time::sleep(if is_large { WATCHED_FOR_WHEN_LARGE } else { WATCHED_FOR }).await;
    let logs = join_all(agents.iter().map(|agent| Log::read(agent, settled_at))).await;
    let noticed = |states: &[PeerState]| -> Vec<_> {
        logs.iter().map(|log| log.noticed_after(&death, states)).collect()
    };
    let suspected = noticed(&[PeerState::Suspect, PeerState::Down, PeerState::Inactive]);
    let listed = noticed(&[PeerState::Down, PeerState::Inactive]);
    show_last("kill -9 of one, until all others suspect it", "≤ 3 s", &suspected);
    show_last("kill -9 of one, until all others list it inactive", "≤ 3 s", &listed);
    let errors: usize = logs.iter().map(|log| log.errors(&death)).sum();
    line("anybody else suspected, idle or then", errors.to_string(), "0");
    let active = join_all(agents.iter().map(|agent| agent.active_members())).await;
    let left = agents.len();
    let right = active.iter().filter(|count| **count == left).count();
    line("agents that list all but it as active", right.to_string(), &left.to_string());
}

pub(crate) async fn measure() {
    let wanted = std::env::var("MESH_BENCH_AGENTS").ok();
    let wanted = wanted.map_or(AGENTS, |number| number.parse().unwrap());
    let folder = folder();
    let mut agents = Vec::with_capacity(wanted);
    let mut settled_at = wall();
    for size in STOPS.into_iter().filter(|stop| *stop < wanted).chain([wanted]) {
        grow(&mut agents, folder.path(), size).await;
        tokio::time::sleep(SETTLED_AFTER).await;
        settled_at = wall();
        measure_idle(&agents).await;
    }
    reach::measure(&agents).await;
    measure_death(agents, settled_at).await;
}
