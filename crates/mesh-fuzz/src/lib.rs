//! What the fuzz targets do with their bytes: one function each, which panics when something that must hold does not.
//! The targets in `fuzz/` search with them; the tests of this crate repeat every input that is kept in `fixtures/fuzz`.
//!
//! Never in a release, and never in here: anything that a proof does not need. Bytes decide everything, so that an input that
//! was found once is found again.
//!
//! Start reading at [`TARGETS`].

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "it fails as tests do: loudly"
)]

mod control;
mod delivery;
mod files;
mod input;
mod membership;
mod sync;
mod text;
mod wire;

pub use delivery::delivery;
pub use files::files;
pub use membership::membership;
pub use sync::sync;
pub use text::text;
pub use wire::wire;

/// Lets bytes be read, and fails when what they become is wrong.
pub type Target = fn(&[u8]);

/// Every target by its name: that of its binary in `fuzz/` and of its folder in `fixtures/fuzz`.
pub const TARGETS: [(&str, Target); 6] = [
    ("delivery", delivery),
    ("files", files),
    ("membership", membership),
    ("sync", sync),
    ("text", text),
    ("wire", wire),
];
