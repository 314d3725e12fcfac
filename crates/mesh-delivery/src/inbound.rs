//! What a receiver takes from a link. Whether it had the message before is the database's answer;
//! whether it may have it at all is decided here.

use mesh_protocol::{DeliverItem, ErrorCode, PeerId, Recipient, UnixMillis, WireMessage};

use crate::InboundConfig;

/// What is known about the link and the moment, independent of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboundFacts {
    /// Who is at the other end of the link, proven by the handshake.
    pub link_peer: PeerId,
    /// Who is at this end.
    pub me: PeerId,
    /// The receiver's clock.
    pub now: UnixMillis,
}

/// Whether a message may be committed to the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may, unless it was before.
    Accept,
    /// It may not, and sending it again is of no use.
    Refuse(ErrorCode),
}

/// Judges a message by its address and dates.
///
/// The database is asked afterwards: first whether it remembers the id, then whether the sequence is not
/// above the *floor* of its lane, the highest sequence whose id was forgotten early. A floor can stand
/// for ids because a sender never sends a lower sequence of a lane for the first time after a higher one
/// was answered. What is refused here is never asked for: below a floor it would be taken for delivered.
///
/// The sender must be the link's own peer: this rule knows no messages that travel through others.
/// Whether a sealed message was altered is checked elsewhere, with keys.
#[must_use]
pub fn judge(
    item: &DeliverItem,
    wire: &WireMessage,
    facts: &InboundFacts,
    config: &InboundConfig,
) -> Judgement {
    if wire.from() != facts.link_peer || !is_for(wire, facts.me) {
        return Judgement::Refuse(ErrorCode::MessageMisdirected);
    }
    let expires_at = UnixMillis(item.expires_at);
    if remembered_until(expires_at, config) <= facts.now {
        return Judgement::Refuse(ErrorCode::MessageExpired);
    }
    // A later date would have to be remembered for longer than any honest message lives.
    if expires_at > facts.now.plus(config.ttl_max).plus(config.clock_skew_max) {
        return Judgement::Refuse(ErrorCode::ClockSkew);
    }
    Judgement::Accept
}

fn is_for(wire: &WireMessage, me: PeerId) -> bool {
    match wire {
        WireMessage::Plain(message) => match message.to {
            Recipient::Peer(peer) => peer == me,
            Recipient::Broadcast => true,
        },
        WireMessage::Sealed(envelope) => envelope.header.to == me,
    }
}

/// Until when the receiver keeps the id of a message. [`judge`] refuses the message from this moment
/// on, so an id that was forgotten then cannot let a repeat in. Forgetting at `expires_at` itself
/// could: a sender whose clock is behind may still repeat.
#[must_use]
pub fn remembered_until(expires_at: UnixMillis, config: &InboundConfig) -> UnixMillis {
    expires_at.plus(config.clock_skew_max)
}

#[cfg(test)]
mod tests;
