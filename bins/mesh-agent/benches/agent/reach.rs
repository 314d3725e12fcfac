//! How soon something that one of many agents says has reached all of them, and how many bytes that takes.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use mesh_control::{ConfigSet, ConfigWatchQuery, DeliveryState, SendRequest};
use serde_json::json;

use crate::fifty::loopback_bytes;
use crate::line;
use crate::process::Agent;

const KEY: &str = "bench.scale";
const WAIT: Duration = Duration::from_secs(60);

fn show(what: &str, reached: usize, of: usize, latest: Duration, sent_before: u64) {
    let sent = (loopback_bytes() - sent_before) as f64 / of as f64;
    let latest = format!("{:.3} s", latest.as_secs_f64());
    line(&format!("{what}, until the last of {of} has it"), latest, "");
    line(&format!("{what}: receivers"), reached.to_string(), &of.to_string());
    line(&format!("{what}: bytes per receiver"), format!("{sent:.0} B"), "");
}

/// One message to everybody, until the last receiver has committed it and said so.
async fn measure_message(speaker: &Agent, others: usize) {
    let sent_before = loopback_bytes();
    let request = SendRequest {
        broadcast: true,
        app_type: "bench.scale".to_owned(),
        data: json!({ "text": "to all" }),
        wait_seconds: Some(WAIT.as_secs()),
        ..SendRequest::default()
    };
    let started = Instant::now();
    let reply = speaker.client.send(&request).await.unwrap();
    let took = started.elapsed();
    let arrived = reply.deliveries.iter().filter(|one| one.state == DeliveryState::Acked).count();
    show("a message to all", arrived, others, took, sent_before);
}

/// One key of the shared configuration, which is a row of a replicated table.
async fn measure_row(speaker: &Agent, others: &[Agent]) {
    let query = ConfigWatchQuery { prefix: Some(KEY.to_owned()) };
    let watching =
        others.iter().map(async |agent| agent.client.config_watch(&query).await.unwrap());
    let watches = join_all(watching).await;
    let sent_before = loopback_bytes();
    let started = Instant::now();
    let first_change = async |mut watch: mesh_control::ControlStream<_>| {
        let seen = tokio::time::timeout(WAIT, watch.next()).await;
        seen.ok().flatten().and_then(Result::ok).map(|_| started.elapsed())
    };
    let change = ConfigSet { key: KEY.to_owned(), value: json!(1), note: None };
    let (changed, seen) = tokio::join!(
        speaker.client.config_set(&change),
        join_all(watches.into_iter().map(first_change))
    );
    let _changed = changed.unwrap();
    let reached = seen.iter().flatten().count();
    let latest = seen.iter().flatten().max().copied().unwrap_or_default();
    show("a changed key", reached, others.len(), latest, sent_before);
}

pub(crate) async fn measure(agents: &[Agent]) {
    let (speaker, others) = agents.split_first().unwrap();
    measure_message(speaker, others.len()).await;
    measure_row(speaker, others).await;
}
