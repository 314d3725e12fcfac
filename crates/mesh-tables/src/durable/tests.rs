use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mesh_protocol::{
    Dot, Incoming, JoinPlan, MergePlan, OriginId, PeerId, Readiness, RowFacts, SqlValue, TheirRow,
    TransactionHeader, UnixMillis, VersionVector,
};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{IncomingPart, LogCursor, Query, Rules, Statement, Tables, TablesConfig};

const AT: UnixMillis = UnixMillis(1_000_000);
const DEADLINE: Duration = Duration::from_secs(20);
const WRITER: OriginId = OriginId::from_bytes([1; 16]);
const MEMBER: OriginId = OriginId::from_bytes([2; 16]);

#[derive(Debug)]
struct SyncRules;

impl Rules for SyncRules {
    fn admit(
        &self,
        known: &VersionVector,
        dot: Dot,
        header: &TransactionHeader,
        now: UnixMillis,
    ) -> Readiness {
        // Triggers read the time of the machine.
        mesh_sync::admit(known, dot, header, now, Duration::from_secs(u64::from(u32::MAX)))
    }

    fn merge(&self, row: &RowFacts, incoming: &Incoming<'_>) -> MergePlan {
        mesh_sync::merge(row, incoming)
    }

    fn join(
        &self,
        _row: Option<&RowFacts>,
        _known: &VersionVector,
        _theirs: &TheirRow<'_>,
    ) -> JoinPlan {
        unreachable!("no snapshot is taken")
    }
}

/// A disk that keeps what a power cut would leave: what the files held at the last time that was waited for it.
#[derive(Default)]
struct Machine {
    files: PathBuf,
    kept: PathBuf,
    /// Held while the disk is not to answer.
    gate: Mutex<()>,
    fails: AtomicBool,
    syncs: AtomicU64,
}

impl Machine {
    fn in_folder(folder: &TempDir) -> Arc<Self> {
        let [files, kept] = ["files", "kept"].map(|name| folder.path().join(name));
        std::fs::create_dir_all(&files).unwrap();
        std::fs::create_dir_all(&kept).unwrap();
        Arc::new(Self { files, kept, ..Self::default() })
    }

    async fn open(self: &Arc<Self>) -> Tables {
        let disk: Arc<dyn Disk> = Arc::clone(self) as Arc<dyn Disk>;
        let (path, config) = (self.files.join("data.db"), TablesConfig::default());
        let tracker = TaskTracker::new();
        Tables::open_on(Some(disk), &path, config, Arc::new(SyncRules), MEMBER, &tracker)
            .await
            .unwrap()
    }

    /// What the database has that a power cut leaves.
    async fn after_power_cut(&self) -> VersionVector {
        let folder = TempDir::new().unwrap();
        for file in std::fs::read_dir(&self.kept).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let tables = open(&folder.path().join("data.db"), MEMBER).await;
        known(&tables)
    }
}

impl Disk for Machine {
    fn sync(&self) -> io::Result<()> {
        let _gate = self.gate.blocking_lock();
        if self.fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("a failing disk"));
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        for name in ["data.db", "data.db-wal"] {
            std::fs::copy(self.files.join(name), self.kept.join(name))?;
        }
        Ok(())
    }
}

async fn open(path: &Path, origin: OriginId) -> Tables {
    let (config, tracker) = (TablesConfig::default(), TaskTracker::new());
    Tables::open(path, config, Arc::new(SyncRules), origin, &tracker).await.unwrap()
}

fn known(tables: &Tables) -> VersionVector {
    VersionVector::of(&tables.have().borrow().origins)
}

/// Transactions of another database: a table, then rows one by one.
async fn transactions(folder: &TempDir, rows: i64) -> Vec<IncomingPart> {
    let writer = open(&folder.path().join("writer.db"), WRITER).await;
    let mut statements = vec![Statement {
        sql: "CREATE TABLE t (id INTEGER PRIMARY KEY)".to_owned(),
        params: Vec::new(),
    }];
    let insert = |id| Statement {
        sql: "INSERT INTO t VALUES (?)".to_owned(),
        params: vec![SqlValue::Integer(id)],
    };
    statements.extend((1..=rows).map(insert));
    for statement in statements {
        writer.execute(vec![statement], AT).await.unwrap();
    }
    writer.settle().await.unwrap();
    let (have, goal) = (VersionVector::default(), known(&writer));
    let log = writer.read_log(LogCursor(0), &have, &goal, usize::MAX).await.unwrap();
    let member = PeerId::from_bytes([1; 32]);
    log.bodies.into_iter().map(|body| IncomingPart { body, member }).collect()
}

