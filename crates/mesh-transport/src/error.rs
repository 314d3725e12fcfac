use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use mesh_protocol::{Address, DecodeError, EncodeError, ErrorCode, PeerId};

/// An error of a library, with its own chain of causes.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a transport cannot be built. Nothing was opened.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The TLS library does not take the node key.
    #[error("the node key cannot be used for tls")]
    Key(#[source] BoxError),
    /// The TLS library does not take the settings.
    #[error("tls cannot be set up")]
    Tls(#[source] BoxError),
}

/// Why the port cannot be opened. Nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the port.
    #[error("{addr} is taken by another program")]
    PortTaken {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// This machine does not have the address.
    #[error("{addr} is not an address of this machine")]
    AddressUnavailable {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// This user may not open the port.
    #[error("this user may not listen on {addr}")]
    Forbidden {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// The system refused for another reason.
    #[error("cannot listen on {addr}")]
    Io {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why one address did not lead to the peer.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The name service does not know the name, or did not answer.
    #[error("the name cannot be resolved")]
    Resolve(#[source] io::Error),
    /// No TCP connection.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// Whoever answers there has another key.
    #[error("another peer answers there")]
    WrongKey,
    /// The right peer answers there, and does not count this node among the members.
    #[error("the peer does not know this node as a member")]
    NotAMember,
    /// Whoever answers there does not speak this protocol.
    #[error("the tls handshake failed")]
    Handshake(#[source] BoxError),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}

/// One address that was tried, and what went wrong there.
#[derive(Debug)]
pub struct DialFailure {
    /// The address.
    pub address: Address,
    /// Why it failed.
    pub reason: AttemptError,
}

/// Joins the failures for people: the caller sees what was tried without walking a list.
struct Failures<'a>(&'a [DialFailure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, DialFailure { address, reason }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{address}: {reason}")?;
            if let Some(source) = reason.source() {
                write!(f, " ({source})")?;
            }
        }
        Ok(())
    }
}

/// Why there is no link or no answer. No connection is left open.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No address was given.
    #[error("no address of peer {} is known", peer.short())]
    NoAddress {
        /// Who was called.
        peer: PeerId,
    },
    /// None of the addresses led to the peer.
    #[error("peer {} does not answer: {}", peer.short(), Failures(failures))]
    Unreachable {
        /// Who was called.
        peer: PeerId,
        /// Every address with its reason.
        failures: Vec<DialFailure>,
    },
    /// Whoever answers at the address is no member of the mesh, or is this node itself. It was told
    /// nothing.
    #[error("no member of the mesh answers at {address}")]
    Stranger {
        /// Where.
        address: Address,
    },
    /// Nobody who could be a member answers at the address.
    #[error("nobody answers at {address}")]
    NoAnswer {
        /// Where.
        address: Address,
        /// Why not.
        #[source]
        reason: AttemptError,
    },
    /// The peer closed the handshake: it does not count this node among the members.
    #[error("the peer does not know this node as a member")]
    NotAMember,
    /// The peer answered with a refusal.
    #[error("refused ({code}): {message}")]
    Refused {
        /// The stable word.
        code: ErrorCode,
        /// For people.
        message: String,
    },
    /// The connection ended before the answer came.
    #[error("the connection ended early")]
    Closed(#[source] BoxError),
    /// The peer took too long.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The peer answered with something else than the protocol says here.
    #[error("the peer does not follow the protocol: {what}")]
    Protocol {
        /// What was wrong.
        what: &'static str,
    },
    /// The peer's answer cannot be decoded.
    #[error("the peer's answer cannot be read")]
    Decode(#[source] DecodeError),
    /// The request does not fit the protocol's bounds; nothing was sent.
    #[error("the request cannot be sent")]
    Encode(#[source] EncodeError),
    /// The TLS library refused; nothing was sent.
    #[error("tls failed")]
    Tls(#[source] BoxError),
}

impl DialError {
    /// Whether the peer was reached, and said no.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::NotAMember | Self::Refused { .. })
    }

    /// The stable word for this error.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoAddress { .. }
            | Self::Unreachable { .. }
            | Self::Stranger { .. }
            | Self::NoAnswer { .. }
            | Self::Closed(_) => ErrorCode::PeerUnreachable,
            Self::NotAMember => ErrorCode::NotAMember,
            Self::Refused { code, .. } => *code,
            Self::TimedOut => ErrorCode::TimedOut,
            Self::Protocol { .. } => ErrorCode::ProtocolError,
            Self::Decode(error) => error.code(),
            Self::Encode(error) => error.code(),
            Self::Tls(_) => ErrorCode::Internal,
        }
    }
}

/// Why an accepted link did not come up. It is closed.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The dialler went away.
    #[error("the dialler closed the connection")]
    Closed,
    /// The dialler did not open the other lanes in time.
    #[error("the dialler did not open its lanes in time")]
    TimedOut,
    /// The answer does not fit the protocol's bounds.
    #[error("the answer cannot be sent")]
    Encode(#[source] EncodeError),
}

/// Why a frame was not queued.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The link has ended.
    #[error("the link is closed")]
    Closed,
    /// The frame does not fit the protocol's bounds; the link lives on.
    #[error("the frame cannot be sent")]
    Encode(#[source] EncodeError),
}

/// Why a frame was not queued at once.
#[derive(Debug, thiserror::Error)]
pub enum TrySendError {
    /// The lane has reached its bound.
    #[error("the lane is full")]
    Full,
    /// The link has ended.
    #[error("the link is closed")]
    Closed,
    /// The frame does not fit the protocol's bounds; the link lives on.
    #[error("the frame cannot be sent")]
    Encode(#[source] EncodeError),
}

/// Why there is no stream. The link lives on, unless it had ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenStreamError {
    /// What the stream is for has to be said in fewer bytes; nothing was sent.
    #[error("the head of a stream has {bytes} bytes, at most {bytes_max} are allowed")]
    HeadTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// This side has as many streams open on the link as it may, or the other side is of that opinion.
    #[error("too many streams are open on this link")]
    TooMany,
    /// The other side is an older agent, which knows no streams.
    #[error("the peer's agent is too old for streams")]
    Unsupported,
    /// The other side does not want it.
    #[error("the peer refused the stream: {reason}")]
    Refused {
        /// Why, in its words; may be empty.
        reason: String,
    },
    /// The other side did not take it in time.
    #[error("the peer did not take the stream in time")]
    TimedOut,
    /// The link has ended.
    #[error("the link is closed")]
    Closed,
}

/// Why a stream ended before its time. What came of it is not the whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The link has ended.
    #[error("the link is closed")]
    LinkClosed,
    /// The other side gave the stream up.
    #[error("the peer gave the stream up: {reason}")]
    Reset {
        /// Why, in its words; may be empty.
        reason: String,
    },
    /// The stream broke off without a word, while the link lives on.
    #[error("the stream broke off")]
    Broken,
    /// This side has finished the direction or given the stream up.
    #[error("the stream was ended here")]
    EndedHere,
}
