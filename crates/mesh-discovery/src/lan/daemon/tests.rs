use mesh_protocol::{MeshId, PeerId};

use super::*;

/// An interface that does not exist: the thread runs and nothing reaches a network.
fn config() -> LanConfig {
    LanConfig { interfaces: LanInterfaces::Named(vec!["none".into()]), mdns_port: 53_530 }
}

fn announcement() -> Announcement {
    Announcement {
        peer: PeerPrefix::of(&PeerId::from_bytes([0xab; 32])),
        mesh: MeshPrefix::of(&MeshId::from_bytes([0xcd; 32])),
        port: 13_500,
    }
}

#[test]
fn an_announcement_tells_nothing_but_the_two_prefixes_and_the_port() {
    let service = announcement().service().unwrap();
    assert_eq!(service.get_fullname(), "abababab._agent-mesh._tcp.local.");
    assert_eq!(service.get_hostname(), "agent-mesh-abababab.local.");
    assert_eq!(service.get_port(), 13_500);
    let properties: Vec<_> =
        service.get_properties().iter().map(|p| (p.key(), p.val_str())).collect();
    assert_eq!(properties, [("mesh", "cdcdcdcd"), ("peer", "abababab")]);
}

#[test]
fn more_records_or_timers_than_a_lan_needs_are_too_much() {
    let metrics = |entries: &[(&str, i64)]| -> Metrics {
        entries.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert!(is_bounded(&metrics(&[])));
    assert!(is_bounded(&metrics(&[("cached-ptr", RECORDS_MAX), ("timer", TIMERS_MAX)])));
    assert!(!is_bounded(&metrics(&[("cached-ptr", RECORDS_MAX), ("cached-addr", 1)])));
    assert!(!is_bounded(&metrics(&[("timer", TIMERS_MAX + 1)])));
}

#[tokio::test]
async fn the_figures_that_are_watched_are_those_that_the_library_keeps() {
    let daemon = Daemon::open(&config(), announcement()).unwrap();
    let metrics = daemon.service.get_metrics().unwrap().recv_async().await.unwrap();
    for name in WATCHED.iter().chain(&[TIMERS]) {
        assert!(metrics.contains_key(*name), "{name}");
    }
    assert!(daemon.is_fit().await);
    daemon.close().await;
}

#[tokio::test]
async fn a_thread_that_has_ended_is_not_fit_and_says_no_more() {
    let daemon = Daemon::open(&config(), announcement()).unwrap();
    let ended = daemon.service.shutdown().unwrap();
    ended.recv_async().await.unwrap();
    assert!(!daemon.is_fit().await);
    while daemon.next().await.is_some() {}
}
