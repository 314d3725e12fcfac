//! The library and its thread.

use std::fmt;
use std::time::Duration;

use mdns_sd::{IfKind, IfPredicate, Metrics, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::time::timeout;

use super::book::Seen;
use super::claim::{MESH_KEY, PEER_KEY};
use super::{LanConfig, LanInterfaces};
use crate::{LanError, MeshPrefix, PeerPrefix};

/// The service that agents announce and look for.
pub const SERVICE_TYPE: &str = "_agent-mesh._tcp.local.";

/// How often the thread is looked after.
pub(super) const PULSE: Duration = Duration::from_secs(5);

/// How often the thread looks for networks that came or went. Each look asks the system for its
/// addresses, once per private one.
const NETWORKS_EVERY_SECONDS: u32 = 15;

/// DNS records that the thread may remember; the library itself has no bound. An agent has four or
/// five, so a thousand fit.
const RECORDS_MAX: i64 = 8192;

/// Timers that the thread may hold: each hearing of a record sets two or three, for up to 75 minutes.
const TIMERS_MAX: i64 = 1 << 20;

/// The library's own counts of the records it remembers.
const WATCHED: [&str; 6] =
    ["cached-ptr", "cached-srv", "cached-addr", "cached-txt", "cached-nsec", "cached-subtype"];

/// The library's own count of its timers.
const TIMERS: &str = "timer";

/// How long the thread may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// What this node says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcement {
    pub(super) peer: PeerPrefix,
    pub(super) mesh: MeshPrefix,
    pub(super) port: u16,
}

impl Announcement {
    /// The names show the peer prefix in place of the machine's hostname.
    fn service(self) -> Result<ServiceInfo, mdns_sd::Error> {
        let Self { peer, mesh, port } = self;
        let properties = [(MESH_KEY, mesh.to_string()), (PEER_KEY, peer.to_string())];
        let host = format!("agent-mesh-{peer}.local.");
        let service =
            ServiceInfo::new(SERVICE_TYPE, &peer.to_string(), &host, (), port, &properties[..])?;
        Ok(service.enable_addr_auto())
    }
}

/// A thread that announces and listens. Dropping it tells the thread to withdraw and end.
pub(super) struct Daemon {
    service: ServiceDaemon,
    /// Bounded by the library, which closes it when it is full.
    events: Receiver<ServiceEvent>,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").field("waiting", &self.events.len()).finish_non_exhaustive()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The thread holds a sender to itself, and would never notice that nobody is left.
        if let Err(error) = self.service.shutdown() {
            tracing::debug!(%error, "the multicast thread has ended already");
        }
    }
}

impl Daemon {
    pub(super) fn open(config: &LanConfig, announcement: Announcement) -> Result<Self, LanError> {
        let service = ServiceDaemon::new_with_port(config.mdns_port).map_err(start)?;
        // Orders are carried out one after another: before these nothing was sent.
        let opened = select_networks(&service, &config.interfaces)
            .and_then(|()| service.register(announcement.service()?))
            .and_then(|()| service.browse(SERVICE_TYPE));
        match opened {
            Ok(events) => Ok(Self { service, events }),
            Err(error) => {
                // As in `drop`: whether it has ended already makes no difference.
                let _ended = service.shutdown();
                Err(start(error))
            }
        }
    }

    /// Replaces what is announced, and hears everybody again.
    pub(super) fn announce(&mut self, announcement: Announcement) -> Result<(), LanError> {
        let register = announcement.service().and_then(|service| self.service.register(service));
        register.map_err(start)?;
        self.events = self.service.browse(SERVICE_TYPE).map_err(start)?;
        Ok(())
    }

    /// Waits for news; `None` when the thread has ended or nobody took what it had to say.
    pub(super) async fn next(&self) -> Option<Seen> {
        let event = self.events.recv_async().await.ok()?;
        Some(match event {
            ServiceEvent::ServiceResolved(service) => Seen::There(service),
            ServiceEvent::ServiceRemoved(_, name) => Seen::Gone(name),
            // The library may add events.
            ServiceEvent::SearchStarted(_)
            | ServiceEvent::ServiceFound(..)
            | ServiceEvent::SearchStopped(_)
            | _ => Seen::Other,
        })
    }

    /// Whether the thread lives and remembers no more than it should.
    pub(super) async fn is_fit(&self) -> bool {
        let Ok(answer) = self.service.get_metrics() else {
            return false;
        };
        match timeout(ANSWER_WAIT, answer.recv_async()).await {
            Ok(metrics) => metrics.is_ok_and(|metrics| is_bounded(&metrics)),
            // Busy, but alive.
            Err(_) => true,
        }
    }

    /// Ends the thread, and waits until it has withdrawn the announcement.
    pub(super) async fn close(self) {
        if let Ok(answer) = self.service.shutdown()
            && timeout(ANSWER_WAIT, answer.recv_async()).await.is_err()
        {
            tracing::debug!("the multicast thread takes its time to end");
        }
    }
}

fn select_networks(
    service: &ServiceDaemon,
    interfaces: &LanInterfaces,
) -> Result<(), mdns_sd::Error> {
    service.set_ip_check_interval(NETWORKS_EVERY_SECONDS)?;
    let interfaces = interfaces.clone();
    let others = IfPredicate::new(move |interface| !interfaces.take(interface));
    service.disable_interface(IfKind::Predicate(others))
}

fn is_bounded(metrics: &Metrics) -> bool {
    let count = |name: &str| metrics.get(name).copied().unwrap_or(0);
    let records: i64 = WATCHED.iter().map(|name| count(name)).sum();
    let timers = count(TIMERS);
    records <= RECORDS_MAX && timers <= TIMERS_MAX
}

fn start(error: mdns_sd::Error) -> LanError {
    LanError::Start(error.into())
}

#[cfg(test)]
mod tests;
