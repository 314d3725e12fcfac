//! What is sent, and what its sender hears of it.

use std::time::{Duration, Instant};

use mesh_delivery::{End, Priority};
use mesh_protocol::{ErrorCode, MessageId, Payload, PeerId};
use tokio::sync::oneshot;

use crate::config::MESSAGE_TTL;

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A member by hostname, peer id, or the first eight or more digits of it.
    Name(String),
    /// A member by identity.
    Peer(PeerId),
    /// Every other member at the time of sending.
    Broadcast,
}

/// What is promised for a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Committed here before `send` returns, repeated until it is committed there, handed over once.
    #[default]
    Durable,
    /// Handed over at once or not at all: no outbox, no retry.
    Live,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Whom it is for.
    pub to: Target,
    /// What it says.
    pub payload: Payload,
    /// What is promised.
    pub delivery: Delivery,
    /// How urgent it is; order is kept within one priority.
    pub priority: Priority,
    /// Seals it end to end.
    pub seal: bool,
    /// How long it may wait to be delivered; at most 30 days. Ignored for live messages.
    pub ttl: Duration,
}

impl Outgoing {
    /// A durable message of normal priority that lives for seven days.
    #[must_use]
    pub const fn new(to: Target, payload: Payload) -> Self {
        Self {
            to,
            payload,
            delivery: Delivery::Durable,
            priority: Priority::Normal,
            seal: false,
            ttl: MESSAGE_TTL,
        }
    }
}

/// How one delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryOutcome {
    /// Committed by the receiver, or handed to its subscribers when it was live.
    Acked,
    /// Still in the outbox.
    Queued,
    /// Its lifetime ended first.
    Expired,
    /// The receiver will never take it, or a live message found nobody.
    Refused(ErrorCode),
}

/// One delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The receiver.
    pub peer: PeerId,
    /// How it ended, if it did.
    pub outcome: DeliveryOutcome,
    /// From `send` to the end; none while it waits.
    pub after: Option<Duration>,
    /// Members that the receiver's answer came through; empty for a link.
    pub via: Vec<PeerId>,
}

/// The end of a durable message, as its sender hears of it.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) end: End,
    pub(crate) at: Instant,
    /// Members that it went through.
    pub(crate) via: Vec<PeerId>,
}

/// A delivery that was started.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Ended before `send` returned.
    Ended(DeliveryOutcome, Duration),
    Durable(oneshot::Receiver<Delivered>),
}

/// A message that was sent: durable ones are committed to the outbox.
#[derive(Debug)]
pub struct Sent {
    /// The message's id.
    pub message_id: MessageId,
    /// What people should know, such as that the name is an old one.
    pub warnings: Vec<String>,
    pub(crate) started: Instant,
    pub(crate) deliveries: Vec<(PeerId, Waiting)>,
}

impl Sent {
    /// Waits until every delivery has ended or `timeout` has passed, whichever is first.
    pub async fn wait(self, timeout: Duration) -> Vec<DeliveryReport> {
        let deadline = self.started + timeout;
        let mut reports = Vec::with_capacity(self.deliveries.len());
        for (peer, waiting) in self.deliveries {
            let (outcome, after, via) = match waiting {
                Waiting::Ended(outcome, after) => (outcome, Some(after), Vec::new()),
                Waiting::Durable(receiver) => {
                    match tokio::time::timeout_at(deadline.into(), receiver).await {
                        Ok(Ok(delivered)) => {
                            let outcome = match delivered.end {
                                End::Acked { .. } => DeliveryOutcome::Acked,
                                End::Expired => DeliveryOutcome::Expired,
                                End::Refused(code) => DeliveryOutcome::Refused(code),
                            };
                            let after = delivered.at.saturating_duration_since(self.started);
                            (outcome, Some(after), delivered.via)
                        }
                        Ok(Err(_)) | Err(_) => (DeliveryOutcome::Queued, None, Vec::new()),
                    }
                }
            };
            reports.push(DeliveryReport { peer, outcome, after, via });
        }
        reports
    }
}