async fn count(tables: &Tables) -> SqlValue {
    let query = Query { sql: "SELECT count(*) FROM t".to_owned(), ..Query::default() };
    let mut rows = tables.query(query).await.unwrap();
    futures_util::StreamExt::next(&mut rows).await.unwrap().unwrap().remove(0)
}

async fn reaches(tables: &Tables, sequence: u64) {
    let mut have = tables.have();
    let is_there = have.wait_for(|have| VersionVector::of(&have.origins).upto(&WRITER) >= sequence);
    timeout(DEADLINE, is_there).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_on_the_disk_is_read_here_and_told_to_nobody() {
    let folder = TempDir::new().unwrap();
    let parts = transactions(&folder, 1).await;
    let machine = Machine::in_folder(&folder);
    let tables = machine.open().await;
    let mut feed = tables.feed(None, None).await.unwrap();
    let gate = machine.gate.lock().await;
    assert_eq!(tables.apply(parts, AT).await.unwrap().applied.len(), 2);
    assert_eq!(count(&tables).await, SqlValue::Integer(1));
    assert_eq!(known(&tables).upto(&WRITER), 0);
    assert!(tables.committed().has(&Dot { origin: WRITER, sequence: 2 }));
    let mut all = VersionVector::default();
    all.advance(WRITER, 2);
    let log = tables.read_log(LogCursor(0), &VersionVector::default(), &all, usize::MAX).await;
    assert!(log.unwrap().bodies.is_empty());
    assert!(futures_util::FutureExt::now_or_never(feed.next()).is_none());
    drop(gate);
    reaches(&tables, 2).await;
    assert!(timeout(DEADLINE, feed.next()).await.unwrap().unwrap().is_ok());
    let log = tables.read_log(LogCursor(0), &VersionVector::default(), &all, usize::MAX).await;
    assert_eq!(log.unwrap().bodies.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_leaves_everything_that_was_told() {
    let folder = TempDir::new().unwrap();
    let parts = transactions(&folder, 200).await;
    let machine = Machine::in_folder(&folder);
    let tables = machine.open().await;
    let before = machine.syncs.load(Ordering::Relaxed);
    for (number, part) in (1..).zip(parts) {
        tables.apply(vec![part], AT).await.unwrap();
        if number % 20 == 0 {
            // The disk may answer between the two looks: what it holds is looked at last.
            let told = known(&tables);
            let gate = machine.gate.lock().await;
            let left = machine.after_power_cut().await;
            drop(gate);
            assert!(left.covers(&told), "{told:?} was told, {left:?} is left");
        }
    }
    reaches(&tables, 201).await;
    assert_eq!(machine.after_power_cut().await.upto(&WRITER), 201);
    let syncs = machine.syncs.load(Ordering::Relaxed) - before;
    assert!(syncs < 150, "{syncs} waits for the disk");
}

#[tokio::test]
async fn an_own_write_brings_everything_before_it_to_the_disk() {
    let folder = TempDir::new().unwrap();
    let parts = transactions(&folder, 1).await;
    let machine = Machine::in_folder(&folder);
    let tables = machine.open().await;
    let gate = machine.gate.lock().await;
    tables.apply(parts, AT).await.unwrap();
    let insert = Statement { sql: "INSERT INTO t VALUES (7)".to_owned(), params: Vec::new() };
    tables.execute(vec![insert], AT).await.unwrap();
    reaches(&tables, 2).await;
    assert_eq!(known(&tables).upto(&MEMBER), 1);
    drop(gate);
}

#[tokio::test]
async fn a_disk_that_fails_acknowledges_nothing_until_all_is_in_the_database() {
    let folder = TempDir::new().unwrap();
    let parts = transactions(&folder, 1).await;
    let machine = Machine::in_folder(&folder);
    let tables = machine.open().await;
    machine.fails.store(true, Ordering::Relaxed);
    tables.apply(parts, AT).await.unwrap();
    assert_eq!(known(&tables).upto(&WRITER), 0);
    // The disk may have said for the only time that it lost something, so it is not asked again.
    reaches(&tables, 2).await;
    assert_eq!(std::fs::metadata(machine.files.join("data.db-wal")).unwrap().len(), 0);
}
