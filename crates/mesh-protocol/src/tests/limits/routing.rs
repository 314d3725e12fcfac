//! Bounds of what travels through others.

use super::{List, check_list};
use crate::tests::{decode_frame, samples};
use crate::{
    Custody, CustodyResult, DecodeError, DeliverItem, DeliverOutcome, EncodeError,
    FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, Forward, Frame, HOPS_MAX, Itinerary,
    LINK_STATE_BYTES_MAX, LINK_STATE_VERSIONS_MAX, LINK_STATES_PER_FRAME_MAX, LinkState,
    LinkStateVersions, LinkStates, MESSAGE_BYTES_MAX, NEIGHBOURS_MAX, Neighbour,
    PARCEL_MESSAGE_BYTES_MAX, PARCELS_PER_FRAME_MAX, PRIORITY_MAX, Parcel, PeerId, Receipts,
    RoutedPing, SWIM_BYTES_MAX, Signature, SignedLinkState, Swim, WireMessage,
};

/// Origin and destination stand in front of an itinerary's hops.
const HOPS_AT: usize = 32 + 32;
/// An itinerary without hops.
const ITINERARY: usize = HOPS_AT + 8;

fn parcel(priority: u8, message_bytes: usize) -> Parcel {
    let message = vec![0; message_bytes];
    Parcel { item: DeliverItem { message, ..samples::deliver_item(priority) }, ..samples::parcel() }
}

/// Mesh, sender, receiver, message id, stream, sequence, priority, expiry, no bytes, signature.
fn parcel_bytes() -> Vec<u8> {
    vec![0; 32 + 32 + 32 + 16 + 8 + 8 + 1 + 8 + 8 + 64]
}

fn way(hops: usize) -> Itinerary {
    Itinerary { hops: vec![samples::OAK; hops], ..Itinerary::new(samples::MINT, samples::BAULDER) }
}

fn forward(parcels: Vec<Parcel>) -> Frame {
    Frame::Forward(Forward { itinerary: way(0), parcels })
}

fn custody(parcels: Vec<Parcel>) -> Frame {
    Frame::Custody(Custody { request_id: 1, parcels })
}

#[test]
fn a_frame_holds_so_many_parcels_and_receipts() {
    check_list(PARCELS_PER_FRAME_MAX, ITINERARY, &parcel_bytes(), |count| {
        forward(vec![parcel(1, 0); count])
    });
    check_list(PARCELS_PER_FRAME_MAX, 8, &parcel_bytes(), |count| {
        custody(vec![parcel(1, 0); count])
    });
    // Mesh, receiver, sender, message id, stored, time, signature.
    let receipt = [0; 32 + 32 + 32 + 16 + 4 + 8 + 64];
    check_list(PARCELS_PER_FRAME_MAX, ITINERARY, &receipt, |count| {
        let receipts = vec![samples::receipt(); count];
        Frame::Receipts(Receipts { itinerary: way(0), receipts })
    });
    check_list(PARCELS_PER_FRAME_MAX, 8, &0_u32.to_le_bytes(), |count| {
        let outcomes = vec![DeliverOutcome::Stored; count];
        Frame::CustodyResult(CustodyResult { request_id: 1, outcomes })
    });
}

#[test]
fn a_frame_holds_so_many_link_states_and_their_names() {
    // No bytes, signature.
    check_list(LINK_STATES_PER_FRAME_MAX, 0, &[0; 8 + 64], |count| {
        let state = SignedLinkState { body: vec![], signature: Signature::from_bytes([1; 64]) };
        Frame::LinkStates(LinkStates { states: vec![state; count] })
    });
    // Origin, incarnation, version; behind the list whether an answer is wanted.
    let names = List { count_at: 0, tail_bytes: 1, element: &[0; 32 + 8 + 8] };
    names.check(LINK_STATE_VERSIONS_MAX, |count| {
        let versions = vec![samples::link_state().version(); count];
        Frame::LinkStateVersions(LinkStateVersions { versions, wants_answer: true })
    });
}

#[test]
fn a_way_holds_so_many_hops() {
    let hops = |tail_bytes| List { count_at: HOPS_AT, tail_bytes, element: &[7; 32] };
    hops(8).check(HOPS_MAX, |count| {
        Frame::Forward(Forward { itinerary: way(count), parcels: vec![] })
    });
    hops(8).check(HOPS_MAX, |count| {
        Frame::Receipts(Receipts { itinerary: way(count), receipts: vec![] })
    });
    hops(8).check(HOPS_MAX, |count| Frame::Swim(Swim { itinerary: way(count), data: vec![] }));
    let ping = |itinerary, answered_via| {
        Frame::RoutedPing(RoutedPing { itinerary, nonce: 1, sent_at: 2, answered_via })
    };
    hops(8 + 8 + 1).check(HOPS_MAX, |count| ping(way(count), None));
    check_list(HOPS_MAX, ITINERARY + 8 + 8 + 1, &[7; 32], |count| {
        ping(way(0), Some(vec![samples::OAK; count]))
    });
}

#[test]
fn gossip_ends_where_a_datagram_would() {
    check_list(SWIM_BYTES_MAX, ITINERARY, &[7], |count| {
        Frame::Swim(Swim { itinerary: way(0), data: vec![7; count] })
    });
}

