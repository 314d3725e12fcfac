use foca::{Codec as _, Header, Member, Message, State};
use proptest::collection::vec;
use proptest::prelude::*;

use mesh_protocol::{PeerId, SWIM_BYTES_MAX};

use super::{CodecError, Datagram, ENDS_BYTES, MEMBER_BYTES, SwimCodec, SwimId};

fn peers() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(PeerId::from_bytes)
}

fn ids() -> impl Strategy<Value = SwimId> {
    (peers(), any::<u64>(), any::<u32>()).prop_map(|(peer, incarnation, renewal)| SwimId {
        peer,
        incarnation,
        renewal,
    })
}

fn messages() -> impl Strategy<Value = Message<SwimId>> {
    (0_u8..10, ids(), any::<u8>()).prop_map(|(kind, id, probe_number)| match kind {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq { target: id, probe_number },
        3 => Message::IndirectPing { origin: id, probe_number },
        4 => Message::IndirectAck { target: id, probe_number },
        5 => Message::ForwardedAck { origin: id, probe_number },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        _ => Message::TurnUndead,
    })
}

fn updates() -> impl Strategy<Value = Member<SwimId>> {
    let states = prop_oneof![Just(State::Alive), Just(State::Suspect), Just(State::Down)];
    (ids(), any::<u16>(), states)
        .prop_map(|(id, incarnation, state)| Member::new(id, incarnation, state))
}

fn datagrams() -> impl Strategy<Value = Datagram> {
    (ids(), any::<u16>(), ids(), messages(), vec(updates(), 0..20)).prop_map(
        |(src, src_incarnation, dst, message, updates)| Datagram {
            header: Header { src, src_incarnation, dst, message },
            updates,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(datagram in datagrams()) {
        let bytes = datagram.encode().unwrap();
        let (from, to) = (datagram.header.src.peer, datagram.header.dst.peer);
        prop_assert_eq!(Datagram::decode(from, to, &bytes[ENDS_BYTES..]), Ok(datagram));
    }

    #[test]
    fn a_piece_of_a_datagram_is_never_mistaken_for_a_whole_one(
        datagram in datagrams(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = datagram.encode().unwrap();
        let (from, to) = (datagram.header.src.peer, datagram.header.dst.peer);
        let data = &bytes[ENDS_BYTES..];
        let piece = &data[..cut.index(data.len())];
        match Datagram::decode(from, to, piece) {
            // Nothing but a header is a datagram without news.
            Ok(read) => prop_assert_eq!((read.header, read.updates), (datagram.header, vec![])),
            Err(error) => prop_assert_eq!(error, CodecError::Short),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(data in vec(any::<u8>(), 0..SWIM_BYTES_MAX)) {
        let me = PeerId::from_bytes([1; 32]);
        drop(Datagram::decode(me, me, &data));
    }

    #[test]
    fn nothing_is_written_where_a_member_does_not_fit(member in updates(), room in 0..MEMBER_BYTES) {
        let mut room = vec![7; room];
        let untouched = room.clone();
        let written = SwimCodec.encode_member(&member, room.as_mut_slice());
        prop_assert_eq!((written, room), (Err(CodecError::Short), untouched));
    }
}

#[test]
fn a_count_that_the_bytes_do_not_bear_out_is_refused() {
    let id = |byte| SwimId::unknown(PeerId::from_bytes([byte; 32]));
    let header =
        Header { src: id(1), src_incarnation: 0, dst: id(2), message: Message::<SwimId>::Gossip };
    let datagram = Datagram { header, updates: vec![Member::alive(id(3))] };
    let mut bytes = datagram.encode().unwrap().split_off(ENDS_BYTES);
    let count_at = bytes.len() - MEMBER_BYTES - 2;
    bytes[count_at] = 0xff;
    assert_eq!(Datagram::decode(id(1).peer, id(2).peer, &bytes), Err(CodecError::Short));
}
