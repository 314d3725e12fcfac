//! One file that people and programs edit: read with a bound, watched, and replaced in one step, with
//! its last versions beside it.
//!
//! Nobody's save is overwritten unseen: [`ConfigFile::replace`] puts new bytes in the place of those
//! that were read, and of no others.
//!
//! Never in here: what the bytes mean, when to write and what to do about a change.
//!
//! Start reading at [`ConfigFile`], then `place.rs` for how a file is replaced and `watch.rs` for how a
//! change is noticed.

mod config;
mod content;
mod error;
mod file;
mod look;
mod place;
mod renames;
mod shelf;
mod watch;

pub use config::FileConfig;
pub use content::{FileContent, Stamp};
pub use error::FileError;
pub use file::ConfigFile;