#[test]
fn parcels_have_the_three_priorities() {
    for frame in [forward, custody] {
        let with = |priority| frame(vec![parcel(0, 0), parcel(priority, 0)]);
        let largest = with(PRIORITY_MAX);
        let mut bytes = largest.encode().unwrap();
        assert_eq!(decode_frame(&bytes).unwrap(), largest);
        assert_eq!(
            with(PRIORITY_MAX + 1).encode(),
            Err(EncodeError::FieldTooLarge { what: "priority" })
        );
        // In front of the end: signature, no bytes, expiry.
        let at = bytes.len() - 64 - 8 - 8 - 1;
        bytes[at] = PRIORITY_MAX + 1;
        assert_eq!(decode_frame(&bytes), Err(DecodeError::Malformed { what: "priority" }));
        let kept = Parcel::decode(&bytes[bytes.len() - parcel_bytes().len()..]);
        assert_eq!(kept, Err(DecodeError::Malformed { what: "priority" }));
    }
    let refused = parcel(PRIORITY_MAX + 1, 0).encode();
    assert_eq!(refused, Err(EncodeError::FieldTooLarge { what: "priority" }));
}

#[test]
fn a_parcel_holds_one_message_of_the_largest_size() {
    let mut envelope = samples::envelope();
    envelope.ciphertext = vec![0; MESSAGE_BYTES_MAX + 16];
    let message = WireMessage::Sealed(envelope).encode().unwrap();
    assert!(message.len() <= PARCEL_MESSAGE_BYTES_MAX);

    let largest = parcel(1, PARCEL_MESSAGE_BYTES_MAX);
    let bytes = largest.encode().unwrap();
    assert_eq!(Parcel::decode(&bytes).unwrap(), largest);
    // What one frame brought fits the next one, with as many hops as there may be.
    let onward = Forward { itinerary: way(HOPS_MAX), parcels: vec![largest.clone()] };
    Frame::Forward(onward).encode().unwrap();
    custody(vec![largest]).encode().unwrap();

    let too_large = parcel(1, PARCEL_MESSAGE_BYTES_MAX + 1);
    let refused = EncodeError::FieldTooLarge { what: "parcel" };
    assert_eq!(too_large.encode(), Err(refused.clone()));
    assert_eq!(forward(vec![too_large.clone()]).encode(), Err(refused.clone()));
    assert_eq!(custody(vec![too_large.clone()]).encode(), Err(refused));
    let bytes = crate::codec::encode(&too_large, FRAME_BODY_BYTES_MAX).unwrap();
    assert_eq!(Parcel::decode(&bytes), Err(DecodeError::Malformed { what: "parcel" }));
    let mut frame = custody(vec![]).encode().unwrap();
    frame[FRAME_HEADER_BYTES + 8] = 1;
    frame.extend_from_slice(&bytes);
    crate::tests::fix_body_length(&mut frame);
    assert_eq!(decode_frame(&frame), Err(DecodeError::Malformed { what: "parcel" }));

    let refused = Parcel::decode(&vec![0; FRAME_BODY_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(DecodeError::TooLarge { .. })), "{refused:?}");
}

fn links(count: usize) -> LinkState {
    let neighbour = |number: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Neighbour { peer: PeerId::from_bytes(id), rtt_micros: u32::MAX }
    };
    LinkState { neighbours: (0..count).map(neighbour).collect(), ..samples::link_state() }
}

fn unsigned(body: Vec<u8>) -> SignedLinkState {
    SignedLinkState { body, signature: Signature::from_bytes([0; 64]) }
}

#[test]
fn a_peer_has_so_many_links() {
    let largest = links(NEIGHBOURS_MAX);
    let body = largest.encode().unwrap();
    assert!(body.len() <= LINK_STATE_BYTES_MAX);
    assert_eq!(unsigned(body).peek().unwrap(), largest);
    let too_many = links(NEIGHBOURS_MAX + 1);
    assert_eq!(too_many.encode(), Err(EncodeError::FieldTooLarge { what: "links" }));
    let body = crate::codec::encode(&too_many, LINK_STATE_BYTES_MAX).unwrap();
    assert_eq!(unsigned(body).peek(), Err(DecodeError::Malformed { what: "link state" }));
    assert_eq!(
        unsigned(vec![0; LINK_STATE_BYTES_MAX + 1]).peek(),
        Err(DecodeError::TooLarge { bytes: 8193, bytes_max: LINK_STATE_BYTES_MAX })
    );
}

#[test]
fn links_are_sorted_and_each_peer_has_one() {
    let mut reversed = links(3);
    reversed.neighbours.reverse();
    let mut twice = links(3);
    twice.neighbours[1] = twice.neighbours[0];
    for wrong in [reversed, twice] {
        assert_eq!(wrong.encode(), Err(EncodeError::FieldTooLarge { what: "links" }));
        let body = crate::codec::encode(&wrong, LINK_STATE_BYTES_MAX).unwrap();
        assert_eq!(unsigned(body).peek(), Err(DecodeError::Malformed { what: "links" }));
    }
    assert_eq!(unsigned(links(0).encode().unwrap()).peek().unwrap(), links(0));
}
