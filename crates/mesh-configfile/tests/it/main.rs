//! The file against the ways in which people, editors and scripts write it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod crash;
mod reading;
mod replacing;
mod support;
mod versions;
mod watching;
