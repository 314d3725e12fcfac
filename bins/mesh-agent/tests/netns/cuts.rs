//! A wire that carries one direction alone, and one that is slow and loses some.

use std::time::Duration;

use mesh_testkit::netns::NetnsError;

use crate::agent::{PATIENCE, eventually, text_message};
use crate::world::{Located, World, direct, measured, reaches_through};

/// To notice that nothing comes back, and to find the way around; and to find back.
const DETOUR: Duration = Duration::from_secs(30);

/// Two members of which the second does not hear the first any more, and a third that hears both.
async fn go_around(world: &World, deaf: [&Located; 2], third: &Located) {
    let [one, other] = deaf;
    world.lan.cut(&one.machine, &other.machine).unwrap();
    for (from, to) in [(one, other), (other, one)] {
        let what = format!("{} reaches {} through {}", from.name(), to.name(), third.name());
        let around = async || reaches_through(from, to.name(), &[third.name()]).await;
        let took = measured(DETOUR, &what, around).await;
        eprintln!("{what}, {took:?} later");
    }
    let there = one.send_acked(other.name(), "can you hear me?").await;
    assert_eq!(there.deliveries[0].via.as_deref(), Some(third.name()));
    let back = other.send_acked(one.name(), "on a detour").await;
    assert_eq!(back.deliveries[0].via.as_deref(), Some(third.name()));

    world.lan.mend(&one.machine, &other.machine).unwrap();
    for (from, to) in [(one, other), (other, one)] {
        let took = direct(from, to.name(), DETOUR).await;
        eprintln!("{} reaches {} directly, {took:?} later", from.name(), to.name());
    }
    let there = one.send_acked(other.name(), "and now?").await;
    assert_eq!(there.deliveries[0].via.as_deref(), Some("direct"));
    assert_eq!(other.texts().await, ["can you hear me?", "and now?"]);
    assert_eq!(one.texts().await, ["on a detour"]);
    assert!(third.inbox().await.is_empty(), "what it carried is not for it");
}

#[tokio::test]
async fn a_pair_goes_through_a_third_while_the_dialling_side_is_not_heard() {
    let mut world = World::new();
    let [first, second, third] = world.mesh_in_order(["oak", "elm", "ash"]).await;
    go_around(&world, [&first, &second], &third).await;
}

#[tokio::test]
async fn a_pair_goes_through_a_third_while_the_side_that_is_dialled_is_not_heard() {
    let mut world = World::new();
    let [first, second, third] = world.mesh_in_order(["oak", "elm", "ash"]).await;
    go_around(&world, [&third, &second], &first).await;
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
