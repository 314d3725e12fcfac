//! What members ask each other of the shared configuration: whether they have the same.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::codec::{check_count, list};
use crate::{
    CONFIG_FINDINGS_MAX, CONFIG_KEY_BYTES_MAX, CONFIG_KEYS_PER_FRAME_MAX, CONFIG_RANGES,
    CONFIG_STALE_MAX, CONFIG_WORD_BYTES_MAX, TEXT_BYTES_MAX,
};

/// Stands for a value, or for the keys of a range with their values.
type Digest = [u8; 16];

/// Asks a member about its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigQuestion {
    /// Comes back in the answer.
    pub request_id: u64,
    /// What is asked.
    pub about: ConfigAbout,
}

/// What of the configuration is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigAbout {
    /// Everything at a glance. The member reads its file anew for that.
    Summary,
    /// The keys of some ranges, as they were at the last summary.
    Keys {
        /// The ranges; a key's range is the first byte of the BLAKE3 of its text.
        #[serde(deserialize_with = "list::<_, _, CONFIG_RANGES>")]
        ranges: Vec<u8>,
        /// Keys up to this text, compared by bytes, are known; empty for none.
        after: String,
    },
}

/// What a member says of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigAnswer {
    /// Of the question.
    pub request_id: u64,
    /// What it says.
    pub said: ConfigSaid,
}

/// The answer to a question about the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigSaid {
    /// An earlier question of the same member has not been answered.
    Busy,
    /// Everything at a glance.
    Summary(ConfigSummary),
    /// Keys in the order of their texts' bytes.
    Keys {
        /// The keys.
        #[serde(deserialize_with = "list::<_, _, CONFIG_KEYS_PER_FRAME_MAX>")]
        keys: Vec<ConfigKeyDigests>,
        /// Whether there are none behind them.
        is_done: bool,
    },
}

/// A member's configuration at a glance.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSummary {
    /// A digest for each range of keys that the table has: [`CONFIG_RANGES`] of them.
    #[serde(deserialize_with = "list::<_, _, CONFIG_RANGES>")]
    pub table: Vec<Digest>,
    /// The same of the file of the whole configuration; none when there is nothing to be read.
    #[serde(deserialize_with = "optional_ranges")]
    pub file: Option<Vec<Digest>>,
    /// Where that file stands, as a stable word.
    pub file_state: String,
    /// What is the matter with it; empty when nothing is.
    pub file_detail: String,
    /// Whether what the table holds keeps to the rules.
    pub is_valid: bool,
    /// Keys of entries of agents that are no members; not more than fit.
    #[serde(deserialize_with = "list::<_, _, CONFIG_STALE_MAX>")]
    pub stale: Vec<String>,
    /// What else somebody should look at on that machine; not more than fits.
    #[serde(deserialize_with = "list::<_, _, CONFIG_FINDINGS_MAX>")]
    pub findings: Vec<ConfigFinding>,
}

/// Something that a member found on its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFinding {
    /// What it is, as a stable word.
    pub kind: String,
    /// The key it is about.
    pub key: Option<String>,
    /// The same for people.
    pub detail: String,
}

/// A key, and what stands for its value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigKeyDigests {
    /// The key.
    pub key: String,
    /// Of the value in the table; none when it is not there.
    pub table: Option<Digest>,
    /// Of the value in the file; none when it is not there.
    pub file: Option<Digest>,
}

impl fmt::Debug for ConfigSummary {
    /// Leaves the digests out: what is short can be guessed from them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigSummary")
            .field("file_state", &self.file_state)
            .field("is_valid", &self.is_valid)
            .field("stale", &self.stale)
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ConfigKeyDigests {
    /// Leaves the digests out: what is short can be guessed from them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigKeyDigests").field("key", &self.key).finish_non_exhaustive()
    }
}

impl ConfigQuestion {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        match &self.about {
            ConfigAbout::Summary => Ok(()),
            ConfigAbout::Keys { ranges, after } => {
                check_count("ranges", ranges.len(), CONFIG_RANGES)?;
                check_count("key", after.len(), CONFIG_KEY_BYTES_MAX)
            }
        }
    }
}

impl ConfigAnswer {
    pub(crate) fn check_bounds(&self) -> Result<(), &'static str> {
        match &self.said {
            ConfigSaid::Busy => Ok(()),
            ConfigSaid::Summary(summary) => summary.check_bounds(),
            ConfigSaid::Keys { keys, .. } => {
                check_count("keys", keys.len(), CONFIG_KEYS_PER_FRAME_MAX)?;
                keys.iter().try_for_each(|one| check_key(&one.key))
            }
        }
    }
}

impl ConfigSummary {
    fn check_bounds(&self) -> Result<(), &'static str> {
        let is_whole = |ranges: &[Digest]| ranges.len() == CONFIG_RANGES;
        if !is_whole(&self.table) || !self.file.as_deref().is_none_or(is_whole) {
            return Err("ranges");
        }
        check_count("word", self.file_state.len(), CONFIG_WORD_BYTES_MAX)?;
        check_count("detail", self.file_detail.len(), TEXT_BYTES_MAX)?;
        check_count("stale", self.stale.len(), CONFIG_STALE_MAX)?;
        self.stale.iter().try_for_each(|key| check_key(key))?;
        check_count("findings", self.findings.len(), CONFIG_FINDINGS_MAX)?;
        self.findings.iter().try_for_each(ConfigFinding::check_bounds)
    }
}

impl ConfigFinding {
    fn check_bounds(&self) -> Result<(), &'static str> {
        check_count("word", self.kind.len(), CONFIG_WORD_BYTES_MAX)?;
        check_key(self.key.as_deref().unwrap_or_default())?;
        check_count("detail", self.detail.len(), TEXT_BYTES_MAX)
    }
}

const fn check_key(key: &str) -> Result<(), &'static str> {
    check_count("key", key.len(), CONFIG_KEY_BYTES_MAX)
}

fn optional_ranges<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Digest>>, D::Error> {
    #[derive(Deserialize)]
    struct Ranges(#[serde(deserialize_with = "list::<_, _, CONFIG_RANGES>")] Vec<Digest>);
    Ok(Option::<Ranges>::deserialize(deserializer)?.map(|ranges| ranges.0))
}
