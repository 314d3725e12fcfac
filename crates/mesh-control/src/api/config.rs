use std::future::Future;

use futures_util::stream::BoxStream;
use serde_json::Value;

use super::ApiError;
use crate::{
    ConfigChangeView, ConfigChanged, ConfigCheckView, ConfigHistoryQuery, ConfigHistoryView,
    ConfigImport, ConfigImported, ConfigQuery, ConfigRevert, ConfigSeal, ConfigSet,
    ConfigStateView, ConfigUnset, ConfigView, ConfigWatchQuery,
};

/// What an agent can be asked about the shared configuration. Every future and stream may be dropped
/// half-way; what was committed by then stays. After an error nothing is different from before.
pub trait ConfigApi: Clone + Send + Sync + 'static {
    /// A part of the configuration, or all of it. Fails with `unknown_key` when nothing is there, and,
    /// where one value alone was to be opened that others can read, with `sealed_unreadable`.
    fn config_get(
        &self,
        query: ConfigQuery,
    ) -> impl Future<Output = Result<ConfigView, ApiError>> + Send;

    /// Sets a key. The same value again changes nothing.
    fn config_set(
        &self,
        request: ConfigSet,
    ) -> impl Future<Output = Result<ConfigChanged, ApiError>> + Send;

    /// Sets a key to a value that only some members can read.
    fn config_seal(
        &self,
        request: ConfigSeal,
    ) -> impl Future<Output = Result<ConfigChanged, ApiError>> + Send;

    /// Removes a key with everything beneath it.
    fn config_unset(
        &self,
        request: ConfigUnset,
    ) -> impl Future<Output = Result<ConfigChanged, ApiError>> + Send;

    /// The latest changes of keys, newest first; those of one change by key.
    fn config_history(
        &self,
        query: ConfigHistoryQuery,
    ) -> impl Future<Output = Result<Vec<ConfigHistoryView>, ApiError>> + Send;

    /// Undoes a change, as a new one. Fails with `ambiguous_version` when several members made one of
    /// that number, and with `changed_since` when something that it touched was changed again.
    fn config_revert(
        &self,
        request: ConfigRevert,
    ) -> impl Future<Output = Result<ConfigChanged, ApiError>> + Send;

    /// Compares every member's configuration, and its file, with this agent's.
    fn config_check(&self) -> impl Future<Output = Result<ConfigCheckView, ApiError>> + Send;

    /// This agent's configuration at a glance, with the files that show it.
    fn config_state(&self) -> impl Future<Output = Result<ConfigStateView, ApiError>> + Send;

    /// The configuration without secrets and without what belongs to one machine alone.
    fn config_template_export(&self) -> impl Future<Output = Result<Value, ApiError>> + Send;

    /// Merges a template, as one change: what it does not name stays.
    fn config_template_import(
        &self,
        request: ConfigImport,
    ) -> impl Future<Output = Result<ConfigImported, ApiError>> + Send;

    /// Every change of a key as it is committed here, whoever made it. A stream that its reader leaves
    /// too far behind ends with `position_gone`.
    fn config_watch(
        &self,
        query: ConfigWatchQuery,
    ) -> BoxStream<'static, Result<ConfigChangeView, ApiError>>;
}
