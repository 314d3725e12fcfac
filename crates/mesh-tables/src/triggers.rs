//! The tables and triggers that note which rows of a table changed: plain SQL, so that any SQLite client can
//! be the writer (3.35 and newer).
//!
//! Per table `t`: `t__mesh_row` has the version of each row that ever was, `t__mesh_cell` those of columns
//! that were written after it, `t__mesh_new` what was captured and is not sealed into a transaction yet.
//! Values are not copied: the agent reads them when it seals.

use crate::builtin;
use crate::catalog::Table;
use crate::introspect::{ColumnFacts, TableFacts};
use crate::key::Collation;
use crate::sql::{listed, quoted};

/// The one row of `mesh_state`, as triggers write it: takes the next clock, and notes that something was
/// captured. Writes once per millisecond and transaction at most, however many rows there are.
pub(crate) const TICK: &str = "UPDATE mesh_state SET clock = max(clock + 1, \
    CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) << 16), dirty = 1 \
    WHERE id = 1 AND (dirty = 0 OR clock < CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) << 16)";

/// Nothing is captured while the agent applies what others wrote.
const GUARD: &str = "(SELECT applying FROM mesh_state WHERE id = 1) = 0";

/// A clock that is above `old`, a version that is replaced, unless the transaction `s` wrote that itself. It
/// matters where `old` has an accepted clock that was ahead: who replaces it comes after it, whatever time it is.
pub(crate) fn above(clock: &str, old: &str, s: &str, sequence: &str) -> String {
    // The largest clock has none above it, and more would be no integer.
    format!(
        "max({clock}, min({old}.clock, {}) + ({old}.origin <> {s}.origin OR {old}.seq <> {s}.{sequence}))",
        i64::MAX - 1
    )
}

/// That a row of `t__mesh_row` is the memory of a deleted one. Queries repeat it to the letter.
pub(crate) const IS_DEAD: &str = "life % 2 = 0";

/// What SQLite does to values of a column, by its declared type (<https://www.sqlite.org/datatype3.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    pub(crate) fn of(column: &ColumnFacts, is_strict: bool) -> Self {
        let kind = column.kind.to_ascii_uppercase();
        let has = |part: &str| kind.contains(part);
        if is_strict && kind == "ANY" {
            Self::Blob
        } else if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || kind.is_empty() {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    const fn declared(self) -> &'static str {
        match self {
            Self::Integer => "INTEGER",
            Self::Text => "TEXT",
            Self::Blob => "BLOB",
            Self::Real => "REAL",
            Self::Numeric => "NUMERIC",
        }
    }
}

/// Names and statements of the three tables beside `table`, and of the index that finds the memories of its deleted rows.
pub(crate) fn create_shadows(table: &Table, facts: &TableFacts) -> [(String, String); 4] {
    let key = listed(&facts.key, |column| {
        let name = quoted(&column.name);
        let kind = Affinity::of(column, facts.is_strict).declared();
        let collation = match column.collation {
            Collation::Binary => "",
            Collation::NoCase => " COLLATE NOCASE",
            Collation::RTrim => " COLLATE RTRIM",
        };
        format!("{name} {kind} NOT NULL{collation}")
    });
    let names = key_names(facts);
    let row = if facts.is_rowid_key {
        let name = listed(&facts.key, |column| quoted(&column.name));
        format!(
            "CREATE TABLE {} ({name} INTEGER PRIMARY KEY, life INTEGER NOT NULL, clock INTEGER NOT NULL, \
             origin INTEGER NOT NULL, seq INTEGER NOT NULL)",
            quoted(&table.row_table())
        )
    } else {
        format!(
            "CREATE TABLE {} ({key}, life INTEGER NOT NULL, clock INTEGER NOT NULL, \
             origin INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY ({names})) WITHOUT ROWID",
            quoted(&table.row_table())
        )
    };
    let cell = format!(
        "CREATE TABLE {} ({key}, col INTEGER NOT NULL, clock INTEGER NOT NULL, origin INTEGER NOT NULL, \
         seq INTEGER NOT NULL, PRIMARY KEY ({names}, col)) WITHOUT ROWID",
        quoted(&table.cell_table())
    );
    let new = format!(
        "CREATE TABLE {} ({key}, col INTEGER NOT NULL, PRIMARY KEY ({names}, col)) WITHOUT ROWID",
        quoted(&table.new_table())
    );
    // Named by number: it stays when the table is renamed. Living rows are not in it and do not pay for it.
    let index = format!("mesh_dead_{}", table.no);
    let row_table = quoted(&table.row_table());
    let dead = format!("CREATE INDEX {index} ON {row_table} (origin, seq) WHERE {IS_DEAD}");
    [(table.row_table(), row), (table.cell_table(), cell), (table.new_table(), new), (index, dead)]
}

