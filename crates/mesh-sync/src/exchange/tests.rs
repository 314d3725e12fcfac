use std::time::Duration;

use super::*;

mod asking;
mod bounds;
mod chance;
mod copies;
mod desk;
mod feeding;
mod mesh;
mod runs;
mod snapshots;
mod telling;

/// This node; smaller than every peer that the tests name, and its database.
const ME: PeerId = id(0);
const OWN: OriginId = db(0);

const fn id(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

/// The database of a member.
const fn db(number: u8) -> OriginId {
    OriginId::from_bytes([number; 16])
}

fn origin(database: u8, upto: u64) -> OriginHave {
    OriginHave { origin: db(database), upto, holes: Vec::new(), floor: 0 }
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
fn some_instant() -> Instant {
    Instant::now()
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
