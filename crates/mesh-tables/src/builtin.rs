//! Replicated tables that every member has, and that the agent alone writes: the shared configuration and
//! its history. They travel, meet and are repaired like any other table; what their rows mean is decided
//! elsewhere.
//!
//! Any SQLite client may read them. Triggers refuse its writes, which nobody would have checked.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use mesh_protocol::{PeerId, SqlValue, TableId, UnixMillis};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::conflicts::settle;
use crate::desk::Desk;
use crate::error::Thing;
use crate::seal::{self, Extra};
use crate::sql::{Columns, execute, fetch_all, number, quoted};
use crate::{Feed, Tables, TablesError};

/// The entries of the shared configuration, by key.
pub const CONFIG_TABLE: &str = "agent_config";

/// Who changed the shared configuration, and what it was before.
pub const CONFIG_HISTORY_TABLE: &str = "agent_config_history";

/// Names and definitions. A column that comes later is added; what stands here never changes.
const TABLES: [(&str, &str); 2] = [
    (
        CONFIG_TABLE,
        // One column for everything that is known of a key, so that two members that write it at once make
        // one conflict.
        "CREATE TABLE agent_config (key TEXT PRIMARY KEY NOT NULL, entry TEXT NOT NULL)",
    ),
    (
        CONFIG_HISTORY_TABLE,
        "CREATE TABLE agent_config_history (version INTEGER NOT NULL, author TEXT NOT NULL, \
         key TEXT NOT NULL, change TEXT NOT NULL, PRIMARY KEY (version, author, key))",
    ),
];

/// Rows of the history that are kept, the newest.
const HISTORY_ROWS_MAX: u64 = 20_000;

/// The history is looked at as the tables are made, and once in so many of its rows that this process wrote:
/// counting reads all of it.
const TRIM_EVERY: usize = 1024;

/// Rows that one statement writes.
const ROWS_PER_STATEMENT: usize = 256;

/// Whether users may neither make, change nor drop a table of that name.
pub(crate) fn is_built_in(name: &str) -> bool {
    TABLES.iter().any(|(table, _)| table.eq_ignore_ascii_case(name))
}

/// The name of the built-in table that `sql` defines, to the letter.
pub(crate) fn defined_by(sql: &str) -> Option<&'static str> {
    TABLES.iter().find(|(_, definition)| *definition == sql).map(|(name, _)| *name)
}

/// A change of the shared configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigWrite {
    /// Keys with their entries; without one the key is removed.
    pub rows: Vec<(String, Option<String>)>,
    /// What is taken to stand there before: nothing is written where it is something else.
    pub expected: Vec<(String, Option<String>)>,
    /// What the history is to say of it.
    pub history: Vec<ConfigHistoryRow>,
    /// The conflict that is decided with it, by its id.
    pub settles: Option<String>,
}

/// A row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigHistoryRow {
    /// The number of the change.
    pub version: u64,
    /// Who made it.
    pub author: PeerId,
    /// The key.
    pub key: String,
    /// What became of it.
    pub change: String,
}

/// Which part of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigHistoryQuery {
    /// The newest, of all keys.
    Newest,
    /// The newest of a key and of the keys that begin with one of these.
    Of {
        /// A key.
        key: String,
        /// How keys beneath it begin.
        beneath: String,
    },
    /// Of one version, whoever made it.
    Version(u64),
    /// What was written without knowing what it replaced: rows whose text has this in it.
    Having(&'static str),
}

impl Tables {
    /// Makes the built-in tables, where they are not there.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be written.
    pub async fn make_built_in(&self, at: UnixMillis) -> Result<(), TablesError> {
        for (name, sql) in TABLES {
            self.create_at_any_time(name, sql, at).await?;
        }
        self.transact(move |desk| async move { trim_alone(desk, at).await }.boxed()).await
    }

    /// Changes the shared configuration, in one transaction, which is on disk when this returns. Returns what
    /// stands there otherwise than expected: if that is anything, nothing has been written.
    ///
    /// # Errors
    /// [`TablesError`]; nothing has been written then.
    pub async fn write_config(
        &self,
        write: ConfigWrite,
        at: UnixMillis,
    ) -> Result<Vec<(String, Option<String>)>, TablesError> {
        self.transact(move |desk| async move { write_config(desk, write, at).await }.boxed()).await
    }

