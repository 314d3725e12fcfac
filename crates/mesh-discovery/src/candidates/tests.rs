use proptest::prelude::*;

use mesh_protocol::{MeshId, PeerId};

use super::*;
use crate::{MeshPrefix, TailscaleNode, TailscalePeer, TailscaleSkipped};

const PORT: u16 = 13_500;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| address(text)).collect()
}

fn device(is_online: bool, ips: &[&str]) -> TailscalePeer {
    TailscalePeer {
        host_name: "Charlie's MacBook".into(),
        dns_name: "charlie.example.ts.net".into(),
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        is_online,
        last_seen: None,
    }
}

fn running(peers: Vec<TailscalePeer>) -> TailscaleStatus {
    TailscaleStatus {
        state: TailscaleState::Running,
        own: TailscaleNode {
            host_name: "alpha".into(),
            dns_name: "alpha.example.ts.net".into(),
            ips: vec!["100.64.0.1".parse().unwrap(), "fd7a:115c:a1e0::1".parse().unwrap()],
        },
        peers,
        skipped: TailscaleSkipped::default(),
    }
}

fn prefix(byte: u8) -> PeerPrefix {
    PeerPrefix::of(&PeerId::from_bytes([byte; 32]))
}

fn found(byte: u8, texts: &[&str]) -> LanFound {
    let mesh = MeshPrefix::of(&MeshId::from_bytes([9; 32]));
    LanFound { peer: prefix(byte), mesh, addresses: addresses(texts) }
}

fn nothing() -> CandidateSources<'static> {
    CandidateSources {
        tailscale: None,
        tailscale_port: PORT,
        configured: &[],
        lan: &[],
        own: &[],
        round: 0,
    }
}

fn texts(candidates: &[Candidate]) -> Vec<String> {
    candidates.iter().map(|candidate| candidate.address.to_string()).collect()
}

#[test]
fn devices_that_are_online_are_tried_at_one_address_each() {
    let status = running(vec![
        device(true, &["100.64.0.2", "fd7a:115c:a1e0::2"]),
        device(false, &["100.64.0.3"]),
        device(true, &["fd7a:115c:a1e0::4"]),
        device(true, &[]),
    ]);
    let sources = CandidateSources { tailscale: Some(&status), ..nothing() };
    let chosen = candidates(&sources);
    assert_eq!(texts(&chosen), ["100.64.0.2:13500", "[fd7a:115c:a1e0::4]:13500"]);
    assert!(chosen.iter().all(|c| c.peer.is_none() && c.source == CandidateSource::Tailscale));
}

#[test]
fn the_address_is_of_a_family_that_this_machine_has() {
    let mut status = running(vec![device(true, &["100.64.0.2", "fd7a:115c:a1e0::2"])]);
    status.own.ips.remove(0);
    let sources = CandidateSources { tailscale: Some(&status), ..nothing() };
    assert_eq!(texts(&candidates(&sources)), ["[fd7a:115c:a1e0::2]:13500"]);
}

#[test]
fn devices_count_only_while_tailscale_runs() {
    let mut status = running(vec![device(true, &["100.64.0.2"])]);
    for state in [TailscaleState::Stopped, TailscaleState::Starting, TailscaleState::NeedsLogin] {
        status.state = state;
        let sources = CandidateSources { tailscale: Some(&status), ..nothing() };
        assert_eq!(candidates(&sources), vec![]);
    }
}

#[test]
fn sources_take_turns() {
    let status = running(vec![device(true, &["100.64.0.2"]), device(true, &["100.64.0.3"])]);
    let configured = addresses(&["mint.example:13500", "192.0.2.7:13501"]);
    let lan = [found(7, &["192.168.1.7:13502", "[fd00::7]:13502"])];
    let sources = CandidateSources {
        tailscale: Some(&status),
        configured: &configured,
        lan: &lan,
        ..nothing()
    };
    let chosen = candidates(&sources);
    assert_eq!(
        texts(&chosen),
        [
            "mint.example:13500",
            "192.168.1.7:13502",
            "100.64.0.2:13500",
            "192.0.2.7:13501",
            "[fd00::7]:13502",
            "100.64.0.3:13500",
        ]
    );
    assert_eq!(chosen[1].peer, Some(prefix(7)));
}

#[test]
fn the_way_back_to_this_node_is_never_listed() {
    let status = running(vec![device(true, &["100.64.0.1"])]);
    let own = addresses(&["192.168.1.5:13500"]);
    let configured = addresses(&[
        "192.168.1.5:13500",
        "[::ffff:192.168.1.5]:13500",
        "127.0.0.1:13500",
        "[::1]:13500",
        "localhost:13500",
        "[fd7a:115c:a1e0::1]:13500",
        "alpha.example.ts.net:13500",
        "ALPHA.example.ts.net.:13500",
        // Another agent on the same machine.
        "127.0.0.1:13501",
        "192.168.1.5:13501",
    ]);
    let sources = CandidateSources {
        tailscale: Some(&status),
        configured: &configured,
        own: &own,
        ..nothing()
    };
    assert_eq!(texts(&candidates(&sources)), ["127.0.0.1:13501", "192.168.1.5:13501"]);
}

