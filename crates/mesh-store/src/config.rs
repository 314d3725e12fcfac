use std::time::Duration;

/// Bounds of the database. All of them are checked before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Names the outbox of a database that is created, or restored from a backup; later opens keep
    /// the first value. Drawn at random by the caller, never 0: stream 0 means "no outbox" to receivers.
    pub stream_seed: u64,
    /// Most messages that the application has not acknowledged. One more is [`Full`](crate::InboxOutcome::Full).
    pub inbox_messages_max: u64,
    /// Most bytes of their bodies.
    pub inbox_bytes_max: u64,
    /// Most ids remembered per sender once the application acknowledged the messages. Beyond it those
    /// that came first are forgotten, and a floor goes on refusing them, unless they are among the
    /// newest 10,000 sequences of their lane: there a message may still come late for the first time.
    /// With a bound well above that number those are still remembered.
    pub seen_per_sender_max: u64,
    /// Most parcels of one sender that are kept for others. One more is [`Full`](crate::CustodyOutcome::Full).
    pub custody_messages_per_sender_max: u64,
    /// Most bytes of one sender's parcels.
    pub custody_bytes_per_sender_max: u64,
    /// Most parcels of all senders.
    pub custody_messages_max: u64,
    /// Most bytes of all parcels.
    pub custody_bytes_max: u64,
    /// Connections that read at the same time.
    pub readers: u32,
    /// How long a write that nobody waits for may stay in memory when no other commit takes it along.
    pub lazy_delay: Duration,
    /// Most audit rows; beyond it the oldest go.
    pub audit_rows_max: u64,
    /// Largest size of the database file. Beyond it writes fail as they do on a full disk.
    pub database_bytes_max: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            stream_seed: 1,
            inbox_messages_max: 100_000,
            inbox_bytes_max: 1 << 30,
            seen_per_sender_max: 200_000,
            custody_messages_per_sender_max: 1_000,
            custody_bytes_per_sender_max: 64 << 20,
            custody_messages_max: 10_000,
            custody_bytes_max: 256 << 20,
            readers: 2,
            lazy_delay: Duration::from_millis(50),
            audit_rows_max: 100_000,
            database_bytes_max: 8 << 30,
        }
    }
}
