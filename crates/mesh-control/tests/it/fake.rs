//! An agent that answers every question the same way each time. Shared with the tests of mesh-ctl.

#[path = "fake_config.rs"]
mod config;
#[path = "fake_data.rs"]
mod data;
#[path = "fake_files.rs"]
mod files;
#[path = "fake_git.rs"]
mod git;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use mesh_control::{
    ApiError, CheckView, ConfigFileState, ConfigStatusView, ControlApi, DeliveryState,
    DeliveryView, EventView, InboxAck, InboxAckReply, InboxQuery, InboxView, JoinProgress,
    JoinRequestBody, JoinStep, MemberStatus, OutboxView, PeerCounts, PeerRef, PeerState, PeerView,
    PendingRemovalView, PingReply, PingRequest, QueueView, RemoveRequest, RenameReply,
    RenameRequest, RouteCounts, SendReply, SendRequest, StatusView, SyncProgress, SyncReply,
    SyncRequest, SyncStep, SyncStepView, SyncView, TableSyncView, TokenCreate, TokenCreated,
    TokenState, TokenView,
};
use mesh_protocol::{ErrorCode, MeshId, MessageId, PeerId, TokenId, UnixMillis};
use serde_json::json;

pub(crate) use self::data::BACKUP;

/// Text that a terminal would obey, as a hostile peer would send it.
const HOSTILE: &str = "\u{1b}[2J\u{202e}evil\r\n\u{7}";

/// Answers from constants around `now`, or refuses everything with one error.
#[derive(Clone, Debug)]
pub(crate) struct FakeAgent {
    now: UnixMillis,
    refusal: Arc<Mutex<Option<ApiError>>>,
    breaking: Arc<Mutex<Option<usize>>>,
    /// Whether the size of a backup is known beforehand.
    pub(crate) knows_size: bool,
    asked: Arc<Mutex<Vec<String>>>,
    well: Arc<AtomicBool>,
    /// What was pushed last.
    course: Arc<Mutex<String>>,
}

impl FakeAgent {
    pub(crate) fn new(now: UnixMillis) -> Self {
        Self {
            now,
            refusal: Arc::default(),
            breaking: Arc::default(),
            knows_size: true,
            asked: Arc::default(),
            well: Arc::default(),
            course: Arc::default(),
        }
    }

    /// From here on every question is refused with `code`.
    pub(crate) fn refuse(&self, code: ErrorCode) {
        let error = ApiError::new(code, format!("refused with {code}"), "try something else");
        *self.refusal.lock().unwrap() = Some(error);
    }

    /// From here on every backup breaks off at a chunk.
    pub(crate) fn break_backups(&self, chunk: usize) {
        *self.breaking.lock().unwrap() = Some(chunk);
    }

    /// From here on every member has the same configuration.
    pub(crate) fn mend(&self) {
        self.well.store(true, Ordering::Relaxed);
    }

    fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    /// What was asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn answer<T>(&self, question: String, answer: T) -> Result<T, ApiError> {
        self.asked.lock().unwrap().push(question);
        match self.refusal.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    fn ago(&self, seconds: u64) -> UnixMillis {
        UnixMillis(self.now.0 - seconds * 1000)
    }

    fn ahead(&self, seconds: u64) -> UnixMillis {
        self.now.plus(Duration::from_secs(seconds))
    }

    fn peer_views(&self) -> Vec<PeerView> {
        let view = |number: u8, hostname: &str, seen: Option<u64>| PeerView {
            hostname: hostname.to_owned(),
            peer_id: peer(number),
            status: if number < 4 { MemberStatus::Active } else { MemberStatus::Inactive },
            state: match number {
                1 | 2 => PeerState::Alive,
                3 => PeerState::Suspect,
                _ => PeerState::Inactive,
            },
            via: match number {
                1 | 2 => Some(vec![]),
                3 => Some(vec!["mint".to_owned(), HOSTILE.to_owned()]),
                _ => None,
            },
            last_seen_at: seen.map(|seconds| self.ago(seconds)),
            joined_at: self.ago(86_400 * u64::from(number)),
            addresses: vec![format!("192.0.2.{number}:13500")],
            tailscale_ip: None,
            tailscale_hostname: None,
            version: "0.1.0".to_owned(),
            rtt_ms: (number == 2).then_some(0.412),
            is_self: number == 1,
            removal: (number == 3).then(|| PendingRemovalView {
                asked_by: vec!["baulder".to_owned(), HOSTILE.to_owned()],
                needed: 3,
            }),
        };
        vec![
            view(1, "baulder", Some(65)),
            view(2, "mint", Some(65)),
            view(3, "oak", Some(7_200)),
            view(4, HOSTILE, None),
        ]
    }

