//! Nodes on loopback, messages that can be told apart, and the one place that waits.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use mesh_node::{
    CustomJson, DeliveryOutcome, DiscoveryConfig, JsonText, Node, NodeBuilder, Outgoing, Payload,
    Received, Target,
};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Nothing that is waited for in these tests takes longer, unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// Looks again and again until `is_so`.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFnMut() -> bool) {
    eventually_in(PATIENCE, what, is_so).await;
}

/// The same for what is known to take its time.
pub(crate) async fn eventually_in(
    patience: Duration,
    what: &str,
    mut is_so: impl AsyncFnMut() -> bool,
) {
    let mut pace = interval(Duration::from_millis(10));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        while !is_so().await {
            pace.tick().await;
        }
    };
    timeout(patience, looking)
        .await
        .unwrap_or_else(|_| panic!("in time it did not come true: {what}"));
}

/// A free port that the system does not hand out by itself, so that a node that restarts finds it free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let of_process = std::process::id().wrapping_mul(97) % 20_000;
    for _ in 0..20_000 {
        let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(12_000 + (of_process + number) % 20_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// A node that looks for members nowhere, so that nothing of the machine's own network has a say.
pub(crate) fn builder(dir: &Path, name: &str, port: u16) -> NodeBuilder {
    Node::builder(dir.join(name))
        .hostname(name.parse().unwrap())
        .listen((Ipv4Addr::LOCALHOST, port).into())
        .discovery(DiscoveryConfig::none())
}

pub(crate) async fn start(dir: &Path, name: &str) -> Node {
    within(builder(dir, name, free_port()).start()).await.unwrap()
}

/// Stops a node and starts it again on the same data and port.
pub(crate) async fn restart(dir: &Path, name: &str, node: Node) -> Node {
    let port = node.listening()[0].port();
    within(node.stop()).await;
    drop(node);
    within(builder(dir, name, port).start()).await.unwrap()
}

pub(crate) async fn join(newcomer: &Node, member: &Node) {
    let token = member.create_token(None, "a test").await.unwrap();
    within(newcomer.join(&token.text)).await.unwrap();
    linked(&[newcomer, member]).await;
}

pub(crate) fn is_linked(node: &Node, peer: &Node) -> bool {
    node.peers().iter().any(|known| known.peer_id == peer.peer_id() && known.is_linked)
}

pub(crate) async fn linked(nodes: &[&Node]) {
    eventually("everybody is linked with everybody", async || {
        nodes.iter().all(|node| nodes.iter().all(|peer| is_linked(node, peer)))
    })
    .await;
}

/// Two members, linked.
pub(crate) async fn pair(dir: &Path) -> (Node, Node) {
    let (one, two) = (start(dir, "one").await, start(dir, "two").await);
    join(&two, &one).await;
    (one, two)
}

/// A message of one application type with a number in it.
pub(crate) fn message(to: &str, app_type: &str, number: u64) -> Outgoing {
    let data = JsonText::parse(&number.to_string()).unwrap();
    let payload = Payload::CustomJson(CustomJson { app_type: app_type.to_owned(), data });
    Outgoing::new(Target::Name(to.to_owned()), payload)
}

pub(crate) fn number_of(received: &Received) -> u64 {
    let Payload::CustomJson(custom) = &received.message.payload else {
        panic!("another payload: {received:?}")
    };
    custom.data.as_str().parse().unwrap()
}

/// Sends and waits; how the one delivery ended.
pub(crate) async fn outcome(node: &Node, message: Outgoing) -> DeliveryOutcome {
    let sent = within(node.send(message)).await.unwrap();
    let reports = sent.wait(Duration::from_secs(10)).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports[0].outcome
}

pub(crate) async fn send_acked(node: &Node, message: Outgoing) {
    assert_eq!(outcome(node, message).await, DeliveryOutcome::Acked);
}
