//! What the crate promises, through its public face.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod at_rest;
mod envelopes;
mod join_tokens;
mod key_files;
mod routing;
mod secrecy;
mod signatures;
mod support;
