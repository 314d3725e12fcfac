//! What a start finds in the database: keys, membership, and what was not delivered yet.

use std::collections::BTreeMap;
use std::num::NonZeroU8;
use std::path::Path;
use std::sync::Arc;

use mesh_crypto::Verifier;
use mesh_delivery::{Entry, Priority};
use mesh_membership::Membership;
use mesh_protocol::{Founding, PeerId, Record, UnixMillis, VerifiedRecord};
use mesh_store::Store;
use rand::Rng as _;

use crate::clock;
use crate::error::StartError;
use crate::keyring::Keyring;
use crate::records::stored;
use crate::shared::Shared;

pub(super) async fn restore_keys(
    store: &Store,
    keyring: &mut Keyring,
    path: &Path,
) -> Result<(), StartError> {
    let failed = |source: mesh_store::StoreError| StartError::Store {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let mut unreadable = 0_usize;
    for row in store.load_sealing_keys().await.map_err(failed)? {
        unreadable += usize::from(!keyring.restore_sealing_key(
            row.key_id,
            &row.sealed_secret,
            row.created_at,
        ));
    }
    for row in store.load_pair_keys().await.map_err(failed)? {
        unreadable += usize::from(!keyring.restore_pair_key(&row));
    }
    if unreadable > 0 {
        return Err(StartError::KeyFile {
            path: path.with_file_name("node.key"),
            why: format!(
                "{unreadable} keys in {} were sealed with another key file",
                path.display()
            ),
        });
    }
    Ok(())
}

/// The stored membership, or a new mesh of one at the first start.
pub(super) async fn restore_membership(
    store: &Store,
    keyring: &Keyring,
    path: &Path,
    remove_quorum: NonZeroU8,
) -> Result<Membership, StartError> {
    let failed = |source: mesh_store::StoreError| StartError::Store {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let damaged = |why: String| StartError::Membership { why };
    let mut records: Vec<VerifiedRecord> = Vec::new();
    for signed in store.load_records().await.map_err(failed)? {
        records.push(signed.verify(&Verifier).map_err(|error| damaged(error.to_string()))?);
    }
    if records.is_empty() {
        let mut nonce = [0; 32];
        clock::rng().fill_bytes(&mut nonce);
        let founding = Founding {
            founder: keyring.node_key().peer_id(),
            founded_at: clock::now().wall,
            nonce,
            remove_quorum,
        };
        let record = keyring
            .node_key()
            .sign_record(&Record::Founding(founding))
            .map_err(|error| damaged(error.to_string()))?;
        store.insert_records(vec![stored(&record, None)]).await.map_err(failed)?;
        records.push(record);
    }
    let founding = records
        .iter()
        .find(|record| matches!(record.record(), Record::Founding(_)))
        .ok_or_else(|| damaged("the founding record is missing".to_owned()))?;
    let mut membership =
        Membership::new(founding.clone()).map_err(|error| damaged(error.to_string()))?;
    for record in records {
        let _known = membership.insert(record);
    }
    Ok(membership)
}

/// When each member was last seen before this start.
pub(super) async fn restore_last_seen(
    store: &Store,
    path: &Path,
) -> Result<BTreeMap<PeerId, UnixMillis>, StartError> {
    let rows = store
        .load_peers()
        .await
        .map_err(|source| StartError::Store { path: path.to_owned(), source: Box::new(source) })?;
    Ok(rows.into_iter().filter_map(|row| Some((row.peer_id, row.last_seen_at?))).collect())
}

pub(super) async fn restore_outbox(shared: &Arc<Shared>) -> Result<(), mesh_store::StoreError> {
    let rows = shared.store.load_outbox().await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows.into_iter().filter(|row| row.end.is_none()) {
        shared.bodies().insert(row.sequence, Priority::from_u8(row.priority), row.expires_at, None);
        entries.push(Entry {
            sequence: row.sequence,
            message_id: row.message_id,
            to: row.to,
            priority: Priority::from_u8(row.priority),
            bytes: usize::try_from(row.body_bytes).unwrap_or(usize::MAX),
            expires_at: row.expires_at,
            attempts: row.attempts,
        });
    }
    shared.drive(|core, now| core.restored(entries, now));
    let held = shared.store.load_custody().await?;
    shared.drive(|core, now| core.hold(held, now));
    Ok(())
}
