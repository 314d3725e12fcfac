//! Values that only some members can read.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mesh_config::{ConfigKey, Envelope as SealedTo, SealedValue};
use mesh_membership::Member;
use mesh_protocol::{
    CustomJson, Encryption, Envelope, ErrorCode, JsonText, MeshMessage, Payload, Recipient,
};
use serde_json::{Value, json};

use crate::clock;
use crate::error::{NodeError, chain};
use crate::shared::Shared;

/// What is in an envelope. It names its key, so that nobody can pass it off as the value of another one.
const APP_TYPE: &str = "mesh.config.sealed";

impl Shared {
    /// Seals `value` to each of `to`.
    pub(super) fn seal_value(
        &self,
        key: &ConfigKey,
        value: &Value,
        to: &[Member],
    ) -> Result<SealedValue, NodeError> {
        let data = JsonText::from(&json!({ "key": key.to_string(), "value": value }));
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
        let bytes = BASE64_STANDARD.decode(&mine.data).map_err(|_| unreadable("is damaged"))?;
        let envelope = Envelope::decode(&bytes).map_err(|_| unreadable("is damaged"))?;
        let opened = self.keyring().open(&envelope);
        let message = opened.map_err(|_| {
            unreadable("was sealed to a key that this member no longer has, or was altered")
        })?;
        let Payload::CustomJson(CustomJson { app_type, data }) = message.payload else {
            return Err(unreadable("is not a value of the configuration"));
        };
        let content: Value = serde_json::from_str(data.as_str())
            .map_err(|_| unreadable("is not a value of the configuration"))?;
        let is_its = app_type == APP_TYPE
            && content.get("key").and_then(Value::as_str) == Some(key.to_string().as_str());
        if !is_its {
            return Err(unreadable("was sealed for another key"));
        }
        Ok(content.get("value").cloned().unwrap_or(Value::Null))
    }
}
