//! States of databases that keep something aside.

use proptest::prelude::*;

use super::{Act, Passage, act, assert_same};
use crate::peer::{Peer, accept, converge};

/// A write is lost to another one that is kept aside where a newcomer takes the state from; what its maker wrote behind
/// that one knew of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_aside_is_judged_by_what_its_maker_knew_then() {
    let [author, ahead, source] = Peer::with_notes().await;
    author.run("INSERT INTO notes VALUES ('x', 'old', 1, NULL)").await;
    ahead.run("INSERT INTO notes (id) VALUES ('first')").await;
    converge(&[&author, &ahead, &source]).await;
    ahead.run_ahead().await;
    author.run("UPDATE notes SET a = 'lost' WHERE id = 'x'").await;
    ahead.run("UPDATE notes SET a = 'kept' WHERE id = 'x'").await;
    author.give(&ahead).await;
    ahead.run("INSERT INTO notes (id) VALUES ('later')").await;
    author.give(&source).await;
    assert_eq!(ahead.give(&source).await.parked.len(), 2);

    let newcomer = Peer::new(4).await;
    Passage::begin(&source, &newcomer).await.finish().await;
    let all = [&author, &ahead, &source, &newcomer];
    accept(&all).await;
    converge(&all).await;
    assert_eq!(newcomer.notes().await, ["first|none|-|-", "later|none|-|-", "x|kept|1|-"]);
    assert_eq!(newcomer.conflicts().await.len(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, Act),
    Give(usize, usize),
    /// An operator takes what is ahead.
    Accept(usize),
}

/// Few rows, so that they are written at the same time; the third only listens.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let writer = 0..2_usize;
    let write = (writer.clone(), act()).prop_map(|(who, act)| Step::Write(who, act.of_few()));
    let step = prop_oneof![
        8 => write,
        4 => writer.prop_map(|from| Step::Give(from, 1 - from)),
        2 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Step::Give(from, to)),
        1 => (0..3_usize).prop_map(Step::Accept),
    ];
    prop::collection::vec(step, 0..24)
}

async fn go(peers: &[Peer; 3], steps: &[Step]) {
    for step in steps {
        match step {
            Step::Write(who, act) => peers[*who].run(&act.sql()).await,
            Step::Give(from, to) => drop(peers[*from].give(&peers[*to]).await),
            Step::Accept(who) => {
                let tables = &peers[*who].tables;
                let origins = peers.iter().map(|peer| peer.tables.have().borrow().database);
                tables.accept_ahead(origins.collect(), peers[*who].now().await).await.unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// One has a clock that is ahead; the others keep aside what it writes, or have it accepted. A newcomer takes the state
    /// from the one that only listens.
    #[test]
    fn a_state_leads_to_what_transactions_lead_to_whatever_is_kept_aside(
        before in steps(), then in steps(), last in steps()
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let peers = Peer::with_notes::<3>().await;
            let [ahead, other, source] = &peers;
            go(&peers, &before).await;
            converge(&[ahead, other, source]).await;
            ahead.run_ahead().await;
            go(&peers, &then).await;
            other.give(source).await;
            ahead.give(source).await;
            let newcomer = Peer::new(4).await;
            Passage::begin(source, &newcomer).await.finish().await;
            go(&peers, &last).await;
            let all = [ahead, other, source, &newcomer];
            accept(&all).await;
            accept(&all).await;
            converge(&all).await;
            for peer in [ahead, other, &newcomer] {
                assert_same(source, peer).await;
            }
        });
    }
}
