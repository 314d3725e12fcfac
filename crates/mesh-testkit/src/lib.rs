//! A virtual network for tests: messages travel between numbered nodes on virtual time, under
//! conditions that a test chooses, and everything that happens follows from one seed.
//!
//! Only ever a dev-dependency. Never in here: engines, async, threads, waiting, and no IO outside [`netns`],
//! which makes a LAN for real processes, and [`Figures`], which keeps what benchmarks find. The clock of the machine is read once, for an origin
//! that nothing depends on, because `Instant` has no other maker.
//!
//! Start reading at [`VirtualNetwork`]; [`VirtualMesh`] runs a set of engines on one.

mod conditions;
mod figures;
mod mesh;
pub mod netns;
mod network;
mod rings;
#[cfg(feature = "tls")]
pub mod tls;

pub use conditions::Conditions;
pub use figures::{Figures, Raw};
pub use mesh::{VirtualMesh, VirtualNode};
pub use network::{Delivery, NodeId, Traffic, VirtualNetwork, WireSize};
pub use rings::ring_links;
