//! One task per link sends what its member lacks, as fast as the link takes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_protocol::{Frame, PARTS_PER_FRAME_MAX, SyncParts, VersionVector};
use mesh_tables::LogCursor;
use mesh_transport::Lane;
use serde_bytes::ByteBuf;
use tokio::sync::Notify;

use crate::link::LinkEntry;
use crate::shared::{Shared, lock};

/// Bytes of the log that are read, and sent, at a time.
const READ_BYTES: usize = 512 << 10;

/// How long to wait before the log is read again that could not be.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The feeder of a link.
#[derive(Debug)]
pub(super) struct Feeder {
    /// Tells two links of one member apart.
    link: u64,
    wake: Arc<Notify>,
}

/// How far a feeder has come in the log.
struct Progress {
    cursor: LogCursor,
    /// In front of the first entry that was passed over because another member sends it, or because it was
    /// not known yet that it is there.
    skipped: Option<LogCursor>,
    /// Everything in here was sent or is not wanted: as long as the member has all of it, the log need
    /// not be searched from an earlier place.
    passed: VersionVector,
}

impl Shared {
    /// Starts the feeder of a link.
    pub(crate) fn start_feeder(self: &Arc<Self>, entry: &Arc<LinkEntry>) {
        let wake = Arc::new(Notify::new());
        let feeder = Feeder { link: entry.id, wake: Arc::clone(&wake) };
        lock(&self.replication.feeders).insert(entry.peer, feeder);
        let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
        self.tasks.spawn(async move {
            tokio::select! {
                () = entry.closed() => {}
                () = shared.feed(&entry, &wake) => {}
            }
            let mut feeders = lock(&shared.replication.feeders);
            if feeders.get(&entry.peer).is_some_and(|feeder| feeder.link == entry.id) {
                feeders.remove(&entry.peer);
            }
        });
    }

    /// There is something for a member.
    pub(crate) fn wake_feeder(&self, peer: &mesh_protocol::PeerId) {
        if let Some(feeder) = lock(&self.replication.feeders).get(peer) {
            feeder.wake.notify_one();
        }
    }

    async fn feed(self: &Arc<Self>, entry: &LinkEntry, wake: &Notify) {
        let mut progress = None;
        loop {
            while self.feed_once(entry, &mut progress).await {}
            wake.notified().await;
        }
    }

    /// Sends one piece of the log; false when there is nothing to send.
    async fn feed_once(
        self: &Arc<Self>,
        entry: &LinkEntry,
        progress: &mut Option<Progress>,
    ) -> bool {
        let Some(feed) = lock(&self.core).tables_feed(&entry.peer) else { return false };
        let tables = &self.replication.tables;
        let kept = progress.take().filter(|progress| feed.have.covers(&progress.passed));
        let (cursor, skipped) = match kept {
            Some(progress) => (Ok(progress.cursor), progress.skipped),
            None => (tables.cursor_for(&feed.have).await, None),
        };
        let batch = match cursor {
            Ok(cursor) => tables.read_log(cursor, &feed.have, &feed.goal, READ_BYTES).await,
            Err(error) => Err(error),
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                self.tables_failed("changes for members", &error);
                // Nobody else says that there is still something to send.
                tokio::time::sleep(RETRY_AFTER).await;
                return true;
            }
        };
        if !self.send_parts(entry, batch.bodies).await {
            return false;
        }
        // As long as the member lacks what is behind the cursor alone, the search goes on from there.
        let passed = if batch.is_done {
            feed.goal
        } else {
            // A member that forgets what it was sent is searched for from the start again.
            let mut passed = feed.have;
            batch.sent.iter().for_each(|(origin, sequence)| passed.advance(*origin, *sequence));
            passed
        };
        // What was passed over is looked at again the next time.
        let skipped = skipped.or(batch.skipped);
        *progress = Some(if batch.is_done {
            Progress { cursor: skipped.unwrap_or(batch.cursor), skipped: None, passed }
        } else {
            Progress { cursor: batch.cursor, skipped, passed }
        });
        self.replication.sent.fetch_add(batch.sent.len() as u64, Ordering::Relaxed);
        self.drive(|core, now| {
            if self.is_current(entry) {
                core.tables_fed(entry.peer, &batch.sent, now);
            }
        });
        // What the log does not have comes with a snapshot.
        !batch.sent.is_empty() || !batch.is_done
    }

    /// Puts parts into frames and waits for room in the lane; false when the link is over.
    async fn send_parts(&self, entry: &LinkEntry, bodies: Vec<Vec<u8>>) -> bool {
        let mut frame: Vec<ByteBuf> = Vec::new();
        let mut bytes = 0;
        for body in bodies {
            if !frame.is_empty()
                && (bytes + body.len() > READ_BYTES || frame.len() == PARTS_PER_FRAME_MAX)
            {
                let parts = std::mem::take(&mut frame);
                if !Self::send_frame(entry, parts).await {
                    return false;
                }
                bytes = 0;
            }
            bytes += body.len();
            frame.push(ByteBuf::from(body));
        }
        frame.is_empty() || Self::send_frame(entry, frame).await
    }

    async fn send_frame(entry: &LinkEntry, parts: Vec<ByteBuf>) -> bool {
        let frame = Frame::SyncParts(SyncParts { parts });
        entry.sender.send(Lane::Bulk, &frame).await.is_ok()
    }
}
