//! Agents that find each other by multicast DNS (RFC 6762, RFC 6763), without any address configured.
//!
//! The library answers questions on a thread of its own. It is let loose on private networks only:
//! a machine with a public address on the same interface would otherwise answer strangers.

mod book;
mod claim;
mod daemon;
mod network;

use mesh_protocol::{MeshId, PeerId};
use tokio::time::{Interval, MissedTickBehavior, interval};

pub use self::book::SIGHTINGS_MAX;
pub use self::daemon::SERVICE_TYPE;

use self::book::{Book, Seen};
use self::daemon::{Announcement, Daemon, PULSE};
use crate::{LanError, LanFound, MeshPrefix, PeerPrefix};

/// Where announcements go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanConfig {
    /// Which networks take part.
    pub interfaces: LanInterfaces,
    /// The UDP port of multicast DNS. Agents with another one do not hear this node.
    pub mdns_port: u16,
}

impl Default for LanConfig {
    fn default() -> Self {
        Self { interfaces: LanInterfaces::Private, mdns_port: mdns_sd::MDNS_PORT }
    }
}

/// Which networks take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LanInterfaces {
    /// Every interface that has private addresses (RFC 1918, RFC 4193) and no public ones.
    Private,
    /// The interfaces with these names, whatever their addresses; loopback works, too.
    Named(Vec<String>),
}

/// Announces this node on the LAN and hears the others of its mesh.
///
/// What is announced: a service on the listening port, under a name that shows the first eight digits
/// of the peer id and nothing about the machine, with the first eight digits of the mesh id. Packets
/// go to the multicast group; the one exception is the answer that a simple resolver asks for, which
/// goes back to it (RFC 6762 §6.7).
///
/// Dropping it ends the thread and withdraws the announcement, as [`LanDiscovery::stop`] does.
#[derive(Debug)]
pub struct LanDiscovery {
    config: LanConfig,
    announcement: Announcement,
    /// Gone when the thread has ended or must end; the next pulse starts another one.
    daemon: Option<Daemon>,
    /// Made by the first `next`, which is inside the runtime.
    pulse: Option<Interval>,
    book: Book,
}

impl LanDiscovery {
    /// Announces the node `me` of `mesh`, which listens on `port` of all addresses, and starts
    /// listening.
    ///
    /// # Errors
    /// [`LanError::Start`] when the system gives no thread. A machine without a private network is
    /// no error: one may come.
    pub fn start(config: LanConfig, me: PeerId, mesh: MeshId, port: u16) -> Result<Self, LanError> {
        let announcement =
            Announcement { peer: PeerPrefix::of(&me), mesh: MeshPrefix::of(&mesh), port };
        let daemon = Daemon::open(&config, announcement)?;
        let book = Book::default();
        Ok(Self { config, announcement, daemon: Some(daemon), pulse: None, book })
    }

    /// Announces another mesh from now on, and listens for its agents instead.
    ///
    /// Those already on the LAN are handed out by [`LanDiscovery::next`] at once.
    pub fn announce(&mut self, mesh: MeshId) {
        self.announcement.mesh = MeshPrefix::of(&mesh);
        self.book.clear();
        if let Some(daemon) = &mut self.daemon
            && let Err(error) = daemon.announce(self.announcement)
        {
            tracing::debug!(%error, "lan multicast is started again");
            self.daemon = None;
        }
    }

    /// Waits for an agent of the same mesh that was not there before, or has moved.
    ///
    /// May be dropped half-way without losing anything. Has to be polled for events to be taken: what
    /// does not fit between the thread and here is found again a few seconds after the next call.
    pub async fn next(&mut self) -> LanFound {
        loop {
            let pulse = self.pulse.get_or_insert_with(new_pulse);
            let seen = tokio::select! {
                // The pulse first: it bounds what a flood makes the thread remember.
                biased;
                _ = pulse.tick() => {
                    self.tend().await;
                    continue;
                }
                seen = hear(self.daemon.as_ref()) => seen,
            };
            let Some(seen) = seen else {
                self.daemon = None;
                continue;
            };
            if let Some(found) = self.book.enter(seen, self.announcement, &self.config.interfaces) {
                return found;
            }
        }
    }

    /// The agents of the same mesh that are on the LAN, as far as [`LanDiscovery::next`] has heard;
    /// at most [`SIGHTINGS_MAX`].
    #[must_use]
    pub fn sightings(&self) -> Vec<LanFound> {
        self.book.sightings()
    }

    /// Withdraws the announcement and ends the thread.
    pub async fn stop(self) {
        if let Some(daemon) = self.daemon {
            daemon.close().await;
        }
    }

    /// Starts the thread again when it has ended, fallen behind, or was made to remember too much.
    async fn tend(&mut self) {
        if let Some(daemon) = &self.daemon
            && !daemon.is_fit().await
        {
            tracing::warn!("lan multicast is started again: its thread has ended or was flooded");
            self.daemon = None;
        }
        if self.daemon.is_none() {
            match Daemon::open(&self.config, self.announcement) {
                Ok(daemon) => {
                    // Who left meanwhile is not reported; who stayed is heard again.
                    self.book.clear();
                    self.daemon = Some(daemon);
                }
                Err(error) => tracing::debug!(%error, "lan multicast does not start"),
            }
        }
    }
}

fn new_pulse() -> Interval {
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}

/// `None` when the thread says no more.
async fn hear(daemon: Option<&Daemon>) -> Option<Seen> {
    match daemon {
        Some(daemon) => daemon.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