    /// What stands at these keys of the shared configuration; none where nothing does.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn config_rows_at(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<String>)>, TablesError> {
        let read = self.reading().own.read(|conn| async move { rows_at(conn, keys).await }.boxed());
        read.await
    }

    /// Follows both built-in tables from now on. What one change wrote of the entries comes before what it
    /// wrote of the history.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn config_feed(&self) -> Result<Feed, TablesError> {
        let names = TABLES.iter().map(|(name, _)| (*name).to_owned());
        self.feed_of(None, Some(names.collect())).await
    }

    /// Keys and entries of the shared configuration, in the order of the keys' texts: who cannot hold all holds the
    /// same ones as everybody.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn config_rows(&self) -> Result<Vec<(String, String)>, TablesError> {
        let read = self.reading().own.read(|conn| {
            async move {
                let rows =
                    fetch_all(conn, "SELECT key, entry FROM agent_config ORDER BY key", []).await?;
                rows.iter().filter_map(|row| entry_row(row).transpose()).collect()
            }
            .boxed()
        });
        read.await
    }

    /// The greatest number of a change in the history that is not greater than `most`.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn config_version_upto(&self, most: u64) -> Result<Option<u64>, TablesError> {
        let sql = "SELECT version FROM agent_config_history WHERE typeof(version) = 'integer' \
                   AND version BETWEEN 0 AND ? ORDER BY version DESC LIMIT 1";
        let read = self.reading().own.read(move |conn| {
            async move {
                let rows = fetch_all(conn, sql, [number(most)]).await?;
                rows.first().map(|row| Columns::of(row).count()).transpose()
            }
            .boxed()
        });
        read.await
    }

    /// Rows of the history, the newest first.
    ///
    /// # Errors
    /// [`TablesError`] of the database.
    pub async fn config_history(
        &self,
        query: ConfigHistoryQuery,
        limit: u64,
    ) -> Result<Vec<ConfigHistoryRow>, TablesError> {
        let text = SqlValue::Text;
        let (which, values) = match query {
            ConfigHistoryQuery::Newest => ("true", vec![]),
            ConfigHistoryQuery::Of { key, beneath } => {
                ("key = ?2 OR substr(key, 1, length(?3)) = ?3", vec![text(key), text(beneath)])
            }
            ConfigHistoryQuery::Version(version) => ("version = ?2", vec![number(version)]),
            ConfigHistoryQuery::Having(part) => {
                ("instr(change, ?2) > 0", vec![text(part.to_owned())])
            }
        };
        let sql = format!(
            "SELECT version, author, key, change FROM agent_config_history WHERE {which} \
             ORDER BY version DESC, author DESC, key LIMIT ?1"
        );
        let read = self.reading().own.read(move |conn| {
            async move {
                let values = [number(limit)].into_iter().chain(values);
                let rows = fetch_all(conn, sql, values).await?;
                Ok(rows.iter().filter_map(|row| history_row(&mut Columns::of(row)).ok()).collect())
            }
            .boxed()
        });
        read.await
    }
}

/// Rows that are none of ours (a member may write what it likes) are left out by the caller.
fn history_row(row: &mut Columns<'_>) -> Result<ConfigHistoryRow, TablesError> {
    let (version, author) = (row.count()?, row.text()?);
    let author = author.parse().map_err(|_| TablesError::Malformed { what: "author" })?;
    Ok(ConfigHistoryRow { version, author, key: row.text()?, change: row.text()? })
}

async fn write_config(
    desk: &mut Desk,
    write: ConfigWrite,
    at: UnixMillis,
) -> Result<Vec<(String, Option<String>)>, TablesError> {
    seal::seal_if_dirty(desk, at).await?;
    desk.check_whole()?;
    let keys = write.expected.iter().map(|(key, _)| key.clone()).collect();
    let mut standing = rows_at(&mut desk.conn, keys).await?;
    let expected: BTreeMap<String, Option<String>> = write.expected.into_iter().collect();
    standing.retain(|(key, entry)| expected.get(key) != Some(entry));
    if !standing.is_empty() {
        return Ok(standing);
    }
    let tables = table_ids(desk)?;
    allow(desk, true).await?;
    let text = |text: String| SqlValue::Text(text);
    let (mut gone, mut set) = (Vec::new(), Vec::new());
    for (key, entry) in write.rows {
        match entry {
            Some(entry) => set.push([text(key), text(entry)]),
            None => gone.push([text(key)]),
        }
    }
    run(desk, "DELETE FROM agent_config WHERE (key) IN (VALUES ", ")", gone).await?;
    run(
        desk,
        "INSERT INTO agent_config (key, entry) VALUES ",
        " ON CONFLICT (key) DO UPDATE SET entry = excluded.entry",
        set,
    )
    .await?;
    // Counted whether or not this is committed: it says no more than when to look.
    desk.history_rows += write.history.len();
    let history = write.history.into_iter().map(|row| {
        [number(row.version), text(row.author.to_string()), text(row.key), text(row.change)]
    });
    run(
        desk,
        "INSERT INTO agent_config_history (version, author, key, change) VALUES ",
        " ON CONFLICT (version, author, key) DO UPDATE SET change = excluded.change",
        history.collect(),
    )
    .await?;
    if desk.history_rows >= TRIM_EVERY {
        trim(desk).await?;
    }
    allow(desk, false).await?;
    let mut extra = Extra::default();
    if let Some(id) = write.settles {
        extra.resolved.push(settle(desk, &id).await?);
    }
    let sealed = seal::seal_tables(desk, extra, Some(&tables), at).await?;
    if sealed.unsent > 0 {
        let reason = "an entry is larger than what can travel to the other members".to_owned();
        return Err(TablesError::Refused { reason });
    }
    Ok(Vec::new())
}

