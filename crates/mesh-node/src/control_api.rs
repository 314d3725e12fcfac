//! What the local admin API means: requests become calls of the node, results become JSON.

mod config;
mod data;
mod files;
mod git;
mod views;
mod ways;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, CheckView, ControlApi, EventView, InboxAck, InboxAckReply, InboxQuery, InboxView,
    JoinProgress, JoinRequestBody, JoinStep, MemberStatus, OutboxView, PeerCounts, PeerState,
    PeerView, PingReply, PingRequest, QueueView, RemoveRequest, RenameReply, RenameRequest,
    SendReply, SendRequest, StatusView, SyncProgress, SyncRequest, SyncStepView, SyncView,
    TokenCreate, TokenCreated, TokenView,
};
use mesh_protocol::{ErrorCode, Hostname, PeerId};
use mesh_store::OutboxEnd;
use tokio::sync::mpsc;

use crate::clock;
use crate::doctor;
use crate::error::NodeError;
use crate::node::Node;
use crate::shared::lock;
use crate::subscribe::{Filter, Subscription};

use views::{event_view, millis, outgoing, waiting_word};

/// Inbox rows in one answer when the request names no limit.
const INBOX_LIMIT: usize = 1000;

/// Inbox rows in one answer at the most.
const INBOX_LIMIT_MAX: usize = 10_000;

/// Bodies in one answer, beyond which it ends early: what is acknowledged makes room for the rest.
const INBOX_BYTES_MAX: usize = 64 << 20;

/// Outbox rows in one answer.
const OUTBOX_LIMIT: usize = 10_000;

/// Messages acknowledged in one request at the most.
const ACK_MAX: usize = 10_000;

/// The longest that a `send` may wait.
const WAIT_MAX: Duration = Duration::from_secs(3600);

fn bad_request(message: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, message, "")
}

impl ControlApi for Node {
    async fn status(&self) -> Result<StatusView, ApiError> {
        let shared = &self.shared;
        let view = shared.view();
        let counts = shared.store.counts().await.map_err(NodeError::storage)?;
        let stats = lock(&shared.core).outbound().stats();
        let behind =
            shared.links().values().filter(|link| !link.is_in_step.load(Ordering::Relaxed)).count();
        let members = view.verdict.members().len();
        let is_active = |peer: &&PeerId| shared.is_active(peer);
        let active = view.verdict.members().keys().filter(is_active).count();
        let uptime = clock::now().instant.saturating_duration_since(shared.started_at);
        Ok(StatusView {
            hostname: view.my_hostname().map_or_else(
                // An expelled agent has no name in the mesh, but people still have one for it.
                || shared.configured_hostname().to_string(),
                ToString::to_string,
            ),
            peer_id: shared.me,
            mesh_id: view.mesh_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: uptime.as_secs(),
            listen: shared.listening.iter().map(ToString::to_string).collect(),
            data_dir: shared.data_dir.path().display().to_string(),
            peers: PeerCounts { active, inactive: members.saturating_sub(active) },
            outbox: QueueView {
                messages: stats.messages as u64,
                bytes: stats.bytes,
                messages_max: stats.messages_max as u64,
                bytes_max: stats.bytes_max,
            },
            inbox: QueueView {
                messages: counts.inbox_unacked,
                bytes: counts.inbox_bytes,
                messages_max: shared.config.store.inbox_messages_max,
                bytes_max: shared.config.store.inbox_bytes_max,
            },
            custody: shared.custody_queue(),
            routes: shared.route_counts(),
            sync: SyncView { behind },
            data: self.data_view().await?,
            config: (&shared.config_state()).into(),
            pending_removals: view.pending_removals(),
            removed: view.is_removed(),
        })
    }

    async fn doctor(&self) -> Result<Vec<CheckView>, ApiError> {
        Ok(self.shared.examine().await.into_iter().map(doctor::view).collect())
    }

