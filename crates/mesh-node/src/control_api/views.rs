//! Requests as the node takes them, and its rows and reports as the API shows them.

use std::time::Duration;

use mesh_control::{
    ApiError, DeliveryState, DeliveryView, EventView, InboxView, MemberStatus, PeerRef, PeerView,
    PendingRemovalView, SendPriority, SendRequest, TokenState, TokenView,
};
use mesh_delivery::{Priority, WaitingState};
use mesh_membership::Member;
use mesh_protocol::{CustomJson, Encryption, JsonText, Payload, PeerId, Recipient, UnixMillis};
use mesh_store::TokenRow;

use crate::clock;
use crate::config::MESSAGE_TTL;
use crate::error::NodeError;
use crate::events::Event;
use crate::node::Node;
use crate::outgoing::{Delivery, DeliveryOutcome, DeliveryReport, Outgoing, Target};
use crate::shared::lock;
use crate::subscribe::Received;
use crate::view::View;

use super::bad_request;

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub(super) const fn waiting_word(state: WaitingState) -> &'static str {
    match state {
        WaitingState::Queued => "queued",
        WaitingState::UnderWay => "sending",
        WaitingState::BackingOff => "retrying",
        WaitingState::PeerDown => "waiting_for_link",
    }
}

pub(super) fn event_view(event: Event) -> EventView {
    EventView { at: event.at, kind: event.kind.to_owned(), fields: event.fields }
}

impl Node {
    pub(crate) async fn peers_view(&self) -> Result<Vec<PeerView>, ApiError> {
        let rows = self.shared.store.load_peers().await.map_err(NodeError::storage)?;
        let seen: std::collections::BTreeMap<PeerId, UnixMillis> =
            rows.iter().filter_map(|row| Some((row.peer_id, row.last_seen_at?))).collect();
        let view = self.shared.view();
        let mut peers: Vec<PeerView> = view
            .verdict
            .members()
            .values()
            .map(|member| self.peer_view(member, seen.get(&member.peer_id).copied()))
            .collect();
        peers.sort_by(|a, b| (!a.is_self, &a.hostname).cmp(&(!b.is_self, &b.hostname)));
        Ok(peers)
    }

    pub(super) fn peer_view(&self, member: &Member, last_seen: Option<UnixMillis>) -> PeerView {
        let shared = &self.shared;
        let is_self = member.peer_id == shared.me;
        let link = shared.link(&member.peer_id);
        let state = shared.peer_state(&member.peer_id);
        let is_active = shared.is_active(&member.peer_id);
        let seen_now = crate::reach::last_seen(&lock(&shared.core), link.as_ref(), &member.peer_id);
        PeerView {
            hostname: member.hostname.to_string(),
            peer_id: member.peer_id,
            status: if is_active { MemberStatus::Active } else { MemberStatus::Inactive },
            state,
            via: shared.peer_via(&member.peer_id),
            last_seen_at: if is_self { Some(clock::now().wall) } else { seen_now.or(last_seen) },
            joined_at: member.joined_at,
            addresses: member.addresses.iter().map(ToString::to_string).collect(),
            tailscale_ip: member.tailscale_ip.clone(),
            tailscale_hostname: member.tailscale_hostname.clone(),
            version: member.agent_version.clone(),
            rtt_ms: link.and_then(|link| link.rtt()).map(millis),
            is_self,
            removal: self.pending_removal(&member.peer_id),
        }
    }

    fn pending_removal(&self, peer: &PeerId) -> Option<PendingRemovalView> {
        let view = self.shared.view();
        let pending = view.verdict.pending_removal_of(peer)?;
        let asked_by = pending.by.iter().map(|voter| view.label(voter)).collect();
        Some(PendingRemovalView { asked_by, needed: pending.needed })
    }

