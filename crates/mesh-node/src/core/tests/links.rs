//! Links between members: dials, heartbeats, probes, and the frames that come in.

use std::time::{Duration, Instant};

use mesh_membership::{LinkInput, keeps_existing};
use mesh_protocol::{
    Frame, Itinerary, LinkPing, LinkStateVersions, PeerId, Probe, ProbeResult, RoutedPing, Swim,
    UnixMillis,
};

use super::member::{Member, Packet};

const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the subject of a probe may take to answer a ping.
const PROBE_PING_TIMEOUT: Duration = Duration::from_millis(700);

/// Who dialled, in which of its lives, and a number.
pub(super) type ConnId = (PeerId, u64, u64);

#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: ConnId,
    is_dialled: bool,
    sent: u64,
    received: u64,
}

/// A ping without its answer.
#[derive(Debug)]
pub(super) struct Ping {
    /// The link that it took; none when it goes through others.
    conn: Option<ConnId>,
    sent_at: Instant,
    /// Who wants to know, and until when; none for a heartbeat.
    asked: Option<(PeerId, Probe, Instant)>,
}

impl Ping {
    pub(super) fn until(&self) -> Option<Instant> {
        self.asked.map(|(_, _, until)| until)
    }
}

impl Member {
    pub(super) fn dial(&mut self, peer: PeerId) {
        let conn = (self.me, self.incarnation, self.number());
        self.dials.insert(conn, (peer, self.now + DIAL_TIMEOUT));
        self.post(&peer, Packet::Dial { conn });
    }

    pub(super) fn end_dials(&mut self) {
        let now = self.now;
        let over: Vec<(ConnId, PeerId)> = self
            .dials
            .iter()
            .filter(|(_, (_, until))| *until <= now)
            .map(|(conn, (peer, _))| (*conn, *peer))
            .collect();
        for (conn, peer) in over {
            self.dials.remove(&conn);
            self.drive(|core, now| core.plan(LinkInput::DialFailed { peer }, now));
        }
    }

    pub(super) fn greet(&mut self, from: PeerId, conn: ConnId) {
        if self.dials.contains_key(&conn) {
            self.post(&from, Packet::Hello { conn });
        }
    }

    pub(super) fn accept(&mut self, from: PeerId, conn: ConnId) {
        self.post(&from, Packet::Welcome { conn });
        self.register(from, conn, false);
    }

    pub(super) fn welcomed(&mut self, from: PeerId, conn: ConnId) {
        if self.dials.remove(&conn).is_some() {
            self.register(from, conn, true);
        } else {
            self.post(&from, Packet::Close { conn });
        }
    }

    fn register(&mut self, peer: PeerId, conn: ConnId, is_dialled: bool) {
        let existing = self.links.get(&peer).map(|link| (link.conn, link.is_dialled));
        if let Some((_, existing)) = existing
            && keeps_existing(self.me, peer, existing, is_dialled)
        {
            self.post(&peer, Packet::Close { conn });
            // The peer may have dialled because it lost the link that stays.
            return self.ping(&peer);
        }
        self.links.insert(peer, Link { conn, is_dialled, sent: 0, received: 0 });
        match existing {
            None => self.drive(|core, now| core.link_up(peer, now)),
            Some((replaced, _)) => {
                self.post(&peer, Packet::Close { conn: replaced });
                self.drive(|core, now| core.link_replaced(peer, now));
                self.fail_pings(replaced);
            }
        }
        self.ping(&peer);
    }

    /// Closes the link of a peer, if there is one.
    pub(super) fn close(&mut self, peer: &PeerId) {
        if let Some(conn) = self.links.get(peer).map(|link| link.conn) {
            self.post(peer, Packet::Close { conn });
            self.closed(*peer, conn);
        }
    }

    pub(super) fn closed(&mut self, peer: PeerId, conn: ConnId) {
        if self.links.get(&peer).is_some_and(|link| link.conn == conn) {
            self.links.remove(&peer);
            self.drive(|core, now| core.link_down(peer, now));
            self.fail_pings(conn);
        }
    }

    /// Sends a frame over a link; false when there is none.
    pub(super) fn tell(&mut self, peer: &PeerId, frame: Frame) -> bool {
        let Some(link) = self.links.get_mut(peer) else { return false };
        link.sent += 1;
        let (conn, place) = (link.conn, link.sent);
        self.post(peer, Packet::Frame { conn, place, frame });
        true
    }

    pub(super) fn ping(&mut self, peer: &PeerId) {
        self.ping_for(peer, None);
    }

    fn ping_for(&mut self, peer: &PeerId, asked: Option<(PeerId, Probe, Instant)>) -> bool {
        let Some(conn) = self.links.get(peer).map(|link| link.conn) else { return false };
        // Nobody waits for these any more.
        self.pings.retain(|_, ping| ping.asked.is_some() || ping.conn != Some(conn));
        let nonce = self.number();
        self.pings.insert(nonce, Ping { conn: Some(conn), sent_at: self.now, asked });
        self.tell(peer, Frame::Ping(LinkPing { nonce, sent_at: self.time().wall.0 }))
    }

    fn fail_pings(&mut self, conn: ConnId) {
        let lost: Vec<Ping> =
            self.pings.extract_if(.., |_, ping| ping.conn == Some(conn)).map(|(_, p)| p).collect();
        for ping in lost {
            self.answer_probe(&ping, false);
        }
    }

