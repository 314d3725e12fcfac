//! What the tests of several engines are made of.

use std::time::{Duration, Instant};

use mesh_protocol::PeerId;

pub(crate) mod world;

/// The node whose engine is tested; in the middle of the ids.
pub(crate) const ME: PeerId = peer(100);

pub(crate) const fn peer(byte: u8) -> PeerId {
    PeerId::from_bytes([byte; 32])
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had from nowhere else; only its distance to others matters"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
