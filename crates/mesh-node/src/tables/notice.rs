//! Notices what other programs wrote to the database: the files change, and what the triggers noted is
//! sealed.

use std::sync::Arc;
use std::time::Duration;

use mesh_tables::Oddity;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::shared::Shared;

/// How often the files are looked at. A look costs two system calls.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long to wait after the database refused.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Shared {
    /// The loop that looks. The first look finds what was written while this node did not run.
    pub(super) async fn notice_writers(self: Arc<Self>) {
        let tables = &self.replication.tables;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        let mut told = Arc::default();
        loop {
            let _tick = looks.tick().await;
            // Read before the database is: what is written in between changes it again.
            let mark = tables.file_mark();
            if seen.as_ref() == Some(&mark) {
                continue;
            }
            match tables.notice(clock::now().wall).await {
                Ok(noticed) => {
                    seen = Some(mark);
                    if noticed.oddities != told {
                        self.tell_oddities(&noticed.oddities);
                        told = noticed.oddities;
                    }
                }
                Err(error) => {
                    self.tables_failed("what other programs wrote", &error);
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    fn tell_oddities(&self, oddities: &[Oddity]) {
        for Oddity { table, what } in oddities {
            tracing::warn!(table, what, "something is odd about a replicated table");
            let now = clock::now().wall;
            self.events.emit(now, "table_altered", json!({ "table": table, "what": what }));
        }
    }

    /// The loop that takes up what was kept aside because its clock was ahead.
    pub(super) async fn retry_parked(self: Arc<Self>) {
        let tables = &self.replication.tables;
        let mut have = tables.have();
        loop {
            let is_waiting =
                have.borrow_and_update().origins.iter().any(|origin| !origin.holes.is_empty());
            let due = if is_waiting { tables.next_due().await } else { Ok(None) };
            let due = due.unwrap_or_else(|error| {
                self.tables_failed("what is kept aside", &error);
                None
            });
            let now = clock::now();
            let wait = due.map(|due| now.instant + due.since(now.wall));
            tokio::select! {
                changed = have.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = clock::sleep_until(wait) => {
                    if let Err(error) = tables.retry_parked(clock::now().wall).await {
                        self.tables_failed("what is kept aside", &error);
                    }
                    // What is due may have to wait all the same, for the end of a snapshot.
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}
