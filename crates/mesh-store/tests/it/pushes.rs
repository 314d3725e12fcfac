use mesh_protocol::{
    Confirmation, PeerId, PushEvent, PushFact, PushId, PushMethod, PushOffer, PushProblem,
    PushReason, PushStep, PushTotals, RelativePath, TestEnd, TestOutcome, UnixMillis, Verification,
    WaitingFor,
};
use mesh_store::{GitAuditRow, PushRow, Store, StoreConfig, StoreError, StoredPush};

use crate::support::{Home, NOW, peer};

const MINUTE: u64 = 60_000;

/// Ids that were made a minute apart, so that they differ in their first eight digits.
fn push_id(number: u64) -> PushId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    PushId::from_parts(UnixMillis(NOW.0 + number * 2 * MINUTE), &random)
}

fn offer(number: u64) -> PushOffer {
    PushOffer {
        push_id: push_id(number),
        by: peer(1),
        targets: vec![peer(2), peer(3)],
        root: "default".parse().unwrap(),
        destination: RelativePath::parse(b"some/folder").unwrap(),
        message: format!("push {number}"),
        method: PushMethod::Stream,
        totals: PushTotals::default(),
        manifest: [0; 32],
        test: Some("./test.sh {file}".to_owned()),
        made_at: NOW,
        expires_at: UnixMillis(NOW.0 + MINUTE),
    }
}

