//! The shared configuration as values and decisions: what a key is, what a change does to the whole, what
//! an edited file means, whether a document is valid, and what differs between two members.
//!
//! Never in here: files, databases, async, a clock, randomness. Documents and moments are arguments.
//!
//! Start reading at [`ConfigKey`] and [`Entry`], then [`ConfigState`] (everything that is known) and
//! [`Edit`] (what is to change).

mod agents;
mod announce;
mod edit;
mod entry;
mod error;
mod flat;
mod history;
mod key;
mod local;
mod merge;
mod nearby;
mod parity;
mod schema;
mod state;
mod template;
mod text;

pub use agents::{AGENTS, Member, agents_edits, stale_agents};
pub use announce::{Action, AnnouncedItem, Announcement, announce};
pub use edit::{Change, ChangeItem, Edit};
pub use entry::{Entry, EntryValue, Envelope, SealedValue};
pub use error::{ConfigError, RevertError};
pub use flat::{Flat, flatten, unflatten};
pub use history::HistoryItem;
pub use key::ConfigKey;
pub use local::LocalKeys;
pub use merge::FileMerge;
pub use parity::{
    DRIFT_KEYS_MAX, Digests, Drift, DriftNews, Parity, RANGES, ValueDigest, compare, differing,
    range_of,
};
pub use schema::{SCHEMA_BYTES_MAX, Schema, SchemaError, VIOLATIONS_MAX, Violation};
pub use state::{Changed, ConfigState, Problem, VERSION_JUMP_MAX, VERSION_MAX};
pub use template::{Difference, Imported, TemplateError, difference, export, import_flat};
pub use text::{
    ParsedText, REVISION_NAME, TEXT_DEPTH_MAX, TextError, TextErrorKind, parse_text, render_text,
    revision_of,
};

/// Most bytes of a key's text.
pub const KEY_BYTES_MAX: usize = 512;
/// Most segments of a key.
pub const KEY_SEGMENTS_MAX: usize = 16;
/// Most bytes of a value as JSON.
pub const VALUE_BYTES_MAX: usize = 256 << 10;
/// Most keys of the configuration.
pub const KEYS_MAX: usize = 50_000;
/// Most keys of one change.
pub const CHANGE_KEYS_MAX: usize = 10_000;
/// Most bytes of keys and values together.
pub const CONFIG_BYTES_MAX: usize = 6 << 20;
/// Most bytes of the whole as it is written into a file that holds nothing else. The names of objects, the white
/// space and the lines of a list can make it much more than keys and values are. Below what a file may have, so that
/// comments and the keys of the machine have room beside it.
pub const CONFIG_SHOWN_BYTES_MAX: usize = 7 << 20;
