//! States of databases that keep something aside.

use super::Passage;
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
