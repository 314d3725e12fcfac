//! Backups of a node that runs.

use futures_util::StreamExt as _;
use mesh_control::DataApi as _;
use mesh_protocol::ErrorCode;

use crate::support::{eventually, start, within};

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_is_made_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), "one").await;
    let first = within(node.backup()).await.unwrap();
    let second = within(node.backup()).await.err().unwrap();
    assert_eq!(second.code, ErrorCode::QueueFull);
    // A client that goes away makes room as well as one that takes everything.
    drop(first);
    let mut third = None;
    eventually("the next backup begins", async || {
        if third.is_none() {
            third = node.backup().await.ok();
        }
        third.is_some()
    })
    .await;
    let mut bytes = 0;
    let mut third = third.unwrap();
    while let Some(chunk) = within(third.chunks.next()).await {
        bytes += chunk.unwrap().len() as u64;
    }
    assert_eq!(third.bytes_total, Some(bytes));
    drop(third);
    eventually("the last backup begins", async || node.backup().await.is_ok()).await;
    node.stop().await;
}
