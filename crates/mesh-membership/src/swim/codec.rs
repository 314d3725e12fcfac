//! The bytes of gossip: fixed layouts, big-endian, checked for length before anything is read.
//!
//! foca's datagrams begin with sender and receiver. Both are known from the frame that carries them,
//! so these [`ENDS_BYTES`] do not travel: a sender cannot lie about itself, and two thirds of a probe
//! are saved.

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Member, Message, State};
use thiserror::Error;

use mesh_protocol::PeerId;

use super::identity::SwimId;

const PEER_BYTES: usize = 32;
const AGE_BYTES: usize = 12;
const ID_BYTES: usize = PEER_BYTES + AGE_BYTES;
const MEMBER_BYTES: usize = ID_BYTES + 3;

/// The part of a datagram that does not travel: the two peers.
pub(super) const ENDS_BYTES: usize = 2 * PEER_BYTES;

/// What comes after the two peers in every datagram: two ages, an incarnation, a kind.
const HEADER_BYTES: usize = ENDS_BYTES + 2 * AGE_BYTES + 2 + 1;

mod kind {
    pub(super) const PING: u8 = 0;
    pub(super) const ACK: u8 = 1;
    pub(super) const PING_REQ: u8 = 2;
    pub(super) const INDIRECT_PING: u8 = 3;
    pub(super) const INDIRECT_ACK: u8 = 4;
    pub(super) const FORWARDED_ACK: u8 = 5;
    pub(super) const ANNOUNCE: u8 = 6;
    pub(super) const FEED: u8 = 7;
    pub(super) const GOSSIP: u8 = 8;
    pub(super) const TURN_UNDEAD: u8 = 9;
}

/// Why bytes are not gossip, or gossip has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum CodecError {
    /// There is less than one item of room or content.
    #[error("gossip ends within an item")]
    Short,
    /// A kind of message or a state that has no meaning.
    #[error("gossip of an unknown kind")]
    Kind,
}

/// Reads and writes gossip for foca.
#[derive(Clone, Copy, Debug)]
pub(super) struct SwimCodec;

/// A datagram, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) header: Header<SwimId>,
    pub(super) updates: Vec<Member<SwimId>>,
}

impl Datagram {
    /// Takes apart what `from` sent to `to`. The count of updates is not believed: they are as many
    /// as there are bytes for, or it is an error.
    pub(super) fn decode(from: PeerId, to: PeerId, data: &[u8]) -> Result<Self, CodecError> {
        let ends = from.as_bytes().iter().chain(to.as_bytes());
        let bytes: Vec<u8> = ends.chain(data).copied().collect();
        let mut rest = bytes.as_slice();
        let header = SwimCodec.decode_header(&mut rest)?;
        let mut updates = Vec::new();
        if rest.has_remaining() {
            let count = usize::from(need(&rest, 2).map(|()| rest.get_u16())?);
            if rest.remaining() != count * MEMBER_BYTES {
                return Err(CodecError::Short);
            }
            for _ in 0..count {
                updates.push(SwimCodec.decode_member(&mut rest)?);
            }
        }
        Ok(Self { header, updates })
    }

    /// The datagram as foca knows it, with its two ends.
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        SwimCodec.encode_header(&self.header, &mut bytes)?;
        if !self.updates.is_empty() {
            bytes.put_u16(u16::try_from(self.updates.len()).map_err(|_| CodecError::Short)?);
            for update in &self.updates {
                SwimCodec.encode_member(update, &mut bytes)?;
            }
        }
        Ok(bytes)
    }

    /// The member, besides the two ends, that the message is about.
    pub(super) const fn third_party(&self) -> Option<SwimId> {
        match &self.header.message {
            Message::PingReq { target: third, .. }
            | Message::IndirectPing { origin: third, .. }
            | Message::IndirectAck { target: third, .. }
            | Message::ForwardedAck { origin: third, .. } => Some(*third),
            Message::Ping(_)
            | Message::Ack(_)
            | Message::Announce
            | Message::Feed
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => None,
        }
    }
}

