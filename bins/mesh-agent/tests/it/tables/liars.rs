//! A member that says it has more than everybody else, and gives a state that it made up.

use mesh_protocol::{
    Frame, HybridClock, OriginHave, OriginId, RowState, SchemaChange, SnapshotChunk,
    SnapshotPosition, SnapshotRequest, SqlValue, SyncHave, TableId, Version,
};
use mesh_transport::{Lane, LaneReceiver, Link};
use sqlx::Connection as _;

use super::desk::{LONG, equal};
use crate::agent::{Agent, PATIENCE, eventually, mesh};
use crate::insiders::{Insider, in_an_hour};

/// A database that nobody has, and that the liar alone can give.
const MADE_UP: OriginId = OriginId::from_bytes([9; 16]);

/// What a liar says that it has: too much to be sent one by one.
fn lies() -> Vec<OriginHave> {
    vec![OriginHave { origin: MADE_UP, upto: 1000, holes: Vec::new(), floor: 1000 }]
}

fn version() -> Version {
    Version { life: 1, clock: HybridClock(1), origin: MADE_UP, sequence: 7 }
}

fn row(key: i64, values: &[SqlValue]) -> RowState {
    let key = vec![SqlValue::Integer(key)];
    RowState { key, version: version(), values: values.to_vec(), cells: Vec::new() }
}

/// A piece without anything in it, which would be the last.
fn piece() -> SnapshotChunk {
    SnapshotChunk {
        request_id: 0,
        session: 1,
        have: lies(),
        contexts: Vec::new(),
        schema: Vec::new(),
        coverage: Vec::new(),
        from: None,
        columns: Vec::new(),
        rows: Vec::new(),
        losers: Vec::new(),
        is_table_end: false,
        next: None,
        progress: (0, 1),
    }
}

/// Rows of a table, up to a key or to its end.
fn rows_of(table: TableId, rows: Vec<RowState>, upto: Option<i64>) -> SnapshotChunk {
    let after = upto.map(|key| vec![SqlValue::Integer(key)]);
    SnapshotChunk {
        from: Some(SnapshotPosition::start_of(table)),
        columns: vec![String::from("n")],
        rows,
        is_table_end: after.is_none(),
        next: after.map(|after| SnapshotPosition {
            after: Some(after),
            ..SnapshotPosition::start_of(table)
        }),
        ..piece()
    }
}

/// The id of a table.
async fn id_of(agent: &Agent, name: &str) -> TableId {
    let mut conn = agent.open().await;
    let sql = "SELECT table_id FROM mesh_tables WHERE name = ?";
    let id: Vec<u8> = sqlx::query_scalar(sql).bind(name).fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    TableId::from_bytes(id.try_into().unwrap())
}

/// The victim's next question for a piece of the state.
async fn question(lane: &mut LaneReceiver) -> SnapshotRequest {
    let asked = async {
        loop {
            let frame = lane.next().await.expect("the link is up").unwrap();
            if let Frame::SnapshotRequest(request) = frame {
                return request;
            }
        }
    };
    tokio::time::timeout(LONG, asked).await.expect("the victim asks for the state")
}

/// Says what it has, and gives this piece when it is asked for one.
async fn give(lane: &mut LaneReceiver, link: &Link, have: SyncHave, piece: &SnapshotChunk) {
    link.sender().send(Lane::Bulk, &Frame::SyncHave(have)).await.unwrap();
    let request_id = question(lane).await.request_id;
    let bytes = SnapshotChunk { request_id, ..piece.clone() }.encode().unwrap();
    link.sender().send(Lane::Bulk, &Frame::SnapshotChunk(bytes.into())).await.unwrap();
}

/// Answers heartbeats, as every member does.
async fn stay(urgent: &mut LaneReceiver, link: &Link) {
    while let Some(Ok(frame)) = urgent.next().await {
        if let Frame::Ping(ping) = frame {
            let _gone = link.sender().send(Lane::Urgent, &Frame::Pong(ping)).await;
        }
    }
}

#[tokio::test]
async fn a_state_that_a_member_made_up_is_refused_whole_and_taken_from_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let [one, victim] = mesh(dir.path(), ["one", "victim"]).await;
    one.create("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n > 0))").await;
    one.write("INSERT INTO t VALUES (1, 1)").await;
    equal(&[&one, &victim]).await;
    let (table, built_in) = (id_of(&one, "t").await, id_of(&one, "agent_config").await);
    let good = row(9, &[SqlValue::Integer(9)]);
    let negative = row(8, &[SqlValue::Integer(-8)]);
    let unknown = TableId::from_bytes([7; 16]);
    let drops = SchemaChange::DropTable { table: built_in, name: String::from("agent_config") };
    let pieces = [
        ("rows of another range", rows_of(table, vec![good.clone()], Some(5))),
        ("a table that it did not name", rows_of(unknown, vec![good.clone()], None)),
        ("stays what it is", SnapshotChunk { schema: vec![(version(), drops)], ..piece() }),
        ("CHECK", rows_of(table, vec![negative, good], None)),
    ];
    let Insider { stranger, link, .. } = Insider::enter(&one, &victim).await;
    drop(link);
    for (round, (reason, piece)) in (1..).zip(pieces) {
        let mut link = Insider::link(&stranger, &victim).await;
        let mut urgent = link.take_receiver(Lane::Urgent);
        let mut bulk = link.take_receiver(Lane::Bulk);
        let have = SyncHave {
            member: stranger.peer_id(),
            database: MADE_UP,
            revision: in_an_hour().0 + round,
            origins: lies(),
            wants_answer: true,
            is_whole: true,
            wants_changes: true,
        };
        let is_refused = async || victim.log().contains(reason).then_some(());
        let lying = async {
            give(&mut bulk, &link, have, &piece).await;
            eventually(PATIENCE, &format!("{reason:?} is in the log"), is_refused).await;
        };
        tokio::select! {
            () = lying => {}
            () = stay(&mut urgent, &link) => panic!("the link ended before {reason:?}"),
        }
        drop(link);
        // Nothing of it is there, and what others write arrives all the same.
        one.write(&format!("INSERT INTO t VALUES ({}, 1)", 10 + round)).await;
        equal(&[&one, &victim]).await;
    }
    one.shows("SELECT id FROM t WHERE id < 10", &["1"]).await;
    victim.shows("SELECT id FROM t WHERE id < 10", &["1"]).await;
}
