//! The shared configuration as values and decisions: what a key is, what a change does to the whole, what
//! an edited file means, whether a document is valid, and what differs between two members.
//!
//! Never in here: files, databases, async, a clock, randomness. Documents and moments are arguments.
//!
//! Start reading at [`ConfigKey`] and [`Entry`], then [`ConfigState`] (everything that is known) and
//! [`Edit`] (what is to change).

mod entry;
mod error;
mod flat;
mod key;
mod schema;
mod text;

pub use entry::{Entry, EntryValue, Envelope, SealedValue};
pub use error::ConfigError;
pub use flat::{Flat, flatten, unflatten};
pub use key::ConfigKey;
pub use schema::{SCHEMA_BYTES_MAX, Schema, SchemaError, VIOLATIONS_MAX, Violation};
pub use text::{
    ParsedText, REVISION_NAME, TEXT_DEPTH_MAX, TextError, TextErrorKind, parse_text, render_text, revision_of,
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
pub const CONFIG_BYTES_MAX: usize = 32 << 20;
