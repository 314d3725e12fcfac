//! The scanner as others use it: every rule, streams, configuration values, what must pass.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may fail"
)]

mod fakes;
mod passes;
mod rules;
mod streams;
mod values;
