//! LAN multicast: announces this node while it has somebody to find, and hears the others.

use std::sync::Arc;
use std::time::Duration;

use mesh_discovery::{LanConfig, LanDiscovery, LanFound};
use mesh_protocol::MeshId;
use tokio::time::MissedTickBehavior;

use crate::error::chain;
use crate::shared::{Shared, lock};

/// How often it is looked at whether the mesh is still the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) async fn discover_on_lan(self: Arc<Self>) {
        let Some(config) = &self.config.discovery.lan else { return };
        let Some(port) = self.lan_port(config) else {
            tracing::debug!("this node listens on no private address, so it is not on the lan");
            return;
        };
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running: Option<(MeshId, LanDiscovery)> = None;
        loop {
            tokio::select! {
                _ = looks.tick() => self.tend_lan(config, port, &mut running).await,
                // The thread would notice by itself, but not within the time that a member may be missing.
                () = self.discovery.lan_changed.notified() => stop(&mut running).await,
                found = heard(&mut running) => {
                    self.note_sightings(running.as_ref());
                    // Who needs no link is no news, however often it is announced.
                    if self.missing().iter().any(|peer| found.peer.matches(peer)) {
                        self.discovery.due.notify_one();
                    }
                }
            }
        }
    }

    /// Starts, turns to another mesh, or stops, as the membership has it.
    async fn tend_lan(
        &self,
        config: &LanConfig,
        port: u16,
        running: &mut Option<(MeshId, LanDiscovery)>,
    ) {
        let view = self.view();
        let has_company = !view.is_removed() && view.others().next().is_some();
        if !has_company {
            stop(running).await;
        } else if let Some((mesh, lan)) = running {
            if *mesh != view.mesh_id {
                *mesh = view.mesh_id;
                lan.announce(view.mesh_id);
            }
        } else {
            match LanDiscovery::start(config.clone(), self.me, view.mesh_id, port) {
                Ok(lan) => *running = Some((view.mesh_id, lan)),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "lan multicast does not start");
                }
            }
        }
        self.note_sightings(running.as_ref());
    }

    fn note_sightings(&self, running: Option<&(MeshId, LanDiscovery)>) {
        let sightings = running.map(|(_, lan)| lan.sightings()).unwrap_or_default();
        *lock(&self.discovery.lan) = sightings;
    }

    /// The port at which agents on the LAN reach this node; none when they do not.
    fn lan_port(&self, config: &LanConfig) -> Option<u16> {
        let is_there = |ip: std::net::IpAddr| ip.is_unspecified() || config.interfaces.allow(ip);
        self.listening.iter().find(|local| is_there(local.ip())).map(std::net::SocketAddr::port)
    }
}

async fn stop(running: &mut Option<(MeshId, LanDiscovery)>) {
    if let Some((_, lan)) = running.take() {
        lan.stop().await;
    }
}

async fn heard(running: &mut Option<(MeshId, LanDiscovery)>) -> LanFound {
    match running {
        Some((_, lan)) => lan.next().await,
        None => std::future::pending().await,
    }
}