fn push(number: u64, is_sender: bool) -> PushRow {
    PushRow {
        push_id: push_id(number),
        is_sender,
        by: peer(1),
        rollback_of: None,
        offer: offer(number),
        request: if is_sender { br#"{"paths":["/a"]}"#.to_vec() } else { Vec::new() },
        made_at: UnixMillis(NOW.0 + number),
        is_open: true,
        wire_bytes: 0,
    }
}

fn event(at: u64, fact: PushFact) -> PushEvent {
    PushEvent { at: UnixMillis(NOW.0 + at), fact }
}

fn test_outcome(output_bytes: usize) -> TestOutcome {
    TestOutcome {
        command: "./test.sh {file}".to_owned(),
        end: TestEnd::Exit(0),
        millis: 12,
        output: vec![b'x'; output_bytes],
        is_cut: false,
    }
}

/// One fact of every kind.
fn history() -> Vec<PushEvent> {
    let target: PeerId = peer(2);
    let problem = PushProblem {
        step: PushStep::Verify,
        reason: PushReason::TestFailed,
        detail: "it said no".to_owned(),
        test: Some(test_outcome(32 << 10)),
    };
    let verification = Verification { files: 1, bytes: 2, test: Some(test_outcome(0)) };
    let confirmation =
        Confirmation { location: b"/srv/\xff/scripts".to_vec(), replaced: 3, at: NOW };
    let facts = [
        PushFact::Prepared { totals: PushTotals::default(), manifest: [7; 32] },
        PushFact::Announced,
        PushFact::Waiting { target, waiting_for: WaitingFor::Link },
        PushFact::Accepted { target },
        PushFact::Staged { target },
        PushFact::Verified { target, verification },
        PushFact::Confirmed { target, confirmation },
        PushFact::Failed { target: peer(3), problem: problem.clone() },
        PushFact::RolledBack { target, by: push_id(9) },
        PushFact::Ended(problem),
    ];
    (0..).zip(facts).map(|(at, fact)| event(at, fact)).collect()
}

async fn record_all(store: &Store, number: u64, is_sender: bool, events: &[PushEvent]) {
    for event in events {
        let recorded = store.record_push_event(push_id(number), is_sender, event.clone()).await;
        assert!(recorded.unwrap());
    }
}

fn numbers(pushes: &[StoredPush]) -> Vec<String> {
    pushes.iter().map(|push| push.row.offer.message.clone()).collect()
}

#[tokio::test]
async fn a_push_and_its_history_outlive_the_process() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    assert!(store.insert_push(push(1, true)).await.unwrap());
    let totals = PushTotals { entries: 4, files: 3, bytes: 2, chunks: 2, pages: 1 };
    let prepared = PushOffer { totals, manifest: [9; 32], ..offer(1) };
    assert!(store.update_push_offer(push_id(1), true, prepared.clone()).await.unwrap());
    record_all(&store, 1, true, &history()).await;
    store.close().await.unwrap();

    let store = home.open(StoreConfig::default()).await;
    let row = PushRow { offer: prepared, ..push(1, true) };
    let stored = StoredPush { row: row.clone(), events: history() };
    assert_eq!(store.load_open_pushes().await.unwrap(), std::slice::from_ref(&stored));
    assert_eq!(store.load_push(push_id(1)).await.unwrap(), [stored]);

    assert!(store.close_push(push_id(1), true, 4711).await.unwrap());
    store.close().await.unwrap();
    let store = home.open(StoreConfig::default()).await;
    assert!(store.load_open_pushes().await.unwrap().is_empty());
    let row = PushRow { is_open: false, wire_bytes: 4711, ..row };
    let closed = StoredPush { row, events: history() };
    assert_eq!(store.list_pushes(10).await.unwrap(), [closed]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn both_sides_of_a_push_are_kept_apart() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let rollback = |is_sender| PushRow { rollback_of: Some(push_id(1)), ..push(2, is_sender) };
    assert!(store.insert_push(rollback(false)).await.unwrap());
    assert!(store.insert_push(rollback(true)).await.unwrap());
    let other = PushRow { request: b"other".to_vec(), ..rollback(true) };
    assert!(!store.insert_push(other).await.unwrap(), "it is there already");

    let announced = event(1, PushFact::Announced);
    let accepted = event(2, PushFact::Accepted { target: peer(2) });
    record_all(&store, 2, true, std::slice::from_ref(&announced)).await;
    record_all(&store, 2, false, std::slice::from_ref(&accepted)).await;
    assert!(store.close_push(push_id(2), false, 1).await.unwrap());
    let sender = StoredPush { row: rollback(true), events: vec![announced] };
    let row = PushRow { is_open: false, wire_bytes: 1, ..rollback(false) };
    let target = StoredPush { row, events: vec![accepted] };
    assert_eq!(store.load_push(push_id(2)).await.unwrap(), [sender.clone(), target]);
    assert_eq!(store.load_open_pushes().await.unwrap(), [sender]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_said_of_an_unknown_push_changes_nothing() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_push(push(1, false)).await.unwrap();
    let announced = event(1, PushFact::Announced);
    assert!(!store.update_push_offer(push_id(1), true, offer(1)).await.unwrap());
    assert!(!store.record_push_event(push_id(1), true, announced.clone()).await.unwrap());
    assert!(!store.close_push(push_id(1), true, 1).await.unwrap());
    assert!(!store.record_push_event(push_id(2), false, announced).await.unwrap());
    let untouched = StoredPush { row: push(1, false), events: Vec::new() };
    assert_eq!(store.list_pushes(10).await.unwrap(), [untouched]);
    assert!(store.load_push(push_id(2)).await.unwrap().is_empty());
    store.close().await.unwrap();
}

#[tokio::test]
async fn pushes_are_listed_as_this_node_heard_of_them_whatever_their_clocks_say() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    for number in [2, 9, 1] {
        store.insert_push(push(number, false)).await.unwrap();
    }
    assert_eq!(numbers(&store.list_pushes(2).await.unwrap()), ["push 1", "push 9"]);
    assert!(store.list_pushes(0).await.unwrap().is_empty());
    let open = store.load_open_pushes().await.unwrap();
    assert_eq!(numbers(&open), ["push 2", "push 9", "push 1"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_push_is_found_by_the_first_digits_of_its_id() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let later = |number| PushId::from_parts(UnixMillis(NOW.0), &[number; 10]);
    for id in [later(1), later(2), later(3)] {
        let row = PushRow { push_id: id, ..push(0, true) };
        store.insert_push(row.clone()).await.unwrap();
        store.insert_push(PushRow { is_sender: false, ..row }).await.unwrap();
    }
    store.insert_push(push(1, true)).await.unwrap();
    let text = push_id(1).to_string();
    let simple = text.replace('-', "");
    let first = |count| text.get(..count).unwrap();
    for digits in [first(8), first(9), first(16), &text, &simple, &text.to_uppercase()] {
        assert_eq!(store.find_pushes(digits).await.unwrap(), [push_id(1)], "{digits}");
    }
    let shared = later(1).to_string();
    assert_eq!(
        store.find_pushes(shared.get(..8).unwrap()).await.unwrap(),
        [later(1), later(2)],
        "two say enough"
    );
    assert_eq!(store.find_pushes("0").await.unwrap().len(), 2);
    let too_long = format!("{simple}0");
    for digits in ["", "-", "ffffffff", "xyz", "%", "é", &too_long] {
        assert!(store.find_pushes(digits).await.unwrap().is_empty(), "{digits}");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn the_oldest_pushes_that_are_over_go_and_open_ones_stay() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    // More than one transaction removes.
    for number in 0..150 {
        store.insert_push(push(number, false)).await.unwrap();
        record_all(&store, number, false, &history()[..2]).await;
        if number != 3 {
            store.close_push(push_id(number), false, 1).await.unwrap();
        }
    }
    store.insert_push(push(5, true)).await.unwrap();
    assert!(store.prune_pushes(149).await.unwrap().is_empty());
    let gone = store.prune_pushes(2).await.unwrap();
    let expected: Vec<PushId> = (0..148).filter(|n| ![3, 5].contains(n)).map(push_id).collect();
    assert_eq!(gone, expected, "of the fifth the sender's side is left");
    let left = numbers(&store.list_pushes(100).await.unwrap());
    assert_eq!(left, ["push 5", "push 149", "push 148", "push 3"]);

    let mut conn = home.meddle().await;
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM push_events").fetch_one(&mut conn).await.unwrap();
    assert_eq!(events, 6, "histories go with their pushes");

    store.insert_push(push(149, true)).await.unwrap();
    store.close_push(push_id(149), true, 1).await.unwrap();
    assert_eq!(store.prune_pushes(0).await.unwrap(), [push_id(148), push_id(149)], "said once");
    assert_eq!(store.prune_pushes(0).await.unwrap(), []);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_exceeds_its_bound_is_refused_and_not_written() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    let large = PushRow { request: vec![b' '; (1 << 20) + 1], ..push(1, true) };
    let wordy = PushOffer { message: "x".repeat(1025), ..offer(1) };
    let wordy_row = PushRow { offer: wordy.clone(), ..push(1, true) };
    for row in [large, wordy_row] {
        let refused = store.insert_push(row).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    }
    let fits = PushRow { request: vec![b' '; 1 << 20], ..push(1, true) };
    assert!(store.insert_push(fits).await.unwrap());
    let refused = store.update_push_offer(push_id(1), true, wordy).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let test = Some(test_outcome((32 << 10) + 1));
    let verification = Verification { files: 0, bytes: 0, test };
    let loud = event(0, PushFact::Verified { target: peer(2), verification });
    let refused = store.record_push_event(push_id(1), true, loud).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");

    let mut conn = home.meddle().await;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16383)
         INSERT INTO push_events (push_row, event) SELECT 1, x'00' FROM n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    let announced = event(0, PushFact::Announced);
    assert!(store.record_push_event(push_id(1), true, announced.clone()).await.unwrap());
    let refused = store.record_push_event(push_id(1), true, announced).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");

    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998)
         INSERT INTO pushes (push_id, is_sender, by_peer, made_at, is_open, wire_bytes, offer, request)
         SELECT unhex(printf('%032d', i)), 0, zeroblob(32), 0, 0, 0, x'', x'' FROM n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    assert!(store.insert_push(push(2, true)).await.unwrap());
    let refused = store.insert_push(push(3, true)).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })), "{refused:?}");
    assert!(!store.insert_push(push(2, true)).await.unwrap(), "nothing new is not too many");
    assert!(store.load_push(push_id(3)).await.unwrap().is_empty());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_push_that_cannot_be_read_is_told() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.insert_push(push(1, true)).await.unwrap();
    record_all(&store, 1, true, &history()[..1]).await;
    let mut conn = home.meddle().await;
    for sql in ["UPDATE push_events SET event = x'ff'", "UPDATE pushes SET offer = x'0100000000'"] {
        sqlx::query(sql).execute(&mut conn).await.unwrap();
        let read = store.list_pushes(10).await;
        assert!(matches!(read, Err(StoreError::Malformed { .. })), "{sql}: {read:?}");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_half_recorded() {
    let home = Home::new();
    let config = StoreConfig { database_bytes_max: 1 << 20, ..StoreConfig::default() };
    let store = home.open(config).await;
    store.insert_push(push(1, true)).await.unwrap();
    let failed = history().remove(7);
    let mut recorded = 0;
    let error = loop {
        match store.record_push_event(push_id(1), true, failed.clone()).await {
            Ok(is_known) => recorded += usize::from(is_known),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(recorded > 5, "{recorded}");
    let large = PushRow { request: vec![b' '; 1 << 20], ..push(2, true) };
    let refused = store.insert_push(large).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    let stored = store.list_pushes(10).await.unwrap();
    assert_eq!(stored.iter().map(|push| push.events.len()).collect::<Vec<_>>(), [recorded]);

    // What goes makes room.
    store.close_push(push_id(1), true, 1).await.unwrap();
    assert_eq!(store.prune_pushes(0).await.unwrap(), [push_id(1)]);
    assert!(store.insert_push(push(3, true)).await.unwrap());
    record_all(&store, 3, true, &[failed]).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_says_so_of_pushes() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    store.close().await.unwrap();
    let announced = event(0, PushFact::Announced);
    assert!(matches!(store.insert_push(push(1, true)).await, Err(StoreError::Closed)));
    let recorded = store.record_push_event(push_id(1), true, announced).await;
    assert!(matches!(recorded, Err(StoreError::Closed)));
    assert!(matches!(store.load_open_pushes().await, Err(StoreError::Closed)));
    assert!(matches!(store.prune_pushes(0).await, Err(StoreError::Closed)));
}

fn moved(number: u64) -> GitAuditRow {
    GitAuditRow {
        at: UnixMillis(NOW.0 + number),
        peer_id: peer(2),
        repository: "tools".to_owned(),
        reference: "refs/heads/main".to_owned(),
        old: format!("{number:064x}"),
        new: format!("{:064x}", number + 1),
    }
}

#[tokio::test]
async fn moves_of_references_are_kept_newest_first_and_within_their_bounds() {
    let home = Home::new();
    let store = home.open(StoreConfig::default()).await;
    for number in 0..3 {
        store.insert_git_audit(moved(number)).await.unwrap();
    }
    store.close().await.unwrap();
    let store = home.open(StoreConfig::default()).await;
    assert_eq!(store.list_git_audit(2).await.unwrap(), [moved(2), moved(1)]);

    for row in [
        GitAuditRow { repository: "x".repeat(1025), ..moved(4) },
        GitAuditRow { reference: "x".repeat(1025), ..moved(4) },
        GitAuditRow { old: "0".repeat(65), ..moved(4) },
        GitAuditRow { new: "0".repeat(65), ..moved(4) },
    ] {
        let refused = store.insert_git_audit(row).await;
        assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    }
    let mut conn = home.meddle().await;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998)
         INSERT INTO git_audit (at, peer_id, repository, reference, old_id, new_id)
         SELECT 0, zeroblob(32), '', '', '', '' FROM n",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    store.insert_git_audit(moved(4)).await.unwrap();
    let rows = store.list_git_audit(20_000).await.unwrap();
    assert_eq!(rows.len(), 10_000);
    assert_eq!((&rows[0], &rows[9_999]), (&moved(4), &moved(2)), "the oldest went");
    store.close().await.unwrap();
}
