use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use mesh_crypto::NodeKey;
use mesh_protocol::PeerId;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind, NamedGroup, ServerConnection};
use zeroize::Zeroizing;

use super::{Purpose, Tls, authenticated_peer};
use crate::Gatekeeper;

struct Only(PeerId);

impl Gatekeeper for Only {
    fn is_member(&self, peer: &PeerId) -> bool {
        *peer == self.0
    }
}

fn node(number: u8, member: PeerId) -> Tls {
    Tls::new(&key(number), Arc::new(Only(member))).unwrap()
}

fn key(number: u8) -> NodeKey {
    NodeKey::from_secret_bytes(&Zeroizing::new([number; 32]))
}

/// Carries the handshake through memory until both sides are content or one refuses.
fn shake_hands(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut arriving = wire.as_slice();
        while !arriving.is_empty() {
            server.read_tls(&mut arriving).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut arriving = wire.as_slice();
        while !arriving.is_empty() {
            client.read_tls(&mut arriving).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

fn connect(
    from: &Tls,
    to: PeerId,
    at: &Tls,
    purpose: Purpose,
) -> (ClientConnection, ServerConnection) {
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let client = ClientConnection::new(from.client(to, purpose), name).unwrap();
    let server = ServerConnection::new(at.server(purpose)).unwrap();
    (client, server)
}

#[test]
fn both_sides_know_each_other_and_the_key_exchange_is_hybrid() {
    let (a, b) = (key(1).peer_id(), key(2).peer_id());
    let (at_a, at_b) = (node(1, b), node(2, a));
    // Twice, with the same settings: nothing of the first connection helps the second.
    for _ in 0..2 {
        let (mut client, mut server) = connect(&at_a, b, &at_b, Purpose::Link);
        shake_hands(&mut client, &mut server).unwrap();
        assert_eq!(authenticated_peer(&client, Purpose::Link), Some(b));
        assert_eq!(authenticated_peer(&server, Purpose::Link), Some(a));
        assert_eq!(authenticated_peer(&server, Purpose::Join), None);
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
    }
}

#[test]
fn a_link_needs_a_member_and_joining_does_not() {
    let b = key(2).peer_id();
    let (stranger, at_b) = (node(3, b), node(2, key(1).peer_id()));
    let (mut client, mut server) = connect(&stranger, b, &at_b, Purpose::Link);
    assert!(shake_hands(&mut client, &mut server).is_err());
    let (mut client, mut server) = connect(&stranger, b, &at_b, Purpose::Join);
    shake_hands(&mut client, &mut server).unwrap();
    assert_eq!(authenticated_peer(&server, Purpose::Join), Some(key(3).peer_id()));
}

#[test]
fn another_server_key_is_refused_by_the_dialler() {
    let (a, b) = (key(1).peer_id(), key(2).peer_id());
    let (at_a, at_c) = (node(1, b), node(3, a));
    for purpose in [Purpose::Link, Purpose::Join] {
        let (mut client, mut server) = connect(&at_a, b, &at_c, purpose);
        assert!(shake_hands(&mut client, &mut server).is_err());
        assert_eq!(authenticated_peer(&server, purpose), None);
    }
}