    fn sync(&self, request: SyncRequest) -> BoxStream<'static, SyncProgress> {
        let (told, progress) = mpsc::unbounded_channel();
        let shared = Arc::clone(&self.shared);
        // In a task of its own: a client that goes away must not leave a comparison half done.
        self.shared.tasks.spawn(async move {
            let steps = told.clone();
            let tell = move |step: SyncStepView| {
                let _gone = steps.send(SyncProgress::Step(step));
            };
            let last = match shared.sync_now(request.force, &tell).await {
                Ok(reply) => SyncProgress::Done(reply),
                Err(error) => SyncProgress::Failed { error: error.into() },
            };
            let _gone = told.send(last);
        });
        stream::unfold(progress, |mut progress| async move {
            progress.recv().await.map(|step| (step, progress))
        })
        .boxed()
    }

    async fn token_create(&self, request: TokenCreate) -> Result<TokenCreated, ApiError> {
        let ttl = request.ttl_seconds.map(Duration::from_secs);
        let issued = self.shared.create_token(ttl, request.note).await?;
        Ok(TokenCreated {
            token: issued.text.to_string(),
            token_id: issued.token_id,
            expires_at: issued.expires_at,
        })
    }

    async fn token_list(&self) -> Result<Vec<TokenView>, ApiError> {
        let rows = self.shared.list_tokens().await?;
        let (view, now) = (self.shared.view(), clock::now().wall);
        Ok(rows.iter().map(|row| Self::token_view(&view, row, now)).collect())
    }

    async fn token_revoke(&self, token_id: String) -> Result<TokenView, ApiError> {
        let row = self.shared.revoke_token(&token_id).await?;
        Ok(Self::token_view(&self.shared.view(), &row, clock::now().wall))
    }

    fn join(&self, request: JoinRequestBody) -> BoxStream<'static, JoinProgress> {
        const TOTAL: u8 = 6;
        let (told, progress) = mpsc::unbounded_channel();
        let node = self.clone();
        // In a task of its own: a client that goes away must not leave a join half done.
        self.shared.tasks.spawn(async move {
            let steps = told.clone();
            let tell = move |done: crate::JoinStepDone| {
                let number = match done.step {
                    JoinStep::TokenChecked => 1,
                    JoinStep::IssuerReached => 2,
                    JoinStep::Admitted => 3,
                    JoinStep::PeersReceived => 4,
                    JoinStep::PeersStored => 5,
                    JoinStep::MembersLinked => TOTAL,
                };
                let step = JoinProgress::Step {
                    step: done.step,
                    number,
                    total: TOTAL,
                    detail: done.detail,
                };
                let _gone = steps.send(step);
            };
            let last = match node.shared.join(&request.token, &tell).await {
                Err(error) => JoinProgress::Failed { error: error.into() },
                Ok(joined) => match node.peers_view().await {
                    Ok(peers) => JoinProgress::Done { mesh_id: joined.mesh_id, peers },
                    Err(error) => JoinProgress::Failed { error },
                },
            };
            let _gone = told.send(last);
        });
        stream::unfold(progress, |mut progress| async move {
            progress.recv().await.map(|step| (step, progress))
        })
        .boxed()
    }

    async fn peers(&self) -> Result<Vec<PeerView>, ApiError> {
        self.peers_view().await
    }

    async fn peer_remove(&self, request: RemoveRequest) -> Result<PeerView, ApiError> {
        let member = self.shared.remove_peer(&request.host, request.reason).await?;
        let gone = self.peer_view(&member, None);
        if gone.removal.is_some() {
            return Ok(gone);
        }
        let state = PeerState::Inactive;
        Ok(PeerView { status: MemberStatus::Inactive, state, via: None, ..gone })
    }

    async fn rename(&self, request: RenameRequest) -> Result<RenameReply, ApiError> {
        let hostname: Hostname = request.hostname.parse().map_err(|error| {
            ApiError::new(
                ErrorCode::HostnameInvalid,
                format!("{error}; nothing was changed"),
                "a hostname is 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
            )
        })?;
        let (former, peers_told) = self.shared.rename(hostname.clone()).await?;
        Ok(RenameReply { hostname: hostname.to_string(), former: former.to_string(), peers_told })
    }

    async fn ping(&self, request: PingRequest) -> Result<PingReply, ApiError> {
        let timeout = request.timeout_ms.map(Duration::from_millis);
        let trip = Self::ping(self, &request.host, timeout).await?;
        Ok(PingReply {
            rtt_ms: millis(trip.rtt),
            via: self.shared.via_words(&trip.via),
            clock_offset_ms: trip.clock_offset_ms,
        })
    }

    async fn send(&self, request: SendRequest) -> Result<SendReply, ApiError> {
        let wait = request.wait_seconds.map(Duration::from_secs);
        let sent = self.shared.send(outgoing(request)?).await?;
        let (message_id, warnings) = (sent.message_id, sent.warnings.clone());
        let deliveries = match wait {
            None => Vec::new(),
            Some(wait) => {
                let reports = sent.wait(wait.min(WAIT_MAX)).await;
                let view = self.shared.view();
                reports.iter().map(|report| self.delivery_view(&view, report)).collect()
            }
        };
        Ok(SendReply { message_id, deliveries, warnings })
    }

    async fn inbox(&self, query: InboxQuery) -> Result<Vec<InboxView>, ApiError> {
        let wanted = query.limit.unwrap_or(INBOX_LIMIT).min(INBOX_LIMIT_MAX);
        let from = self.sender_filter(query.from.as_deref())?;
        let mut answer = Vec::new();
        let (mut after_id, mut bytes) = (None, 0_usize);
        // The store answers in parts that fit into memory; this answer has a bound of its own.
        while answer.len() < wanted && bytes < INBOX_BYTES_MAX {
            let part = mesh_store::InboxQuery {
                after_id,
                from,
                app_type: query.app_type.clone(),
                limit: wanted - answer.len(),
                unacked_only: true,
            };
            let rows = self.shared.store.list_inbox(part).await.map_err(NodeError::storage)?;
            let Some(last) = rows.last() else { break };
            after_id = Some(last.inbox_id);
            bytes += rows.iter().map(|row| row.body.len()).sum::<usize>();
            let view = self.shared.view();
            let received = rows.into_iter().filter_map(|row| self.shared.received(row));
            answer.extend(received.map(|received| self.inbox_view(&view, received)));
        }
        Ok(answer)
    }

    fn inbox_follow(&self, query: InboxQuery) -> BoxStream<'static, Result<InboxView, ApiError>> {
        let from = match self.sender_filter(query.from.as_deref()) {
            Ok(from) => from,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let filter = query.app_type.map_or(Filter::Everything, Filter::AppType);
        let subscription = Subscription::new(Arc::clone(&self.shared), filter);
        let node = self.clone();
        let messages =
            stream::unfold((subscription, node), move |(mut subscription, node)| async move {
                loop {
                    let received = subscription.next().await?;
                    // Live messages are not in the inbox: a follower must not see what it cannot ack.
                    if received.is_live || from.is_some_and(|from| from != received.message.from) {
                        continue;
                    }
                    let view = node.shared.view();
                    return Some((Ok(node.inbox_view(&view, received)), (subscription, node)));
                }
            });
        match query.limit {
            Some(limit) => messages.take(limit).boxed(),
            None => messages.boxed(),
        }
    }

    async fn inbox_ack(&self, request: InboxAck) -> Result<InboxAckReply, ApiError> {
        if request.message_ids.len() > ACK_MAX {
            return Err(bad_request("more than 10,000 messages at once; none was acknowledged"));
        }
        Ok(InboxAckReply { acked: self.ack(request.message_ids).await? })
    }

    async fn outbox(&self) -> Result<Vec<OutboxView>, ApiError> {
        let rows = self.shared.store.list_outbox(OUTBOX_LIMIT).await.map_err(NodeError::storage)?;
        let now = clock::now();
        let view = self.shared.view();
        let waiting: std::collections::BTreeMap<_, _> = {
            let core = lock(&self.shared.core);
            core.outbound().waiting().map(|waiting| (waiting.sequence, waiting)).collect()
        };
        let views = rows.into_iter().filter_map(|row| {
            let (state, next_attempt_at, attempts) = match row.end {
                Some(OutboxEnd::Acked) => return None,
                Some(OutboxEnd::Expired) => ("expired", None, row.attempts),
                Some(OutboxEnd::Refused(_)) => ("refused", None, row.attempts),
                None => {
                    // Acknowledged already; the row goes with the next commit.
                    let live = waiting.get(&row.sequence)?;
                    let at = live
                        .next_attempt_at
                        .map(|at| now.wall.plus(at.saturating_duration_since(now.instant)));
                    (waiting_word(live.state), at, live.attempts)
                }
            };
            Some(OutboxView {
                message_id: row.message_id,
                to: view.label(&row.to),
                to_peer_id: row.to,
                custodians: self.shared.custodians_of(row.sequence),
                attempts,
                next_attempt_at,
                state: state.to_owned(),
                reason: match row.end {
                    Some(OutboxEnd::Refused(code)) => Some(code),
                    Some(OutboxEnd::Acked | OutboxEnd::Expired) | None => row.reason,
                },
                expires_at: row.expires_at,
                bytes: row.body_bytes,
            })
        });
        Ok(views.collect())
    }

    async fn events(&self, limit: usize) -> Result<Vec<EventView>, ApiError> {
        Ok(self.shared.events.latest(limit).into_iter().map(event_view).collect())
    }

    fn events_follow(&self, limit: usize) -> BoxStream<'static, EventView> {
        use tokio::sync::broadcast::error::RecvError;
        let (past, live) = self.shared.events.follow(limit);
        let shutdown = self.shared.tasks.shutdown().clone();
        let present = stream::unfold((live, shutdown), |(mut live, shutdown)| async move {
            let received = tokio::select! {
                () = shutdown.cancelled() => return None,
                received = live.recv() => received,
            };
            let view = match received {
                Ok(event) => event_view(event),
                // Said, not hidden: a follower that was too slow knows that it missed some.
                Err(RecvError::Lagged(missed)) => EventView {
                    at: clock::now().wall,
                    kind: "events_missed".to_owned(),
                    fields: serde_json::Map::from_iter([("missed".to_owned(), missed.into())]),
                },
                Err(RecvError::Closed) => return None,
            };
            Some((view, (live, shutdown)))
        });
        stream::iter(past.into_iter().map(event_view)).chain(present).boxed()
    }
}
