//! Members that moved are found at addresses that somebody named, and nowhere else.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mesh_node::{Address, DiscoveryConfig, LanConfig, LanInterfaces, Node, TailscaleConfig};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::time::timeout;

use crate::support::{builder, eventually, free_port, linked, pair, start, within};

/// A member that moved is reached again within this time.
const FOUND_WITHIN: Duration = Duration::from_secs(10);

/// Two members of one mesh that were stopped.
async fn stopped_pair(dir: &Path) {
    let (one, two) = pair(dir).await;
    one.stop().await;
    two.stop().await;
}

async fn start_at(dir: &Path, name: &str, port: u16, discovery: DiscoveryConfig) -> Node {
    within(builder(dir, name, port).discovery(discovery).start()).await.unwrap()
}

async fn found(nodes: &[&Node]) {
    timeout(FOUND_WITHIN, linked(nodes)).await.expect("they are linked within ten seconds");
}

fn address_at(port: u16) -> Address {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()
}

/// Serves the status of a tailnet as tailscaled does, until the test process ends. Devices: this one,
/// then the others.
fn tailnet(dir: &Path, devices: &[&str]) -> TailscaleConfig {
    let [own, others @ ..] = devices else { panic!("a tailnet has this device") };
    let device = |number: usize, ip: &str| {
        serde_json::json!({
            "HostName": format!("device {number}"), "DNSName": format!("device-{number}.tail1.ts.net."),
            "TailscaleIPs": [ip], "Online": true,
        })
    };
    let others = others.iter().enumerate();
    let others: serde_json::Map<String, serde_json::Value> =
        others.map(|(number, ip)| (format!("nodekey:{number}"), device(number + 1, ip))).collect();
    let status = serde_json::json!({
        "BackendState": "Running", "Self": device(0, own), "Peer": others,
        "CurrentTailnet": { "MagicDNSSuffix": "tail1.ts.net" },
    });
    let socket = dir.join("tailscaled.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let body = status.to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap();
            let is_right =
                head.to_ascii_lowercase().contains("\r\nhost: local-tailscaled.sock\r\n");
            let status = if is_right { "200 OK" } else { "403 Forbidden" };
            let length = body.len();
            let _gone = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    TailscaleConfig {
        sockets: vec![socket],
        port_folder: None,
        commands: Vec::new(),
        ..TailscaleConfig::default()
    }
}

/// Somebody who listens and says nothing; counts who comes.
fn silent(ip: &str, port: u16) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind((ip, port)).unwrap();
    let callers = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&callers);
    thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        }
    });
    callers
}

/// Somebody who takes a connection, says nothing and does not hang up. Counts who came and who went.
fn hanging(came: &Arc<AtomicUsize>, went: &Arc<AtomicUsize>) -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().into();
    let (came, went) = (Arc::clone(came), Arc::clone(went));
    thread::spawn(move || {
        for stream in listener.incoming() {
            came.fetch_add(1, Ordering::SeqCst);
            // To the end: the caller hangs up.
            let _reset_or_end = stream.unwrap().read_to_end(&mut Vec::new());
            went.fetch_add(1, Ordering::SeqCst);
        }
    });
    address
}

