//! What a receiver takes, from a link or through others. Whether it had the message before is the database's answer;
//! whether it may have it at all is decided here.

use mesh_protocol::{DeliverItem, ErrorCode, PeerId, Recipient, UnixMillis, WireMessage};

use crate::InboundConfig;

/// What is known about the sender and the moment, independent of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboundFacts {
    /// Who is proven to have sent it: the link's other end, or who signed the parcel.
    pub sender: PeerId,
    /// Who received it.
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
/// above the *floor* of its lane, which stands for ids that were forgotten early. Over a link a lower
/// sequence of a lane never comes for the first time after a higher one was answered; a copy that a
/// custodian kept may. Therefore the store floors only what is far below the newest sequence of a lane.
/// What is refused here is never asked for: below a floor it would be taken for delivered.
///
/// The message must name as its sender whoever is proven to have sent it, however it travelled.
/// Whether a sealed message was altered is checked elsewhere, with keys.
#[must_use]
pub fn judge(
    item: &DeliverItem,
    wire: &WireMessage,
    facts: &InboundFacts,
    config: &InboundConfig,
) -> Judgement {
    if wire.from() != facts.sender || !is_for(wire, facts.me) {
        return Judgement::Refuse(ErrorCode::MessageMisdirected);
    }
    judge_expiry(UnixMillis(item.expires_at), facts.now, config)
}

/// Judges a message by its expiry alone: enough for a member that keeps it for another one.
#[must_use]
pub fn judge_expiry(expires_at: UnixMillis, now: UnixMillis, config: &InboundConfig) -> Judgement {
    if remembered_until(expires_at, config) <= now {
        return Judgement::Refuse(ErrorCode::MessageExpired);
    }
    // A later date would have to be remembered for longer than any honest message lives.
    if expires_at > now.plus(config.ttl_max).plus(config.clock_skew_max) {
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
