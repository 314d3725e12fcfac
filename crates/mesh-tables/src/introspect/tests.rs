use super::*;

async fn reason(sql: &str) -> String {
    let facts = table(sql).await;
    let Err(TablesError::Refused { reason }) = facts else { panic!("{sql}: {facts:?}") };
    reason
}

async fn id(sql: &str) -> TableId {
    table_id(&table(sql).await.unwrap(), None).unwrap()
}

#[tokio::test]
async fn a_definition_tells_key_columns_and_what_is_computed() {
    let facts = table(
        "CREATE TABLE IF NOT EXISTS \"my t\" (a INT DEFAULT 5, b TEXT NOT NULL COLLATE NOCASE, \
         c INT AS (a + 1), d BLOB NOT NULL, PRIMARY KEY (d, b)) STRICT, WITHOUT ROWID",
    )
    .await
    .unwrap();
    assert_eq!(facts.name, "my t");
    let key: Vec<_> = facts.key.iter().map(|key| (key.name.as_str(), key.collation)).collect();
    assert_eq!(key, [("d", Collation::Binary), ("b", Collation::NoCase)]);
    assert_eq!(facts.columns.len(), 1);
    assert_eq!(facts.columns[0].default.as_deref(), Some("5"));
    assert_eq!(facts.generated, ["c"]);
    assert!(facts.is_strict && facts.is_without_rowid && !facts.is_rowid_key);
}

#[tokio::test]
async fn the_row_number_is_told_from_other_keys() {
    for (sql, is_rowid) in [
        ("CREATE TABLE t (a INTEGER PRIMARY KEY)", true),
        ("CREATE TABLE t (a INTEGER, PRIMARY KEY (a))", true),
        ("CREATE TABLE t (a INTEGER NOT NULL PRIMARY KEY DESC)", false),
        ("CREATE TABLE t (a INT PRIMARY KEY NOT NULL)", false),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY) WITHOUT ROWID", false),
    ] {
        assert_eq!(table(sql).await.unwrap().is_rowid_key, is_rowid, "{sql}");
    }
}

#[tokio::test]
async fn what_two_members_cannot_keep_in_step_is_refused() {
    let many = (0..=COLUMNS_MAX).map(|no| format!(", c{no}")).collect::<String>();
    let many = format!("CREATE TABLE t (a INTEGER PRIMARY KEY{many})");
    for (sql, why) in [
        ("CREATE TABLE t (a)", "needs a primary key"),
        ("CREATE TABLE t (a TEXT PRIMARY KEY)", "NOT NULL"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY DESC)", "NOT NULL"),
        ("CREATE TABLE t (a NOT NULL, b, PRIMARY KEY (a, b))", "\"b\" may be NULL"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)", "UNIQUE"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY, b, c, UNIQUE (b, c))", "UNIQUE"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY, b REFERENCES u (c))", "foreign keys"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)", "AUTOINCREMENT"),
        ("CREATE TABLE t (seq INTEGER PRIMARY KEY)", "bookkeeping"),
        ("CREATE TABLE mesh_t (a INTEGER PRIMARY KEY)", "reserved"),
        ("CREATE TEMP TABLE t (a INTEGER PRIMARY KEY)", "TEMPORARY"),
        ("CREATE TABLE t AS SELECT 1 AS a", "no primary key"),
        (&many, "at most"),
        ("SELECT 1", "not a CREATE TABLE"),
    ] {
        let reason = reason(sql).await;
        assert!(reason.contains(why), "{sql}: {reason}");
    }
}

#[tokio::test]
async fn a_collation_that_others_lack_is_an_error() {
    let error = table("CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY COLLATE german)").await;
    assert!(error.is_err());
}

#[tokio::test]
async fn the_same_definition_has_the_same_id_however_it_is_written() {
    let one = id("CREATE TABLE Notes(id INTEGER PRIMARY KEY, body TEXT DEFAULT 'A')").await;
    let same = "create table if not exists main.\"notes\" ( ID integer primary key,\n body text \
                default 'A' -- words\n );";
    assert_eq!(one, id(same).await);
    let other = "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT DEFAULT 'a')";
    assert_ne!(one, id(other).await);
    let facts = table("CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT DEFAULT 'A')").await;
    assert_ne!(table_id(&facts.unwrap(), Some(one)).unwrap(), one);
}
