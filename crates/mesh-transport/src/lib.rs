//! Links between peers: one TCP port, TLS 1.3 with raw public keys on both sides, HTTP/2 inside.
//!
//! A [`Link`] is one connection with three lanes, each a long-lived HTTP/2 stream that carries
//! [`Frame`](mesh_protocol::Frame)s both ways: a frame costs no request of its own, and an urgent one
//! never waits behind bulk. Beside them either side opens [`LinkStream`]s for bulk that is no frames.
//! Strangers reach the two join routes and nothing else, under limits.
//!
//! Never in here: who belongs (the [`Gatekeeper`] is asked), what a frame means, when to dial again,
//! SQL, a clock. Tasks run on the tracker that was handed in.
//!
//! Start reading at [`Transport`]; `dial.rs` is the way out, `listen.rs` and `accept.rs` the way in,
//! `link.rs`, `lane.rs` and `stream.rs` what both lead to.

mod accept;
mod config;
mod decoder;
mod dial;
mod driver;
mod error;
mod http;
mod io;
mod join;
mod lane;
mod limits;
mod link;
mod listen;
mod stream;
mod tls;
mod transport;

pub use accept::PendingAccept;
pub use config::{AcceptRate, TransportConfig};
pub use dial::PendingDial;
pub use error::{
    AcceptError, AttemptError, BoxError, DialError, DialFailure, ListenError, OpenStreamError,
    SendError, StreamError, TransportError, TrySendError,
};
pub use join::{JoinCall, JoinRoute};
pub use lane::{Lane, LaneReceiver};
pub use link::{Link, LinkSender};
pub use listen::{Incoming, Listening};
pub use stream::incoming::{IncomingStream, StreamReceiver};
pub use stream::{LinkStream, StreamReader, StreamSender};
pub use transport::{Gatekeeper, Transport};
