use mesh_protocol::SqlValue;

use super::*;

fn reason(sql: &str) -> String {
    let statement = classify(sql);
    let Statement::Refused { reason } = statement else { panic!("{sql} is {statement:?}") };
    reason
}

#[test]
fn what_only_reads_is_told_from_what_writes() {
    for sql in [
        "SELECT 1",
        "select * from t; -- done",
        "VALUES (1, 2)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "EXPLAIN QUERY PLAN DELETE FROM t",
        "EXPLAIN INSERT INTO t VALUES (1)",
    ] {
        assert_eq!(classify(sql), Statement::Read, "{sql}");
    }
    for sql in [
        "INSERT INTO main.\"T t\" VALUES (1)",
        "REPLACE INTO [T t] VALUES (1) RETURNING *",
        "WITH a AS (SELECT 1) INSERT INTO `T t` SELECT * FROM a",
        "UPDATE 'T t' SET a = 1 FROM b WHERE b.c = d",
        "INSERT INTO \"T t\" VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
        "DELETE FROM \"T t\";",
    ] {
        assert_eq!(classify(sql), Statement::Write { table: "T t".to_owned() }, "{sql}");
    }
}

#[test]
fn changes_of_tables_are_named_with_what_they_change() {
    let create = Statement::CreateTable { name: "t".to_owned(), if_not_exists: true };
    assert_eq!(classify("CREATE TABLE IF NOT EXISTS t (a PRIMARY KEY)"), create);
    let add = Statement::AddColumn {
        table: "t".to_owned(),
        column: "column".to_owned(),
        definition: "\"column\" TEXT NOT NULL DEFAULT ('x')".to_owned(),
    };
    let sql = "ALTER TABLE main.t ADD COLUMN \"column\" TEXT NOT NULL DEFAULT ('x') /* new */ ;";
    assert_eq!(classify(sql), add);
    let index = Statement::CreateIndex {
        name: "i".to_owned(),
        table: "t".to_owned(),
        if_not_exists: false,
    };
    assert_eq!(classify("CREATE INDEX i ON t (a, b DESC) WHERE a > 0"), index);
    let drop = Statement::DropTable { name: "t".to_owned(), if_exists: true };
    assert_eq!(classify("DROP TABLE IF EXISTS t"), drop);
}

#[test]
fn what_is_not_allowed_says_why() {
    for (sql, why) in [
        ("", "no statement"),
        ("SELECT 1; SELECT 2", "more than one"),
        ("SELECT 1; DROP", "more than one"),
        ("CHOOSE 1", "not understood"),
        ("INSERT INTO t VALUES ('a\0b')", "zero byte"),
        ("ATTACH 'x' AS y", "attached"),
        ("PRAGMA user_version = 1", "settings"),
        ("EXPLAIN PRAGMA hard_heap_limit = 1000", "explained"),
        ("EXPLAIN QUERY PLAN PRAGMA hard_heap_limit = 1000", "explained"),
        ("BEGIN", "one transaction"),
        ("COMMIT", "one transaction"),
        ("SAVEPOINT a", "one transaction"),
        ("VACUUM", "upkeep"),
        ("CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1; END", "triggers"),
        ("CREATE VIEW v AS SELECT 1", "views"),
        ("CREATE VIRTUAL TABLE v USING fts5(a)", "virtual"),
        ("CREATE TEMP TABLE v (a PRIMARY KEY)", "temporary"),
        ("CREATE TABLE v AS SELECT 1", "no primary key"),
        ("CREATE TABLE temp.v (a PRIMARY KEY)", "only the database"),
        ("CREATE UNIQUE INDEX i ON t (a)", "primary key"),
        ("DROP INDEX i", "drop the table"),
        ("ALTER TABLE t RENAME TO u", "renaming"),
        ("ALTER TABLE t RENAME COLUMN a TO b", "renaming"),
        ("ALTER TABLE t DROP COLUMN a", "NULL instead"),
        ("ALTER TABLE t ADD COLUMN a UNIQUE", "UNIQUE"),
        ("ALTER TABLE t ADD COLUMN a REFERENCES b (c)", "foreign keys"),
        ("ALTER TABLE t ADD COLUMN a CHECK (a > 0)", "CHECK"),
        ("ALTER TABLE t ADD COLUMN a DEFAULT CURRENT_TIMESTAMP", "constant"),
        ("ALTER TABLE t ADD COLUMN a DEFAULT (random())", "constant"),
        ("ALTER TABLE t ADD COLUMN a AS (b + 1)", "generated"),
        ("ALTER TABLE t ADD COLUMN a NOT NULL", "needs a default"),
        ("ALTER TABLE t ADD COLUMN a NOT NULL DEFAULT NULL", "needs a default"),
        ("CREATE TABLE t (a PRIMARY KEY ON CONFLICT REPLACE)", "INSERT OR"),
        ("CREATE TABLE t (a PRIMARY KEY NOT NULL ON CONFLICT IGNORE)", "INSERT OR"),
        ("CREATE TABLE t (a, PRIMARY KEY (a) ON CONFLICT ROLLBACK)", "INSERT OR"),
    ] {
        assert!(reason(sql).contains(why), "{sql:?}: {}", reason(sql));
    }
    assert!(reason(&format!("SELECT '{}'", "x".repeat(STATEMENT_BYTES_MAX))).contains("at most"));
}

