//! Writes a database of the current schema with rows in every table: the next `fixtures/db/schema-NN.sqlite`.
//!
//! Run it once per schema, before its release: `cargo run -p mesh-store --example fixture -- FILE`.

use std::error::Error;
use std::path::PathBuf;

use mesh_protocol::{
    ErrorCode, KeyId, MessageId, PeerId, PushEvent, PushFact, PushId, PushMethod, PushOffer,
    PushTotals, RecordId, RelativePath, Signature, SignedRecord, TokenId, UnixMillis,
};
use mesh_store::{
    AuditRow, GitAuditRow, NewCustody, NewInbox, NewOutbox, OpenedRow, OutboxEnd, PairKeyRow,
    PeerRow, PeerStatus, PushRow, SealingKeyRow, Store, StoreConfig, StoredRecord, TokenRow,
};
use tokio_util::task::TaskTracker;

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
const LATER: UnixMillis = UnixMillis(4_102_444_800_000);

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name the file to write")?;
    if path.exists() {
        return Err("the file exists; a fixture is never written again".into());
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        let tracker = TaskTracker::new();
        let config = StoreConfig { stream_seed: 0x5eed, ..StoreConfig::default() };
        let store = Store::open(&path, config, &tracker).await?;
        members(&store).await?;
        keys(&store).await?;
        tokens(&store).await?;
        outbox(&store).await?;
        inbox(&store).await?;
        custody(&store).await?;
        pushes(&store).await?;
        let row = AuditRow {
            at: NOW,
            kind: "joined_mesh".to_owned(),
            actor: Some(peer(1)),
            detail: r#"{"members":2}"#.to_owned(),
        };
        store.audit(row);
        store.close().await?;
        let mut lock = path.into_os_string();
        lock.push(".lock");
        std::fs::remove_file(lock)?;
        Ok(())
    })
}

async fn members(store: &Store) -> Result<(), Box<dyn Error>> {
    store.set_meta("greeting", b"hello").await?;
    let records = [1, 2].map(|number| StoredRecord {
        id: RecordId::from_bytes([number; 32]),
        signed: SignedRecord {
            signer: peer(number),
            body: vec![number; 90],
            signature: Signature::from_bytes([number; 64]),
        },
        replaces: None,
    });
    store.insert_records(records.to_vec()).await?;
    let row = |number, hostname: &str| PeerRow {
        peer_id: peer(number),
        hostname: hostname.to_owned(),
        status: PeerStatus::Active,
        last_seen_at: Some(NOW),
        joined_at: NOW,
        tailscale_ip: Some("100.64.0.7".to_owned()),
        tailscale_hostname: Some("mint.tail.example".to_owned()),
        addresses: vec![std::net::SocketAddr::from(([192, 0, 2, number], 13500)).into()],
        version: "0.1.0".to_owned(),
    };
    store.sync_peers(vec![row(1, "anton"), row(2, "berta")]).await?;
    Ok(())
}

async fn keys(store: &Store) -> Result<(), Box<dyn Error>> {
    let pair = PairKeyRow {
        peer: peer(2),
        key_id: KeyId::from_bytes([1; 16]),
        sealed_secret: vec![1; 60],
        algorithm: "tls13-exporter/hpke-psk".to_owned(),
        created_at: NOW,
        confirmed: true,
        destroy_at: Some(LATER),
    };
    store.insert_pair_key(pair).await?;
    let sealing = SealingKeyRow {
        key_id: KeyId::from_bytes([2; 16]),
        sealed_secret: vec![2; 60],
        created_at: NOW,
        destroy_at: None,
    };
    store.insert_sealing_key(sealing).await?;
    Ok(())
}

async fn tokens(store: &Store) -> Result<(), Box<dyn Error>> {
    for number in [1, 2] {
        let token = TokenRow {
            token_id: TokenId::from_bytes([number; 16]),
            secret_hash: [number; 32],
            issuer: peer(1),
            note: "for berta".to_owned(),
            created_at: NOW,
            expires_at: LATER,
            revoked_at: None,
            used_by: None,
            used_at: None,
        };
        store.insert_token(token).await?;
    }
    store.redeem_token(TokenId::from_bytes([2; 16]), peer(2), NOW, Vec::new()).await?;
    Ok(())
}

async fn outbox(store: &Store) -> Result<(), Box<dyn Error>> {
    let row = |number| NewOutbox {
        message_id: MessageId::from_parts(NOW, &[number; 10]),
        to: peer(2),
        is_broadcast: false,
        priority: 1,
        is_sealed: false,
        app_type: "greeting".to_owned(),
        created_at: NOW,
        expires_at: LATER,
        body: vec![number; 40].into(),
    };
    let sequences = store.append_outbox((1..=3).map(row).collect()).await?;
    let [first, second, _] = sequences.as_slice() else { return Err("three rows".into()) };
    store.note_attempt(*first, 2, NOW, Some(ErrorCode::PeerUnreachable));
    store.finish_outbox(*second, OutboxEnd::Refused(ErrorCode::MessageMisdirected));
    store.flush().await?;
    Ok(())
}

async fn inbox(store: &Store) -> Result<(), Box<dyn Error>> {
    let row = |number| NewInbox {
        message_id: MessageId::from_parts(NOW, &[number; 10]),
        from: peer(2),
        stream: 0xfeed,
        sequence: u64::from(number),
        priority: 1,
        is_broadcast: false,
        is_sealed: true,
        via: vec![peer(3)],
        app_type: Some("greeting".to_owned()),
        payload_kind: 5,
        body: vec![number; 40].into(),
        timestamp: NOW,
        received_at: NOW,
        expires_at: LATER,
    };
    store.commit_inbox((1..=2).map(row).collect()).await?;
    store.ack_inbox(vec![row(1).message_id]).await?;
    Ok(())
}

async fn pushes(store: &Store) -> Result<(), Box<dyn Error>> {
    store.insert_opened(OpenedRow { digest: [3; 32], sealed_value: vec![3; 60] }).await?;
    let offer = PushOffer {
        push_id: PushId::from_bytes([4; 16]),
        by: peer(1),
        targets: vec![peer(2)],
        root: "default".parse()?,
        destination: RelativePath::ROOT,
        message: "a push".to_owned(),
        method: PushMethod::Stream,
        totals: PushTotals::default(),
        manifest: [5; 32],
        test: None,
        made_at: NOW,
        expires_at: LATER,
    };
    let (push_id, by) = (offer.push_id, offer.by);
    let row = PushRow {
        push_id,
        is_sender: true,
        by,
        rollback_of: None,
        offer,
        request: br#"{"paths":["/a"]}"#.to_vec(),
        made_at: NOW,
        is_open: true,
        wire_bytes: 0,
    };
    store.insert_push(row).await?;
    let event = PushEvent { at: NOW, fact: PushFact::Announced };
    store.record_push_event(push_id, true, event).await?;
    let row = GitAuditRow {
        at: NOW,
        peer_id: peer(2),
        repository: "notes".to_owned(),
        reference: "refs/heads/main".to_owned(),
        old: "0".repeat(40),
        new: "1".repeat(40),
    };
    store.insert_git_audit(row).await?;
    Ok(())
}

async fn custody(store: &Store) -> Result<(), Box<dyn Error>> {
    let row = |to| NewCustody {
        from: peer(2),
        to: peer(to),
        message_id: MessageId::from_parts(NOW, &[7; 10]),
        priority: 1,
        expires_at: LATER,
        received_at: NOW,
        parcel: vec![to; 300].into(),
    };
    store.insert_custody(vec![row(3), row(4)]).await?;
    Ok(())
}
