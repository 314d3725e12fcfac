//! What the writer keeps in memory of the bookkeeping: true for the last commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_protocol::{Dot, ORIGINS_MAX, OriginHave, OriginId, PeerId, VersionVector};
use sqlx::SqliteConnection;

use crate::TablesError;
use crate::apply::BYTES_SQL as SPOOL_BYTES;
use crate::catalog::Catalog;
use crate::oddity::Oddity;
use crate::snapshot::covered::Covered;
use crate::sql::{Columns, execute, fetch_all};
use mesh_protocol::SqlValue;

/// What this database has; published when it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// This database.
    pub database: OriginId,
    /// What has been applied of each origin.
    pub origins: Vec<OriginHave>,
    /// Number of the newest entry of the log, dropped ones included; 0 when there never was one.
    pub log_head: i64,
    /// Whether a snapshot is being taken in.
    pub in_snapshot: bool,
}

impl Have {
    /// Whether it has a transaction, be it applied or kept aside.
    #[must_use]
    pub fn has(&self, dot: &Dot) -> bool {
        self.origins.iter().any(|known| known.origin == dot.origin && known.upto >= dot.sequence)
    }
}

/// Most databases of others that are given a number. Members can be told of [`ORIGINS_MAX`]; the rest is for the
/// origins that this database takes itself.
const OTHERS_MAX: usize = ORIGINS_MAX - 64;

/// Databases by the numbers that stand for them here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    by_no: BTreeMap<i64, OriginId>,
    by_id: BTreeMap<OriginId, i64>,
}

impl Origins {
    pub(crate) fn id(&self, no: i64) -> Result<OriginId, TablesError> {
        self.by_no.get(&no).copied().ok_or(TablesError::Malformed { what: "origin" })
    }

    pub(crate) fn no(&self, id: &OriginId) -> Option<i64> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn insert(&mut self, no: i64, id: OriginId) {
        self.by_no.insert(no, id);
        self.by_id.insert(id, no);
    }
}

/// What the writer keeps in memory. Changed only inside a transaction; after a failure the state before is
/// put back, so clones are made often and large parts are shared.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) me: OriginId,
    /// The number of `me` among the origins.
    pub(crate) my_no: i64,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) origins: Arc<Origins>,
    /// What has been applied, own transactions included.
    pub(crate) vector: Arc<VersionVector>,
    /// What each origin had applied at its latest transaction.
    pub(crate) contexts: Arc<BTreeMap<OriginId, VersionVector>>,
    /// What is not in the log any more.
    pub(crate) floors: Arc<BTreeMap<OriginId, u64>>,
    /// Newest entry of the log.
    pub(crate) log_head: i64,
    /// Whether a snapshot is being taken in.
    pub(crate) in_snapshot: bool,
    /// Which rows came with snapshots and are ahead of the vector.
    pub(crate) covered: Arc<Covered>,
    /// SQLite's count of changes of tables that `catalog` is true for; negative until the first look.
    pub(crate) schema_version: i64,
    /// What other programs did to replicated tables and cannot be replicated.
    pub(crate) oddities: Arc<Vec<Oddity>>,
    /// Bytes of transactions that are kept aside or incomplete.
    pub(crate) spool_bytes: u64,
    /// Losers of conflicts that are listed at most; the largest number until they are counted.
    pub(crate) losers_at_most: u64,
}

impl State {
    /// Reads everything. `fresh` is taken when the database has no origin yet.
    pub(crate) async fn load(
        conn: &mut SqliteConnection,
        fresh: OriginId,
    ) -> Result<Self, TablesError> {
        let mut origins = load_origins(conn).await?;
        let rows =
            fetch_all(conn, "SELECT coalesce(origin, former) FROM mesh_state WHERE id = 1", [])
                .await?;
        let row = rows.first().ok_or(TablesError::Malformed { what: "state" })?;
        let my_no = match Columns::of(row).int_or_none()? {
            Some(no) => no,
            None => {
                let no = insert_origin(conn, fresh).await?;
                origins.insert(no, fresh);
                let adopt =
                    "UPDATE mesh_state SET origin = ?, sequence = 1, dirty = 0 WHERE id = 1";
                execute(conn, adopt, [SqlValue::Integer(no)]).await?;
                no
            }
        };
        let me = origins.id(my_no)?;
        let (mut vector, mut floors) = (VersionVector::default(), BTreeMap::new());
        for row in fetch_all(conn, "SELECT origin, upto, floor FROM mesh_vector", []).await? {
            let mut columns = Columns::of(&row);
            let origin = origins.id(columns.int()?)?;
            vector.advance(origin, columns.count()?);
            floors.insert(origin, columns.count()?);
        }
        for row in fetch_all(conn, "SELECT origin, sequence FROM mesh_parked", []).await? {
            let mut columns = Columns::of(&row);
            let origin = origins.id(columns.int()?)?;
            vector.add_hole(Dot { origin, sequence: columns.count()? });
        }
        let mut contexts: BTreeMap<OriginId, VersionVector> = BTreeMap::new();
        for row in fetch_all(conn, "SELECT origin, other, upto FROM mesh_contexts", []).await? {
            let mut columns = Columns::of(&row);
            let (origin, other) = (origins.id(columns.int()?)?, origins.id(columns.int()?)?);
            contexts.entry(origin).or_default().advance(other, columns.count()?);
        }
        let head = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'mesh_log'";
        let head = fetch_all(conn, head, []).await?;
        let log_head = head.first().map_or(Ok(0), |row| Columns::of(row).int())?;
        let covered = Covered::load(conn).await?;
        let spool = fetch_all(conn, SPOOL_BYTES, []).await?;
        let spool_bytes = spool.first().map_or(Ok(0), |row| Columns::of(row).count())?;
        Ok(Self {
            me,
            my_no,
            catalog: Arc::new(Catalog::load(conn).await?),
            origins: Arc::new(origins),
            vector: Arc::new(vector),
            contexts: Arc::new(contexts),
            floors: Arc::new(floors),
            log_head,
            in_snapshot: covered.in_progress(),
            covered: Arc::new(covered),
            schema_version: -1,
            oddities: Arc::default(),
            spool_bytes,
            losers_at_most: u64::MAX,
        })
    }

