use super::super::tokens::DEPTH_MAX;
use super::super::{Statement, classify};
use super::GROWING_MAX;

fn reason(sql: &str) -> String {
    let statement = classify(sql);
    let Statement::Refused { reason } = statement else { panic!("{sql} is {statement:?}") };
    reason
}

/// The places where an expression may stand.
fn places(expr: &str) -> [String; 5] {
    [
        format!("CREATE TABLE t (a PRIMARY KEY, b CHECK ({expr}))"),
        format!("CREATE TABLE t (a PRIMARY KEY, b, CHECK ({expr}))"),
        format!("CREATE TABLE t (a PRIMARY KEY, b, c AS ({expr}) STORED)"),
        format!("CREATE INDEX i ON t (a, ({expr}) DESC)"),
        format!("CREATE INDEX i ON t (a) WHERE {expr}"),
    ]
}

#[test]
fn what_depends_on_the_row_alone_is_allowed() {
    for expr in [
        "b > 0 AND b IS NOT NULL OR NOT b",
        "length(trim(a)) BETWEEN 1 AND 10",
        "b IN ('x', 'y') AND typeof(a) = 'text'",
        "CASE lower(a) WHEN 'x' THEN 1 ELSE abs(b) END",
        "json_valid(b) AND b ->> '$.x' LIKE 'a%' ESCAPE '\\'",
        "a GLOB '[a-z]*' COLLATE NOCASE",
        "CAST(substr(a, 1, 3) AS INTEGER) % 10 = t.b",
        "\"LENGTH\"(a) = `Round`(b, 2)",
        "hex(a) || '-' || upper(b)",
        "\"random\" = [randomblob]",
    ] {
        for sql in places(expr) {
            let statement = classify(&sql);
            assert!(!matches!(statement, Statement::Refused { .. }), "{sql}: {statement:?}");
        }
    }
}

