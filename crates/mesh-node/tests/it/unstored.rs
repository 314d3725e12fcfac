//! A database that refuses membership records for a while: what is in force must not be lost with a restart.

use std::path::Path;

use mesh_node::{DeliveryOutcome, Filter, Node, Outgoing};
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{
    builder, eventually, join, linked, message, number_of, pair, restart, send_acked, start, within,
};

async fn in_database(dir: &Path, name: &str, sql: &'static str) {
    let url = format!("sqlite://{}", dir.join(name).join("mesh.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(sql).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}

async fn refuse_records(dir: &Path, name: &str) {
    let sql = "CREATE TRIGGER refuse BEFORE INSERT ON records
        BEGIN SELECT RAISE(ABORT, 'no room for a record'); END";
    in_database(dir, name, sql).await;
}

/// Members one and two, and a third that joined while the second one's database took no records.
async fn joined_unstored(dir: &Path) -> [Node; 3] {
    let (one, two) = pair(dir).await;
    refuse_records(dir, "two").await;
    let three = start(dir, "three").await;
    join(&three, &one).await;
    linked(&[&one, &two, &three]).await;
    [one, two, three]
}

fn sealed(to: &str, number: u64) -> Outgoing {
    Outgoing { seal: true, ..message(to, "any", number) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_for_a_member_opens_though_it_restarts_without_the_senders_record() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, three] = joined_unstored(dir.path()).await;
    // Each end speaks after the other: whatever they agree upon at link-up is agreed by now.
    for number in [1, 2] {
        send_acked(&three, sealed("two", number)).await;
        send_acked(&two, message("three", "any", number)).await;
    }
    let port = two.listening()[0].port();
    within(two.stop()).await;
    drop(two);
    let sent = within(three.send(sealed("two", 3))).await.unwrap();
    let two = within(builder(dir.path(), "two", port).start()).await.unwrap();
    let reports = within(sent.wait(std::time::Duration::from_secs(15))).await;
    let outcomes: Vec<_> = reports.iter().map(|report| &report.outcome).collect();
    assert_eq!(outcomes, [&DeliveryOutcome::Acked], "{reports:?}");
    let mut inbox = two.subscribe(Filter::Everything);
    for number in [1, 2, 3] {
        assert_eq!(number_of(&within(inbox.next()).await.unwrap()), number);
    }
    for node in [one, two, three] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_database_refused_are_stored_before_the_next_message_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, three] = joined_unstored(dir.path()).await;
    in_database(dir.path(), "two", "DROP TRIGGER refuse").await;
    for gone in [one, three] {
        within(gone.stop()).await;
    }
    let _waits = within(two.send(message("three", "any", 1))).await.unwrap();
    // Nobody is there from whom it could have the record again.
    let two = restart(dir.path(), "two", two).await;
    let known: Vec<_> = two.peers().into_iter().map(|peer| peer.hostname.to_string()).collect();
    assert_eq!(known, ["two", "one", "three"]);
    let three = start(dir.path(), "three").await;
    let mut inbox = three.subscribe(Filter::Everything);
    eventually("it knows where the third is", async || {
        two.peers().iter().any(|peer| peer.hostname.as_str() == "three" && peer.is_linked)
    })
    .await;
    assert_eq!(number_of(&within(inbox.next()).await.unwrap()), 1);
    two.stop().await;
    three.stop().await;
}
