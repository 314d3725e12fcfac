//! A member whose clock is ahead: what it writes waits, is named, and drags nobody's clock along.

use std::path::Path;

use mesh_control::{ClockSkewView, ParkedAccept};

use super::desk::{LONG, NOTES, equal};
use crate::agent::{Agent, Extra, eventually, linked};
use crate::skewed_clock::SkewedClock;

const HOUR_MILLIS: i64 = 3_600_000;

const ALL: &str = "SELECT * FROM notes ORDER BY id";

/// How far the clock of the tables is ahead of the right time, in seconds.
const AHEAD: &str = "SELECT (clock >> 16) / 1000 - CAST(strftime('%s', 'now') AS INTEGER)
    FROM mesh_state";

/// Three members with a table; the clock is the one of the last.
async fn with_clock(dir: &Path, config: &str) -> ([Agent; 3], SkewedClock) {
    let file = dir.join("agent.toml");
    std::fs::write(&file, config).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let clock = SkewedClock::new(dir, 0);
    let one = Agent::start_with(dir, "one", Extra::new(&config)).await;
    let two = Agent::start_with(dir, "two", Extra::new(&config)).await;
    let extra = Extra { environment: clock.environment(), ..Extra::new(&config) };
    let fast = Agent::start_with(dir, "fast", extra).await;
    for agent in [&two, &fast] {
        agent.join(&one.token().await).await.unwrap();
    }
    linked(&[&one, &two, &fast]).await;
    one.create(NOTES).await;
    one.write("INSERT INTO notes VALUES (1, 'title', 'body')").await;
    for agent in [&two, &fast] {
        agent.shows(ALL, &["1|title|body"]).await;
    }
    ([one, two, fast], clock)
}

async fn waiting(agent: &Agent, transactions: u64) -> Vec<ClockSkewView> {
    eventually(LONG, "what the fast one wrote waits", async || {
        let skews = agent.status().await.data.clock_skew;
        let all = skews.iter().map(|skew| skew.transactions).sum::<u64>();
        (all == transactions).then_some(skews)
    })
    .await
}

#[tokio::test]
async fn writes_of_an_hour_ahead_wait_are_named_and_are_taken_when_an_operator_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, two, fast], clock) = with_clock(dir.path(), "").await;
    clock.set(HOUR_MILLIS);
    fast.write("UPDATE notes SET title = 'from the future' WHERE id = 1").await;
    fast.write("INSERT INTO notes VALUES (2, 'future', '')").await;
    for agent in [&one, &two] {
        let skews = waiting(agent, 2).await;
        assert_eq!(skews.len(), 1);
        assert_eq!(skews[0].hostname, "fast");
        let ahead = skews[0].ahead_seconds;
        assert!((3500..3700).contains(&ahead), "{ahead} s ahead");
        assert_eq!(agent.rows(ALL).await, ["1|title|body"]);
        let events = agent.client().events(1000).await.unwrap();
        let parked = events.iter().filter(|event| event.kind == "transaction_parked");
        assert!(parked.clone().count() >= 2, "{events:?}");
        assert!(parked.clone().all(|event| event.fields["reason"] == "clock_skew"));
        let said = String::from_utf8(agent.ctl(&["status"]).stdout).unwrap();
        assert!(said.contains("fast"), "{said}");
    }

    // The others go on as before, with each other and with the fast one, and with the right time.
    one.write("UPDATE notes SET body = 'meanwhile' WHERE id = 1").await;
    two.write("INSERT INTO notes VALUES (3, 'meanwhile', '')").await;
    fast.shows(ALL, &["1|from the future|meanwhile", "2|future|", "3|meanwhile|"]).await;
    for agent in [&one, &two] {
        agent.shows(ALL, &["1|title|meanwhile", "3|meanwhile|"]).await;
        let ahead = agent.number_past(AHEAD).await;
        assert!(ahead.abs() < 60, "{} is {ahead} s ahead", agent.name());
    }

    // Set right; what it had written by then is accepted by each of the others' operators.
    clock.set(0);
    for agent in [&one, &two] {
        let accept = ParkedAccept { host: String::from("fast") };
        let accepted = agent.client().parked_accept(&accept).await.unwrap();
        assert_eq!((accepted.accepted, accepted.applied), (2, 2));
        let ahead = agent.number_past(AHEAD).await;
        assert!(ahead.abs() < 60, "{} is {ahead} s ahead", agent.name());
    }
    equal(&[&one, &two, &fast]).await;
    let expected = ["1|from the future|meanwhile", "2|future|", "3|meanwhile|"];
    assert_eq!(two.rows(ALL).await, expected);
    assert!(two.conflicts().await.is_empty());

    // Who has seen it can change it, although its clock is behind.
    two.write("UPDATE notes SET title = 'the present' WHERE id = 1").await;
    for agent in [&one, &two, &fast] {
        agent.shows("SELECT title FROM notes WHERE id = 1", &["the present"]).await;
    }
    equal(&[&one, &two, &fast]).await;
    assert_eq!(one.conflicts().await, []);
}

#[tokio::test]
async fn writes_of_a_clock_that_is_a_little_ahead_come_when_time_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[tables]\nclock_ahead_seconds_max = 2\n";
    let ([one, two, fast], clock) = with_clock(dir.path(), config).await;
    clock.set(8_000);
    fast.write("INSERT INTO notes VALUES (2, 'soon', '')").await;
    for agent in [&one, &two] {
        let _named = waiting(agent, 1).await;
        assert_eq!(agent.rows(ALL).await, ["1|title|body"]);
    }
    for agent in [&one, &two] {
        agent.shows(ALL, &["1|title|body", "2|soon|"]).await;
    }
    clock.set(0);
    equal(&[&one, &two, &fast]).await;
}
