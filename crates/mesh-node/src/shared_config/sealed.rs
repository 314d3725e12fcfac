//! Values that only some members can read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mesh_config::{AGENTS, ConfigKey, EntryValue, Envelope as SealedTo, SealedValue};
use mesh_membership::Member;
use mesh_protocol::{
    CustomJson, Encryption, Envelope, ErrorCode, JsonText, MeshMessage, Payload, Recipient,
};
use mesh_store::OpenedRow;
use mesh_tables::ConfigHistoryQuery;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::clock;
use crate::error::{NodeError, chain};
use crate::shared::{Shared, lock};

/// What is in an envelope. It names its key, so that nobody can pass it off as the value of another one.
const APP_TYPE: &str = "mesh.config.sealed";

/// How an envelope names its key: in the entry of a member without that one's name, as the entry moves when the
/// member is renamed. No key has a bare star in it.
fn bound_to(key: &ConfigKey) -> String {
    match key.segments() {
        [section, _, within @ ..] if section == AGENTS && !within.is_empty() => {
            match ConfigKey::new(within.to_vec()) {
                Ok(within) => format!("{AGENTS}.*.{within}"),
                Err(_) => key.to_string(),
            }
        }
        _ => key.to_string(),
    }
}

/// What a row of the history has in it when a sealed value plays a part.
const SEALED: &str = "\"sealed\":{";

/// As many as are kept.
const HISTORY_ROWS_MAX: u64 = 20_000;

/// How often what nothing refers to is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// Changes that come together are looked at together.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// Names an envelope.
type Digest = [u8; 32];

/// Values that were sealed to this node, sealed for its own disk.
pub(super) type Opened = Mutex<BTreeMap<Digest, Vec<u8>>>;

impl Shared {
    /// Seals `value` to each of `to`.
    pub(super) fn seal_value(
        &self,
        key: &ConfigKey,
        value: &Value,
        to: &[Member],
    ) -> Result<SealedValue, NodeError> {
        let data = JsonText::from(&json!({ "key": bound_to(key), "value": value }));
        let mut envelopes = Vec::with_capacity(to.len());
        for member in to {
            let message = MeshMessage {
                message_id: clock::message_id(),
                from: self.me,
                to: Recipient::Peer(member.peer_id),
                payload: Payload::CustomJson(CustomJson {
                    app_type: APP_TYPE.to_owned(),
                    data: data.clone(),
                }),
                encryption: Encryption::Sealed,
                timestamp: clock::now().wall,
            };
            let envelope = self.keyring().seal_for_long(&message, member)?;
            let bytes = envelope.encode().map_err(|error| {
                NodeError::new(
                    ErrorCode::ConfigTooLarge,
                    format!("{}; nothing was changed", chain(&error)),
                )
            })?;
            envelopes.push(SealedTo { to: member.peer_id, data: BASE64_STANDARD.encode(bytes) });
        }
        envelopes.sort_by_key(|envelope| envelope.to);
        Ok(SealedValue { envelopes })
    }

    /// The value, where it is sealed to this node.
    pub(super) fn open_value(
        &self,
        key: &ConfigKey,
        sealed: &SealedValue,
    ) -> Result<Value, NodeError> {
        let unreadable = |why: &str| {
            NodeError::new(ErrorCode::SealedUnreadable, format!("the value of {key} {why}"))
                .with_hint("ask who set it to seal it anew to this member as well")
        };
        let mine = sealed.envelopes.iter().find(|envelope| envelope.to == self.me);
        let mine = mine.ok_or_else(|| unreadable("is sealed to others"))?;
        let content = match self.opened_before(&digest_of(mine)) {
            Some(content) => content,
            None => self.open_envelope(mine).map_err(unreadable)?,
        };
        let content: Value = serde_json::from_slice(&content)
            .map_err(|_| unreadable("is not a value of the configuration"))?;
        if content.get("key").and_then(Value::as_str) != Some(bound_to(key).as_str()) {
            return Err(unreadable("was sealed for another key"));
        }
        Ok(content.get("value").cloned().unwrap_or(Value::Null))
    }

