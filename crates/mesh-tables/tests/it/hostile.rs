//! What members may send and no honest one does: it must not stop anybody.

use mesh_protocol::{
    Dot, HybridClock, ORIGINS_MAX, OriginId, RowChange, SchemaChange, Section, SqlValue, TableId,
    TransactionHeader, TransactionPart, UnixMillis,
};
use mesh_tables::{Applied, TablesConfig};
use sqlx::{AssertSqlSafe, query};

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

#[tokio::test]
async fn databases_that_are_made_up_are_taken_up_to_a_bound_only() {
    let peer = Peer::new(1).await;
    let fill = format!(
        "INSERT INTO mesh_origins (origin) WITH RECURSIVE n(i) AS \
         (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ORIGINS_MAX} - 66) SELECT randomblob(16) FROM n",
    );
    query(AssertSqlSafe(fill)).execute(&mut peer.shell().await).await.unwrap();
    let peer = peer.restart().await;
    let header = || TransactionHeader { clock: HybridClock(1), ..TransactionHeader::default() };
    assert_eq!(send(&peer, &part(1, header(), Vec::new())).await.applied.len(), 1);
    let count = peer.count("mesh_origins").await;
    for is_last in [true, false] {
        let mut more = part(1, header(), Vec::new());
        more.dot.origin = OriginId::from_bytes([8; 16]);
        more.is_last = is_last;
        assert_eq!(send(&peer, &more).await.refused, [more.dot]);
    }
    assert_eq!((peer.count("mesh_origins").await, peer.count("mesh_spool").await), (count, 0));
    // Whoever is known goes on.
    assert_eq!(send(&peer, &part(2, header(), Vec::new())).await.applied.len(), 1);
    peer.run("CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
}

#[tokio::test]
async fn one_database_does_not_take_all_places_of_what_is_kept_aside() {
    let config = TablesConfig { parked_max: 16, ..TablesConfig::default() };
    let peer = Peer::with(1, config).await;
    let header = || TransactionHeader { clock: HybridClock(1), ..TransactionHeader::default() };
    let unknown = |key| put(TableId::from_bytes([7; 16]), SqlValue::Integer(key), 1);
    for sequence in 1..=4 {
        let applied = send(&peer, &part(sequence, header(), unknown(1))).await;
        assert_eq!(applied.parked.len(), 1, "{applied:?}");
    }
    let fifth = part(5, header(), unknown(1));
    assert_eq!(send(&peer, &fifth).await.refused, [fifth.dot]);
    assert_eq!(peer.count("mesh_spool").await, 4);
    let mut honest = part(1, header(), unknown(2));
    honest.dot.origin = OriginId::from_bytes([8; 16]);
    assert_eq!(send(&peer, &honest).await.parked.len(), 1);
}

#[tokio::test]
async fn a_transaction_has_one_last_part_and_nothing_behind_it() {
    let peer = Peer::new(1).await;
    let header = TransactionHeader { clock: HybridClock(1), ..TransactionHeader::default() };
    let piece = |number, is_last| {
        let mut piece = part(1, header.clone(), Vec::new());
        (piece.part, piece.is_last) = (number, is_last);
        if number > 0 {
            piece.header = None;
        }
        piece
    };
    for (one, two) in [((2, true), (1, true)), ((1, true), (2, true)), ((1, true), (2, false))] {
        assert_eq!(send(&peer, &piece(one.0, one.1)).await.spooled, 1);
        let applied = send(&peer, &piece(two.0, two.1)).await;
        assert_eq!(applied.refused.len(), 1, "{one:?} {two:?}");
        assert_eq!(peer.count("mesh_spool").await, 0);
    }
    assert_eq!(send(&peer, &piece(1, true)).await.spooled, 1);
    assert_eq!(send(&peer, &piece(0, false)).await.applied.len(), 1);
}

#[tokio::test]
async fn a_transaction_of_one_part_takes_nothing_from_parts_that_came_before() {
    let peer = Peer::new(1).await;
    let clock = HybridClock::at(UnixMillis(peer.now().await.0 + 3_600_000));
    let header = TransactionHeader { clock, ..TransactionHeader::default() };
    let mut first = part(1, header.clone(), Vec::new());
    first.is_last = false;
    assert_eq!(send(&peer, &first).await.spooled, 1);
    assert_eq!(send(&peer, &part(1, header, Vec::new())).await.parked.len(), 1);
    let later = UnixMillis(peer.now().await.0 + 3_600_000);
    assert_eq!(peer.tables.retry_parked(later).await.unwrap().applied.len(), 1);
    assert_eq!(peer.count("mesh_spool").await, 0);
}

#[tokio::test]
async fn the_built_in_tables_are_neither_taken_nor_altered_nor_dropped() {
    let peer = Peer::new(1).await;
    peer.tables.make_built_in(peer.now().await).await.unwrap();
    let table = id_of(&peer).await;
    let name = "agent_config".to_owned();
    let sql = "CREATE TABLE agent_config (key TEXT PRIMARY KEY NOT NULL)".to_owned();
    let made = TableId::from_bytes([7; 16]);
    let changes = [
        SchemaChange::CreateTable { table: made, name: name.clone(), sql, replaces: None },
        SchemaChange::AddColumn { table, column: "x".to_owned(), definition: "x".to_owned() },
        SchemaChange::CreateIndex {
            table,
            name: "i".to_owned(),
            sql: "CREATE INDEX i ON agent_config (entry)".to_owned(),
        },
        SchemaChange::DropTable { table, name },
    ];
    for (sequence, change) in (1..).zip(changes) {
        let (clock, schema) = (HybridClock(1), vec![change]);
        let header = TransactionHeader { clock, schema, ..TransactionHeader::default() };
        let applied = send(&peer, &part(sequence, header, Vec::new())).await;
        assert_eq!(applied.parked.len(), 1, "{applied:?}");
    }
    let tables = peer.tables.tables().await.unwrap();
    assert!(tables.iter().all(|table| table.is_built_in && table.aside.is_none()));
    assert_eq!(
        (tables.len(), tables[0].columns.as_slice()),
        (2, ["key", "entry"].map(str::to_owned).as_slice())
    );
}
