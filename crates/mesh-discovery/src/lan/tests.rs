use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::*;

fn discovery() -> LanDiscovery {
    // An interface that does not exist: the thread runs and nothing reaches a network.
    let interfaces = LanInterfaces::Named(vec!["none".into()]);
    let config = LanConfig { interfaces, mdns_port: 53_531 };
    let (me, mesh) = (PeerId::from_bytes([1; 32]), MeshId::from_bytes([9; 32]));
    LanDiscovery::start(config, me, mesh, 13_500).unwrap()
}

#[tokio::test]
async fn a_thread_that_has_ended_is_followed_by_another() {
    let mut discovery = discovery();
    let ended = discovery.daemon.take().unwrap();
    ended.close().await;
    discovery.tend().await;
    assert!(discovery.daemon.as_ref().unwrap().is_fit().await);
    discovery.stop().await;
}

#[tokio::test]
async fn another_mesh_is_announced_by_the_next_thread_too() {
    let mut discovery = discovery();
    discovery.daemon = None;
    let mesh = MeshId::from_bytes([8; 32]);
    discovery.announce(mesh);
    assert_eq!(discovery.announcement.mesh, MeshPrefix::of(&mesh));
    discovery.tend().await;
    assert!(discovery.daemon.is_some());
    discovery.stop().await;
}

/// A DNS response with records that nobody asked for: header, then a name, type A, class IN, 75
/// minutes to live and an address for each.
fn unasked(first: u16) -> Vec<u8> {
    const COUNT: u16 = 40;
    let mut packet = vec![0, 0, 0x84, 0, 0, 0];
    packet.extend(COUNT.to_be_bytes());
    packet.extend([0; 4]);
    for n in first..first + COUNT {
        packet.push(5);
        packet.extend(format!("{n:05}").bytes());
        packet.extend(b"\x05local\0\x00\x01\x00\x01");
        packet.extend(4500_u32.to_be_bytes());
        packet.extend([0, 4, 10, 0, 0, 7]);
    }
    packet
}

#[tokio::test]
async fn a_flood_of_records_makes_a_new_thread_start_empty() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let group = Ipv4Addr::new(224, 0, 0, 251);
    if socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_err() {
        // The thread takes part on loopback only where it can join there.
        return;
    }
    let mdns_port =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port();
    let interfaces = LanInterfaces::Named(["lo", "lo0"].map(str::to_owned).to_vec());
    let (me, mesh) = (PeerId::from_bytes([1; 32]), MeshId::from_bytes([9; 32]));
    let config = LanConfig { interfaces, mdns_port };
    let mut discovery = LanDiscovery::start(config, me, mesh, 13_500).unwrap();

    let flood = async {
        let mut first = 0;
        while discovery.daemon.as_ref().unwrap().is_fit().await {
            socket.send_to(&unasked(first), (Ipv4Addr::LOCALHOST, mdns_port)).unwrap();
            first = (first + 40) % 40_000;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), flood).await.unwrap();
    discovery.tend().await;
    assert!(discovery.daemon.as_ref().unwrap().is_fit().await);
    discovery.stop().await;
}