    /// What is in an envelope to this node, or why that cannot be told.
    fn open_envelope(&self, mine: &SealedTo) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let bytes = BASE64_STANDARD.decode(&mine.data).map_err(|_| "is damaged")?;
        let envelope = Envelope::decode(&bytes).map_err(|_| "is damaged")?;
        let opened = self.keyring().open(&envelope);
        let message = opened
            .map_err(|_| "was sealed to a key that this member no longer has, or was altered")?;
        let wrong = "is not a value of the configuration";
        let Payload::CustomJson(CustomJson { app_type, data }) = message.payload else {
            return Err(wrong);
        };
        if app_type != APP_TYPE {
            return Err(wrong);
        }
        Ok(Zeroizing::new(data.as_str().as_bytes().to_vec()))
    }

    fn opened_before(&self, digest: &Digest) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = lock(&self.shared_config.opened).get(digest)?.clone();
        self.keyring().open_at_rest(&context(digest), &sealed)
    }

    /// Reads what was opened before this start.
    pub(super) async fn load_opened(&self) {
        match self.store.load_opened().await {
            Ok(rows) => {
                let rows = rows.into_iter().map(|row| (row.digest, row.sealed_value));
                lock(&self.shared_config.opened).extend(rows);
            }
            Err(error) => Self::config_failed("opened values cannot be read", &error),
        }
    }

    /// The loop that opens what is sealed to this node as it comes, and keeps it: the sealing key that it came
    /// under is destroyed some weeks later.
    pub(super) async fn keep_opened(self: Arc<Self>) {
        let mut changed = self.shared_config.changed.subscribe();
        let mut swept: Option<Instant> = None;
        loop {
            changed.mark_unchanged();
            let mut sealed = self.sealed_entries();
            let now = clock::now().instant;
            if swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_EVERY) {
                match self.sealed_history().await {
                    Ok(more) => {
                        sealed.extend(more);
                        self.drop_opened(&sealed).await;
                        swept = Some(now);
                    }
                    Err(error) => Self::config_failed("the history cannot be read", &error),
                }
            }
            self.open_all(sealed).await;
            tokio::select! {
                _gone = changed.changed() => tokio::time::sleep(LOOK_AFTER).await,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
        }
    }

    async fn open_all(&self, sealed: BTreeMap<Digest, SealedTo>) {
        for (digest, envelope) in sealed {
            if lock(&self.shared_config.opened).contains_key(&digest) {
                continue;
            }
            let Ok(content) = self.open_envelope(&envelope) else { continue };
            let sealed_value = self.keyring().seal_at_rest(&context(&digest), &content);
            let row = OpenedRow { digest, sealed_value: sealed_value.clone() };
            match self.store.insert_opened(row).await {
                Ok(()) => {
                    lock(&self.shared_config.opened).insert(digest, sealed_value);
                }
                Err(error) => Self::config_failed("an opened value cannot be kept", &error),
            }
        }
    }

    /// Destroys what neither an entry nor the history refers to any more.
    async fn drop_opened(&self, sealed: &BTreeMap<Digest, SealedTo>) {
        match self.store.keep_opened(sealed.keys().copied().collect()).await {
            Ok(_) => {
                lock(&self.shared_config.opened).retain(|digest, _| sealed.contains_key(digest))
            }
            Err(error) => Self::config_failed("opened values cannot be destroyed", &error),
        }
    }

    /// What the entries hold for this node.
    fn sealed_entries(&self) -> BTreeMap<Digest, SealedTo> {
        let state = lock(&self.shared_config.state);
        state.entries().filter_map(|(_, entry)| self.mine(&entry.value)).collect()
    }

    /// What the history holds for this node.
    async fn sealed_history(&self) -> Result<BTreeMap<Digest, SealedTo>, NodeError> {
        let query = ConfigHistoryQuery::Having(SEALED);
        let items = self.config_history(query, HISTORY_ROWS_MAX).await?;
        let values = items.iter().flat_map(|item| {
            let over = item.over.as_ref().map(|entry| &entry.value);
            [item.new.as_ref(), item.old.as_ref(), over].into_iter().flatten()
        });
        Ok(values.filter_map(|value| self.mine(value)).collect())
    }

    fn mine(&self, value: &EntryValue) -> Option<(Digest, SealedTo)> {
        match value {
            EntryValue::Plain(_) => None,
            EntryValue::Sealed(sealed) => {
                let mine = sealed.envelopes.iter().find(|envelope| envelope.to == self.me)?;
                Some((digest_of(mine), mine.clone()))
            }
        }
    }
}

fn digest_of(envelope: &SealedTo) -> Digest {
    mesh_crypto::digest(envelope.data.as_bytes())
}

fn context(digest: &Digest) -> Vec<u8> {
    [b"opened-value\0".as_slice(), digest].concat()
}

#[cfg(test)]
mod tests;
