//! A wire that carries one direction alone, and one that is slow and loses some.

use std::time::Duration;

use mesh_testkit::netns::NetnsError;

use crate::agent::{PATIENCE, eventually, text_message};
use crate::world::{World, direct, reaches_through};

/// To notice that nothing comes back, and to find the way around; and to find back.
const DETOUR: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_pair_of_which_one_side_is_not_heard_goes_through_a_third_until_it_is_heard_again() {
    let mut world = World::new();
    let [oak, elm, ash] = world.mesh(["oak", "elm", "ash"]).await;
    world.lan.cut(&oak.machine, &elm.machine).unwrap();
    for (agent, other) in [(&oak, "elm"), (&elm, "oak")] {
        let what = format!("{} reaches {other} through ash", agent.name());
        let around = async || reaches_through(agent, other, &["ash"]).await.then_some(());
        eventually(DETOUR, &what, around).await;
    }
    let there = oak.send_acked("elm", "can you hear me?").await;
    assert_eq!(there.deliveries[0].via.as_deref(), Some("ash"));
    let back = elm.send_acked("oak", "through ash I can").await;
    assert_eq!(back.deliveries[0].via.as_deref(), Some("ash"));

    world.lan.mend(&oak.machine, &elm.machine).unwrap();
    direct(&oak, "elm", DETOUR).await;
    direct(&elm, "oak", DETOUR).await;
    let there = oak.send_acked("elm", "and now?").await;
    assert_eq!(there.deliveries[0].via.as_deref(), Some("direct"));
    assert_eq!(elm.texts().await, ["can you hear me?", "and now?"]);
    assert_eq!(oak.texts().await, ["through ash I can"]);
    assert!(ash.inbox().await.is_empty(), "what ash carried is not for ash");
}

#[tokio::test]
async fn a_slow_wire_that_loses_some_delays_messages_and_loses_none() {
    let mut world = World::new();
    let [oak, elm] = world.mesh(["oak", "elm"]).await;
    match world.lan.impair(&oak.machine, Duration::from_millis(50), 5) {
        Err(error @ NetnsError::NetemMissing) => return eprintln!("skipped: {error}"),
        result => result.unwrap(),
    }
    let texts: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for text in &texts {
        oak.client().send(&text_message("elm", text)).await.unwrap();
    }
    let all = async || (elm.inbox().await.len() >= texts.len()).then_some(());
    eventually(PATIENCE, "all of them arrive", all).await;
    assert_eq!(elm.texts().await, texts, "in order, each once");
    let reply = oak.send_acked("elm", "one more").await;
    assert!(reply.deliveries[0].ms.unwrap() >= 50.0, "{reply:?}");
}
