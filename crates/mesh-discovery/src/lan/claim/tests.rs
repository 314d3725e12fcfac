use mdns_sd::ServiceInfo;
use proptest::prelude::*;

use mesh_protocol::{MeshId, PeerId};

use super::super::SERVICE_TYPE;
use super::*;
use crate::{MeshPrefix, PeerPrefix};

fn service(ips: &str, port: u16, properties: &[(&str, &str)]) -> ResolvedService {
    ServiceInfo::new(SERVICE_TYPE, "07070707", "agent-mesh-07070707.local.", ips, port, properties)
        .unwrap()
        .as_resolved_service()
}

fn read_private(service: &ResolvedService) -> Option<LanFound> {
    read(service, &LanInterfaces::Private)
}

const WHOLE: [(&str, &str); 2] = [(MESH_KEY, "09090909"), (PEER_KEY, "07070707")];

#[test]
fn an_announcement_names_peer_mesh_and_private_addresses() {
    let found =
        read_private(&service("fd00::7,192.168.1.7,198.51.100.7,127.0.0.1", 13_501, &WHOLE));
    let addresses = ["192.168.1.7:13501", "[fd00::7]:13501"].map(|text| text.parse().unwrap());
    assert_eq!(
        found,
        Some(LanFound {
            peer: PeerPrefix::of(&PeerId::from_bytes([7; 32])),
            mesh: MeshPrefix::of(&MeshId::from_bytes([9; 32])),
            addresses: addresses.to_vec(),
        })
    );
}

#[test]
fn an_announcement_that_lacks_a_part_says_nothing() {
    let ip = "192.168.1.7";
    assert_eq!(read_private(&service(ip, 0, &WHOLE)), None);
    assert_eq!(read_private(&service("198.51.100.7", 13_500, &WHOLE)), None);
    assert_eq!(read_private(&service("", 13_500, &WHOLE)), None);
    for properties in [
        &WHOLE[..1],
        &WHOLE[1..],
        &[(MESH_KEY, "0909090"), (PEER_KEY, "07070707")],
        &[(MESH_KEY, "09090909"), (PEER_KEY, "+7070707")],
        &[(MESH_KEY, ""), (PEER_KEY, "07070707")],
    ] {
        assert_eq!(read_private(&service(ip, 13_500, properties)), None, "{properties:?}");
    }
}

#[test]
fn one_announcement_names_a_few_addresses_at_most() {
    let ips: Vec<String> = (1..100).map(|n| format!("10.0.0.{n}")).collect();
    let found = read_private(&service(&ips.join(","), 13_500, &WHOLE)).unwrap();
    assert_eq!(found.addresses.len(), CLAIM_ADDRESSES_MAX);
    assert_eq!(found.addresses[0], "10.0.0.1:13500".parse().unwrap());
}

proptest! {
    #[test]
    fn any_properties_are_read_or_passed_over(mesh in "\\PC{0,20}", peer in "\\PC{0,20}", port: u16) {
        let properties = [(MESH_KEY, mesh.as_str()), (PEER_KEY, peer.as_str())];
        let found = read_private(&service("10.0.0.1", port, &properties));
        prop_assert!(found.is_none_or(|found| found.addresses.len() == 1));
    }
}
