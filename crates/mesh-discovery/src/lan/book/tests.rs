use mdns_sd::ServiceInfo;

use mesh_protocol::{MeshId, PeerId};

use super::super::SERVICE_TYPE;
use super::*;
use crate::{MeshPrefix, PeerPrefix};

const OWN_PEER: [u8; 32] = [1; 32];
const MESH: [u8; 32] = [9; 32];

fn own() -> Announcement {
    Announcement {
        peer: PeerPrefix::of(&PeerId::from_bytes(OWN_PEER)),
        mesh: MeshPrefix::of(&MeshId::from_bytes(MESH)),
        port: 13_500,
    }
}

fn there(name: &str, peer: &str, mesh: &str, ip: &str) -> Seen {
    let properties = [("mesh", mesh), ("peer", peer)];
    let service = ServiceInfo::new(SERVICE_TYPE, name, "x.local.", ip, 13_500, &properties[..]);
    Seen::There(Box::new(service.unwrap().as_resolved_service()))
}

fn gone(name: &str) -> Seen {
    Seen::Gone(format!("{name}.{SERVICE_TYPE}"))
}

fn enter(book: &mut Book, seen: Seen) -> Option<LanFound> {
    book.enter(seen, own(), &LanInterfaces::Private)
}

#[test]
fn an_agent_is_handed_out_when_it_comes_and_when_it_moves() {
    let mut book = Book::default();
    assert!(enter(&mut book, there("a", "07070707", "09090909", "10.0.0.7")).is_some());
    assert!(enter(&mut book, there("a", "07070707", "09090909", "10.0.0.7")).is_none());
    let moved = enter(&mut book, there("a", "07070707", "09090909", "10.0.0.8")).unwrap();
    assert_eq!(moved.addresses, ["10.0.0.8:13500".parse().unwrap()]);
    assert_eq!(book.sightings(), vec![moved]);
    assert!(enter(&mut book, Seen::Other).is_none());
}

#[test]
fn an_agent_that_left_is_forgotten_and_handed_out_when_it_returns() {
    let mut book = Book::default();
    assert!(enter(&mut book, there("a", "07070707", "09090909", "10.0.0.7")).is_some());
    assert!(enter(&mut book, gone("a")).is_none());
    assert_eq!(book.sightings(), vec![]);
    assert!(enter(&mut book, there("a", "07070707", "09090909", "10.0.0.7")).is_some());
}

#[test]
fn this_node_and_other_meshes_are_passed_over() {
    let mut book = Book::default();
    assert!(enter(&mut book, there("own", "01010101", "09090909", "10.0.0.1")).is_none());
    assert!(enter(&mut book, there("b", "07070707", "08080808", "10.0.0.7")).is_none());
    assert_eq!(book.sightings(), vec![]);
}

#[test]
fn an_agent_that_goes_to_another_mesh_is_forgotten() {
    let mut book = Book::default();
    assert!(enter(&mut book, there("a", "07070707", "09090909", "10.0.0.7")).is_some());
    assert!(enter(&mut book, there("a", "07070707", "08080808", "10.0.0.7")).is_none());
    assert_eq!(book.sightings(), vec![]);
}

#[test]
fn a_flood_makes_the_oldest_leave() {
    let mut book = Book::default();
    for n in 0..SIGHTINGS_MAX + 10 {
        let seen = there(&format!("n{n}"), &format!("{:08x}", n + 0x100), "09090909", "10.0.0.7");
        assert!(enter(&mut book, seen).is_some());
    }
    assert_eq!(book.sightings().len(), SIGHTINGS_MAX);
    let is_known = |n: usize| book.entries.contains_key(&format!("n{n}.{SERVICE_TYPE}"));
    assert!(!is_known(9));
    assert!(is_known(10));
}