impl Codec<SwimId> for SwimCodec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<SwimId>,
        mut buf: impl BufMut,
    ) -> Result<(), CodecError> {
        if buf.remaining_mut() < HEADER_BYTES + ID_BYTES + 1 {
            return Err(CodecError::Short);
        }
        buf.put_slice(header.src.peer.as_bytes());
        buf.put_slice(header.dst.peer.as_bytes());
        put_age(&mut buf, &header.src);
        put_age(&mut buf, &header.dst);
        buf.put_u16(header.src_incarnation);
        put_message(&mut buf, &header.message)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<SwimId>, CodecError> {
        need(&buf, HEADER_BYTES)?;
        let (src, dst) = (peer(&mut buf), peer(&mut buf));
        let (src, dst) = (with_age(src, &mut buf), with_age(dst, &mut buf));
        let src_incarnation = buf.get_u16();
        let message = message(&mut buf)?;
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(
        &mut self,
        member: &Member<SwimId>,
        mut buf: impl BufMut,
    ) -> Result<(), CodecError> {
        if buf.remaining_mut() < MEMBER_BYTES {
            return Err(CodecError::Short);
        }
        put_id(&mut buf, member.id());
        buf.put_u16(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<SwimId>, CodecError> {
        need(&buf, MEMBER_BYTES)?;
        let id = id(&mut buf);
        let incarnation = buf.get_u16();
        let state = match buf.get_u8() {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(CodecError::Kind),
        };
        Ok(Member::new(id, incarnation, state))
    }
}

fn put_message(buf: &mut impl BufMut, message: &Message<SwimId>) -> Result<(), CodecError> {
    let (kind, third, number) = match message {
        Message::Ping(number) => (kind::PING, None, Some(*number)),
        Message::Ack(number) => (kind::ACK, None, Some(*number)),
        Message::PingReq { target, probe_number } => {
            (kind::PING_REQ, Some(target), Some(*probe_number))
        }
        Message::IndirectPing { origin, probe_number } => {
            (kind::INDIRECT_PING, Some(origin), Some(*probe_number))
        }
        Message::IndirectAck { target, probe_number } => {
            (kind::INDIRECT_ACK, Some(target), Some(*probe_number))
        }
        Message::ForwardedAck { origin, probe_number } => {
            (kind::FORWARDED_ACK, Some(origin), Some(*probe_number))
        }
        Message::Announce => (kind::ANNOUNCE, None, None),
        Message::Feed => (kind::FEED, None, None),
        Message::Gossip => (kind::GOSSIP, None, None),
        Message::TurnUndead => (kind::TURN_UNDEAD, None, None),
        // Carries application data only, which the mesh has better ways for.
        Message::Broadcast => return Err(CodecError::Kind),
    };
    buf.put_u8(kind);
    if let Some(third) = third {
        put_id(buf, third);
    }
    if let Some(number) = number {
        buf.put_u8(number);
    }
    Ok(())
}

fn message(buf: &mut impl Buf) -> Result<Message<SwimId>, CodecError> {
    let kind = buf.get_u8();
    if matches!(kind, kind::PING | kind::ACK) {
        need(buf, 1)?;
        let number = buf.get_u8();
        let is_ping = kind == kind::PING;
        return Ok(if is_ping { Message::Ping(number) } else { Message::Ack(number) });
    }
    if (kind::PING_REQ..=kind::FORWARDED_ACK).contains(&kind) {
        need(buf, ID_BYTES + 1)?;
        let (third, probe_number) = (id(buf), buf.get_u8());
        return Ok(match kind {
            kind::PING_REQ => Message::PingReq { target: third, probe_number },
            kind::INDIRECT_PING => Message::IndirectPing { origin: third, probe_number },
            kind::INDIRECT_ACK => Message::IndirectAck { target: third, probe_number },
            _ => Message::ForwardedAck { origin: third, probe_number },
        });
    }
    match kind {
        kind::ANNOUNCE => Ok(Message::Announce),
        kind::FEED => Ok(Message::Feed),
        kind::GOSSIP => Ok(Message::Gossip),
        kind::TURN_UNDEAD => Ok(Message::TurnUndead),
        _ => Err(CodecError::Kind),
    }
}

/// The readers below panic when bytes are missing; this comes before each of them.
fn need(buf: &impl Buf, bytes: usize) -> Result<(), CodecError> {
    if buf.remaining() < bytes { Err(CodecError::Short) } else { Ok(()) }
}

fn put_age(buf: &mut impl BufMut, id: &SwimId) {
    buf.put_u64(id.incarnation);
    buf.put_u32(id.renewal);
}

fn put_id(buf: &mut impl BufMut, id: &SwimId) {
    buf.put_slice(id.peer.as_bytes());
    put_age(buf, id);
}

fn peer(buf: &mut impl Buf) -> PeerId {
    let mut bytes = [0; PEER_BYTES];
    buf.copy_to_slice(&mut bytes);
    PeerId::from_bytes(bytes)
}

fn with_age(peer: PeerId, buf: &mut impl Buf) -> SwimId {
    SwimId { peer, incarnation: buf.get_u64(), renewal: buf.get_u32() }
}

fn id(buf: &mut impl Buf) -> SwimId {
    let peer = peer(buf);
    with_age(peer, buf)
}

#[cfg(test)]
mod tests;
