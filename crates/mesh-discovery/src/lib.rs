//! Where addresses come from: devices that Tailscale knows, agents that announce themselves on the
//! LAN, and what the operator configured. Addresses from signed profiles reach the node without it.
//!
//! An address proves nothing about who answers there; what leaves this room are [`Candidate`]s, to be
//! tried over an authenticated link. Only what one of the sources named is ever listed: no range is
//! walked, and this room itself talks to nobody but the local Tailscale and the multicast group.
//!
//! Never in here: who belongs to the mesh, dialling, keys, SQL, a clock, a task. Every bound on what
//! a source may feed in is a constant beside the code that keeps it.
//!
//! Start reading at [`candidates`], which joins the sources; [`tailscale_status`] and
//! `LanDiscovery` (feature `lan`, on by default) are the sources.

mod candidates;
mod error;
mod prefix;
mod sighting;
mod tailscale;

#[cfg(feature = "lan")]
mod lan;

pub use candidates::{CANDIDATES_MAX, Candidate, CandidateSource, CandidateSources, candidates};
#[cfg(feature = "lan")]
pub use error::LanError;
pub use error::{BoxError, TailscaleError};
#[cfg(feature = "lan")]
pub use lan::{LanConfig, LanDiscovery, LanInterfaces, SERVICE_TYPE, SIGHTINGS_MAX};
pub use prefix::{MeshPrefix, PeerPrefix};
pub use sighting::LanFound;
pub use tailscale::{
    DEVICES_MAX, TailscaleAnswer, TailscaleConfig, TailscaleFailure, TailscaleNode, TailscalePeer,
    TailscaleReport, TailscaleSkipped, TailscaleState, TailscaleStatus, TailscaleWay,
    tailscale_status,
};
