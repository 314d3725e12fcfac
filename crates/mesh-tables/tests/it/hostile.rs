//! What members may send and no honest one does: it must not stop anybody.

use mesh_protocol::{
    Dot, HybridClock, OriginId, RowChange, SchemaChange, Section, SqlValue, TableId,
    TransactionHeader, TransactionPart,
};
use mesh_tables::Applied;

use crate::peer::Peer;

const HOSTILE: OriginId = OriginId::from_bytes([9; 16]);

fn part(sequence: u64, header: TransactionHeader, sections: Vec<Section>) -> TransactionPart {
    let dot = Dot { origin: HOSTILE, sequence };
    TransactionPart { dot, part: 0, is_last: true, header: Some(header), sections }
}

async fn send(peer: &Peer, part: &TransactionPart) -> Applied {
    peer.take(vec![part.encode().unwrap()], peer).await
}

/// The id of the table that `sql` makes.
async fn id_of(peer: &Peer) -> TableId {
    peer.tables.tables().await.unwrap()[0].id
}

fn create(table: TableId, name: &str, sql: &str) -> TransactionHeader {
    let (name, sql) = (name.to_owned(), sql.to_owned());
    let schema = vec![SchemaChange::CreateTable { table, name, sql, replaces: None }];
    TransactionHeader { clock: HybridClock(1), schema, ..TransactionHeader::default() }
}

#[tokio::test]
async fn a_name_behind_a_mark_of_byte_order_is_kept_aside() {
    let peer = Peer::new(1).await;
    let header = create(
        TableId::from_bytes([7; 16]),
        "t",
        "CREATE TABLE \u{feff}t (id INTEGER PRIMARY KEY)",
    );
    let applied = send(&peer, &part(1, header, Vec::new())).await;
    assert_eq!(applied.parked.len(), 1, "{applied:?}");
}

#[tokio::test]
async fn a_column_behind_a_mark_of_byte_order_is_kept_aside() {
    let peer = Peer::new(1).await;
    peer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let column = "\u{feff}x".to_owned();
    let change =
        SchemaChange::AddColumn { table: id_of(&peer).await, definition: column.clone(), column };
    let header = TransactionHeader {
        clock: HybridClock(1),
        schema: vec![change],
        ..TransactionHeader::default()
    };
    let applied = send(&peer, &part(1, header, Vec::new())).await;
    assert_eq!(applied.parked.len(), 1, "{applied:?}");
}

fn put(table: TableId, key: SqlValue, life: u64) -> Vec<Section> {
    let change = RowChange::Put { key: vec![key], life, clock: HybridClock(1), values: Vec::new() };
    vec![Section { table, columns: Vec::new(), changes: vec![change], listed: Vec::new() }]
}

#[tokio::test]
async fn a_life_without_an_end_does_not_stop_the_database() {
    let peer = Peer::new(1).await;
    peer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let header = TransactionHeader { clock: HybridClock(1), ..TransactionHeader::default() };
    let sections = put(id_of(&peer).await, SqlValue::Integer(1), HybridClock::MAX.0);
    let part = part(1, header, sections);
    assert!(part.encode().is_err());
}

#[tokio::test]
async fn a_row_without_a_key_is_no_row() {
    let peer = Peer::new(1).await;
    peer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    let header = TransactionHeader { clock: HybridClock(1), ..TransactionHeader::default() };
    let sections = put(id_of(&peer).await, SqlValue::Null, 1);
    assert!(part(1, header, sections).encode().is_err());
}

#[test]
fn nobody_makes_up_databases_by_naming_them() {
    let advanced = vec![(OriginId::from_bytes([8; 16]), 0)];
    let header =
        TransactionHeader { clock: HybridClock(1), advanced, ..TransactionHeader::default() };
    assert!(part(1, header, Vec::new()).encode().is_err());
}

#[tokio::test]
async fn a_table_takes_its_name_from_an_index() {
    let (one, two) = (Peer::new(1).await, Peer::new(2).await);
    one.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    one.give(&two).await;
    one.run("CREATE INDEX x ON t (a)").await;
    two.run("CREATE TABLE x (id INTEGER PRIMARY KEY)").await;
    one.give(&two).await;
    let applied = two.give(&one).await;
    assert!(applied.parked.is_empty(), "{applied:?}");
}
