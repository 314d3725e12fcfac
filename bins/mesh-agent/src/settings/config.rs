//! The part of the configuration file about the shared configuration: where its files lie, and what of it
//! stays on this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use mesh_node::{ConfigKey, ConfigView, SharedConfigSettings};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    file: Option<PathBuf>,
    local_keys: Vec<String>,
    views: Vec<RawView>,
    drift_after_seconds: Option<u64>,
    compare_every_seconds: Option<u64>,
}

/// A file that shows a part.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawView {
    file: PathBuf,
    prefix: Option<String>,
}

fn key(text: &str) -> anyhow::Result<ConfigKey> {
    text.parse().with_context(|| format!("{text:?} is no key of the shared configuration"))
}

impl RawConfig {
    /// # Errors
    /// A key is none.
    pub(super) fn join(self) -> anyhow::Result<SharedConfigSettings> {
        let view = |view: RawView| {
            let prefix = view.prefix.as_deref().map(key).transpose()?;
            anyhow::Ok(ConfigView { path: view.file, prefix })
        };
        let defaults = SharedConfigSettings::default();
        let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
        Ok(SharedConfigSettings {
            path: self.file,
            views: self.views.into_iter().map(view).collect::<Result<_, _>>()?,
            local_keys: self.local_keys.iter().map(|text| key(text)).collect::<Result<_, _>>()?,
            drift_after: seconds(self.drift_after_seconds, defaults.drift_after),
            compare_every: seconds(self.compare_every_seconds, defaults.compare_every),
            ..defaults
        })
    }
}
