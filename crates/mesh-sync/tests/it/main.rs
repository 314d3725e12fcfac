//! The rules of the sync engine against a plain model of what they mean.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do: loudly"
)]

mod admission;
mod convergence;
mod database;
mod hostile;
mod model;
mod rows;
mod vectors;
mod world;