fn key_names(facts: &TableFacts) -> String {
    listed(&facts.key, |column| quoted(&column.name))
}

/// Names and texts of the triggers of `table`.
pub(crate) fn triggers(table: &Table, facts: &TableFacts) -> Vec<(String, String)> {
    let parts = Parts { table, facts };
    let mut triggers = vec![parts.insert(), parts.delete(), parts.rekey()];
    if builtin::is_built_in(&table.name) {
        triggers.extend(builtin::guards(&table.name));
    }
    triggers.extend(table.columns.iter().filter_map(|column| {
        let named = facts.columns.iter().find(|one| one.name.eq_ignore_ascii_case(&column.name))?;
        Some(parts.edit(column.no, named))
    }));
    triggers
}

struct Parts<'t> {
    table: &'t Table,
    facts: &'t TableFacts,
}

impl Parts<'_> {
    fn trigger(&self, suffix: &str, event: &str, when: &str, body: &[String]) -> (String, String) {
        let name = format!("{}__mesh_{suffix}", self.table.name);
        let on = quoted(&self.table.name);
        let sql = format!(
            "CREATE TRIGGER {} AFTER {event} ON {on} WHEN {when} BEGIN {}; END",
            quoted(&name),
            body.join("; ")
        );
        (name, sql)
    }

    fn insert(&self) -> (String, String) {
        let mut body = vec![TICK.to_owned()];
        body.extend(self.birth());
        self.trigger("insert", "INSERT", GUARD, &body)
    }

    fn delete(&self) -> (String, String) {
        let mut body = vec![TICK.to_owned()];
        body.extend(self.death());
        self.trigger("delete", "DELETE", GUARD, &body)
    }

    /// A changed key is the death of one row and the birth of another one.
    fn rekey(&self) -> (String, String) {
        let mut body = vec![TICK.to_owned()];
        body.extend(self.death());
        body.extend(self.birth());
        let when = format!("({}) AND {GUARD}", self.is_key_changed());
        // Not UPDATE OF the key columns: the row number has other names, by which it can be set too.
        self.trigger("rekey", "UPDATE", &when, &body)
    }

    /// One trigger per column: SQLite leaves out those of columns that a statement does not name.
    fn edit(&self, no: u16, column: &ColumnFacts) -> (String, String) {
        let (keys, news) = (key_names(self.facts), self.keys("NEW"));
        let target = format!("{keys}, col");
        let (row, cell) = (quoted(&self.table.row_table()), quoted(&self.table.cell_table()));
        let over_row = above("s.clock", "r", "s", "sequence");
        let over_cell = above("excluded.clock", &cell, "excluded", "seq");
        let body = [
            TICK.to_owned(),
            format!(
                "INSERT INTO {cell} ({target}, clock, origin, seq) SELECT {news}, {no}, \
                 ifnull((SELECT {over_row} FROM {row} AS r WHERE {}), s.clock), s.origin, s.sequence \
                 FROM mesh_state AS s WHERE s.id = 1 ON CONFLICT ({target}) DO UPDATE SET \
                 clock = {over_cell}, origin = excluded.origin, seq = excluded.seq",
                self.is_of("r.", "NEW")
            ),
            self.note("NEW", &no.to_string()),
        ];
        let changed = is_changed(column, self.facts.is_strict);
        let when = format!("({changed}) AND NOT ({}) AND {GUARD}", self.is_key_changed());
        let event = format!("UPDATE OF {}", quoted(&column.name));
        self.trigger(&format!("edit_{no}"), &event, &when, &body)
    }

    /// A row that is inserted over nothing has its first life, over a dead one the next; over a living one
    /// (INSERT OR REPLACE, whose delete fires no trigger) it is the same life, written anew.
    fn birth(&self) -> [String; 3] {
        let row = quoted(&self.table.row_table());
        let cells = format!(
            "ifnull((SELECT max(c.clock) FROM {} AS c WHERE {}), 0)",
            quoted(&self.table.cell_table()),
            self.is_of("c.", "NEW")
        );
        let over_row = above("excluded.clock", &row, "excluded", "seq");
        // Columns of the transaction itself are joined with the row when it is sealed.
        let over_cells = format!("max({over_row}, min({cells}, {}) + 1)", i64::MAX - 1);
        let clock = format!(
            "CASE WHEN life % 2 = 0 THEN excluded.clock \
             WHEN {cells} <= excluded.clock THEN {over_row} ELSE {over_cells} END"
        );
        self.whole("NEW", "1", "life + (life % 2 = 0)", &clock)
    }

    fn death(&self) -> [String; 3] {
        self.whole("OLD", "2", "life + (life % 2)", "excluded.clock")
    }

    fn whole(&self, row: &str, first: &str, next: &str, clock: &str) -> [String; 3] {
        let (keys, values) = (key_names(self.facts), self.keys(row));
        // Keys that are equal under their collation may have other bytes.
        let follow = listed(&self.facts.key, |column| {
            let name = quoted(&column.name);
            format!("{name} = excluded.{name}")
        });
        // An upsert, never OR REPLACE or OR IGNORE: those are overruled by what the user's statement says.
        [
            format!(
                "INSERT INTO {} ({keys}, life, clock, origin, seq) \
                 SELECT {values}, {first}, clock, origin, sequence FROM mesh_state WHERE id = 1 \
                 ON CONFLICT ({keys}) DO UPDATE SET {follow}, life = {next}, \
                 clock = {clock}, origin = excluded.origin, seq = excluded.seq",
                quoted(&self.table.row_table())
            ),
            format!(
                "DELETE FROM {} WHERE {}",
                quoted(&self.table.cell_table()),
                self.is_of("", row)
            ),
            self.note(row, "-1"),
        ]
    }

    fn note(&self, row: &str, column: &str) -> String {
        let keys = key_names(self.facts);
        format!(
            "INSERT INTO {} ({keys}, col) VALUES ({}, {column}) ON CONFLICT ({keys}, col) DO NOTHING",
            quoted(&self.table.new_table()),
            self.keys(row)
        )
    }

    /// That a key is the one of OLD or NEW.
    fn is_of(&self, alias: &str, row: &str) -> String {
        let each = self.facts.key.iter().map(|column| {
            let name = quoted(&column.name);
            format!("{alias}{name} = {row}.{name}")
        });
        each.collect::<Vec<_>>().join(" AND ")
    }

    fn keys(&self, row: &str) -> String {
        listed(&self.facts.key, |column| format!("{row}.{}", quoted(&column.name)))
    }

    fn is_key_changed(&self) -> String {
        let changed = self.facts.key.iter().map(|column| differs(&column.name));
        changed.collect::<Vec<_>>().join(" OR ")
    }
}

/// Whether OLD and NEW have other bytes in a column: 1 is not 1.0, 'a' is not 'A' whatever the collation.
fn differs(name: &str) -> String {
    let name = quoted(name);
    format!(
        "OLD.{name} IS NOT NEW.{name} COLLATE BINARY OR typeof(OLD.{name}) <> typeof(NEW.{name})"
    )
}

/// Whether a column that is not of the key was changed.
fn is_changed(column: &ColumnFacts, is_strict: bool) -> String {
    let differs = differs(&column.name);
    let name = quoted(&column.name);
    match Affinity::of(column, is_strict) {
        // Only columns that take any value as it is can hold -0.0, and no function tells it from 0.0: every
        // write of either counts.
        Affinity::Blob => {
            format!("{differs} OR (typeof(NEW.{name}) = 'real' AND NEW.{name} = 0.0)")
        }
        Affinity::Integer | Affinity::Text | Affinity::Real | Affinity::Numeric => differs,
    }
}
