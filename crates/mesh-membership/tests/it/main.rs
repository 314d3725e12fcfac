//! What the records of a mesh say, with real signatures.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests fail as tests do: loudly"
)]

mod contests;
mod members;
mod names;
mod planning;
mod properties;
mod quorum;
mod reference;
mod spreading;
mod swim;
mod world;
