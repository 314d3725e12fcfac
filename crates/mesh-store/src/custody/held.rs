//! How much is held, and for whom: quotas are checked without asking the database.

use std::collections::BTreeMap;

use mesh_protocol::PeerId;
use sqlx::SqliteConnection;

use super::COUNT_HELD;
use crate::columns::Columns;
use crate::query::fetch_all;
use crate::{StoreConfig, StoreError};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    parcels: u64,
    bytes: u64,
}

impl Load {
    const fn plus(self, bytes: u64) -> Self {
        Self { parcels: self.parcels + 1, bytes: self.bytes + bytes }
    }

    const fn minus(self, bytes: u64) -> Self {
        Self { parcels: self.parcels.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    const fn fits(self, parcels_max: u64, bytes_max: u64) -> bool {
        self.parcels <= parcels_max && self.bytes <= bytes_max
    }
}

/// What is held. As long as the database is bounded, so is this: a sender without parcels has no entry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    by_sender: BTreeMap<PeerId, Load>,
    all: Load,
    last_id: u64,
}

impl Held {
    pub(crate) async fn load(conn: &mut SqliteConnection) -> Result<Self, StoreError> {
        let mut held = Self::default();
        for row in fetch_all(conn, COUNT_HELD, []).await? {
            let mut columns = Columns::of(&row);
            let from = columns.peer()?;
            let load = Load { parcels: columns.count("count")?, bytes: columns.count("sum")? };
            held.by_sender.insert(from, load);
            held.all.parcels += load.parcels;
            held.all.bytes += load.bytes;
            held.last_id = held.last_id.max(columns.count("custody id")?);
        }
        Ok(held)
    }

    /// Whether every quota has room for one more parcel of `from`.
    pub(crate) fn has_room(&self, config: &StoreConfig, from: &PeerId, bytes: u64) -> bool {
        let of_sender = self.by_sender.get(from).copied().unwrap_or_default().plus(bytes);
        let StoreConfig {
            custody_messages_per_sender_max: parcels_max,
            custody_bytes_per_sender_max: bytes_max,
            ..
        } = *config;
        of_sender.fits(parcels_max, bytes_max)
            && self.all.plus(bytes).fits(config.custody_messages_max, config.custody_bytes_max)
    }

    /// A number for a new row. SQLite would give the number of a row that is gone to the next one, and
    /// the end of the first, which is written late, would take the second with it.
    pub(crate) const fn draw(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn add(&mut self, from: PeerId, bytes: u64) {
        let of_sender = self.by_sender.entry(from).or_default();
        *of_sender = of_sender.plus(bytes);
        self.all = self.all.plus(bytes);
    }

    pub(crate) fn remove(&mut self, from: &PeerId, bytes: u64) {
        self.all = self.all.minus(bytes);
        let Some(of_sender) = self.by_sender.get_mut(from) else { return };
        *of_sender = of_sender.minus(bytes);
        if of_sender.parcels == 0 {
            self.by_sender.remove(from);
        }
    }

    /// Nothing is held any more. Numbers go on above those that were drawn.
    pub(crate) fn clear(&mut self) {
        *self = Self { last_id: self.last_id, ..Self::default() };
    }

    /// Parcels and bytes.
    pub(crate) const fn totals(&self) -> (u64, u64) {
        (self.all.parcels, self.all.bytes)
    }
}