async fn tailnet_of(database: PathBuf, name: &str) -> (Option<String>, Option<String>) {
    let url = format!("sqlite://{}", database.display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let query = "SELECT tailscale_ip, tailscale_hostname FROM agent_peers WHERE hostname = ?";
    let row = sqlx::query(query).bind(name).fetch_one(&mut database).await.unwrap();
    let found = (row.get(0), row.get(1));
    database.close().await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_that_both_moved_find_each_other_at_a_configured_address() {
    let dir = tempfile::tempdir().unwrap();
    stopped_pair(dir.path()).await;
    let port = free_port();
    let two = start_at(dir.path(), "two", port, DiscoveryConfig::none()).await;
    let peers = vec![address_at(port)];
    let discovery = DiscoveryConfig { peers, ..DiscoveryConfig::none() };
    let one = start_at(dir.path(), "one", free_port(), discovery).await;
    found(&[&one, &two]).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_found_is_dialled_there_again_when_its_link_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    stopped_pair(dir.path()).await;
    let port = free_port();
    // It tells everybody to dial it where nobody answers.
    let lost = free_port();
    let start_two = async || {
        let two = builder(dir.path(), "two", port).advertise(address_at(lost));
        within(two.start()).await.unwrap()
    };
    let two = start_two().await;
    let peers = vec![address_at(port)];
    let discovery = DiscoveryConfig { peers, ..DiscoveryConfig::none() };
    // Nobody can dial it either, so the link is its own doing.
    let one = builder(dir.path(), "one", free_port()).advertise(address_at(lost));
    let one = within(one.discovery(discovery).start()).await.unwrap();
    found(&[&one, &two]).await;
    two.stop().await;
    drop(two);
    let two = start_two().await;
    found(&[&one, &two]).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_found_on_the_tailnet_and_its_place_there_is_published() {
    let dir = tempfile::tempdir().unwrap();
    stopped_pair(dir.path()).await;
    let port = free_port();
    let two = start_at(dir.path(), "two", port, DiscoveryConfig::none()).await;
    // The second device is one that no node on loopback alone would go to.
    let tailscale = Some(tailnet(dir.path(), &["127.0.0.1", "127.0.0.1", "100.64.0.9"]));
    let discovery = DiscoveryConfig { tailscale, tailscale_port: port, ..DiscoveryConfig::none() };
    let one = start_at(dir.path(), "one", free_port(), discovery).await;
    found(&[&one, &two]).await;
    let expected = (Some("127.0.0.1".to_owned()), Some("device-0.tail1.ts.net".to_owned()));
    eventually("the other member knows", async || {
        tailnet_of(dir.path().join("two/mesh.db"), "one").await == expected
    })
    .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_addresses_that_a_source_named_are_contacted_and_strangers_once() {
    let dir = tempfile::tempdir().unwrap();
    stopped_pair(dir.path()).await;
    // An agent of another mesh, a listener that is no agent, and one that nobody named.
    let stranger = start(dir.path(), "stranger").await;
    let port = stranger.listening()[0].port();
    let configured = free_port();
    let no_agent = silent("127.0.0.1", configured);
    let unnamed = ["127.0.0.3", "127.0.0.4"].map(|ip| silent(ip, port));
    let tailscale = Some(tailnet(dir.path(), &["127.0.0.2", "127.0.0.1", "192.0.2.1"]));
    let peers = vec![address_at(configured)];
    let discovery =
        DiscoveryConfig { peers, tailscale, tailscale_port: port, ..DiscoveryConfig::none() };
    let one = start_at(dir.path(), "one", free_port(), discovery).await;

    // The round of the start may have been first.
    let mut contacted = BTreeSet::new();
    for _ in 0..3 {
        let report = within(one.discover()).await;
        assert!(report.found.is_empty(), "{report:?}");
        contacted.extend(report.contacted);
    }
    let named = BTreeSet::from([address_at(configured), address_at(port)]);
    assert_eq!(contacted, named);
    // Whoever was no member is left alone; where nobody could be made out, another try is made.
    let report = within(one.discover()).await;
    assert_eq!(report.contacted, [address_at(configured)]);
    assert!(no_agent.load(Ordering::Relaxed) >= 2);
    for listener in unnamed {
        assert_eq!(listener.load(Ordering::Relaxed), 0);
    }
    assert_eq!(stranger.peers().len(), 1);
    one.stop().await;
    stranger.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_contacted_while_every_member_is_linked() {
    let dir = tempfile::tempdir().unwrap();
    stopped_pair(dir.path()).await;
    let configured = free_port();
    let no_agent = silent("127.0.0.1", configured);
    let port = free_port();
    let two = start_at(dir.path(), "two", port, DiscoveryConfig::none()).await;
    let peers = vec![address_at(port), address_at(configured)];
    let discovery = DiscoveryConfig { peers, ..DiscoveryConfig::none() };
    let one = start_at(dir.path(), "one", free_port(), discovery).await;
    found(&[&one, &two]).await;
    // A round that is under way may have one more try in it; this waits for its end.
    within(one.discover()).await;
    let callers = no_agent.load(Ordering::Relaxed);
    let report = within(one.discover()).await;
    assert!(report.contacted.is_empty() && report.found.is_empty(), "{report:?}");
    assert_eq!(no_agent.load(Ordering::Relaxed), callers);

    // A node that is alone has nobody to look for.
    let peers = vec![address_at(configured)];
    let discovery = DiscoveryConfig { peers, ..DiscoveryConfig::none() };
    let alone = start_at(dir.path(), "alone", free_port(), discovery).await;
    assert!(within(alone.discover()).await.contacted.is_empty());
    for node in [one, two, alone] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_addresses_are_tried_at_once_and_none_for_long() {
    let dir = tempfile::tempdir().unwrap();
    stopped_pair(dir.path()).await;
    let (came, went) = (Arc::default(), Arc::default());
    let mut peers: Vec<Address> = (0..12).map(|_| hanging(&came, &went)).collect();
    // The member comes last, behind all those that hang.
    let port = free_port();
    peers.push(address_at(port));
    let two = start_at(dir.path(), "two", port, DiscoveryConfig::none()).await;
    let discovery = DiscoveryConfig { peers, ..DiscoveryConfig::none() };
    let one = start_at(dir.path(), "one", free_port(), discovery).await;
    let has_come = |count: usize| came.load(Ordering::SeqCst) >= count;
    eventually("eight are tried", async || has_come(8)).await;
    let ninth = eventually("a ninth is", async || has_come(9));
    let is_early = timeout(Duration::from_millis(500), ninth).await.is_ok();
    assert!(!is_early, "the first eight have two seconds");
    found(&[&one, &two]).await;
    let is_over = async || came.load(Ordering::SeqCst) == went.load(Ordering::SeqCst);
    eventually("all were hung up on", is_over).await;
    one.stop().await;
    two.stop().await;
}

/// A port of multicast DNS that nobody else uses, on a loopback that passes multicast.
#[expect(clippy::print_stdout, reason = "a test that proves nothing says so")]
fn loopback_lan() -> Option<LanConfig> {
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
            let interfaces = LanInterfaces::Named(["lo", "lo0"].map(str::to_owned).to_vec());
            Some(LanConfig { interfaces, mdns_port })
        }
        Err(error) => {
            println!("not tested: loopback passes no multicast here ({error})");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_on_one_lan_find_each_other_without_any_address() {
    let Some(lan) = loopback_lan() else { return };
    let dir = tempfile::tempdir().unwrap();
    stopped_pair(dir.path()).await;
    let discovery = DiscoveryConfig { lan: Some(lan), ..DiscoveryConfig::none() };
    let one = start_at(dir.path(), "one", free_port(), discovery.clone()).await;
    let two = start_at(dir.path(), "two", free_port(), discovery.clone()).await;
    found(&[&one, &two]).await;
    // One that joins is announced from then on. It and the first tell everybody to dial them where
    // nobody is, so that nothing but the announcements leads them to each other.
    let lost = address_at(free_port());
    let three = builder(dir.path(), "three", free_port()).discovery(discovery.clone());
    let three = within(three.advertise(lost.clone()).start()).await.unwrap();
    let token = one.create_token(None, "").await.unwrap();
    within(three.join(&token.text)).await.unwrap();
    found(&[&one, &two, &three]).await;
    for node in [&one, &two] {
        node.stop().await;
    }
    drop(one);
    let one = builder(dir.path(), "one", free_port()).discovery(discovery);
    let one = within(one.advertise(lost).start()).await.unwrap();
    found(&[&one, &three]).await;
    one.stop().await;
    three.stop().await;
}
