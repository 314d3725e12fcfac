//! Whatever is taken, ended, forgotten and lost with a restart: quotas count what is there, no more and
//! no less. A count that drifted would refuse members for ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_protocol::{PeerId, UnixMillis};
use mesh_store::{CustodyOutcome, NewCustody, Store, StoreConfig};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::{Home, NOW, held, message, peer};

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<NewCustody>),
    Finish(Index),
    Forget(PeerId),
    Prune(u64),
    Reopen,
}

fn parcel() -> impl Strategy<Value = NewCustody> {
    (1..4_u8, 3..6_u8, 0..9_u64, 1..60_usize, 0..4_u64).prop_map(
        |(from, to, number, bytes, expires_in)| NewCustody {
            from: peer(from),
            to: peer(to),
            message_id: message(number),
            expires_at: UnixMillis(NOW.0 + expires_in),
            parcel: Arc::from(vec![7; bytes]),
            ..held(number)
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(parcel(), 1..8).prop_map(Step::Insert),
        3 => any::<Index>().prop_map(Step::Finish),
        1 => (1..6_u8).prop_map(|number| Step::Forget(peer(number))),
        1 => (0..4_u64).prop_map(Step::Prune),
        1 => Just(Step::Reopen),
    ]
}

fn config() -> StoreConfig {
    StoreConfig {
        custody_messages_per_sender_max: 5,
        custody_bytes_per_sender_max: 150,
        custody_messages_max: 9,
        custody_bytes_max: 300,
        ..StoreConfig::default()
    }
}

/// What should be held, oldest first.
#[derive(Default)]
struct Model(Vec<(u64, NewCustody)>);

impl Model {
    fn load(&self, is_counted: impl Fn(&NewCustody) -> bool) -> (u64, u64) {
        let rows = self.0.iter().map(|(_, row)| row).filter(|row| is_counted(row));
        rows.fold((0, 0), |(rows, bytes), row| (rows + 1, bytes + row.parcel.len() as u64))
    }

    fn has_room(&self, row: &NewCustody) -> bool {
        let bytes = row.parcel.len() as u64;
        let (of_sender, all) = (self.load(|other| other.from == row.from), self.load(|_| true));
        of_sender.0 < 5 && of_sender.1 + bytes <= 150 && all.0 < 9 && all.1 + bytes <= 300
    }

    /// Takes the rows in as the store said it did, and checks that it was right.
    fn insert(&mut self, rows: Vec<NewCustody>, outcomes: &[CustodyOutcome]) {
        let mut is_full = BTreeSet::new();
        assert_eq!(rows.len(), outcomes.len());
        for (row, outcome) in rows.into_iter().zip(outcomes) {
            let name = |row: &NewCustody| (row.from, row.message_id, row.to);
            let is_known = self.0.iter().any(|(_, other)| name(other) == name(&row));
            let way = (row.from, row.to);
            let is_fitting = !is_full.contains(&way) && self.has_room(&row);
            match outcome {
                CustodyOutcome::Duplicate => assert!(is_known, "{row:?}"),
                CustodyOutcome::Full => {
                    assert!(!is_known && !is_fitting, "{row:?}");
                    is_full.insert(way);
                }
                CustodyOutcome::Stored { custody_id } => {
                    assert!(!is_known && is_fitting, "{row:?}");
                    assert!(self.0.last().is_none_or(|(last, _)| last < custody_id));
                    self.0.push((*custody_id, row));
                }
            }
        }
    }
}

async fn run(steps: Vec<Step>) {
    let home = Home::new();
    let mut store: Store = home.open(config()).await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Insert(rows) => {
                let outcomes = store.insert_custody(rows.clone()).await.unwrap();
                model.insert(rows, &outcomes);
            }
            Step::Finish(which) if !model.0.is_empty() => {
                let (custody_id, _) = model.0.remove(which.index(model.0.len()));
                store.finish_custody(custody_id);
                store.finish_custody(custody_id);
                store.flush().await.unwrap();
            }
            Step::Finish(_) => store.finish_custody(1 << 40),
            Step::Forget(gone) => {
                let before = model.0.len();
                model.0.retain(|(_, row)| row.from != gone && row.to != gone);
                let forgotten = store.forget_custody_of(vec![gone]).await.unwrap();
                assert_eq!(forgotten, (before - model.0.len()) as u64);
            }
            Step::Prune(passed) => {
                let now = UnixMillis(NOW.0 + passed);
                model.0.retain(|(_, row)| row.expires_at > now);
                store.prune(now).await.unwrap();
            }
            Step::Reopen => {
                store.close().await.unwrap();
                store = home.open(config()).await;
            }
        }
        assert_eq!(store.custody_stats(), model.load(|_| true));
        let ids: Vec<u64> =
            store.load_custody().await.unwrap().iter().map(|row| row.custody_id).collect();
        assert_eq!(ids, model.0.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    }
    store.close().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn quotas_count_what_is_held_whatever_happens(steps in vec(step(), 1..25)) {
        // On one thread, because the counts are published a moment after the answer.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
