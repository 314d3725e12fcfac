//! The file system of pushes: folders that pushes are put into, and what is read to be pushed.
//!
//! A push is put together in a [`Staging`], planned as a list of renames, and committed: everything changes
//! together or not at all, whenever the process or the machine stops. What was replaced is kept, and can be
//! brought back. Whatever others do to the tree meanwhile, nothing outside of the root is reached, and no
//! change of theirs is lost unseen.
//!
//! Every call blocks; whoever is asynchronous calls from a thread that may. Memory does not grow with the
//! size of files, nor with what a folder holds.
//!
//! Never in here: the network, SQL, what is to be pushed and whether it may.
//!
//! Start reading at [`Root`], then `folder.rs` for why nothing leads out of it, `staging.rs` for how a push
//! is put together, and `commit.rs` for how it is put in place.

mod backup;
mod commit;
mod digests;
mod error;
mod facts;
mod folder;
mod local;
mod path;
mod root;
mod rules;
mod sources;
mod staging;
mod walk;

pub use backup::{Backup, KeepConfig};
pub use commit::{Plan, Planned, Recovered, Step};
pub use error::{Refusal, TreeError};
pub use facts::{Facts, Kind};
pub use local::LocalFile;
pub use root::{Root, RootConfig, RootReader, Usage};
pub use rules::read_rules;
pub use sources::Sources;
pub use staging::{Followed, Space, StagedFile, Staging, View};
pub use walk::{Source, Walk, WalkConfig, Walked};