#[test]
fn what_differs_between_members_or_grows_is_refused_wherever_it_stands() {
    for (expr, why) in [
        ("b > random()", "\"random\""),
        ("b > RANDOM()", "\"RANDOM\""),
        ("\"random\"() > b", "\"random\""),
        ("[random]() > b", "\"random\""),
        ("length(randomblob(1000000000)) > 0", "\"randomblob\""),
        ("length(zeroblob(b)) > 0", "\"zeroblob\""),
        ("b < datetime('now')", "\"datetime\""),
        ("b < unixepoch()", "\"unixepoch\""),
        ("b < julianday('now')", "\"julianday\""),
        ("changes() > 0", "\"changes\""),
        ("last_insert_rowid() > 0", "\"last_insert_rowid\""),
        ("printf('%*d', b, 1) > 0", "\"printf\""),
        ("format('%1000000000d', 1) > 0", "\"format\""),
        ("replace(a, 'x', a) > 0", "\"replace\""),
        ("quote(a) > 0", "\"quote\""),
        ("char(b) > 0", "\"char\""),
        ("load_extension('x')", "\"load_extension\""),
        ("my_own(b)", "\"my_own\""),
        ("hex(hex(a))", "doubl"),
        ("count(*) > 0", "\"count\""),
        ("max(DISTINCT b) > 0", "\"max\""),
        ("max(b) OVER () > 0", "\"max\""),
        ("max(b) FILTER (WHERE random()) > 0", "\"max\""),
        ("b < CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        ("b < current_date", "CURRENT_DATE"),
        ("b < CURRENT_TIME", "CURRENT_TIME"),
        ("b = (SELECT 1)", "subquery"),
        ("EXISTS (SELECT 1)", "subquery"),
        ("b IN (SELECT 1)", "subquery"),
        ("b IN t", "subquery"),
        ("b IN generate_series(1, 1000000000)", "subquery"),
        ("a REGEXP b", "\"regexp\""),
        ("a MATCH b", "\"match\""),
        ("b = ?1", "parameters"),
        ("RAISE(ABORT, 'x')", "RAISE"),
    ] {
        for sql in places(expr) {
            assert!(reason(&sql).contains(why), "{sql}: {}", reason(&sql));
        }
    }
}

#[test]
fn nothing_is_hidden_by_what_it_stands_in() {
    for around in [
        "abs(R)",
        "coalesce(a, b, (1 + R))",
        "CASE R WHEN 1 THEN 2 END",
        "CASE WHEN R THEN 2 END",
        "CASE WHEN 1 THEN R END",
        "CASE WHEN 1 THEN 2 ELSE R END",
        "CAST(R AS TEXT)",
        "R COLLATE NOCASE",
        "R BETWEEN 1 AND 2",
        "1 BETWEEN R AND 2",
        "1 BETWEEN 1 AND R",
        "R IN (1)",
        "1 IN (2, R)",
        "R IS NULL",
        "R NOTNULL",
        "R LIKE 'a'",
        "a LIKE R",
        "a LIKE 'b' ESCAPE R",
        "(a, R) = (1, 2)",
        "- R",
        "NOT (R)",
        "a -> R",
        "a || R",
    ] {
        for sql in places(&around.replace('R', "random()")) {
            assert!(reason(&sql).contains("\"random\""), "{sql}: {}", reason(&sql));
        }
    }
}

#[test]
fn a_default_travels_as_a_value_and_so_may_be_the_time() {
    for default in ["CURRENT_TIMESTAMP", "(CURRENT_DATE)", "(lower('ABC'))", "-1", "x", "'y'"] {
        let sql = format!("CREATE TABLE t (a PRIMARY KEY, b DEFAULT {default})");
        let create = Statement::CreateTable { name: "t".to_owned(), if_not_exists: false };
        assert_eq!(classify(&sql), create);
    }
    for default in ["(random())", "(zeroblob(1000000000))", "(1 + (SELECT 1))"] {
        reason(&format!("CREATE TABLE t (a PRIMARY KEY, b DEFAULT {default})"));
    }
}

#[test]
fn generated_columns_do_not_double_one_another() {
    let sql = "CREATE TABLE t (a PRIMARY KEY, g AS (a || a), h AS (\"G\" || g))";
    assert!(reason(sql).contains("generated column"), "{}", reason(sql));
    let sql = "CREATE TABLE t (a PRIMARY KEY, g AS (a || a), CHECK (g <> ''))";
    assert!(matches!(classify(sql), Statement::CreateTable { .. }));
}

#[test]
fn what_is_joined_is_bounded() {
    let joined = |count: usize| format!("a{}", " || a".repeat(count));
    for sql in places(&joined(GROWING_MAX)) {
        assert!(!matches!(classify(&sql), Statement::Refused { .. }), "{sql}");
    }
    for sql in places(&joined(GROWING_MAX + 1)) {
        assert!(reason(&sql).contains("at most 32"), "{}", reason(&sql));
    }
}

#[test]
fn long_expressions_are_survived() {
    for expr in [format!("a{}", " + a".repeat(50_000)), format!("{}a", "- ".repeat(50_000))] {
        for sql in places(&expr) {
            drop(classify(&sql));
        }
    }
}

#[test]
fn parentheses_are_bounded_wherever_they_stand() {
    let within = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    for before in [
        "ALTER TABLE t ADD COLUMN b DEFAULT ",
        "CREATE INDEX i ON t (a) WHERE ",
        "DELETE FROM t WHERE ",
        "UPDATE t SET a = 1 WHERE ",
        "SELECT 1 WHERE ",
    ] {
        let statement = classify(&format!("{before}{}", within(DEPTH_MAX)));
        assert!(!matches!(statement, Statement::Refused { .. }), "{before}: {statement:?}");
        for depth in [DEPTH_MAX + 1, 20_000] {
            assert!(reason(&format!("{before}{}", within(depth))).contains("parentheses"));
        }
    }
    let flat = format!("SELECT '{}', 1 IN (1){}", "(".repeat(300), ", (1)".repeat(300));
    assert_eq!(classify(&flat), Statement::Read);
}

#[test]
fn long_constants_are_survived() {
    drop(classify(&format!("ALTER TABLE t ADD COLUMN b DEFAULT ({}1)", "- ".repeat(150_000))));
}
