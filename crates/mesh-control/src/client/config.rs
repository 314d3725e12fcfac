use std::time::Duration;

use serde_json::Value;

use super::http::{self, Call};
use super::{ControlClient, ControlStream, path_with};
use crate::{
    ClientError, ConfigChangeView, ConfigChanged, ConfigCheckView, ConfigHistoryQuery,
    ConfigHistoryView, ConfigImport, ConfigImported, ConfigQuery, ConfigRevert, ConfigSeal,
    ConfigSet, ConfigStateView, ConfigUnset, ConfigView, ConfigWatchQuery,
};

/// How long an answer may take for which every key is looked at, or every member asked.
const WAIT_CONFIG: Duration = Duration::from_secs(120);

/// The shared configuration. Every method fails with [`ClientError`].
#[expect(clippy::missing_errors_doc, reason = "one error type, described with the type")]
impl ControlClient {
    /// A part of the configuration, or all of it.
    pub async fn config_get(&self, query: &ConfigQuery) -> Result<ConfigView, ClientError> {
        let ConfigQuery { key, reveal } = query;
        let reveal = reveal.then(|| "true".to_owned());
        self.get(&path_with("/v1/config", [("key", key), ("reveal", &reveal)])).await
    }

    /// Sets a key.
    pub async fn config_set(&self, request: &ConfigSet) -> Result<ConfigChanged, ClientError> {
        self.post("/v1/config", request, WAIT_CONFIG).await
    }

    /// Sets a key to a value that only some members can read.
    pub async fn config_seal(&self, request: &ConfigSeal) -> Result<ConfigChanged, ClientError> {
        self.post("/v1/config/seal", request, WAIT_CONFIG).await
    }

    /// Removes a key with everything beneath it.
    pub async fn config_unset(&self, request: &ConfigUnset) -> Result<ConfigChanged, ClientError> {
        self.post("/v1/config/unset", request, WAIT_CONFIG).await
    }

    /// The latest changes of keys, newest first.
    pub async fn config_history(
        &self,
        query: &ConfigHistoryQuery,
    ) -> Result<Vec<ConfigHistoryView>, ClientError> {
        let ConfigHistoryQuery { key, limit } = query;
        let limit = limit.map(|limit| limit.to_string());
        self.get(&path_with("/v1/config/history", [("key", key), ("limit", &limit)])).await
    }

    /// Undoes a change.
    pub async fn config_revert(
        &self,
        request: &ConfigRevert,
    ) -> Result<ConfigChanged, ClientError> {
        self.post("/v1/config/revert", request, WAIT_CONFIG).await
    }

    /// Compares every member's configuration, and its file, with the agent's.
    pub async fn config_check(&self) -> Result<ConfigCheckView, ClientError> {
        self.ask(Call::get("/v1/config/check".to_owned()), WAIT_CONFIG).await
    }

    /// The agent's configuration at a glance, with the files that show it.
    pub async fn config_state(&self) -> Result<ConfigStateView, ClientError> {
        self.get("/v1/config/state").await
    }

    /// The configuration without secrets and without what belongs to one machine alone.
    pub async fn config_template_export(&self) -> Result<Value, ClientError> {
        self.get("/v1/config/template").await
    }

    /// Merges a template, as one change.
    pub async fn config_template_import(
        &self,
        request: &ConfigImport,
    ) -> Result<ConfigImported, ClientError> {
        self.post("/v1/config/template", request, WAIT_CONFIG).await
    }

    /// Every change of a key as it is committed, whoever made it.
    pub async fn config_watch(
        &self,
        query: &ConfigWatchQuery,
    ) -> Result<ControlStream<ConfigChangeView>, ClientError> {
        let path = path_with("/v1/config/watch", [("prefix", &query.prefix)]);
        http::follow(&self.path, Call::get(path)).await
    }
}