fn table_ids(desk: &Desk) -> Result<Vec<TableId>, TablesError> {
    let id = |(name, _): (&str, &str)| {
        let unknown = || TablesError::Unknown { what: Thing::Table, name: name.to_owned() };
        Ok(desk.state.catalog.named(name).ok_or_else(unknown)?.id)
    };
    TABLES.into_iter().map(id).collect()
}

async fn rows_at(
    conn: &mut SqliteConnection,
    keys: Vec<String>,
) -> Result<Vec<(String, Option<String>)>, TablesError> {
    let mut found: BTreeMap<String, Option<String>> =
        keys.into_iter().map(|key| (key, None)).collect();
    let keys: Vec<String> = found.keys().cloned().collect();
    for some in keys.chunks(ROWS_PER_STATEMENT) {
        let places = vec!["?"; some.len()].join(",");
        let sql = format!("SELECT key, entry FROM agent_config WHERE key IN ({places})");
        let values = some.iter().map(|key| SqlValue::Text(key.clone()));
        for row in fetch_all(conn, &sql, values).await? {
            found.extend(entry_row(&row)?.map(|(key, entry)| (key, Some(entry))));
        }
    }
    Ok(found.into_iter().collect())
}

/// A key with its entry. A member can write what is no text: such an entry is an empty one, which nobody can
/// read, and a row with such a key is no key's.
fn entry_row(row: &SqliteRow) -> Result<Option<(String, String)>, TablesError> {
    let mut columns = Columns::of(row);
    let mut text = || {
        Ok::<_, TablesError>(match columns.value()? {
            SqlValue::Text(text) => Some(text),
            SqlValue::Null
            | SqlValue::Integer(_)
            | SqlValue::Real(_)
            | SqlValue::Blob(_)
            | SqlValue::RawText(_) => None,
        })
    };
    let (key, entry) = (text()?, text()?);
    Ok(key.map(|key| (key, entry.unwrap_or_default())))
}

/// Lets this transaction write built-in tables, or no longer.
pub(crate) async fn allow(desk: &mut Desk, is_allowed: bool) -> Result<(), TablesError> {
    let sql = "UPDATE mesh_state SET agent_writes = ? WHERE id = 1";
    execute(&mut desk.conn, sql, [number(u64::from(is_allowed))]).await.map(drop)
}

async fn run<const WIDTH: usize>(
    desk: &mut Desk,
    before: &str,
    behind: &str,
    rows: Vec<[SqlValue; WIDTH]>,
) -> Result<(), TablesError> {
    let row = format!("({})", vec!["?"; WIDTH].join(","));
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let some: Vec<_> = rows.by_ref().take(ROWS_PER_STATEMENT).collect();
        let sql = format!("{before}{}{behind}", vec![row.as_str(); some.len()].join(","));
        execute(&mut desk.conn, sql, some.into_iter().flatten()).await?;
    }
    Ok(())
}

/// Drops the oldest of the history, and a sixteenth more than has to go. All members do this for themselves;
/// what several drop at once is dropped once.
async fn trim(desk: &mut Desk) -> Result<(), TablesError> {
    desk.history_rows = 0;
    let surplus = surplus(desk).await?;
    if surplus == 0 {
        return Ok(());
    }
    let sql = "DELETE FROM agent_config_history WHERE (version, author, key) IN \
               (SELECT version, author, key FROM agent_config_history ORDER BY version, author, key LIMIT ?)";
    let gone = surplus + HISTORY_ROWS_MAX / 16;
    execute(&mut desk.conn, sql, [number(gone)]).await.map(drop)
}

async fn surplus(desk: &mut Desk) -> Result<u64, TablesError> {
    let rows = fetch_all(&mut desk.conn, "SELECT count(*) FROM agent_config_history", []).await?;
    let count = rows.first().map_or(Ok(0), |row| Columns::of(row).count())?;
    Ok(count.saturating_sub(HISTORY_ROWS_MAX))
}

/// Drops the oldest of the history without a change of the configuration.
async fn trim_alone(desk: &mut Desk, at: UnixMillis) -> Result<(), TablesError> {
    if surplus(desk).await? == 0 {
        return Ok(());
    }
    seal::seal_if_dirty(desk, at).await?;
    let tables = table_ids(desk)?;
    allow(desk, true).await?;
    trim(desk).await?;
    allow(desk, false).await?;
    seal::seal_tables(desk, Extra::default(), Some(&tables), at).await.map(drop)
}

/// Names and texts of the triggers that refuse what other programs write to the built-in table `name`.
pub(crate) fn guards(name: &str) -> Vec<(String, String)> {
    let guard = |suffix: &str, event: &str| {
        let trigger = format!("{name}__mesh_guard_{suffix}");
        let sql = format!(
            "CREATE TRIGGER {} BEFORE {event} ON {} \
             WHEN (SELECT applying + agent_writes FROM mesh_state WHERE id = 1) = 0 BEGIN \
             SELECT RAISE(ABORT, 'the shared configuration is changed by mesh-ctl config and its file'); END",
            quoted(&trigger),
            quoted(name)
        );
        (trigger, sql)
    };
    vec![guard("insert", "INSERT"), guard("update", "UPDATE"), guard("delete", "DELETE")]
}