    pub(super) fn token_view(view: &View, row: &TokenRow, now: UnixMillis) -> TokenView {
        let state = if row.used_by.is_some() {
            TokenState::Used
        } else if row.revoked_at.is_some() {
            TokenState::Revoked
        } else if row.expires_at <= now {
            TokenState::Expired
        } else {
            TokenState::Unused
        };
        TokenView {
            token_id: row.token_id,
            note: row.note.clone(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            state,
            used_by: row.used_by.map(|peer_id| PeerRef {
                peer_id,
                hostname: view
                    .verdict
                    .member(&peer_id)
                    .map(|member| member.hostname.to_string())
                    .unwrap_or_default(),
            }),
        }
    }

    pub(super) fn inbox_view(&self, view: &View, received: Received) -> InboxView {
        let message = received.message;
        let (app_type, data) = match &message.payload {
            Payload::CustomJson(custom) => (custom.app_type.clone(), custom.data.to_value()),
            Payload::DatabaseSync(_)
            | Payload::FileTransfer(_)
            | Payload::MediaStream(_)
            | Payload::ConfigUpdate(_)
            | Payload::Ping(_)
            | Payload::Pong(_)
            | Payload::Ack(_)
            | Payload::Error(_)
            | Payload::Unknown(_) => (String::new(), message.payload.to_json()),
        };
        let to = match message.to {
            Recipient::Broadcast => "broadcast".to_owned(),
            Recipient::Peer(peer) => view.label(&peer),
        };
        let via = if message.from == self.shared.me {
            "self".to_owned()
        } else {
            self.shared.via_words(&received.via)
        };
        InboxView {
            message_id: message.message_id,
            from: received.from_hostname,
            from_peer_id: message.from,
            to,
            app_type,
            data,
            timestamp: message.timestamp,
            received_at: received.received_at,
            sealed: message.encryption == Encryption::Sealed,
            via,
        }
    }

    pub(super) fn delivery_view(&self, view: &View, report: &DeliveryReport) -> DeliveryView {
        let (state, error) = match report.outcome {
            DeliveryOutcome::Acked => (DeliveryState::Acked, None),
            DeliveryOutcome::Queued => (DeliveryState::Queued, None),
            DeliveryOutcome::Expired => (DeliveryState::Expired, None),
            DeliveryOutcome::Refused(code) => (DeliveryState::Refused, Some(code)),
        };
        let via = if report.peer == self.shared.me {
            "self".to_owned()
        } else {
            self.shared.via_words(&report.via)
        };
        DeliveryView {
            to: view.label(&report.peer),
            peer_id: report.peer,
            state,
            via: (state == DeliveryState::Acked).then_some(via),
            ms: report.after.map(millis),
            error,
        }
    }

    pub(super) fn sender_filter(&self, name: Option<&str>) -> Result<Option<PeerId>, ApiError> {
        let Some(name) = name else { return Ok(None) };
        if let Ok(peer) = name.parse::<PeerId>() {
            return Ok(Some(peer));
        }
        Ok(Some(self.shared.view().resolve(name, clock::now().wall)?.peer))
    }
}

pub(super) fn outgoing(request: SendRequest) -> Result<Outgoing, ApiError> {
    let to = match (request.to, request.broadcast) {
        (Some(name), false) => Target::Name(name),
        (None, true) => Target::Broadcast,
        (Some(_), true) | (None, false) => {
            return Err(bad_request("name either one receiver or a broadcast; nothing was sent"));
        }
    };
    let data = JsonText::from(&request.data);
    let payload = Payload::CustomJson(CustomJson { app_type: request.app_type, data });
    let priority = match request.priority {
        SendPriority::Urgent => Priority::Urgent,
        SendPriority::Normal => Priority::Normal,
        SendPriority::Bulk => Priority::Bulk,
    };
    Ok(Outgoing {
        to,
        payload,
        delivery: Delivery::Durable,
        priority,
        seal: request.seal,
        ttl: request.ttl_seconds.map_or(MESSAGE_TTL, Duration::from_secs),
    })
}
