//! What is left when the process is killed, or the disk takes no more, amid many writers.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use futures_util::future::join_all;
use mesh_store::{
    CustodyOutcome, InboxQuery, NewCustody, NewInbox, NewOutbox, OutboxEnd, Store, StoreConfig,
    StoreError,
};

use crate::support::{Home, held, incoming, is_held, is_stored, outgoing};

/// Names the database to the child process; without it the child's test does nothing.
const DATABASE: &str = "MESH_STORE_TEST_DATABASE";

/// Runs this very program with nothing but `test` in it.
fn child(test: &str, database: &Path, limit_file_blocks: Option<u32>) -> Child {
    let program = std::env::current_exe().unwrap();
    // An ignored SIGXFSZ stays ignored in the child: beyond the limit its writes fail.
    let limit = limit_file_blocks
        .map(|blocks| format!("trap '' XFSZ; ulimit -f {blocks}; "))
        .unwrap_or_default();
    Command::new("sh")
        .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
        .arg(program)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the child said was committed: `out SEQUENCE`, `in MESSAGE` and `held MESSAGE`.
fn lines(output: ChildStdout) -> impl Iterator<Item = (String, u64)> {
    BufReader::new(output).lines().map_while(Result::ok).filter_map(|line| {
        let (word, number) = line.split_once(' ')?;
        Some((word.to_owned(), number.parse().ok()?))
            .filter(|(word, _)| ["out", "in", "held"].contains(&word.as_str()))
    })
}

/// Sixteen senders and sixteen receivers, each saying what was acknowledged, until killed.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    // Ends the line that the test harness has begun.
    println!();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tracker = tokio_util::task::TaskTracker::new();
        let config =
            StoreConfig { custody_messages_per_sender_max: 10_000, ..StoreConfig::default() };
        let store = Store::open(Path::new(&database), config, &tracker).await.unwrap();
        let writers = (0..16_u64).map(|writer| {
            let store = store.clone();
            async move {
                for round in 0.. {
                    let number = round * 16 + writer;
                    let sequence = store.append_outbox(vec![outgoing(number)]).await.unwrap()[0];
                    // Every fourth is done with at once, so that lazy writes are under way too.
                    if round % 4 == 0 {
                        store.finish_outbox(sequence, OutboxEnd::Acked);
                    } else {
                        println!("out {sequence}");
                    }
                    let row = incoming(number + 1);
                    assert!(is_stored(&store.commit_inbox(vec![row]).await.unwrap()[0]));
                    println!("in {}", number + 1);
                    assert!(is_held(&store.insert_custody(vec![held(number)]).await.unwrap()[0]));
                    println!("held {number}");
                }
            }
        });
        join_all(writers).await;
    });
}

#[tokio::test]
async fn everything_acknowledged_survives_kill_9() {
    for kill_after in [1, 50, 700, 3000] {
        let home = Home::new();
        let name = "crash::child_that_writes_until_it_is_killed";
        let mut child = child(name, &home.path(), None);
        let mut said = lines(child.stdout.take().unwrap());
        let mut acked: Vec<(String, u64)> = said.by_ref().take(kill_after).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        acked.extend(said);
        assert!(!acked.is_empty());

        let store = home.open(StoreConfig::default()).await;
        let sequences: Vec<u64> =
            store.load_outbox().await.unwrap().iter().map(|row| row.sequence).collect();
        let repeats = acked.iter().filter(|(word, _)| word == "in").map(|(_, n)| incoming(*n));
        for chunk in repeats.collect::<Vec<NewInbox>>().chunks(500) {
            let outcomes = store.commit_inbox(chunk.to_vec()).await.unwrap();
            assert!(!outcomes.iter().any(is_stored), "an acknowledged message was lost");
        }
        for (_, sequence) in acked.iter().filter(|(word, _)| word == "out") {
            assert!(sequences.binary_search(sequence).is_ok(), "sequence {sequence} was lost");
        }
        let repeats = acked.iter().filter(|(word, _)| word == "held").map(|(_, n)| held(*n));
        for chunk in repeats.collect::<Vec<NewCustody>>().chunks(500) {
            let outcomes = store.insert_custody(chunk.to_vec()).await.unwrap();
            let is_known = outcomes.iter().all(|outcome| *outcome == CustodyOutcome::Duplicate);
            assert!(is_known, "a parcel that was taken was lost");
        }
        let next = store.append_outbox(vec![outgoing(1)]).await.unwrap()[0];
        assert!(next > sequences.last().copied().unwrap_or(0));
        store.close().await.unwrap();
    }
}

