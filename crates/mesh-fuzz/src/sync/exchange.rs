//! What the exchange engine's own tests have at hand where their mesh stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_protocol::{OriginHave, OriginId, PeerId, SyncHave, UnixMillis};
use mesh_sync::{Exchange, ExchangeConfig, ExchangeOutput};

use self::chance::Chance;
use self::mesh::Mesh;
use crate::input::Input;

#[path = "../../../mesh-sync/src/exchange/chance.rs"]
mod chance;
#[path = "../../../mesh-sync/src/exchange/tests/mesh.rs"]
#[expect(dead_code, reason = "tests ask it for more")]
mod mesh;

const MEMBERS: u8 = 3;

const fn id(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

const fn db(number: u8) -> OriginId {
    OriginId::from_bytes([number; 16])
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
fn some_instant() -> Instant {
    Instant::now()
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) fn everybody_ends_with_everything(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut mesh = Mesh::new(MEMBERS, u64::from(input.byte()));
    (mesh.trims, mesh.waits) = (input.flag(), input.flag());
    for _ in 0..super::STEPS_MAX {
        if input.is_over() {
            break;
        }
        let mut member = || u8::try_from(input.below(usize::from(MEMBERS))).unwrap();
        let (one, two) = (member(), member());
        match input.below(8) {
            0 | 1 => mesh.write(one),
            2 => (0..8).for_each(|_| mesh.write(one)),
            3 => mesh.connect(one, two),
            4 => mesh.cut(one, two),
            5 => mesh.forget(one),
            6 => mesh.pass(millis(u64::from(input.byte()))),
            _ => mesh.pass(millis(u64::from(input.short()))),
        }
    }
    // Whatever is linked, a line keeps the mesh together from here on.
    (1..MEMBERS).for_each(|two| mesh.connect(two - 1, two));
    mesh.pass(Duration::from_secs(150));
    assert!(mesh.are_equal(), "{:?} after {:?}", mesh.totals(), mesh.elapsed());
    assert!(mesh.nobody_is_in_a_snapshot());
    // And then there is nothing left to send.
    let sent = mesh.sent;
    mesh.pass(Duration::from_secs(100));
    assert_eq!(mesh.sent, sent);
}
