//! Frames on their way through this node: where they go next, and the small ones that end here.

use std::sync::Arc;
use std::time::Duration;

use mesh_protocol::{ErrorCode, Frame, Itinerary, PeerId, RoutedPing, Swim, UnixMillis};
use mesh_transport::Lane;
use tokio::sync::oneshot;

use crate::clock;
use crate::link::{LinkEntry, PongSeen};
use crate::shared::{Shared, lock};

/// Routed pings that may wait for their answer at a time.
const ROUTED_PINGS_MAX: usize = 256;

/// A routed ping that waits for its answer.
#[derive(Debug)]
pub(crate) struct PendingRoutedPing {
    sent_at: std::time::Instant,
    answer: oneshot::Sender<(PongSeen, Vec<PeerId>)>,
}

impl Shared {
    /// The link that a frame on this way takes next.
    fn next_link(&self, itinerary: &Itinerary) -> Option<Arc<LinkEntry>> {
        if let Some(entry) = self.link(&itinerary.destination) {
            return Some(entry);
        }
        let hop = lock(&self.core).next_hop(&itinerary.destination)?;
        if itinerary.has_seen(&hop) { None } else { self.link(&hop) }
    }

    /// Sends a frame of this node on its way; false when there is none at the moment, or no room.
    pub(crate) fn send_onward(&self, itinerary: &Itinerary, lane: Lane, frame: &Frame) -> bool {
        let next = self.next_link(itinerary);
        next.is_some_and(|entry| entry.sender.try_send(lane, frame).is_ok())
    }

    /// Sends an answer to where a frame came from. Whoever has just come into reach may be unknown here
    /// yet; the member that brought its frame knows a way.
    pub(crate) fn send_back(
        &self,
        came_over: &LinkEntry,
        itinerary: &Itinerary,
        frame: &Frame,
    ) -> bool {
        self.send_onward(itinerary, Lane::Urgent, frame)
            || came_over.sender.try_send(Lane::Urgent, frame).is_ok()
    }

    /// Passes on what comes from another member and is for yet another. When there is no way, or no room
    /// beside what this node has to say itself, whoever sent the frame hears nothing and tries again.
    pub(crate) fn pass_on(&self, itinerary: &Itinerary, lane: Lane, frame: &Frame) {
        let next = self.next_link(itinerary);
        if next.is_none_or(|entry| entry.sender.try_send_relayed(lane, frame).is_err()) {
            tracing::debug!(to = %itinerary.destination.short(), "no way onward for a frame, dropping it");
        }
    }

    /// The way onward through this node, for a frame that `entry` brought and that is for another member.
    pub(crate) fn onward(&self, entry: &LinkEntry, itinerary: &Itinerary) -> Option<Itinerary> {
        let view = self.view();
        let is_known = |peer: &PeerId| view.verdict.is_member(peer);
        if !is_known(&entry.peer)
            || !is_known(&itinerary.origin)
            || !is_known(&itinerary.destination)
        {
            return None;
        }
        let onward = itinerary.through(self.me);
        if onward.is_none() {
            tracing::debug!(from = %entry.peer.short(), "a frame goes in circles or too far, dropping it");
        }
        onward
    }

    /// A round trip to a member without a link; with the members that it went through.
    pub(crate) async fn ping_routed(
        &self,
        peer: PeerId,
        timeout: Duration,
    ) -> Result<(PongSeen, Vec<PeerId>), ErrorCode> {
        let (answer, answered) = oneshot::channel();
        let (now, nonce) = (clock::now(), clock::random_u64());
        {
            let mut pending = lock(&self.routed_pings);
            pending.retain(|_, ping| !ping.answer.is_closed());
            if pending.len() >= ROUTED_PINGS_MAX {
                return Err(ErrorCode::QueueFull);
            }
            pending.insert(nonce, PendingRoutedPing { sent_at: now.instant, answer });
        }
        let itinerary = Itinerary::new(self.me, peer);
        let ping = RoutedPing {
            itinerary: itinerary.clone(),
            nonce,
            sent_at: now.wall.0,
            answered_via: None,
        };
        if !self.send_onward(&itinerary, Lane::Urgent, &Frame::RoutedPing(ping)) {
            return Err(ErrorCode::PeerUnreachable);
        }
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(_)) => Err(ErrorCode::PeerUnreachable),
            Err(_) => Err(ErrorCode::TimedOut),
        }
    }

    /// Answers a routed ping, takes its answer in, or passes either on.
    pub(crate) fn take_routed_ping(&self, entry: &LinkEntry, ping: RoutedPing) {
        let now = clock::now();
        if ping.itinerary.destination != self.me {
            if let Some(itinerary) = self.onward(entry, &ping.itinerary) {
                let frame = Frame::RoutedPing(RoutedPing { itinerary: itinerary.clone(), ..ping });
                self.pass_on(&itinerary, Lane::Urgent, &frame);
            }
            return;
        }
        let RoutedPing { itinerary: came, nonce, sent_at, answered_via } = ping;
        match answered_via {
            None => {
                let itinerary = Itinerary::new(self.me, came.origin);
                let answer = RoutedPing {
                    itinerary: itinerary.clone(),
                    nonce,
                    sent_at: now.wall.0,
                    answered_via: Some(came.hops),
                };
                let _dropped = !self.send_back(entry, &itinerary, &Frame::RoutedPing(answer));
            }
            Some(via) => {
                let Some(pending) = lock(&self.routed_pings).remove(&nonce) else { return };
                let rtt = now.instant.saturating_duration_since(pending.sent_at);
                let pong = PongSeen { rtt, peer_clock: UnixMillis(sent_at) };
                let _gone = pending.answer.send((pong, via));
            }
        }
    }

    /// Sends liveness gossip; it may get lost.
    pub(crate) fn send_swim(&self, to: PeerId, data: Vec<u8>) {
        let itinerary = Itinerary::new(self.me, to);
        let frame = Frame::Swim(Swim { itinerary: itinerary.clone(), data });
        let _lost = !self.send_onward(&itinerary, Lane::Urgent, &frame);
    }

    /// Takes liveness gossip in, or passes it on.
    pub(crate) fn take_swim(self: &Arc<Self>, entry: &LinkEntry, swim: Swim) {
        let Swim { itinerary, data } = swim;
        if itinerary.destination == self.me {
            self.drive(|core, now| core.swim_received(itinerary.origin, data, now));
        } else if let Some(itinerary) = self.onward(entry, &itinerary) {
            let frame = Frame::Swim(Swim { itinerary: itinerary.clone(), data });
            self.pass_on(&itinerary, Lane::Urgent, &frame);
        }
    }
}
