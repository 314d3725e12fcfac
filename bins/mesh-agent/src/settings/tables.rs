//! The part of the configuration file about the replicated tables: every bound, each with its default.

use std::time::Duration;

use mesh_node::{ExchangeConfig, TablesConfig};
use serde::Deserialize;

use super::{seconds, set};

/// Sizes are bytes, times are seconds unless the name says otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTables {
    database_bytes_max: Option<u64>,
    readers: Option<u32>,
    query_seconds_max: Option<u64>,
    query_rows_max: Option<u64>,
    write_seconds_max: Option<u64>,
    clock_ahead_seconds_max: Option<u64>,
    log_bytes_max: Option<u64>,
    log_seconds_max: Option<u64>,
    log_bytes_kept: Option<u64>,
    retention_seconds: Option<u64>,
    conflicts_max: Option<u64>,
    parked_max: Option<u64>,
    spool_bytes_max: Option<u64>,
    snapshot_view_seconds_max: Option<u64>,
    compare_every_seconds: Option<u64>,
    tell_after_millis: Option<u64>,
    snapshot_transactions_min: Option<u64>,
}

impl RawTables {
    /// The bounds of the database and the times of the exchange.
    pub(super) fn join(self) -> (TablesConfig, ExchangeConfig) {
        let mut tables = TablesConfig::default();
        set(&mut tables.database_bytes_max, self.database_bytes_max);
        set(&mut tables.readers, self.readers);
        set(&mut tables.query_time_max, seconds(self.query_seconds_max));
        set(&mut tables.query_rows_max, self.query_rows_max);
        set(&mut tables.write_time_max, seconds(self.write_seconds_max));
        set(&mut tables.clock_ahead_max, seconds(self.clock_ahead_seconds_max));
        set(&mut tables.log_bytes_max, self.log_bytes_max);
        set(&mut tables.log_age_max, seconds(self.log_seconds_max));
        set(&mut tables.log_bytes_kept, self.log_bytes_kept);
        set(&mut tables.retention, seconds(self.retention_seconds));
        set(&mut tables.conflicts_max, self.conflicts_max);
        set(&mut tables.parked_max, self.parked_max);
        set(&mut tables.spool_bytes_max, self.spool_bytes_max);
        set(&mut tables.snapshot_view_max, seconds(self.snapshot_view_seconds_max));
        let mut exchange = ExchangeConfig::default();
        set(&mut exchange.compare_every, seconds(self.compare_every_seconds));
        set(&mut exchange.tell_after, self.tell_after_millis.map(Duration::from_millis));
        set(&mut exchange.snapshot_transactions_min, self.snapshot_transactions_min);
        (tables, exchange)
    }
}
