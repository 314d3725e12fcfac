//! Messages that carry files: those of applications stay theirs.

use std::time::Duration;

use mesh_files::{BundleKind, to_transfer};
use mesh_node::{Filter, Outgoing, Payload, Target};
use mesh_protocol::{FileTransfer, PushId};
use tokio::time::timeout;

use crate::support::{eventually, pair, send_acked};

/// When nothing came for so long, the inbox was read to its end.
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_own_file_stays_in_the_inbox_and_what_is_about_a_push_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let to_two = |transfer| {
        let to = Target::Name("two".to_owned());
        Outgoing::new(to, Payload::FileTransfer(transfer))
    };
    let of_push = to_transfer(PushId::from_bytes([7; 16]), BundleKind::Push, b"nonsense".to_vec());
    let replies = to_transfer(PushId::from_bytes([7; 16]), BundleKind::Replies, Vec::new());
    let mut damaged = of_push.clone();
    damaged.chunk_data.push(0);
    let own = |path: &str| FileTransfer { path: path.to_owned(), ..of_push.clone() };
    let paths = ["notes.txt", "mesh.push", "mesh.push/push/", "mesh.push/other"];
    for path in paths {
        for about_push in [&of_push, &replies, &damaged] {
            send_acked(&one, to_two(about_push.clone())).await;
        }
        send_acked(&one, to_two(own(path))).await;
    }
    // What is about pushes is dealt with, whatever it is worth.
    eventually("only the application's own are left", async || {
        let mut inbox = two.subscribe(Filter::Everything);
        let mut found = Vec::new();
        while let Ok(Some(received)) = timeout(PAUSE, inbox.next()).await {
            if let Payload::FileTransfer(transfer) = received.message.payload {
                found.push(transfer.path);
            }
        }
        found == paths
    })
    .await;
    one.stop().await;
    two.stop().await;
}