    pub(super) fn end_pings(&mut self) {
        let now = self.now;
        let is_over = |ping: &Ping| ping.until().is_some_and(|until| until <= now);
        let over: Vec<Ping> =
            self.pings.extract_if(.., |_, ping| is_over(ping)).map(|(_, ping)| ping).collect();
        for ping in over {
            self.answer_probe(&ping, false);
        }
    }

    fn take_probe(&mut self, from: PeerId, probe: Probe) {
        let asked = Some((from, probe, self.now + PROBE_PING_TIMEOUT));
        if self.ping_for(&probe.subject, asked) {
            return;
        }
        let (nonce, sent_at) = (self.number(), self.time().wall.0);
        let itinerary = Itinerary::new(self.me, probe.subject);
        let ping = RoutedPing { itinerary: itinerary.clone(), nonce, sent_at, answered_via: None };
        let waiting = Ping { conn: None, sent_at: self.now, asked };
        if self.send_onward(&itinerary, &Frame::RoutedPing(ping)) {
            self.pings.insert(nonce, waiting);
        } else {
            self.answer_probe(&waiting, false);
        }
    }

    fn answer_probe(&mut self, ping: &Ping, is_reached: bool) {
        let Some((asker, Probe { nonce, subject }, _)) = ping.asked else { return };
        let incarnation = self.core.incarnation(&subject);
        let last_seen_at = self.core.last_seen_at(&subject).unwrap_or(UnixMillis(0)).0;
        let answer = ProbeResult { nonce, subject, is_reached, incarnation, last_seen_at };
        self.tell(&asker, Frame::ProbeResult(answer));
    }

    fn take_routed_ping(&mut self, from: PeerId, ping: RoutedPing) {
        if ping.itinerary.destination != self.me {
            if let Some(itinerary) = ping.itinerary.through(self.me) {
                let frame = Frame::RoutedPing(RoutedPing { itinerary: itinerary.clone(), ..ping });
                self.send_onward(&itinerary, &frame);
            }
            return;
        }
        self.note_way(&ping.itinerary);
        let RoutedPing { itinerary: came, nonce, answered_via, .. } = ping;
        if answered_via.is_some() {
            if let Some(ping) = self.pings.remove(&nonce) {
                self.answer_probe(&ping, true);
            }
            return;
        }
        let itinerary = Itinerary::new(self.me, came.origin);
        let (sent_at, answered_via) = (self.time().wall.0, Some(came.hops));
        let answer = RoutedPing { itinerary: itinerary.clone(), nonce, sent_at, answered_via };
        self.send_back(&from, &itinerary, Frame::RoutedPing(answer));
    }

    pub(super) fn send_back(&mut self, came_over: &PeerId, itinerary: &Itinerary, frame: Frame) {
        if !self.send_onward(itinerary, &frame) {
            self.tell(came_over, frame);
        }
    }

    pub(super) fn send_swim(&mut self, to: PeerId, data: Vec<u8>) {
        let itinerary = Itinerary::new(self.me, to);
        let frame = Frame::Swim(Swim { itinerary: itinerary.clone(), data });
        self.send_onward(&itinerary, &frame);
    }

    fn take_swim(&mut self, swim: Swim) {
        let Swim { itinerary, data } = swim;
        if itinerary.destination == self.me {
            self.note_way(&itinerary);
            self.drive(|core, now| core.swim_received(itinerary.origin, data, now));
        } else if let Some(itinerary) = itinerary.through(self.me) {
            let frame = Frame::Swim(Swim { itinerary: itinerary.clone(), data });
            self.send_onward(&itinerary, &frame);
        }
    }

    pub(super) fn note_way(&mut self, itinerary: &Itinerary) {
        self.links_max = self.links_max.max(itinerary.hops.len() + 1);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest is about messages")]
    pub(super) fn take_frame(&mut self, from: PeerId, conn: ConnId, place: u64, frame: Frame) {
        let Some(link) = self.links.get_mut(&from).filter(|link| link.conn == conn) else {
            return self.post(&from, Packet::Close { conn });
        };
        link.received += 1;
        if link.received != place {
            return self.close(&from);
        }
        match frame {
            Frame::Ping(LinkPing { nonce, .. }) => {
                let sent_at = self.time().wall.0;
                self.tell(&from, Frame::Pong(LinkPing { nonce, sent_at }));
            }
            Frame::Pong(pong) => {
                let ping = self.pings.remove(&pong.nonce);
                let rtt = ping.as_ref().map(|ping| self.now - ping.sent_at);
                if let Some(ping) = ping {
                    self.answer_probe(&ping, true);
                }
                self.drive(|core, now| core.heard(from, rtt, now));
            }
            Frame::Probe(probe) => self.take_probe(from, probe),
            Frame::ProbeResult(answer) => {
                self.drive(|core, now| core.probe_answered(from, &answer, now));
            }
            Frame::LinkStateVersions(LinkStateVersions { versions, wants_answer }) => {
                self.drive(|core, now| {
                    core.link_state_versions_received(from, versions, wants_answer, now);
                });
            }
            Frame::LinkStates(states) => {
                let states =
                    states.states.into_iter().map(|signed| (signed.peek().unwrap(), signed));
                let news =
                    states.filter(|(state, _)| self.core.is_news(&state.version())).collect();
                self.drive(|core, now| core.link_states_received(from, news, now));
            }
            Frame::RoutedPing(ping) => self.take_routed_ping(from, ping),
            Frame::Swim(swim) => self.take_swim(swim),
            other => self.take_delivery(from, other),
        }
    }
}
