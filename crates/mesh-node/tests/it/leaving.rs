//! Members that stay away for longer than the mesh waits.

use std::num::NonZeroU8;
use std::path::Path;
use std::time::Duration;

use mesh_node::{LivenessConfig, Node};
use tempfile::TempDir;

use crate::support::{builder, eventually, free_port, join, linked, message, send_acked, within};

/// Days made seconds.
fn impatient() -> LivenessConfig {
    LivenessConfig {
        probe_timeout: Duration::from_millis(100),
        probe_every: Duration::from_millis(100),
        inactive_after: Duration::from_millis(300),
        inactive_probe_every: Duration::from_millis(100),
        forget_after: Duration::from_secs(2),
        ..LivenessConfig::default()
    }
}

async fn start_impatient(dir: &Path, name: &str) -> Node {
    let builder = builder(dir, name, free_port()).liveness(impatient());
    within(builder.start()).await.unwrap()
}

fn knows(node: &Node, name: &str) -> bool {
    node.peers().iter().any(|peer| peer.hostname.as_str() == name)
}

#[tokio::test]
async fn a_member_that_stays_away_is_removed_everywhere_and_can_join_again() {
    let dir = TempDir::new().unwrap();
    let one = start_impatient(dir.path(), "one").await;
    let two = start_impatient(dir.path(), "two").await;
    join(&two, &one).await;
    let three = start_impatient(dir.path(), "three").await;
    join(&three, &one).await;
    linked(&[&one, &two, &three]).await;
    within(three.stop()).await;
    drop(three);

    eventually("the member that is away is removed", async || {
        !knows(&one, "three") && !knows(&two, "three")
    })
    .await;
    assert!(knows(&one, "two") && knows(&two, "one"), "nobody else is removed");

    let three = start_impatient(dir.path(), "three").await;
    eventually("it hears that it was removed", async || {
        let token = one.create_token(None, "back again").await.unwrap();
        three.join(&token.text).await.is_ok()
    })
    .await;
    linked(&[&one, &two, &three]).await;
    send_acked(&two, message("three", "welcome", 1)).await;
    for node in [one, two, three] {
        within(node.stop()).await;
    }
}

/// A mesh of three of which the last one has left for long.
async fn deserted(dir: &Path, remove_quorum: u8, liveness: &LivenessConfig) -> [Node; 2] {
    let start = async |name| {
        let builder = builder(dir, name, free_port()).liveness(liveness.clone());
        let builder = builder.remove_quorum(NonZeroU8::new(remove_quorum).unwrap());
        within(builder.start()).await.unwrap()
    };
    let (one, two, three) = (start("one").await, start("two").await, start("three").await);
    join(&two, &one).await;
    join(&three, &one).await;
    linked(&[&one, &two, &three]).await;
    within(three.stop()).await;
    [one, two]
}

#[tokio::test]
async fn where_several_must_ask_nobody_is_removed_for_staying_away() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let careful = deserted(dirs[0].path(), 2, &impatient()).await;
    // Another mesh begins to wait later and waits for twice as long: when it has removed its member, the careful
    // one would have done so for a while.
    let patient = LivenessConfig { forget_after: Duration::from_secs(4), ..impatient() };
    let hasty = deserted(dirs[1].path(), 1, &patient).await;
    eventually("the hasty mesh removes its member", async || !knows(&hasty[0], "three")).await;
    for node in &careful {
        assert!(knows(node, "three"), "nobody removes it");
        let asked = node.events(1000).into_iter().find(|event| event.kind.contains("remov"));
        assert_eq!(asked, None, "and nobody asks for it");
    }
    for node in careful.into_iter().chain(hasty) {
        within(node.stop()).await;
    }
}
