//! The state of one database goes to another one piece by piece.

mod aside;

use mesh_protocol::{
    PeerId, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotChunk, SnapshotPosition, SnapshotRequest, SqlValue,
    UnixMillis,
};
use mesh_tables::{TablesConfig, TablesError, Taken, View, checksum};
use proptest::prelude::*;

use crate::peer::{NOTES, Peer, converge};

/// What goes over the wire, within its bounds.
fn wired(chunk: &SnapshotChunk) -> SnapshotChunk {
    let bytes = chunk.encode().unwrap();
    assert!(bytes.len() <= SNAPSHOT_CHUNK_BYTES_MAX);
    let back = SnapshotChunk::decode(&bytes).unwrap();
    assert_eq!(back, *chunk);
    back
}

/// A snapshot that is under way.
struct Passage<'p> {
    from: &'p Peer,
    to: &'p Peer,
    view: View,
    sessions: u64,
    request: SnapshotRequest,
}

impl<'p> Passage<'p> {
    async fn begin(from: &'p Peer, to: &'p Peer) -> Self {
        Self::from_session(from, to, 1).await
    }

    async fn from_session(from: &'p Peer, to: &'p Peer, session: u64) -> Self {
        let view = from.tables.open_view(session).await.unwrap();
        let request = to.tables.begin_snapshot(from.id()).await.unwrap();
        Self { from, to, view, sessions: session, request }
    }

    /// The sender reads from a new view from now on.
    async fn renew_view(&mut self) {
        self.sessions += 1;
        self.view = self.from.tables.open_view(self.sessions).await.unwrap();
    }

    async fn chunk(&self) -> SnapshotChunk {
        wired(&self.view.chunk(&self.request).await.unwrap())
    }

    /// One piece.
    async fn step(&mut self) -> Taken {
        let chunk = self.chunk().await;
        let at = self.to.now().await;
        let taken = self.to.tables.take_chunk(self.from.id(), chunk, at).await.unwrap();
        assert_eq!(taken.is_complete, taken.next.is_none());
        if let Some(next) = &taken.next {
            self.request = next.clone();
        }
        taken
    }

    async fn finish(&mut self) -> u64 {
        let mut rows = 0;
        loop {
            let taken = self.step().await;
            rows += taken.rows;
            if taken.is_complete {
                return rows;
            }
        }
    }
}

/// Every table has the same rows and versions on both, and they list the same conflicts.
async fn assert_same(one: &Peer, other: &Peer) {
    let (ones, others) =
        (one.tables.digests().await.unwrap(), other.tables.digests().await.unwrap());
    let sums: Vec<_> = ones.iter().map(|digest| (digest.rows, checksum(digest))).collect();
    let other_sums: Vec<_> = others.iter().map(|digest| (digest.rows, checksum(digest))).collect();
    assert_eq!(sums, other_sums);
    assert_eq!(one.conflicts().await, other.conflicts().await);
    assert_eq!(other.count("mesh_snapshot").await, 0);
}

/// Rows of about a kilobyte.
async fn fill(peer: &Peer, rows: std::ops::Range<u32>) {
    peer.run(&format!(
        "WITH RECURSIVE n(i) AS (VALUES ({}) UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
         INSERT INTO notes (id, a, b, c) SELECT printf('%06d', i), 'note ' || i, i % 1000, \
         zeroblob(1000) FROM n",
        rows.start,
        rows.end - 1
    ))
    .await;
}

