//! What the definition of an added column means: SQLite itself is asked here too.

use sqlx::{Connection as _, SqliteConnection};

use super::{read, scratch};
use crate::TablesError;
use crate::sql::{Columns, execute, fetch_optional, quoted};

/// Everything that makes a difference between two definitions of an added column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meaning {
    kind: String,
    collation: String,
    is_never_null: bool,
    /// What rows show that were never written there, as SQLite would write it down.
    default: String,
}

/// Whether two definitions, which stand behind ADD COLUMN, mean the same.
pub(crate) async fn is_same_column(
    column: &str,
    one: &str,
    two: &str,
) -> Result<bool, TablesError> {
    if one == two {
        return Ok(true);
    }
    Ok(meaning(column, one).await? == meaning(column, two).await?)
}

async fn meaning(column: &str, definition: &str) -> Result<Meaning, TablesError> {
    let mut scratch = scratch().await?;
    let meaning = ask(&mut scratch, column, definition).await;
    scratch.close().await?;
    meaning
}

async fn ask(
    conn: &mut SqliteConnection,
    column: &str,
    definition: &str,
) -> Result<Meaning, TablesError> {
    let malformed = TablesError::Malformed { what: "definition of a column" };
    let (name, key) = (quoted(column), quoted(&format!("{column}_")));
    execute(conn, format!("CREATE TABLE t ({key} INTEGER PRIMARY KEY)"), []).await?;
    execute(conn, "INSERT INTO t VALUES (1)", []).await?;
    execute(conn, format!("ALTER TABLE t ADD COLUMN {definition}"), []).await?;
    execute(conn, format!("CREATE INDEX i ON t ({name})"), []).await?;
    let facts = read(conn, "t").await?;
    let facts =
        facts.and_then(|facts| facts.columns.into_iter().next()).ok_or(malformed.clone())?;
    let sql = format!(
        "SELECT quote({name}), (SELECT coll FROM pragma_index_xinfo('i') WHERE seqno = 0) FROM t"
    );
    let row = fetch_optional(conn, sql, []).await?.ok_or(malformed)?;
    let mut row = Columns::of(&row);
    Ok(Meaning {
        kind: facts.kind.to_ascii_uppercase(),
        default: row.text()?,
        collation: row.text()?.to_ascii_uppercase(),
        is_never_null: facts.is_never_null,
    })
}

/// Whether `create` makes a table, with these columns beside its key and no others.
pub(crate) async fn makes(
    create: &str,
    table: &str,
    columns: &[&str],
) -> Result<bool, TablesError> {
    let mut scratch = scratch().await?;
    let made = match execute(&mut scratch, create, []).await {
        Ok(_) => read(&mut scratch, table).await,
        Err(TablesError::Statement { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    scratch.close().await?;
    let Some(facts) = made? else { return Ok(false) };
    let names = facts.columns.iter().map(|column| column.name.as_str());
    let is_same = names.clone().zip(columns).all(|(one, two)| one.eq_ignore_ascii_case(two));
    Ok(is_same && names.count() == columns.len())
}
