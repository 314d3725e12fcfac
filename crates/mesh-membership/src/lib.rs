//! Who belongs to the mesh, whom to dial and who is alive: engines that decide from facts alone.
//!
//! [`Membership`] keeps the signed records of one mesh and derives the [`Verdict`] from them. The
//! verdict is a function of the *set* of records: the order of arrival, repetitions and the clocks of
//! others never change it. [`LinkPlanner`] turns the members into dials, heartbeats and cuts.
//! [`Liveness`] tells a lost link from a lost member by asking others; [`Swim`] does the same by gossip
//! in a mesh that is too large for links between all.
//!
//! Never in here: async, IO, a clock, randomness other than a seed that is handed in, keys or
//! signatures. A record gets in as a
//! `VerifiedRecord` only, so nothing that was forged reaches a decision.
//!
//! Start reading at `judge.rs`: the rule by which records count is written there.
//!
//! # Bounds
//! They hold per node and are answered with a [`RefuseReason`]: [`RECORDS_MAX`] records in all,
//! [`ORPHANS_MAX`] of them signed by peers that no admission leads to, [`SIGNER_ACTS_MAX`] admissions
//! and removals by one signer, one profile per peer. A verdict shows at most [`MEMBERS_MAX`] members,
//! the most senior ones. A set that is full still takes a removal by a known peer, at the price of
//! the most junior record: whoever fills the set must not be safe from removal by that.

mod chance;
mod error;
mod evidence;
mod judge;
mod links;
mod liveness;
mod membership;
mod names;
mod plan;
mod swim;
mod verdict;

pub use error::{InsertError, RefuseReason};
pub use judge::Pending;
pub use links::{LinkConfig, LinkInput, LinkOutput, LinkPlanner, keeps_existing, neighbours};
pub use liveness::{Liveness, LivenessConfig, LivenessInput, LivenessOutput, MemberState};
pub use membership::{Inserted, Membership};
pub use plan::RemovalPlan;
pub use swim::{Swim, SwimConfig, SwimInput, SwimOutput};
pub use verdict::{Member, Resolution, Verdict};

/// Most records of all kinds that a node keeps; as many as one exchange of record ids can name.
pub const RECORDS_MAX: usize = mesh_protocol::RECORD_IDS_MAX;

/// Most records whose signer no admission leads to from the founding record. They are kept because
/// the admission may still arrive; the bound leaves half of the room to records of known peers.
pub const ORPHANS_MAX: usize = RECORDS_MAX / 2;

/// Most admissions and removals by one signer, so that one key cannot fill the set.
pub const SIGNER_ACTS_MAX: usize = 4096;

/// Most members that a verdict shows. Beyond it the most senior ones are members, which no flood of
/// newcomers can change.
pub const MEMBERS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
