//! A mesh with more members than any of them keeps links with.

use std::path::Path;
use std::time::Duration;

use mesh_node::{LinkConfig, Node};
use tempfile::TempDir;

use crate::support::{builder, eventually_in, free_port, message, send_acked, within};

const MEMBERS: usize = 9;
const DEGREE: usize = 2;
/// Gossip goes round by turns, a few seconds each.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start_small(dir: &Path, name: &str) -> Node {
    let links = LinkConfig { full_mesh_max: 4, degree: DEGREE, ..LinkConfig::default() };
    within(builder(dir, name, free_port()).links(links).start()).await.unwrap()
}

fn name(number: usize) -> String {
    format!("m{number}")
}

async fn mesh(dir: &Path) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..MEMBERS {
        let node = start_small(dir, &name(number)).await;
        if let Some(issuer) = nodes.last() {
            let token = issuer.create_token(None, "a test").await.unwrap();
            within(node.join(&token.text)).await.unwrap();
        }
        nodes.push(node);
    }
    nodes
}

fn sees_all_active(node: &Node) -> bool {
    let peers = node.peers();
    peers.len() == MEMBERS && peers.iter().all(|peer| peer.is_active)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_without_a_link_are_active_and_reached_through_others() {
    let dir = TempDir::new().unwrap();
    let nodes = mesh(dir.path()).await;
    eventually_in(PATIENCE, "everybody sees everybody as active", async || {
        nodes.iter().all(sees_all_active)
    })
    .await;

    let mut pairs = Vec::new();
    for node in &nodes {
        let apart = node.peers().into_iter().filter(|peer| !peer.is_linked);
        pairs.extend(apart.map(|peer| (node, peer.hostname.to_string())));
    }
    assert!(pairs.len() > MEMBERS, "most of these members have no link with each other");
    for (number, (from, to)) in pairs.into_iter().enumerate() {
        send_acked(from, message(&to, "far", number as u64)).await;
        let trip = within(from.ping(&to, Some(Duration::from_secs(5)))).await.unwrap();
        assert!(!trip.via.is_empty(), "{to} was reached through others");
    }
    for node in &nodes {
        within(node.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crash_of_one_is_known_to_all_and_nobody_else_is_blamed() {
    let dir = TempDir::new().unwrap();
    let mut nodes = mesh(dir.path()).await;
    eventually_in(PATIENCE, "everybody sees everybody as active", async || {
        nodes.iter().all(sees_all_active)
    })
    .await;
    let crashed = nodes.remove(4);
    within(crashed.stop()).await;
    let knows = |node: &Node| {
        node.peers().iter().all(|peer| peer.is_active == (peer.peer_id != crashed.peer_id()))
    };
    eventually_in(PATIENCE, "everybody sees that one, and no other, as inactive", async || {
        nodes.iter().all(knows)
    })
    .await;
    for node in &nodes {
        within(node.stop()).await;
    }
}