    fn token(&self, number: u8, state: TokenState) -> TokenView {
        let used_by = (state == TokenState::Used)
            .then(|| PeerRef { peer_id: peer(2), hostname: "mint".to_owned() });
        TokenView {
            token_id: token_id(number),
            note: if number == 1 { "for mint".to_owned() } else { String::new() },
            created_at: self.ago(3_600),
            expires_at: self.ahead(82_800),
            state,
            used_by,
        }
    }

    fn messages(&self, query: &InboxQuery) -> Vec<InboxView> {
        let view = |number: u8, from: &str, app_type: &str, data| InboxView {
            message_id: message_id(number),
            from: from.to_owned(),
            from_peer_id: peer(2),
            to: if number == 2 { "broadcast".to_owned() } else { "baulder".to_owned() },
            app_type: app_type.to_owned(),
            data,
            timestamp: self.ago(301),
            received_at: self.ago(300),
            sealed: number == 1,
            via: "direct".to_owned(),
        };
        let mut messages = vec![
            view(1, "mint", "text", json!({"text": "hello"})),
            view(2, "oak", "deploy.request", json!({"ref": "main", "files": [1, 2]})),
            view(3, HOSTILE, "text", json!({"text": HOSTILE})),
        ];
        messages.retain(|message| {
            query.app_type.as_ref().is_none_or(|wanted| *wanted == message.app_type)
                && query.from.as_ref().is_none_or(|wanted| *wanted == message.from)
        });
        messages.truncate(query.limit.unwrap_or(usize::MAX));
        messages
    }

    fn event_views(&self) -> Vec<EventView> {
        let event = |seconds, kind: &str, fields: serde_json::Value| EventView {
            at: self.ago(seconds),
            kind: kind.to_owned(),
            fields: fields.as_object().cloned().unwrap_or_default(),
        };
        vec![
            event(60, "link_up", json!({"hostname": "mint", "address": "192.0.2.2:13500"})),
            event(30, "renamed", json!({"hostname": HOSTILE, "former": "oak"})),
        ]
    }
}

fn compared(is_forced: bool) -> Vec<TableSyncView> {
    let view = |table: &str, in_step, rows_repaired| TableSyncView {
        table: table.to_owned(),
        in_step,
        rows_repaired,
    };
    if is_forced { vec![view("notes", true, 0), view(HOSTILE, false, 7)] } else { vec![] }
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn token_id(number: u8) -> TokenId {
    TokenId::from_bytes([0xa0 + number; 16])
}

fn message_id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}

impl ControlApi for FakeAgent {
    async fn status(&self) -> Result<StatusView, ApiError> {
        let queue = |messages, bytes| QueueView {
            messages,
            bytes,
            messages_max: 100_000,
            bytes_max: 1 << 30,
        };
        let status = StatusView {
            hostname: "baulder".to_owned(),
            peer_id: peer(1),
            mesh_id: MeshId::from_bytes([9; 32]),
            version: "0.1.0".to_owned(),
            pid: 4711,
            uptime_seconds: 93_784,
            listen: vec!["0.0.0.0:13500".to_owned(), "[::]:13500".to_owned()],
            data_dir: "/var/lib/mesh-agent".to_owned(),
            peers: PeerCounts { active: 3, inactive: 1 },
            outbox: queue(3, 4_096),
            inbox: queue(0, 0),
            custody: queue(2, 2_048),
            routes: RouteCounts { direct: 1, relayed: 1, unreachable: 1 },
            sync: SyncView { behind: 0 },
            data: data::at_a_glance(),
            config: ConfigStatusView {
                valid: true,
                keys: 42,
                version: 17,
                file: Some(ConfigFileState::InStep),
            },
            pending_removals: vec!["oak".to_owned(), HOSTILE.to_owned()],
            removed: false,
        };
        self.answer("status".to_owned(), status)
    }