#[test]
fn bookkeeping_is_not_the_users_to_write() {
    for name in ["mesh_state", "Mesh_log", "t__mesh_row", "agent_peers", "sqlite_schema", "_sqlx_m"]
    {
        assert!(reason(&format!("DELETE FROM {name}")).contains("reserved"), "{name}");
        assert!(reason(&format!("CREATE TABLE {name} (a PRIMARY KEY)")).contains("reserved"));
        assert!(reason(&format!("DROP TABLE {name}")).contains("reserved"));
        assert!(reason(&format!("CREATE INDEX {name} ON t (a)")).contains("reserved"));
    }
    assert_eq!(classify("SELECT * FROM mesh_state"), Statement::Read);
}

#[test]
fn parameters_are_numbered_as_sqlite_does() {
    let values = |count: i64| (1..=count).map(SqlValue::Integer).collect::<Vec<_>>();
    for (sql, bound, count) in [
        ("SELECT ?, ?", "SELECT ?1, ?2", 2),
        ("SELECT ?2, ?, :a, @a, $b, :a ;", "SELECT ?2, ?3, ?4, ?5, ?6, ?4", 6),
        ("SELECT '?', \"?\" /* ? */, x'3f', ?1 -- ?", "SELECT '?', \"?\" /* ? */, x'3f', ?1", 1),
        ("SELECT 1;;", "SELECT 1", 0),
    ] {
        let (text, bound_values) = bindable(sql, &values(count)).unwrap();
        assert_eq!(text, bound);
        assert_eq!(bound_values, values(count));
    }
    let (_, missing) = bindable("SELECT ?3", &values(1)).unwrap();
    assert_eq!(missing, [SqlValue::Integer(1), SqlValue::Null, SqlValue::Null]);
    let (cast, _) = bindable("SELECT ?", &[SqlValue::RawText(vec![0xff])]).unwrap();
    assert_eq!(cast, "SELECT CAST(?1 AS TEXT)");
}

#[test]
fn numbers_of_parameters_that_sqlite_has_not_are_errors() {
    for sql in ["SELECT ?0", "SELECT ?99999", "SELECT ?99999999999999999999"] {
        assert!(bindable(sql, &[]).is_err(), "{sql}");
    }
    assert!(bindable("SELECT 1", &[SqlValue::Null]).is_err());
    let (text, _) = bindable("SELECT $0", &[]).unwrap();
    assert_eq!(text, "SELECT ?1");
}

#[test]
fn spaces_comments_and_case_make_no_other_definition() {
    let one = normalised("CREATE TABLE t(A integer PRIMARY KEY, b DEFAULT 'X')", 2);
    let two = normalised("create  table T (a INTEGER primary key /* id */,\n b default 'X');", 2);
    assert_eq!(one, two);
    assert_ne!(one, normalised("CREATE TABLE t(A integer PRIMARY KEY, b DEFAULT 'x')", 2));
}

#[test]
fn deep_nesting_is_survived() {
    let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(classify(&deep), Statement::Read | Statement::Refused { .. }));
}

#[test]
fn parameters_that_stand_in_order_need_no_names() {
    let sql = "INSERT INTO t VALUES (?, '?2', ?2, ?) ; ";
    let expected = ("INSERT INTO t VALUES (?, '?2', ?, ?)".to_owned(), 3);
    assert_eq!(nameless(sql), Some(expected));
    for sql in ["SELECT ?2, ?1", "SELECT ?1, ?1", "SELECT :a", "SELECT ?3"] {
        assert_eq!(nameless(sql), None, "{sql}");
    }
}

#[test]
fn a_definition_is_found_in_its_table_whatever_stands_around_it() {
    for (create, expected) in [
        ("CREATE TABLE t (id INT, x TEXT)", Some("CREATE TABLE t (id INT, x NEW)")),
        (
            "CREATE TABLE x (id INT CHECK (x > 1), y DEFAULT 'x, x', [X] DECIMAL(1, 2) /* , */ DEFAULT (',)'), z)",
            Some("CREATE TABLE x (id INT CHECK (x > 1), y DEFAULT 'x, x', x NEW, z)"),
        ),
        (
            "CREATE TABLE t (x, y, PRIMARY KEY (y)) WITHOUT ROWID",
            Some("CREATE TABLE t (x NEW, y, PRIMARY KEY (y)) WITHOUT ROWID"),
        ),
        ("CREATE TABLE t (id INT, y CHECK (x, x TEXT))", None),
        ("CREATE TABLE t (id 'x", None),
    ] {
        assert_eq!(redefined(create, "x", "x NEW").as_deref(), expected, "{create}");
    }
}

#[test]
fn indexes_are_the_same_however_they_are_written() {
    let one = normalised_index("CREATE INDEX i ON t (a DESC)");
    assert!(one.is_some());
    assert_eq!(normalised_index("create index if not exists main.i on t(a desc) ;"), one);
    assert_ne!(normalised_index("CREATE INDEX i ON t (a)"), one);
}
