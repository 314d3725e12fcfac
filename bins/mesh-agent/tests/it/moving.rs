//! Agents that come back at another address are reached again, without anybody doing anything.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::agent::{Agent, eventually, free_port, mesh};

/// What the mesh promises for a member that moved.
const REACHED: Duration = Duration::from_secs(10);

/// From its restart on, every one of `agents` is linked with the others in time.
async fn reached(agents: &[&Agent]) {
    let names: Vec<&str> = agents.iter().map(|agent| agent.name()).collect();
    let what = format!("{names:?} are linked again");
    eventually(REACHED, &what, async || {
        for agent in agents {
            if !agent.is_linked_with(&names).await {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_moved_to_another_port_is_reached_within_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, two, three] = mesh(dir.path(), ["one", "two", "three"]).await;
    one.kill9();
    one.move_to(free_port());
    one.restart().await;
    reached(&[&one, &two, &three]).await;
    two.send_acked("one", "to the new address").await;
    assert_eq!(one.texts().await, ["to the new address"]);
}

#[tokio::test]
async fn two_agents_that_both_moved_meet_at_a_configured_address() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, mut two] = mesh(dir.path(), ["one", "two"]).await;
    assert!(one.terminate().await.success());
    assert!(two.terminate().await.success());
    one.move_to(free_port());
    two.move_to(free_port());
    one.add_arguments(&["--peer", &two.address().to_string()]);
    one.restart().await;
    two.restart().await;
    reached(&[&one, &two]).await;
    two.send_acked("one", "here").await;
}

/// A LocalAPI of Tailscale that knows one other device, which is this machine.
fn serve_tailscale(socket: &Path) {
    let device = |name: &str| {
        let dns_name = format!("{name}.tail1.ts.net.");
        json!({ "HostName": name, "DNSName": dns_name, "TailscaleIPs": ["127.0.0.1"], "Online": true })
    };
    let status = json!({
        "BackendState": "Running", "Self": device("own"), "Peer": { "nodekey:1": device("other") },
        "CurrentTailnet": { "MagicDNSSuffix": "tail1.ts.net" },
    });
    let body = status.to_string();
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.extend(byte);
            }
            let length = body.len();
            let _gone = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
}

#[tokio::test]
async fn two_agents_that_both_moved_meet_on_the_tailnet() {
    let dir = tempfile::tempdir().unwrap();
    let [mut one, mut two] = mesh(dir.path(), ["one", "two"]).await;
    assert!(one.terminate().await.success());
    assert!(two.terminate().await.success());
    one.move_to(free_port());
    two.move_to(free_port());
    let (socket, config) = (dir.path().join("tailscaled.sock"), dir.path().join("agent.toml"));
    serve_tailscale(&socket);
    let (socket, port) = (socket.display(), two.address().port());
    let text = format!("[discovery]\ntailscale_socket = \"{socket}\"\ntailscale_port = {port}\n");
    fs::write(&config, text).unwrap();
    one.add_arguments(&["--config", config.to_str().unwrap()]);
    one.ask_tailscale();
    one.restart().await;
    two.restart().await;
    reached(&[&one, &two]).await;
    let place = (Some("127.0.0.1"), Some("own.tail1.ts.net"));
    eventually(REACHED, "its place in the tailnet is known", async || {
        let peers = two.peers().await;
        let one = peers.iter().find(|peer| peer.hostname == "one").unwrap();
        let known = (one.tailscale_ip.as_deref(), one.tailscale_hostname.as_deref());
        (known == place).then_some(())
    })
    .await;
}