    /// The clock is wrong, and something hostile is to be told of Tailscale.
    async fn doctor(&self) -> Result<Vec<CheckView>, ApiError> {
        let check = |check: &str, ok: bool, detail: &str, hint: &str| CheckView {
            check: check.to_owned(),
            ok,
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        };
        let checks = vec![
            check("agent", true, "version 0.1.0 runs as process 4711", ""),
            check("firewall", true, "nftables cannot be read without root", "look as root"),
            check("tailscale", true, HOSTILE, ""),
            check("clock", false, "oak is 5 min 0 s behind", "`timedatectl set-ntp true`"),
        ];
        self.answer("doctor".to_owned(), checks)
    }

    fn sync(&self, request: SyncRequest) -> BoxStream<'static, SyncProgress> {
        let steps = [
            (SyncStep::HostInfo, "unchanged: baulder at 192.0.2.1:13500"),
            (SyncStep::EncryptedData, "membership records: 1 members compared, 2 received, 3 sent"),
            (SyncStep::MeshPeers, HOSTILE),
        ];
        let steps = (1..).zip(steps).map(|(number, (step, detail))| SyncStepView {
            step,
            number,
            total: 3,
            detail: detail.to_owned(),
        });
        let steps: Vec<SyncStepView> = steps.collect();
        let reply = SyncReply {
            peers_contacted: 3,
            peers_added: 1,
            changes_received: 2,
            changes_sent: 3,
            steps: steps.clone(),
            tables: compared(request.force),
        };
        let told = steps.into_iter().map(SyncProgress::Step);
        match self.answer(format!("{request:?}"), reply) {
            Ok(reply) => stream::iter(told.chain([SyncProgress::Done(reply)])).boxed(),
            Err(error) => {
                stream::iter(told.take(1).chain([SyncProgress::Failed { error }])).boxed()
            }
        }
    }

    async fn token_create(&self, request: TokenCreate) -> Result<TokenCreated, ApiError> {
        let created = TokenCreated {
            token: "mesh-token-text".to_owned(),
            token_id: token_id(1),
            expires_at: self.ahead(request.ttl_seconds.unwrap_or(86_400)),
        };
        self.answer(format!("{request:?}"), created)
    }

    async fn token_list(&self) -> Result<Vec<TokenView>, ApiError> {
        let tokens = vec![self.token(2, TokenState::Unused), self.token(1, TokenState::Used)];
        self.answer("token_list".to_owned(), tokens)
    }

    async fn token_revoke(&self, id: String) -> Result<TokenView, ApiError> {
        self.answer(format!("token_revoke {id}"), self.token(2, TokenState::Revoked))
    }

    fn join(&self, request: JoinRequestBody) -> BoxStream<'static, JoinProgress> {
        let steps = [
            (JoinStep::TokenChecked, "token of baulder"),
            (JoinStep::IssuerReached, "192.0.2.1:13500"),
            (JoinStep::Admitted, "as mint"),
            (JoinStep::PeersReceived, "4 members"),
            (JoinStep::PeersStored, ""),
            (JoinStep::MembersLinked, HOSTILE),
        ];
        let steps = (1..).zip(steps).map(|(number, (step, detail))| JoinProgress::Step {
            step,
            number,
            total: 6,
            detail: detail.to_owned(),
        });
        let done =
            JoinProgress::Done { mesh_id: MeshId::from_bytes([9; 32]), peers: self.peer_views() };
        match self.answer(format!("join {}", request.token), done) {
            Ok(done) => stream::iter(steps.chain([done])).boxed(),
            Err(error) => {
                stream::iter(steps.take(2).chain([JoinProgress::Failed { error }])).boxed()
            }
        }
    }

    async fn peers(&self) -> Result<Vec<PeerView>, ApiError> {
        self.answer("peers".to_owned(), self.peer_views())
    }

    async fn peer_remove(&self, request: RemoveRequest) -> Result<PeerView, ApiError> {
        let place = if request.host == "oak" { 2 } else { 1 };
        let removal = self.peer_views().swap_remove(2).removal.filter(|_| place == 1);
        let view = PeerView { removal, ..self.peer_views().swap_remove(place) };
        self.answer(format!("{request:?}"), view)
    }

    async fn rename(&self, request: RenameRequest) -> Result<RenameReply, ApiError> {
        let reply = RenameReply {
            hostname: request.hostname.clone(),
            former: "baulder".to_owned(),
            peers_told: 1,
        };
        self.answer(format!("{request:?}"), reply)
    }

    async fn ping(&self, request: PingRequest) -> Result<PingReply, ApiError> {
        let via = if request.host == "oak" { "mint, elm" } else { "direct" };
        let reply = PingReply { rtt_ms: 0.412, via: via.to_owned(), clock_offset_ms: -3 };
        self.answer(format!("{request:?}"), reply)
    }

    /// `oak` does not answer, so its delivery waits; `gone` refuses.
    async fn send(&self, request: SendRequest) -> Result<SendReply, ApiError> {
        let delivery = |number: u8, to: &str, state| DeliveryView {
            to: to.to_owned(),
            peer_id: peer(number),
            state,
            via: (state == DeliveryState::Acked).then(|| "direct".to_owned()),
            ms: (state == DeliveryState::Acked).then_some(1.25),
            error: (state == DeliveryState::Refused).then_some(ErrorCode::NotAMember),
        };
        let deliveries = match (&request.wait_seconds, request.to.as_deref()) {
            (None, _) => vec![],
            (Some(_), Some("oak")) => vec![delivery(3, "oak", DeliveryState::Queued)],
            (Some(_), Some("gone")) => vec![delivery(5, "gone", DeliveryState::Refused)],
            (Some(_), Some(to)) => vec![delivery(2, to, DeliveryState::Acked)],
            (Some(_), None) => vec![
                delivery(2, "mint", DeliveryState::Acked),
                delivery(3, "oak", DeliveryState::Queued),
            ],
        };
        let warnings = match request.to.as_deref() {
            Some("old") => vec!["old is called mint by now".to_owned()],
            Some(_) | None => vec![],
        };
        let reply = SendReply { message_id: message_id(9), deliveries, warnings };
        self.answer(format!("{request:?}"), reply)
    }

    async fn inbox(&self, query: InboxQuery) -> Result<Vec<InboxView>, ApiError> {
        let messages = self.messages(&query);
        self.answer(format!("{query:?}"), messages)
    }

    fn inbox_follow(&self, query: InboxQuery) -> BoxStream<'static, Result<InboxView, ApiError>> {
        let messages = self.messages(&query);
        let is_full = query.limit.is_some_and(|limit| messages.len() >= limit);
        match self.answer(format!("follow {query:?}"), messages) {
            Ok(messages) if is_full => stream::iter(messages).map(Ok).boxed(),
            Ok(messages) => stream::iter(messages).map(Ok).chain(stream::pending()).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn inbox_ack(&self, request: InboxAck) -> Result<InboxAckReply, ApiError> {
        let reply = InboxAckReply { acked: request.message_ids.len() as u64 };
        self.answer(format!("ack {}", request.message_ids.len()), reply)
    }

    async fn outbox(&self) -> Result<Vec<OutboxView>, ApiError> {
        let view = |number: u8, state: &str, next: Option<u64>, reason| OutboxView {
            message_id: message_id(number),
            to: "oak".to_owned(),
            to_peer_id: peer(3),
            custodians: if number == 4 { vec!["mint".to_owned()] } else { vec![] },
            attempts: u32::from(number),
            next_attempt_at: next.map(|seconds| self.ahead(seconds)),
            state: state.to_owned(),
            reason,
            expires_at: self.ahead(6 * 86_400 + 60),
            bytes: 2_048 * u64::from(number),
        };
        let waiting = vec![
            view(0, "waiting_for_link", None, None),
            view(4, "retrying", Some(720), Some(ErrorCode::QueueFull)),
        ];
        self.answer("outbox".to_owned(), waiting)
    }

    async fn events(&self, limit: usize) -> Result<Vec<EventView>, ApiError> {
        let mut events = self.event_views();
        events.drain(..events.len().saturating_sub(limit));
        self.answer(format!("events {limit}"), events)
    }

    fn events_follow(&self, limit: usize) -> BoxStream<'static, EventView> {
        let mut events = self.event_views();
        events.drain(..events.len().saturating_sub(limit));
        self.asked.lock().unwrap().push(format!("follow events {limit}"));
        stream::iter(events).chain(stream::pending()).boxed()
    }
}