    /// The number of the transaction that is being captured.
    pub(crate) fn open_sequence(&self) -> u64 {
        self.vector.upto(&self.me).saturating_add(1)
    }

    /// What to tell the members.
    pub(crate) fn have(&self) -> Have {
        let holes = self.vector.holes();
        let origins = (self.vector.origins())
            .map(|(origin, upto)| OriginHave {
                origin,
                upto,
                holes: (holes.iter().filter(|hole| hole.origin == origin))
                    .map(|hole| hole.sequence)
                    .collect(),
                floor: self.floors.get(&origin).copied().unwrap_or(0),
            })
            .collect();
        Have { database: self.me, origins, log_head: self.log_head, in_snapshot: self.in_snapshot }
    }

    /// Whether an origin has its number, or can be given one.
    pub(crate) fn has_room_for(&self, id: &OriginId) -> bool {
        self.origins.by_no.len() < OTHERS_MAX || self.origins.no(id).is_some()
    }

    /// The number that stands for an origin, given out now if need be. Whoever takes in what others say asks
    /// [`State::has_room_for`] before, where it should not fail.
    pub(crate) async fn origin_no(
        &mut self,
        conn: &mut SqliteConnection,
        id: OriginId,
    ) -> Result<i64, TablesError> {
        if !self.has_room_for(&id) {
            let reason = format!("there are {OTHERS_MAX} databases already: no more can be known");
            return Err(TablesError::Refused { reason });
        }
        self.own_origin_no(conn, id).await
    }

    /// Like [`State::origin_no`] for an origin that this database takes itself.
    pub(crate) async fn own_origin_no(
        &mut self,
        conn: &mut SqliteConnection,
        id: OriginId,
    ) -> Result<i64, TablesError> {
        if let Some(no) = self.origins.no(&id) {
            return Ok(no);
        }
        let no = insert_origin(conn, id).await?;
        Arc::make_mut(&mut self.origins).insert(no, id);
        Ok(no)
    }
}

pub(crate) async fn load_origins(conn: &mut SqliteConnection) -> Result<Origins, TablesError> {
    let mut origins = Origins::default();
    for row in fetch_all(conn, "SELECT id, origin FROM mesh_origins", []).await? {
        let mut columns = Columns::of(&row);
        let no = columns.int()?;
        origins.insert(no, OriginId::from_bytes(columns.array("origin")?));
    }
    Ok(origins)
}

async fn insert_origin(conn: &mut SqliteConnection, id: OriginId) -> Result<i64, TablesError> {
    let sql = "INSERT INTO mesh_origins (origin) VALUES (?) RETURNING id";
    let rows = fetch_all(conn, sql, [SqlValue::Blob(id.as_bytes().to_vec())]).await?;
    rows.first()
        .map_or(Err(TablesError::Malformed { what: "origin" }), |row| Columns::of(row).int())
}

/// Whose databases the origins are, as far as it was noted.
pub(crate) async fn load_owners(
    conn: &mut SqliteConnection,
    origins: &Origins,
) -> Result<BTreeMap<OriginId, PeerId>, TablesError> {
    let mut owners = BTreeMap::new();
    let sql = "SELECT id, member FROM mesh_origins WHERE member IS NOT NULL";
    for row in fetch_all(conn, sql, []).await? {
        let mut columns = Columns::of(&row);
        let origin = origins.id(columns.int()?)?;
        owners.insert(origin, PeerId::from_bytes(columns.array("member")?));
    }
    Ok(owners)
}

/// Names a member's database.
pub(crate) async fn name_member(
    conn: &mut SqliteConnection,
    no: i64,
    member: PeerId,
) -> Result<(), TablesError> {
    let sql = "UPDATE mesh_origins SET member = ?2 WHERE id = ?1 AND member IS NOT ?2";
    let values = [SqlValue::Integer(no), SqlValue::Blob(member.as_bytes().to_vec())];
    execute(conn, sql, values).await.map(drop)
}
