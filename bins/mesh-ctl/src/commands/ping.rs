use std::time::Duration;

use clap::Args;
use mesh_control::{ApiError, ClientError, ControlClient, PingReply, PingRequest};
use mesh_protocol::ErrorCode;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use super::Context;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, millis, plain, styled};

pub(crate) const EXAMPLE: &str = "\
Examples:
  mesh-ctl ping mint
  mesh-ctl ping mint -c 10 --interval-ms 200";

#[derive(Args)]
pub(crate) struct PingArgs {
    /// Hostname, peer id, or the first eight or more digits of it
    host: String,
    /// How many round trips
    #[arg(short = 'c', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// From the start of one to the start of the next, milliseconds
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    interval_ms: u64,
    /// How long to wait for each, milliseconds
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout_ms: u64,
}

/// One round trip, or why there was none.
#[derive(Serialize)]
#[serde(untagged)]
enum Trip {
    Answered(PingReply),
    Lost { rtt_ms: Value, via: Value, error: ApiError },
}

pub(crate) async fn run(args: PingArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let request = PingRequest { host: args.host, timeout_ms: Some(args.timeout_ms) };
    let mut pace = interval(Duration::from_millis(args.interval_ms));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trips = Vec::new();
    for _ in 0..args.count {
        pace.tick().await;
        let trip = trip(&client, &request).await?;
        context.output.news(&line(&request.host, &trip))?;
        trips.push(trip);
    }
    let lost = trips.iter().filter_map(Trip::error).next_back().cloned();
    let all_lost = trips.iter().all(|trip| trip.error().is_some());
    if let (true, Some(error)) = (all_lost, lost) {
        return Err(error.into());
    }
    context.output.show(&trips, |trips| summary(&request.host, trips))?;
    Ok(Exit::Done)
}

/// # Errors
/// Everything but a member that did not answer: that is a result.
async fn trip(client: &ControlClient, request: &PingRequest) -> Result<Trip, Failure> {
    match patiently("waiting for the answer", client.ping(request)).await {
        Ok(reply) => Ok(Trip::Answered(reply)),
        Err(ClientError::Api(error))
            if matches!(error.code, ErrorCode::TimedOut | ErrorCode::PeerUnreachable) =>
        {
            Ok(Trip::Lost { rtt_ms: Value::Null, via: Value::Null, error })
        }
        Err(error) => Err(error.into()),
    }
}

impl Trip {
    const fn error(&self) -> Option<&ApiError> {
        match self {
            Self::Answered(_) => None,
            Self::Lost { error, .. } => Some(error),
        }
    }

    const fn rtt_ms(&self) -> Option<f64> {
        match self {
            Self::Answered(reply) => Some(reply.rtt_ms),
            Self::Lost { .. } => None,
        }
    }
}

fn line(host: &str, trip: &Trip) -> String {
    let host = plain(host);
    match trip {
        Trip::Answered(reply) => {
            let (rtt, via, offset) =
                (millis(reply.rtt_ms), plain(&reply.via), reply.clock_offset_ms);
            format!("{host}: {rtt} via {via}, its clock {offset:+} ms")
        }
        Trip::Lost { error, .. } => {
            format!("{host}: {} {}", styled(BAD, "no answer:"), plain(&error.message))
        }
    }
}

fn summary(host: &str, trips: &[Trip]) -> String {
    let mut times: Vec<f64> = trips.iter().filter_map(Trip::rtt_ms).collect();
    times.sort_by(f64::total_cmp);
    let (sent, answered) = (trips.len(), times.len());
    let figure = |time: Option<&f64>| time.map_or_else(|| "-".to_owned(), |time| millis(*time));
    let (least, median, most) =
        (figure(times.first()), figure(times.get(answered / 2)), figure(times.last()));
    format!(
        "{}: {answered} of {sent} answered, least {least}, median {median}, most {most}\n",
        plain(host)
    )
}
