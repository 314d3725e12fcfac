//! Pushes: files that go to other members, and what comes from them.
//!
//! The steps are decided in `mesh-files`, files are touched in `mesh-tree`. Here are the tasks: one for each push that
//! this node makes (`sending.rs`), one for each that comes (`receiving.rs`); the stream between two of them
//! (`channel.rs`), or a message (`bundles.rs`); what is recorded of them (`ledger.rs`); what is asked of them (`facade.rs`) and said of them by members (`notices.rs`).

mod bundles;
mod channel;
mod facade;
mod ledger;
mod manifest_file;
mod notices;
mod prepare;
mod pulls;
mod receiving;
mod roots;
mod sending;
mod settings;
mod views;

pub(crate) use notices::APP_TYPE as PUSH_APP_TYPE;
pub(crate) use roots::is_named;
pub use settings::{PushSettings, RootSettings};

/// Everything that this node has to do with pushes.
#[derive(Debug)]
pub(crate) struct Pushes {
    ledger: ledger::Ledger,
    pub(crate) senders: sending::Senders,
    pub(crate) roots: roots::Roots,
    pub(crate) receivers: receiving::Receivers,
    bundles: bundles::Bundles,
    pulls: pulls::Pulls,
    heard: notices::Heard,
}

impl Pushes {
    /// Nothing is under way, and no root is open yet.
    pub(crate) fn new(settings: &PushSettings, data_dir: &std::path::Path) -> Self {
        Self {
            ledger: ledger::Ledger::default(),
            senders: sending::Senders::default(),
            roots: roots::Roots::new(settings, data_dir),
            receivers: receiving::Receivers::default(),
            bundles: bundles::Bundles::default(),
            pulls: pulls::Pulls::default(),
            heard: notices::Heard::default(),
        }
    }
}
