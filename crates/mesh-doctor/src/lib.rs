//! What can be wrong with an agent on its machine, and what mends it.
//!
//! Two kinds of things: readers, which ask the system and change nothing, and judgements, which make
//! a [`Finding`] of what was read (or of what a running agent knows) and are pure. Never in here: a
//! connection to a member, SQL, or a repair.
//!
//! Start reading at [`Finding`]; each other file is one [`Check`].

mod clock;
mod data_dir;
mod database;
mod disk;
mod finding;
mod firewall;
mod links;
mod port;
mod tables;
mod tailscale;
mod versions;

pub use clock::{CLOCK_SKEW_MAX, ClockReading, judge_clock};
pub use data_dir::{DataDirState, DataFile, judge_permissions, read_data_dir};
pub use database::{DatabaseState, judge_database};
pub use disk::{Space, judge_disk, read_space};
pub use finding::{Check, Finding};
pub use firewall::{FirewallFacts, FirewallSources, Reading, judge_firewall, read_firewall};
pub use links::{LinkReading, judge_links};
pub use port::{Holder, PortState, PortUse, judge_listening, judge_ports, look_at_port};
pub use tables::{ClockAhead, TablesReading, TablesTrouble, judge_tables, judge_tables_file};
pub use tailscale::{TailscaleFact, judge_tailscale};
pub use versions::{VersionReading, judge_versions};