async fn with_notes(no: u8) -> Peer {
    let peer = Peer::new(no).await;
    peer.run(NOTES).await;
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_equals_the_source() {
    let source = with_notes(1).await;
    fill(&source, 0..3000).await;
    source.run("UPDATE notes SET a = 'edited' WHERE b % 7 = 0").await;
    source.run("DELETE FROM notes WHERE b % 11 = 0").await;
    source.run("ALTER TABLE notes ADD COLUMN late TEXT DEFAULT 'never'").await;
    source.run("UPDATE notes SET late = 'set' WHERE b % 13 = 0").await;
    source.run("CREATE INDEX notes_b ON notes (b)").await;
    source
        .run("CREATE TABLE pairs (x REAL, y TEXT COLLATE NOCASE, PRIMARY KEY (y, x)) WITHOUT ROWID")
        .await;
    source.run("INSERT INTO pairs VALUES (1.5, 'B'), (-0.5, 'a'), (1e300, 'A')").await;
    source.run("CREATE TABLE numbers (n INTEGER PRIMARY KEY, v ANY)").await;
    source.run("INSERT INTO numbers VALUES (-5, NULL), (7, x'00ff'), (9, 1.25), (10, CAST(x'ff61' AS TEXT))").await;
    let newcomer = Peer::new(2).await;
    let rows = Passage::begin(&source, &newcomer).await.finish().await;
    assert_eq!(rows, 3000 + 3 + 4);
    assert_same(&source, &newcomer).await;
    assert_eq!(source.knows(), newcomer.knows());
    assert_eq!(newcomer.count("sqlite_schema WHERE name = 'notes_b'").await, 1);
    assert!(!newcomer.tables.have().borrow().in_snapshot);
    // Both go on as if nothing had been.
    newcomer.run("UPDATE notes SET a = 'by the newcomer' WHERE id = '000001'").await;
    source.run("INSERT INTO notes (id, late) VALUES ('new', 'l')").await;
    newcomer.give(&source).await;
    source.give(&newcomer).await;
    assert_same(&source, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_writes_on_while_views_change() {
    let source = with_notes(1).await;
    fill(&source, 0..2500).await;
    let newcomer = Peer::new(2).await;
    let mut passage = Passage::begin(&source, &newcomer).await;
    let mut round = 0;
    loop {
        round += 1;
        let taken = passage.step().await;
        source
            .run(&format!("UPDATE notes SET a = 'round {round}' WHERE b % 3 = {}", round % 3))
            .await;
        source.run(&format!("DELETE FROM notes WHERE b % 50 = {round}")).await;
        source
            .run(&format!("INSERT INTO notes (id) VALUES ('000{round}+'), ('002{round}+')"))
            .await;
        if round == 2 {
            source.run("ALTER TABLE notes ADD COLUMN late TEXT DEFAULT 'never'").await;
            source.run("CREATE TABLE more (k TEXT PRIMARY KEY NOT NULL)").await;
            source.run("INSERT INTO more VALUES ('m')").await;
        }
        if taken.is_complete {
            break;
        }
        passage.renew_view().await;
    }
    assert!(round > 3, "{round}");
    assert!(newcomer.count("mesh_snapshot").await > 1);
    let applied = source.give(&newcomer).await;
    assert!(applied.missing.is_empty() && applied.parked.is_empty(), "{applied:?}");
    assert_same(&source, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_others_is_applied_meanwhile() {
    let source = with_notes(1).await;
    fill(&source, 0..1500).await;
    let newcomer = Peer::new(2).await;
    let mut passage = Passage::begin(&source, &newcomer).await;
    passage.step().await;
    assert!(newcomer.tables.have().borrow().in_snapshot);
    let applied = source.give(&newcomer).await;
    assert!(applied.applied.is_empty(), "{applied:?}");
    passage.finish().await;
    assert_same(&source, &newcomer).await;
}

/// A write there would know of rows of which its transaction could not say so: where it came before what it rests on,
/// the list of what lost would be another one for good.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_that_a_write_between_two_pieces_was_done() {
    let source = with_notes(1).await;
    fill(&source, 0..1500).await;
    let newcomer = Peer::new(2).await;
    let mut passage = Passage::begin(&source, &newcomer).await;
    passage.step().await;
    let write = "UPDATE notes SET a = 'mine' WHERE id = '000001'";
    let together = [write, "UPDATE notes SET a = 'mine' WHERE id = '000002'"];
    let create = "CREATE TABLE others (id TEXT PRIMARY KEY NOT NULL)";
    for statements in [&[write][..], &together, &[create]] {
        let refused = newcomer.try_run_all(statements).await.unwrap_err();
        assert!(matches!(refused, TablesError::TakingOver), "{refused:?}");
    }
    let refused = newcomer.tables.drop_table("notes", UnixMillis(1)).await.unwrap_err();
    assert!(matches!(refused, TablesError::TakingOver), "{refused:?}");
    // What an agent needs that is started then.
    newcomer.tables.make_built_in(newcomer.now().await).await.unwrap();
    passage.finish().await;
    newcomer.run(write).await;
    newcomer.give(&source).await;
    assert_same(&source, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taker_that_was_stopped_goes_on_where_it_was() {
    let source = with_notes(1).await;
    fill(&source, 0..2500).await;
    let newcomer = Peer::new(2).await;
    let first = Passage::begin(&source, &newcomer).await.step().await.rows;
    let newcomer = newcomer.restart().await;
    let (member, request) = newcomer.tables.snapshot_in_progress().await.unwrap().unwrap();
    assert_eq!(member, source.id());
    assert!(newcomer.tables.have().borrow().in_snapshot);
    source.run("UPDATE notes SET a = 'meanwhile' WHERE b < 100").await;
    let mut passage = Passage::from_session(&source, &newcomer, 2).await;
    assert_eq!(passage.request, request);
    let rest = passage.finish().await;
    assert_eq!(first + rest, 2500);
    source.give(&newcomer).await;
    assert_same(&source, &newcomer).await;
    assert!(newcomer.tables.snapshot_in_progress().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_want_each_other_s_state_at_once_do_not_wait_for_each_other() {
    let [one, two] = Peer::with_notes().await;
    for peer in [&one, &two] {
        peer.run("INSERT INTO notes (id) VALUES (hex(randomblob(4)))").await;
    }
    for (peer, other) in [(&one, &two), (&two, &one)] {
        peer.tables.begin_snapshot(other.id()).await.unwrap();
    }
    for peer in [&one, &two] {
        let refused = peer.tables.open_view(1).await.unwrap_err();
        assert!(matches!(refused, TablesError::Refused { .. }), "{refused:?}");
    }
    one.tables.pause_snapshot(PeerId::from_bytes([9; 32])).await.unwrap();
    assert!(one.tables.have().borrow().in_snapshot, "that was of another attempt");
    one.tables.pause_snapshot(two.id()).await.unwrap();
    let two = two.restart().await;
    for (peer, other) in [(&one, &two), (&two, &one)] {
        peer.tables.have().wait_for(|have| !have.in_snapshot).await.unwrap();
        Passage::begin(other, peer).await.finish().await;
    }
    assert_same(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_give_to_its_end_is_abandoned() {
    let [one, two] = Peer::with_notes().await;
    fill(&one, 0..1500).await;
    two.run("INSERT INTO notes (id, a) VALUES ('only here', 'kept')").await;
    let known_of_one = || two.tables.have().borrow().origins[0].clone();
    let known = known_of_one();
    let mut passage = Passage::begin(&one, &two).await;
    passage.step().await;
    drop(passage);
    let write = "UPDATE notes SET a = 'two' WHERE id = 'only here'";
    let refused = two.try_run_all(&[write]).await.unwrap_err();
    assert!(matches!(refused, TablesError::TakingOver), "{refused:?}");
    two.tables.abandon_snapshot(two.now().await).await.unwrap();
    // Told when it is on the disk.
    two.tables.have().wait_for(|have| !have.in_snapshot).await.unwrap();
    assert_eq!(known_of_one(), known, "nothing counts as had that is not all here");
    two.run(write).await;
    // Also after a start, what came is passed over by changes that it holds.
    let two = two.restart().await;
    assert!(!two.tables.have().borrow().in_snapshot);
    converge(&[&one, &two]).await;
    assert_same(&one, &two).await;
    assert_eq!(two.count("notes").await, 1501);
    assert_eq!(two.count("mesh_snapshot").await, 0);
    assert_eq!(one.conflicts().await, two.conflicts().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_member_goes_on_where_one_left() {
    let [one, two] = Peer::with_notes().await;
    fill(&one, 0..2500).await;
    one.give(&two).await;
    let newcomer = Peer::new(3).await;
    // Each has something that the other one lacks.
    one.run("UPDATE notes SET a = 'one' WHERE b % 2 = 0").await;
    two.run("UPDATE notes SET a = 'two' WHERE b % 3 = 0").await;
    let mut passage = Passage::begin(&one, &newcomer).await;
    passage.step().await;
    passage.step().await;
    drop(passage);
    Passage::from_session(&two, &newcomer, 7).await.finish().await;
    converge(&[&one, &two, &newcomer]).await;
    assert!(!one.conflicts().await.is_empty());
    assert_same(&one, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_returning_member_wrote_is_merged() {
    let [source, away] = Peer::with_notes().await;
    fill(&source, 0..600).await;
    source.give(&away).await;
    away.run("UPDATE notes SET a = 'mine' WHERE id = '000001'").await;
    away.run("UPDATE notes SET b = 1 WHERE id = '000002'").await;
    away.run("INSERT INTO notes (id, a) VALUES ('only here', 'kept')").await;
    away.run("DELETE FROM notes WHERE id = '000003'").await;
    source.run("UPDATE notes SET a = 'theirs' WHERE id IN ('000001', '000002')").await;
    source.run("UPDATE notes SET a = 'theirs' WHERE id = '000003'").await;
    Passage::begin(&source, &away).await.finish().await;
    assert!(away.notes().await.iter().any(|note| note.starts_with("only here|kept")));
    assert!(away.notes().await.iter().any(|note| note.starts_with("000002|theirs|1")));
    away.give(&source).await;
    converge(&[&source, &away]).await;
    assert_eq!(source.conflicts().await.len(), 2);
    assert_same(&source, &away).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_deleted_and_forgotten_vanish() {
    let [source, away] = Peer::with_notes().await;
    fill(&source, 0..1500).await;
    source.give(&away).await;
    source.run("DELETE FROM notes WHERE b >= 10").await;
    forget_tombstones(&source).await;
    let mut passage = Passage::begin(&source, &away).await;
    let chunk = passage.chunk().await;
    assert!(chunk.rows.iter().all(|row| row.version.is_alive()));
    let taken = passage.step().await;
    assert!(taken.is_complete);
    assert_eq!(taken.changed, 1500 - 20);
    assert_eq!(away.count("notes").await, 20);
    assert_eq!(away.count("notes__mesh_row").await, 20);
    assert_same(&source, &away).await;
}

/// As if every member had passed them.
async fn forget_tombstones(peer: &Peer) {
    let sql = "DELETE FROM notes__mesh_row WHERE life % 2 = 0";
    sqlx::query(sql).execute(&mut peer.shell().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn losers_travel_with_and_without_their_rows() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes (id, a) VALUES ('x', 'first'), ('y', 'first')").await;
    one.give(&two).await;
    one.run("UPDATE notes SET a = 'one' WHERE id = 'x'").await;
    two.run("UPDATE notes SET a = 'two' WHERE id = 'x'").await;
    one.run("UPDATE notes SET a = 'edited' WHERE id = 'y'").await;
    two.run("DELETE FROM notes WHERE id = 'y'").await;
    converge(&[&one, &two]).await;
    assert_eq!(one.conflicts().await.len(), 2);
    forget_tombstones(&one).await;
    let newcomer = Peer::new(3).await;
    Passage::begin(&one, &newcomer).await.finish().await;
    assert_eq!(newcomer.count("mesh_conflicts").await, 2);
    assert_same(&one, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_keep_to_their_bounds_with_large_values() {
    let [one, two] = Peer::with_notes().await;
    one.run(
        "INSERT INTO notes (id, c) VALUES ('a', zeroblob(1048576)), ('b', x'00'), \
             ('c', zeroblob(1048576)), ('d', zeroblob(1950000)), ('e', x'01')",
    )
    .await;
    one.give(&two).await;
    for (peer, byte) in [(&one, "aa"), (&two, "bb")] {
        peer.run(&format!("UPDATE notes SET c = CAST(replace(hex(zeroblob(524288)), '00', '{byte}') AS BLOB) WHERE id = 'c'")).await;
        peer.run(&format!("UPDATE notes SET c = CAST(replace(hex(zeroblob(975000)), '00', '{byte}') AS BLOB) WHERE id = 'd'")).await;
    }
    converge(&[&one, &two]).await;
    assert_eq!(one.conflicts().await.len(), 2);
    let newcomer = Peer::new(3).await;
    let mut passage = Passage::begin(&one, &newcomer).await;
    let mut pieces = 1;
    while !passage.step().await.is_complete {
        pieces += 1;
        assert!(pieces < 20);
    }
    assert_same(&one, &newcomer).await;
    // The same when the view changes at every step: what was sent in part is sent anew.
    let newcomer = Peer::new(4).await;
    let mut passage = Passage::begin(&one, &newcomer).await;
    passage.step().await;
    passage.renew_view().await;
    passage.finish().await;
    assert_same(&one, &newcomer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_ends_by_itself() {
    let config = TablesConfig {
        snapshot_view_max: std::time::Duration::from_millis(1),
        ..TablesConfig::default()
    };
    let source = Peer::with(1, config).await;
    source.run(NOTES).await;
    let view = source.tables.open_view(1).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !view.is_over() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let request = SnapshotRequest { request_id: 1, session: 1, position: None, buckets: vec![] };
    let error = view.chunk(&request).await.unwrap_err();
    assert!(matches!(error, TablesError::Unknown { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_were_not_asked_for_change_nothing() {
    let source = with_notes(1).await;
    fill(&source, 0..1500).await;
    let newcomer = Peer::new(2).await;
    let mut passage = Passage::begin(&source, &newcomer).await;
    let first = passage.chunk().await;
    let second = {
        let request =
            SnapshotRequest { session: 1, position: first.next.clone(), ..passage.request.clone() };
        wired(&passage.view.chunk(&request).await.unwrap())
    };
    let at = newcomer.now().await;
    let mut stays = first.clone();
    stays.next = Some(SnapshotPosition { sent: 0, after: None, ..first.next.clone().unwrap() });
    stays.schema = Vec::new();
    let mut twice = first.clone();
    twice.rows.push(twice.rows[0].clone());
    let mut elsewhere = first.clone();
    elsewhere.rows[0].key = vec![SqlValue::Text("zzz".to_owned())];
    for (member, chunk) in [
        (source.id(), second),
        (newcomer.id(), first.clone()),
        (source.id(), stays),
        (source.id(), twice),
        (source.id(), elsewhere),
    ] {
        let error = newcomer.tables.take_chunk(member, chunk, at).await.unwrap_err();
        assert!(matches!(error, TablesError::Refused { .. }), "{error:?}");
        assert_eq!(newcomer.count("sqlite_schema WHERE name = 'notes'").await, 0);
    }
    passage.finish().await;
    assert_same(&source, &newcomer).await;
    let error = newcomer.tables.take_chunk(source.id(), first, at).await.unwrap_err();
    assert!(matches!(error, TablesError::Refused { .. }), "{error:?}");
}

/// Repairs `to` from `from`, as far as their digests differ.
async fn repair(to: &Peer, from: &Peer) -> u64 {
    let (ours, theirs) = (to.tables.digests().await.unwrap(), from.tables.digests().await.unwrap());
    let view = from.tables.open_view(5).await.unwrap();
    let mut repaired = 0;
    for (one, other) in ours.iter().zip(&theirs) {
        let differing = one.buckets.iter().zip(&other.buckets).zip(0_u16..);
        let buckets: Vec<u16> =
            differing.filter(|((one, other), _)| one != other).map(|(_, no)| no).collect();
        let mut position = Some(SnapshotPosition::start_of(one.table));
        while let Some(next) = position.take().filter(|_| !buckets.is_empty()) {
            let buckets = buckets.clone();
            let request =
                SnapshotRequest { request_id: 1, session: 5, position: Some(next), buckets };
            let chunk = wired(&view.chunk(&request).await.unwrap());
            position.clone_from(&chunk.next);
            let at = to.now().await;
            let buckets = &request.buckets;
            repaired += to.tables.repair_chunk(from.id(), buckets, chunk, at).await.unwrap();
        }
    }
    repaired
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_altered_behind_the_triggers_are_mended() {
    let [one, two] = Peer::with_notes().await;
    fill(&one, 0..2500).await;
    one.give(&two).await;
    two.run("UPDATE notes SET a = 'by two' WHERE b = 5").await;
    two.give(&one).await;
    assert_eq!(repair(&two, &one).await, 0);
    // Not captured, as if another program had turned the triggers off.
    let mut shell = two.shell().await;
    for sql in [
        "UPDATE mesh_state SET applying = 1",
        "UPDATE notes SET a = 'zzz' WHERE id = '000001'",
        "DELETE FROM notes WHERE id IN ('000002', '000003')",
        "UPDATE notes SET b = NULL WHERE id = '002001'",
        "UPDATE notes SET a = 'forged' WHERE b = 5",
        "UPDATE mesh_state SET applying = 0",
    ] {
        sqlx::query(sql).execute(&mut shell).await.unwrap();
    }
    drop(shell);
    // `two` is believed where it was the writer, `one` knows better of nothing it did not write.
    let repaired = repair(&two, &one).await + repair(&one, &two).await;
    assert!(repaired >= 4, "{repaired}");
    assert_same(&one, &two).await;
    assert_eq!(repair(&two, &one).await + repair(&one, &two).await, 0);
    assert!(one.notes().await.iter().any(|note| note.starts_with("000001|note 1|")));
    assert!(one.notes().await.iter().any(|note| note.starts_with("000002|note 2|")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_table_that_another_program_dropped_come_back_from_a_member() {
    let [one, two] = Peer::with_notes().await;
    fill(&one, 0..300).await;
    one.give(&two).await;
    two.run("UPDATE notes SET a = 'by two' WHERE b = 5").await;
    two.give(&one).await;
    let mut shell = two.shell().await;
    sqlx::query("DROP TABLE notes").execute(&mut shell).await.unwrap();
    drop(shell);
    two.run(NOTES).await;
    assert_eq!(two.notes().await.len(), 0);
    // The one that has them is not led astray.
    assert_eq!(repair(&one, &two).await, 0);
    assert_eq!(repair(&two, &one).await, 300);
    assert_same(&one, &two).await;
}

#[derive(Clone, Debug)]
enum Act {
    Put(u8, u8),
    Edit(u8, u8),
    EditOther(u8, u8),
    Delete(u8),
}

impl Act {
    /// The same to one of two rows.
    fn of_few(mut self) -> Self {
        let (Self::Put(key, _) | Self::Edit(key, _) | Self::EditOther(key, _) | Self::Delete(key)) =
            &mut self;
        *key %= 2;
        self
    }

    fn sql(&self) -> String {
        match self {
            Self::Put(key, value) => {
                format!(
                    "INSERT OR REPLACE INTO notes (id, a, b) VALUES ('k{key}', 'v{value}', {value})"
                )
            }
            Self::Edit(key, value) => {
                format!("UPDATE notes SET a = 'e{value}' WHERE id = 'k{key}'")
            }
            Self::EditOther(key, value) => {
                format!("UPDATE notes SET b = {value} WHERE id = 'k{key}'")
            }
            Self::Delete(key) => format!("DELETE FROM notes WHERE id = 'k{key}'"),
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    let key = 0..6_u8;
    prop_oneof![
        (key.clone(), any::<u8>()).prop_map(|(key, value)| Act::Put(key, value)),
        (key.clone(), any::<u8>()).prop_map(|(key, value)| Act::Edit(key, value)),
        (key.clone(), any::<u8>()).prop_map(|(key, value)| Act::EditOther(key, value)),
        key.prop_map(Act::Delete),
    ]
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    prop::collection::vec((0..3_usize, act()), 0..16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Three write as they like; the third misses what the others say and takes a snapshot instead.
    #[test]
    fn a_snapshot_leads_to_what_transactions_lead_to(before in acts(), after in acts(), last in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let peers = Peer::with_notes::<3>().await;
            for acts in [&before, &after] {
                for (who, act) in acts {
                    peers[*who].run(&act.sql()).await;
                }
                peers[0].give(&peers[1]).await;
                if std::ptr::eq(acts, &before) {
                    peers[1].give(&peers[2]).await;
                    peers[2].give(&peers[0]).await;
                }
            }
            Passage::begin(&peers[1], &peers[2]).await.finish().await;
            for (who, act) in &last {
                peers[*who].run(&act.sql()).await;
            }
            let [one, two, three] = &peers;
            converge(&[one, two, three]).await;
            assert_same(two, three).await;
        });
    }
}

#[tokio::test]
async fn a_row_comes_back_where_its_deletion_is_remembered_and_its_maker_has_forgotten_it() {
    let [one, two] = Peer::with_notes().await;
    one.run("INSERT INTO notes VALUES ('x', 'first', 1, NULL)").await;
    one.give(&two).await;
    one.run("DELETE FROM notes").await;
    one.give(&two).await;
    forget_tombstones(&one).await;
    one.run("INSERT INTO notes VALUES ('x', 'again', 2, NULL)").await;
    one.give(&two).await;
    assert_eq!(two.notes().await, ["x|again|2|-"]);
    assert_same(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_differ_meet_in_a_snapshot_whoever_takes_it() {
    for (earlier_first, is_taken_from_earlier) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let [one, two] = Peer::with_notes().await;
        one.run("INSERT INTO notes (id) VALUES ('a'), ('b'), ('c')").await;
        one.give(&two).await;
        two.run("INSERT INTO notes (id) VALUES ('e')").await;
        one.run("ALTER TABLE notes ADD COLUMN x INTEGER NOT NULL DEFAULT 1").await;
        two.run("ALTER TABLE notes ADD COLUMN x TEXT DEFAULT 'later'").await;
        one.run("UPDATE notes SET x = 5 WHERE id = 'a'").await;
        two.run("UPDATE notes SET x = '7' WHERE id = 'b'").await;
        two.run("UPDATE notes SET x = NULL, a = 'no x' WHERE id = 'a'").await;
        two.run("INSERT OR REPLACE INTO notes (id, x) VALUES ('d', 'text')").await;
        let third = Peer::new(3).await;
        let first = if earlier_first { &one } else { &two };
        first.give(&third).await;
        third.run("UPDATE notes SET b = 3 WHERE id IN ('a', 'c')").await;
        let source = if is_taken_from_earlier { &one } else { &two };
        let _rows = Passage::begin(source, &third).await.finish().await;
        converge(&[&one, &two, &third]).await;
        let shown = "SELECT id || ' ' || quote(x) FROM notes ORDER BY id";
        let created = "SELECT sql FROM sqlite_schema WHERE name = 'notes'";
        for peer in [&two, &third] {
            assert_same(&one, peer).await;
            assert_eq!(one.rows(shown).await, peer.rows(shown).await);
            assert_eq!(one.rows(created).await, peer.rows(created).await);
        }
        assert_eq!(one.rows(shown).await[1..], ["b 7", "c 1", "d 'text'", "e 1"]);
    }
}
