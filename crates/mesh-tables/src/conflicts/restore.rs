//! A loser becomes a new write, made here: it wins everywhere, and nobody lists it any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use mesh_protocol::{Dot, Resolved, SqlValue, UnixMillis};

use super::{Listed, column_name, read_one};
use crate::catalog::Table;
use crate::desk::Desk;
use crate::error::Thing;
use crate::rows::{bound, drop_losers, read_facts, tuples};
use crate::seal::{self, Extra};
use crate::sql::{Columns, execute, fetch_all, listed, quoted};
use crate::{Tables, TablesError, key};

/// A loser that was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its name, whole.
    pub id: String,
    /// The table.
    pub table: String,
    /// The row.
    pub key: Vec<(String, SqlValue)>,
    /// The transaction in which it was written again.
    pub dot: Option<Dot>,
}

impl Tables {
    /// Writes a loser again. It can be named by the beginning of its id, if no other one begins like it.
    /// Where the row is gone it comes back, with the other losers of the row.
    ///
    /// # Errors
    /// [`TablesError::Unknown`] when there is none of that name, [`TablesError::Refused`] when there are
    /// several, [`TablesError::Constraint`] when the table forbids it. Nothing has changed then.
    pub async fn restore_conflict(
        &self,
        id: String,
        at: UnixMillis,
    ) -> Result<Restored, TablesError> {
        self.transact(move |desk| async move { restore(desk, &id, at).await }.boxed()).await
    }
}

async fn restore(desk: &mut Desk, id: &str, at: UnixMillis) -> Result<Restored, TablesError> {
    seal::seal_if_dirty(desk, at).await?;
    desk.check_whole()?;
    let (table, loser) = find(desk, id).await?;
    let origins = Arc::clone(&desk.state.origins);
    let keys = [loser.key.clone()];
    let facts = read_facts(&mut desk.conn, &origins, &table, &keys).await?.pop();
    let version = facts.and_then(|row| row.facts.version);
    let is_there = version.is_some_and(|version| version.is_alive());
    let restored = match loser.facts.column {
        None => {
            delete(desk, &table, &loser.key).await?;
            vec![&loser]
        }
        Some(column) if is_there => {
            update(desk, &table, &loser, column).await?;
            vec![&loser]
        }
        Some(_) => Vec::new(),
    };
    let others;
    let restored = if restored.is_empty() {
        others = insert(desk, &table, &loser).await?;
        others.iter().collect()
    } else {
        restored
    };
    let ids: Vec<String> = restored.iter().map(|loser| loser.id.clone()).collect();
    drop_losers(&mut desk.conn, &ids).await?;
    let resolved = restored.into_iter().map(|loser| resolved(&table, loser)).collect();
    let extra = Extra { resolved, ..Extra::default() };
    let dot = seal::seal(desk, extra, at).await?;
    let names = table.key.iter().map(|column| column.name.clone());
    let key = names.zip(loser.key).collect();
    Ok(Restored { id: loser.id, table: table.name, key, dot })
}

/// Drops a loser whose matter is decided by what is written in this transaction, and says so to the others.
pub(crate) async fn settle(desk: &mut Desk, id: &str) -> Result<Resolved, TablesError> {
    let (table, loser) = find(desk, id).await?;
    drop_losers(&mut desk.conn, std::slice::from_ref(&loser.id)).await?;
    Ok(resolved(&table, &loser))
}

fn resolved(table: &Table, loser: &Listed) -> Resolved {
    Resolved {
        table: table.id,
        key: loser.key.clone(),
        column: loser.facts.column.and_then(|no| column_name(table, no)).map(str::to_owned),
        version: loser.facts.version,
    }
}

async fn find(desk: &mut Desk, id: &str) -> Result<(Table, Listed), TablesError> {
    let unknown = || TablesError::Unknown { what: Thing::Conflict, name: id.to_owned() };
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    let sql = "SELECT table_no, id, key, value, listed_at, column, life, clock, origin, sequence \
               FROM mesh_conflicts WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2";
    let id = SqlValue::Text(id.to_ascii_lowercase());
    let rows = fetch_all(&mut desk.conn, sql, [id]).await?;
    let row = match rows.as_slice() {
        [] => return Err(unknown()),
        [row] => row,
        [..] => {
            let reason = "more than one conflict begins like this: give more of its id".to_owned();
            return Err(TablesError::Refused { reason });
        }
    };
    let mut columns = Columns::of(row);
    let no = columns.int()?;
    let table = desk.state.catalog.tables.values().find(|table| table.no == no);
    Ok((table.ok_or_else(unknown)?.clone(), read_one(&mut columns, &desk.state.origins)?))
}

fn key_names(table: &Table) -> String {
    listed(&table.key, |column| quoted(&column.name))
}

async fn delete(desk: &mut Desk, table: &Table, key: &[SqlValue]) -> Result<(), TablesError> {
    let key = [key.to_vec()];
    let sql = format!(
        "DELETE FROM {} WHERE ({}) = {}",
        quoted(&table.name),
        key_names(table),
        tuples(&key)
    );
    execute(&mut desk.conn, sql, bound(&key)).await.map(drop)
}

async fn update(
    desk: &mut Desk,
    table: &Table,
    loser: &Listed,
    column: u16,
) -> Result<(), TablesError> {
    let (value, key) = ([vec![loser.value.clone()]], [loser.key.clone()]);
    let sql = format!(
        "UPDATE {} SET {} = {} WHERE ({}) = {}",
        quoted(&table.name),
        quoted(column_name(table, column).unwrap_or_default()),
        tuples(&value),
        key_names(table),
        tuples(&key)
    );
    execute(&mut desk.conn, sql, bound(&value).chain(bound(&key))).await.map(drop)
}

/// Brings the row back with `loser` and the latest losers of its other columns. Returns all of them.
async fn insert(
    desk: &mut Desk,
    table: &Table,
    loser: &Listed,
) -> Result<Vec<Listed>, TablesError> {
    let sql = "SELECT id, key, value, listed_at, column, life, clock, origin, sequence \
               FROM mesh_conflicts WHERE table_no = ? AND key_hash = ? AND column IS NOT NULL";
    let hash = SqlValue::Blob(key::hash(table, &loser.key).to_vec());
    let mut latest: BTreeMap<u16, Listed> = BTreeMap::new();
    for row in fetch_all(&mut desk.conn, sql, [SqlValue::Integer(table.no), hash]).await? {
        let one = read_one(&mut Columns::of(&row), &desk.state.origins)?;
        let Some(column) = one.facts.column else { continue };
        let rank = |listed: &Listed| (listed.id == loser.id, listed.facts.version);
        if latest.get(&column).is_none_or(|before| rank(before) < rank(&one)) {
            latest.insert(column, one);
        }
    }
    let names: Vec<String> = (table.key.iter().map(|column| quoted(&column.name)))
        .chain(latest.keys().filter_map(|no| Some(quoted(column_name(table, *no)?))))
        .collect();
    let mut row = loser.key.clone();
    row.extend(latest.values().map(|listed| listed.value.clone()));
    let rows = [row];
    let sql = format!(
        "INSERT INTO {} ({}) VALUES {}",
        quoted(&table.name),
        names.join(","),
        tuples(&rows)
    );
    execute(&mut desk.conn, sql, bound(&rows)).await?;
    Ok(latest.into_values().collect())
}
