//! The members as applications see them, in the view `agent_peers`.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use mesh_protocol::{OriginId, PeerId, SqlValue, UnixMillis};
use sqlx::SqliteConnection;

use crate::sql::{Columns, execute, fetch_all, placeholders};
use crate::state::{load_origins, load_owners, name_member};
use crate::{Tables, TablesError};

/// A member, as a row of the view `agent_peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Its id as text.
    pub peer_id: String,
    /// Its hostname.
    pub hostname: String,
    /// Whether it is there, in one word.
    pub status: String,
    /// When it was last heard of.
    pub last_seen_at: Option<UnixMillis>,
    /// When it joined.
    pub joined_at: UnixMillis,
    /// Its Tailscale address.
    pub tailscale_ip: Option<String>,
    /// Its Tailscale name.
    pub tailscale_hostname: Option<String>,
    /// JSON array of `host:port`.
    pub addresses: String,
    /// The version of its program.
    pub version: String,
    /// Whether it is this member.
    pub is_self: bool,
}

const COLUMNS: &str = "peer_id, hostname, status, last_seen_at, joined_at, tailscale_ip, \
                       tailscale_hostname, addresses, version, is_self";
const COLUMNS_COUNT: usize = 10;

impl MemberRow {
    fn into_values(self) -> Vec<SqlValue> {
        let time = |time: UnixMillis| SqlValue::Integer(i64::try_from(time.0).unwrap_or(i64::MAX));
        let text_or_null = |text: Option<String>| text.map_or(SqlValue::Null, SqlValue::Text);
        vec![
            SqlValue::Text(self.peer_id),
            SqlValue::Text(self.hostname),
            SqlValue::Text(self.status),
            self.last_seen_at.map_or(SqlValue::Null, time),
            time(self.joined_at),
            text_or_null(self.tailscale_ip),
            text_or_null(self.tailscale_hostname),
            SqlValue::Text(self.addresses),
            SqlValue::Text(self.version),
            SqlValue::Integer(self.is_self.into()),
        ]
    }
}

impl Tables {
    /// Notes whose database an origin is, if something of it was applied here.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be written; it is not noted then.
    pub async fn name_origin(&self, origin: OriginId, member: PeerId) -> Result<(), TablesError> {
        self.transact(move |desk| {
            Box::pin(async move {
                match desk.state.origins.no(&origin) {
                    Some(no) => name_member(&mut desk.conn, no, member).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }

    /// Whose databases the origins are, as far as it was noted.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be read.
    pub async fn origin_owners(&self) -> Result<BTreeMap<OriginId, PeerId>, TablesError> {
        self.reading().own.read(|conn| owners(conn).boxed()).await
    }

    /// Makes `members` what the view `agent_peers` shows. Nothing is written when it shows them already.
    ///
    /// # Errors
    /// [`TablesError`] when the database cannot be read or written; it shows what it did before then.
    pub async fn set_members(&self, members: Vec<MemberRow>) -> Result<(), TablesError> {
        let wanted: BTreeMap<String, Vec<SqlValue>> = members
            .into_iter()
            .map(|member| (member.peer_id.clone(), member.into_values()))
            .collect();
        let shown = self.reading().own.read(|conn| Box::pin(shown(conn))).await?;
        if shown == wanted {
            return Ok(());
        }
        self.transact(move |desk| Box::pin(async move { replace(&mut desk.conn, &wanted).await }))
            .await
    }
}

async fn owners(conn: &mut SqliteConnection) -> Result<BTreeMap<OriginId, PeerId>, TablesError> {
    let origins = load_origins(conn).await?;
    load_owners(conn, &origins).await
}

async fn shown(
    conn: &mut SqliteConnection,
) -> Result<BTreeMap<String, Vec<SqlValue>>, TablesError> {
    let sql = format!("SELECT {COLUMNS} FROM mesh_members");
    let rows = fetch_all(conn, sql, []).await?;
    let shown = rows.iter().map(|row| {
        let id = Columns::of(row).text()?;
        Ok((id, Columns::of(row).values(COLUMNS_COUNT)?))
    });
    shown.collect()
}

async fn replace(
    conn: &mut SqliteConnection,
    wanted: &BTreeMap<String, Vec<SqlValue>>,
) -> Result<(), TablesError> {
    let shown = shown(conn).await?;
    for id in shown.keys().filter(|id| !wanted.contains_key(*id)) {
        let gone = [SqlValue::Text(id.clone())];
        execute(conn, "DELETE FROM mesh_members WHERE peer_id = ?", gone).await?;
    }
    let place = placeholders(1, COLUMNS_COUNT);
    let sql = format!("INSERT OR REPLACE INTO mesh_members ({COLUMNS}) VALUES {place}");
    for (id, values) in wanted {
        if shown.get(id) != Some(values) {
            execute(conn, sql.clone(), values.clone()).await?;
        }
    }
    Ok(())
}
