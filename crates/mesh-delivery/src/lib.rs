//! Decides when each durable message is sent, sent again, given up or done; through whom it goes when
//! there is no link; and, on the other side, whether a message that came over a link may be taken.
//!
//! Never in here: async, IO, a clock, randomness, SQL, keys, message bodies. Facts and the time go in
//! through [`Outbound::handle_input`] and [`Outbound::handle_timeout`], wishes come out of
//! [`Outbound::poll_output`]. Bodies stay in the database: the engine knows a message by its sequence.
//!
//! Start reading at [`Outbound`], then at its [`Input`] and [`Output`]. The receiver's rule is
//! [`judge`]. [`Topology`] knows the way to members without a link, and
//! [`Handover`] finds keepers for the messages of those that nobody reaches.

mod backoff;
mod config;
mod entry;
mod error;
mod handover;
mod inbound;
mod mix;
mod outbound;
mod topology;

pub use config::{DeliveryConfig, InboundConfig};
pub use entry::{Entry, Now, Priority};
pub use error::QueueFull;
pub use handover::{Handover, HandoverConfig, HandoverInput, HandoverOutput};
pub use inbound::{InboundFacts, Judgement, judge, judge_expiry, remembered_until};
pub use outbound::{
    End, EndedCounts, Input, Outbound, OutboundStats, Output, Reservation, Timeout, WaitingState,
    WaitingView,
};
pub use topology::{Route, Topology, TopologyConfig, TopologyInput, TopologyOutput};
