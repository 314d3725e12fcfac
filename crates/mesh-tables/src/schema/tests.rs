//! Changes of several members, in every order.

use std::sync::Arc;

use mesh_protocol::{HybridClock, OriginId, UnixMillis};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::*;
use crate::rules::tests::NoRules;
use crate::{Tables, TablesConfig};

struct Setup {
    _folder: TempDir,
    tables: Tables,
}

impl Setup {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data.db");
        let (fresh, tracker) = (OriginId::from_bytes([9; 16]), TaskTracker::new());
        let config = TablesConfig::default();
        let tables = Tables::open(&path, config, Arc::new(NoRules), fresh, &tracker).await.unwrap();
        Self { _folder: folder, tables }
    }

    async fn apply(&self, (change, version): &(SchemaChange, Version)) -> SchemaOutcome {
        let (change, version) = (change.clone(), *version);
        let applied = self.tables.transact(move |desk| {
            Box::pin(async move { apply_schema(desk, &change, version).await })
        });
        applied.await.unwrap()
    }

    async fn run(&self, sql: &str) {
        let sql = sql.to_owned();
        let statements = vec![crate::Statement { sql, params: Vec::new() }];
        self.tables.execute(statements, UnixMillis(1)).await.unwrap();
    }

    /// Names, columns, rows and whether aside.
    async fn standing(&self) -> Vec<(String, Vec<String>, u64, bool)> {
        let infos = self.tables.tables().await.unwrap().into_iter();
        infos.map(|info| (info.name, info.columns, info.rows, info.aside.is_some())).collect()
    }
}

fn version(clock: u64, origin: u8) -> Version {
    let origin = OriginId::from_bytes([origin; 16]);
    Version { life: 1, clock: HybridClock(clock), origin, sequence: clock }
}

async fn create(sql: &str, replaces: Option<TableId>) -> (TableId, SchemaChange) {
    let facts = introspect::table(sql).await.unwrap();
    let table = introspect::table_id(&facts, replaces).unwrap();
    let sql = sql.to_owned();
    (table, SchemaChange::CreateTable { table, name: facts.name, sql, replaces })
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for order in orders(count - 1) {
        for place in 0..count {
            let mut longer = order.clone();
            longer.insert(place, count - 1);
            all.push(longer);
        }
    }
    all
}

#[tokio::test]
async fn of_two_definitions_the_earlier_holds_the_name_in_every_order() {
    let (_, one) = create("CREATE TABLE t (a INTEGER PRIMARY KEY)", None).await;
    let (_, two) = create("CREATE TABLE T (b TEXT NOT NULL PRIMARY KEY)", None).await;
    let (_, three) = create("CREATE TABLE t (c INTEGER PRIMARY KEY, d)", None).await;
    let changes = [
        (one.clone(), version(5, 1)),
        (two, version(4, 2)),
        (three, version(5, 3)),
        (one, version(4, 1)),
    ];
    for order in orders(changes.len()) {
        let setup = Setup::new().await;
        for index in &order {
            setup.apply(&changes[*index]).await;
        }
        let columns: Vec<_> =
            setup.standing().await.into_iter().map(|table| (table.1.join(" "), table.3)).collect();
        let expected = [("a", false), ("b", true), ("c d", true)];
        let expected: Vec<_> =
            expected.iter().map(|(columns, aside)| ((*columns).to_owned(), *aside)).collect();
        assert_eq!(columns, expected, "{order:?}");
        setup.run("INSERT INTO t VALUES (1)").await;
    }
}

#[tokio::test]
async fn a_table_set_aside_keeps_its_rows_and_comes_back_when_the_other_is_dropped() {
    let setup = Setup::new().await;
    setup.run("CREATE TABLE t (b INTEGER PRIMARY KEY, c)").await;
    setup.run("CREATE INDEX t_c ON t (c)").await;
    setup.run("INSERT INTO t VALUES (1, 'x'), (2, 'y')").await;
    let (id, earlier) = create("CREATE TABLE t (a INTEGER PRIMARY KEY)", None).await;
    let outcome = setup.apply(&(earlier.clone(), version(1, 1))).await;
    assert!(matches!(outcome, SchemaOutcome::SetAside { table } if table != id), "{outcome:?}");
    let standing = setup.standing().await;
    assert_eq!((standing[0].2, standing[0].3), (0, false));
    assert_eq!((standing[1].2, standing[1].3), (2, true));
    setup.run("INSERT INTO t VALUES (7)").await;
    let drop = SchemaChange::DropTable { table: id, name: "t".to_owned() };
    assert_eq!(setup.apply(&(drop.clone(), version(9, 1))).await, SchemaOutcome::Applied);
    assert_eq!(setup.apply(&(drop, version(9, 1))).await, SchemaOutcome::Same);
    // A dropped table stays dropped.
    assert_eq!(setup.apply(&(earlier, version(1, 1))).await, SchemaOutcome::Same);
    let standing = setup.standing().await;
    assert_eq!(standing.len(), 1);
    assert_eq!((standing[0].2, standing[0].3), (2, false));
    setup.run("UPDATE t SET c = 'z' WHERE b = 1").await;
}