#[test]
fn addresses_that_lead_nowhere_are_never_listed() {
    let configured = addresses(&[
        "0.0.0.0:13500",
        "[::]:13500",
        "224.0.0.251:13500",
        "[ff02::fb]:13500",
        "255.255.255.255:13500",
        "[::ffff:0.0.0.0]:13500",
    ]);
    let status = running(vec![device(true, &["0.0.0.0"])]);
    let sources =
        CandidateSources { configured: &configured, tailscale: Some(&status), ..nothing() };
    assert_eq!(candidates(&sources), vec![]);
    let status = running(vec![device(true, &["100.64.0.2"])]);
    let sources = CandidateSources { tailscale: Some(&status), tailscale_port: 0, ..nothing() };
    assert_eq!(candidates(&sources), vec![]);
}

#[test]
fn an_address_is_listed_once_per_claim() {
    let configured = addresses(&["192.168.1.7:13500", "192.168.1.7:13500"]);
    // One of the two lies: the other must still be tried.
    let lan = [found(1, &["192.168.1.7:13500"]), found(2, &["192.168.1.7:13500"])];
    let sources = CandidateSources { configured: &configured, lan: &lan, ..nothing() };
    let peers: Vec<_> = candidates(&sources).into_iter().map(|c| c.peer).collect();
    assert_eq!(peers, [None, Some(prefix(1)), Some(prefix(2))]);
}

fn many(count: usize) -> Vec<TailscalePeer> {
    (0..count).map(|n| device(true, &[&format!("100.64.{}.{}", n / 250, n % 250 + 1)])).collect()
}

#[test]
fn no_source_crowds_out_another() {
    let status = running(many(5_000));
    let texts: Vec<String> = (0..8).map(|n| format!("192.168.1.{}:13500", n + 1)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let lan: Vec<_> = (0..=255).map(|byte| found(byte, &texts)).collect();
    let configured = addresses(&["mint.example:13500", "oak.example:13500"]);
    let sources = CandidateSources {
        tailscale: Some(&status),
        configured: &configured,
        lan: &lan,
        ..nothing()
    };
    for round in [0, 1, 17, usize::MAX] {
        let chosen = candidates(&CandidateSources { round, ..sources });
        assert_eq!(chosen.len(), CANDIDATES_MAX);
        let count = |source| chosen.iter().filter(|c| c.source == source).count();
        assert_eq!(count(CandidateSource::Configured), 2);
        assert_eq!(count(CandidateSource::Lan), 127);
        assert_eq!(count(CandidateSource::Tailscale), 127);
    }
}

#[test]
fn a_large_tailnet_is_worked_through_round_by_round() {
    let status = running(many(1_000));
    let sources = CandidateSources { tailscale: Some(&status), ..nothing() };
    let rounds = 1_000_usize.div_ceil(SHARE);
    let tried: BTreeSet<String> = (0..rounds)
        .flat_map(|round| texts(&candidates(&CandidateSources { round, ..sources })))
        .collect();
    assert_eq!(tried.len(), 1_000);
}

fn any_address() -> impl Strategy<Value = Address> {
    prop_oneof![
        (any::<IpAddr>(), 1..=u16::MAX).prop_map(|(ip, port)| SocketAddr::new(ip, port).into()),
        ("[a-z]{1,8}", 1..=u16::MAX).prop_map(|(host, port)| address(&format!("{host}:{port}"))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn only_what_a_source_named_is_listed(
        configured in prop::collection::vec(any_address(), 0..300),
        own in prop::collection::vec(any_address(), 0..4),
        ips in prop::collection::vec(any::<IpAddr>(), 0..300),
        round in any::<usize>(),
    ) {
        let peers = ips.iter().map(|ip| device(true, &[&ip.to_string()])).collect();
        let status = running(peers);
        let sources = CandidateSources {
            tailscale: Some(&status),
            configured: &configured,
            own: &own,
            round,
            ..nothing()
        };
        let chosen = candidates(&sources);
        prop_assert!(chosen.len() <= CANDIDATES_MAX);
        for candidate in &chosen {
            let is_named = match candidate.source {
                CandidateSource::Configured => configured.contains(&candidate.address),
                CandidateSource::Tailscale => ips.iter()
                    .any(|ip| Address::from(SocketAddr::new(*ip, PORT)) == candidate.address),
                CandidateSource::Lan => false,
            };
            prop_assert!(is_named);
            prop_assert!(!own.contains(&candidate.address));
        }
        prop_assert_eq!(chosen, candidates(&sources));
    }
}
