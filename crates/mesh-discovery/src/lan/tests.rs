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
