//! Agents on loopback. Where the system passes no multicast there, nothing can be seen and these tests
//! say so; what an announcement means is tested beside the code, without any network.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use mesh_discovery::{LanConfig, LanDiscovery, LanFound, LanInterfaces, MeshPrefix, PeerPrefix};
use mesh_protocol::{Address, MeshId, PeerId};
use tokio::time::timeout;

use crate::support::PATIENCE;

const MESH: MeshId = MeshId::from_bytes([9; 32]);
const OTHER_MESH: MeshId = MeshId::from_bytes([8; 32]);
const LOOPBACK: [&str; 2] = ["lo", "lo0"];

fn peer(byte: u8) -> PeerId {
    PeerId::from_bytes([byte; 32])
}

/// A port of multicast DNS that nobody else uses, on a loopback that passes multicast.
#[expect(clippy::print_stdout, reason = "a test that proves nothing says so")]
fn loopback() -> Option<LanConfig> {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let hears = || -> std::io::Result<u16> {
        let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
        receiver.set_read_timeout(Some(Duration::from_secs(2)))?;
        let port = receiver.local_addr()?.port();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(b"?", (group, port))?;
        receiver.recv(&mut [0; 8])?;
        Ok(port)
    };
    match hears() {
        Ok(mdns_port) => {
            let interfaces = LanInterfaces::Named(LOOPBACK.map(str::to_owned).to_vec());
            Some(LanConfig { interfaces, mdns_port })
        }
        Err(error) => {
            println!("not tested: loopback passes no multicast here ({error})");
            None
        }
    }
}

fn start(config: &LanConfig, me: u8, mesh: MeshId, port: u16) -> LanDiscovery {
    LanDiscovery::start(config.clone(), peer(me), mesh, port).unwrap()
}

async fn next(discovery: &mut LanDiscovery) -> LanFound {
    timeout(PATIENCE, discovery.next()).await.unwrap()
}

#[tokio::test]
async fn agents_of_one_mesh_find_each_other_and_no_others() {
    let Some(config) = loopback() else { return };
    let mut stranger = start(&config, 3, OTHER_MESH, 13_503);
    let mut first = start(&config, 1, MESH, 13_501);
    let mut second = start(&config, 2, MESH, 13_502);
    let (found, other) = tokio::join!(next(&mut first), next(&mut second));
    assert_eq!((found.peer, found.mesh), (PeerPrefix::of(&peer(2)), MeshPrefix::of(&MESH)));
    assert_eq!(other.peer, PeerPrefix::of(&peer(1)));
    let address: Address = "127.0.0.1:13502".parse().unwrap();
    assert!(found.addresses.contains(&address), "{found:?}");
    assert_eq!(first.sightings(), vec![found]);

    // The stranger is heard of only when it comes over.
    assert!(stranger.sightings().is_empty());
    stranger.announce(MESH);
    let (a, b) = (next(&mut stranger).await, next(&mut stranger).await);
    let mut ports: Vec<u16> = [a, b].iter().map(|found| found.addresses[0].port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [13_501, 13_502]);
    let newcomer = next(&mut first).await;
    assert_eq!(newcomer.peer, PeerPrefix::of(&peer(3)));
    for agent in [first, second, stranger] {
        agent.stop().await;
    }
}

#[tokio::test]
async fn an_agent_that_stops_is_forgotten() {
    let Some(config) = loopback() else { return };
    let mut staying = start(&config, 1, MESH, 13_501);
    let leaving = start(&config, 2, MESH, 13_502);
    next(&mut staying).await;
    assert_eq!(staying.sightings().len(), 1);
    leaving.stop().await;
    let forgotten = async {
        while !staying.sightings().is_empty() {
            // Nobody new comes: this only lets it take in what it hears.
            let _nobody = timeout(Duration::from_millis(50), staying.next()).await;
        }
    };
    timeout(PATIENCE, forgotten).await.unwrap();
    staying.stop().await;
}

#[tokio::test]
async fn the_wait_may_be_part_of_a_task() {
    fn needs_send(_: &impl Send) {}
    let config =
        LanConfig { interfaces: LanInterfaces::Named(vec!["none".into()]), ..LanConfig::default() };
    let mut discovery = start(&config, 1, MESH, 13_501);
    needs_send(&discovery.next());
    needs_send(&discovery.stop());
    needs_send(&mesh_discovery::tailscale_status(&crate::support::nowhere()));
}