#[tokio::test]
async fn a_later_definition_waits_without_a_table_until_the_name_is_free() {
    let setup = Setup::new().await;
    let (first, one) = create("CREATE TABLE t (a INTEGER PRIMARY KEY)", None).await;
    let (second, two) = create("CREATE TABLE t (b INTEGER PRIMARY KEY)", None).await;
    assert_eq!(setup.apply(&(one, version(1, 1))).await, SchemaOutcome::Applied);
    let outcome = setup.apply(&(two, version(2, 2))).await;
    assert_eq!(outcome, SchemaOutcome::SetAside { table: second });
    let add = SchemaChange::AddColumn {
        table: second,
        column: "c".to_owned(),
        definition: "c".to_owned(),
    };
    let waits = setup.apply(&(add.clone(), version(3, 2))).await;
    assert_eq!(waits, SchemaOutcome::UnknownTable { table: second });
    let drop = SchemaChange::DropTable { table: first, name: "t".to_owned() };
    setup.apply(&(drop, version(4, 1))).await;
    assert_eq!(setup.apply(&(add.clone(), version(3, 2))).await, SchemaOutcome::Applied);
    assert_eq!(setup.apply(&(add, version(3, 2))).await, SchemaOutcome::Same);
    assert_eq!(setup.standing().await[0].1, ["b", "c"]);
}

#[tokio::test]
async fn changes_that_cannot_be_carried_out_change_nothing() {
    let setup = Setup::new().await;
    let (id, one) = create("CREATE TABLE t (a INTEGER PRIMARY KEY)", None).await;
    let SchemaChange::CreateTable { name, .. } = &one else { panic!() };
    let other_sql = SchemaChange::CreateTable {
        table: id,
        name: name.clone(),
        sql: "CREATE TABLE t (b INTEGER PRIMARY KEY)".to_owned(),
        replaces: None,
    };
    let bad_sql = SchemaChange::CreateTable {
        table: id,
        name: name.clone(),
        sql: "CREATE TABLE t (a INTEGER PRIMARY KEY); DROP TABLE mesh_log".to_owned(),
        replaces: None,
    };
    for change in [other_sql, bad_sql] {
        let outcome = setup.apply(&(change, version(1, 1))).await;
        assert!(matches!(outcome, SchemaOutcome::Impossible { .. }), "{outcome:?}");
    }
    assert!(setup.standing().await.is_empty());
    setup.apply(&(one, version(1, 1))).await;
    let column = |column: &str, definition: &str| SchemaChange::AddColumn {
        table: id,
        column: column.to_owned(),
        definition: definition.to_owned(),
    };
    let index = |sql: &str| SchemaChange::CreateIndex {
        table: id,
        name: "i".to_owned(),
        sql: sql.to_owned(),
    };
    for change in [
        column("b", "c"),
        column("b", "b; DROP TABLE t"),
        column("b", "b UNIQUE"),
        column("b", "b DEFAULT (random())"),
        column("a", "a"),
        index("CREATE UNIQUE INDEX i ON t (a)"),
        index("CREATE INDEX j ON t (a)"),
        index("CREATE INDEX i ON mesh_log (body)"),
        index("CREATE INDEX i ON t (nothing)"),
        index("DROP TABLE t"),
    ] {
        let outcome = setup.apply(&(change.clone(), version(2, 1))).await;
        assert!(matches!(outcome, SchemaOutcome::Impossible { .. }), "{change:?}: {outcome:?}");
    }
    assert_eq!(setup.standing().await[0].1, ["a"]);
}

#[tokio::test]
async fn columns_and_indexes_are_bounded() {
    let setup = Setup::new().await;
    let columns: String = (1..mesh_protocol::COLUMNS_MAX).map(|no| format!(", c{no}")).collect();
    let sql = format!("CREATE TABLE t (a INTEGER PRIMARY KEY{columns})");
    let (id, one) = create(&sql, None).await;
    setup.apply(&(one, version(1, 1))).await;
    let add =
        SchemaChange::AddColumn { table: id, column: "x".to_owned(), definition: "x".to_owned() };
    let outcome = setup.apply(&(add, version(2, 1))).await;
    assert!(matches!(outcome, SchemaOutcome::Impossible { .. }));
    for no in 0..=indexes::INDEXES_MAX {
        let (name, sql) = (format!("i{no}"), format!("CREATE INDEX i{no} ON t (c1)"));
        let outcome =
            setup.apply(&(SchemaChange::CreateIndex { table: id, name, sql }, version(3, 1))).await;
        assert_eq!(matches!(outcome, SchemaOutcome::Applied), no < indexes::INDEXES_MAX);
    }
}

#[tokio::test]
async fn a_name_that_something_else_has_is_not_taken_away() {
    let setup = Setup::new().await;
    let view = setup.tables.transact(|desk| {
        Box::pin(async { execute(&mut desk.conn, "CREATE VIEW t AS SELECT 1", []).await })
    });
    view.await.unwrap();
    let (_, one) = create("CREATE TABLE t (a INTEGER PRIMARY KEY)", None).await;
    let outcome = setup.apply(&(one, version(1, 1))).await;
    assert!(matches!(outcome, SchemaOutcome::Impossible { .. }), "{outcome:?}");
}
