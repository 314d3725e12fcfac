use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use mesh_protocol::{MessageId, PeerId, RecordId, Signature, SignedRecord, TokenId, UnixMillis};
use mesh_store::{
    CustodyOutcome, InboxOutcome, NewCustody, NewInbox, NewOutbox, PeerRow, PeerStatus, Store,
    StoreConfig, StoredRecord, TokenRow,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A folder with a database in it, and the task that writes to it.
pub(crate) struct Home {
    folder: TempDir,
    pub(crate) tracker: TaskTracker,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), tracker: TaskTracker::new() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mesh.db")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn open(&self, config: StoreConfig) -> Store {
        Store::open(&self.path(), config, &self.tracker).await.unwrap()
    }

    /// A second program with its hands in the database.
    pub(crate) async fn meddle(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.unwrap()
    }
}

pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("done within the deadline")
}

/// Waits until `is_so`, which another task brings about.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    in_time(async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

pub(crate) fn message(number: u64) -> MessageId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    MessageId::from_parts(UnixMillis(NOW.0 + number), &random)
}

pub(crate) fn outgoing(number: u64) -> NewOutbox {
    NewOutbox {
        message_id: message(number),
        to: peer(1),
        is_broadcast: false,
        priority: 1,
        is_sealed: false,
        app_type: "test".to_owned(),
        created_at: NOW,
        expires_at: UnixMillis(NOW.0 + 60_000),
        body: format!("body {number}").into_bytes().into(),
    }
}

pub(crate) fn incoming(number: u64) -> NewInbox {
    NewInbox {
        message_id: message(number),
        from: peer(1),
        stream: 77,
        sequence: number,
        priority: 1,
        is_broadcast: false,
        is_sealed: false,
        via: Vec::new(),
        app_type: Some("test".to_owned()),
        payload_kind: 5,
        body: format!("body {number}").into_bytes().into(),
        timestamp: NOW,
        received_at: NOW,
        expires_at: UnixMillis(NOW.0 + 60_000),
    }
}

pub(crate) fn incoming_range(numbers: std::ops::Range<u64>) -> Vec<NewInbox> {
    numbers.map(incoming).collect()
}

pub(crate) fn is_stored(outcome: &InboxOutcome) -> bool {
    matches!(outcome, InboxOutcome::Stored { .. })
}

pub(crate) fn held(number: u64) -> NewCustody {
    NewCustody {
        from: peer(1),
        to: peer(2),
        message_id: message(number),
        priority: 1,
        expires_at: UnixMillis(NOW.0 + 60_000),
        received_at: NOW,
        parcel: format!("parcel {number}").into_bytes().into(),
    }
}

pub(crate) fn is_held(outcome: &CustodyOutcome) -> bool {
    matches!(outcome, CustodyOutcome::Stored { .. })
}

pub(crate) fn member(number: u8, hostname: &str) -> PeerRow {
    PeerRow {
        peer_id: peer(number),
        hostname: hostname.to_owned(),
        status: PeerStatus::Inactive,
        last_seen_at: None,
        joined_at: NOW,
        tailscale_ip: Some("100.64.0.7".to_owned()),
        tailscale_hostname: None,
        addresses: vec!["192.0.2.7:13500".parse().unwrap(), "[2001:db8::7]:13500".parse().unwrap()],
        version: "0.1.0".to_owned(),
    }
}

pub(crate) fn record(number: u8) -> StoredRecord {
    StoredRecord {
        id: RecordId::from_bytes([number; 32]),
        signed: SignedRecord {
            signer: peer(number),
            body: vec![number; 100],
            signature: Signature::from_bytes([number; 64]),
        },
        replaces: None,
    }
}

pub(crate) fn token(number: u8) -> TokenRow {
    TokenRow {
        token_id: TokenId::from_bytes([number; 16]),
        secret_hash: [number; 32],
        issuer: peer(1),
        note: format!("token {number}"),
        created_at: UnixMillis(NOW.0 + u64::from(number)),
        expires_at: UnixMillis(NOW.0 + 60_000),
        revoked_at: None,
        used_by: None,
        used_at: None,
    }
}