/// Writes until the disk takes no more; then the store must still work for reading.
#[test]
fn child_that_fills_the_disk() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    // Ends the line that the test harness has begun.
    println!();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tracker = tokio_util::task::TaskTracker::new();
        let store =
            Store::open(Path::new(&database), StoreConfig::default(), &tracker).await.unwrap();
        let writers = (0..8_u64).map(|writer| {
            let store = store.clone();
            async move {
                for round in 0..2_000 {
                    let row = NewOutbox {
                        body: Arc::from(vec![7; 3000]),
                        ..outgoing(round * 8 + writer)
                    };
                    match store.append_outbox(vec![row]).await {
                        Ok(sequences) => println!("out {}", sequences[0]),
                        Err(error) => {
                            assert_eq!(error.code(), mesh_protocol::ErrorCode::StorageError);
                            return true;
                        }
                    }
                }
                false
            }
        });
        assert!(join_all(writers).await.into_iter().all(|failed| failed), "the disk took all");
        let held = store.load_outbox().await.unwrap().len() as u64;
        assert_eq!(store.counts().await.unwrap().outbox, held, "memory and disk agree");
        println!("in {held}");
    });
}

#[tokio::test]
async fn a_disk_that_takes_no_more_fails_commits_as_a_whole() {
    let home = Home::new();
    let mut child = child("crash::child_that_fills_the_disk", &home.path(), Some(4096));
    let said: Vec<(String, u64)> = lines(child.stdout.take().unwrap()).collect();
    assert!(child.wait().unwrap().success());
    let mut acked: Vec<u64> =
        said.iter().filter(|(word, _)| word == "out").map(|(_, number)| *number).collect();
    acked.sort_unstable();
    assert!(acked.len() > 100, "{}", acked.len());
    let held = said.iter().find(|(word, _)| word == "in").expect("the child came to its end").1;
    assert_eq!(held, acked.len() as u64, "what failed is not there, what did not is");

    // The disk has room again.
    let store = home.open(StoreConfig::default()).await;
    let rows = store.load_outbox().await.unwrap();
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), acked);
    store.append_outbox(vec![outgoing(1)]).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_may_not_grow_refuses_until_something_leaves_it() {
    let home = Home::new();
    let config = StoreConfig { database_bytes_max: 1 << 20, ..StoreConfig::default() };
    let store = home.open(config).await;
    let large = |number| NewOutbox { body: Arc::from(vec![7; 10_000]), ..outgoing(number) };
    let mut sequences = Vec::new();
    let error = loop {
        match store.append_outbox(vec![large(sequences.len() as u64)]).await {
            Ok(appended) => sequences.extend(appended),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(sequences.len() > 50, "{}", sequences.len());
    assert_eq!(store.counts().await.unwrap().outbox, sequences.len() as u64);
    let many = store.append_outbox((0..30).map(large).collect()).await;
    assert!(matches!(many, Err(StoreError::Full { .. })), "{many:?}");
    assert_eq!(store.load_outbox().await.unwrap().len(), sequences.len(), "nothing half done");
    for sequence in &sequences {
        store.finish_outbox(*sequence, OutboxEnd::Acked);
    }
    store.flush().await.unwrap();
    store.append_outbox((0..30).map(large).collect()).await.unwrap();
    assert_eq!(store.counts().await.unwrap().outbox, 30);
    assert!(store.list_inbox(InboxQuery::default()).await.unwrap().is_empty());
    store.close().await.unwrap();
}
