//! What travels through others.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{bytes, deliver_item, mesh_id, message_id, outcome, peer_id, signature, time};
use crate::{
    Custody, CustodyResult, Forward, Frame, HOPS_MAX, Itinerary, LinkState, LinkStateVersion,
    LinkStateVersions, LinkStates, Neighbour, Parcel, Probe, ProbeResult, Receipt, Receipts,
    RoutedPing, SWIM_BYTES_MAX, SignedLinkState, Swim,
};

pub(crate) fn link_state() -> impl Strategy<Value = LinkState> {
    let neighbour = (peer_id(), any::<u32>());
    (mesh_id(), peer_id(), any::<u64>(), any::<u64>(), vec(neighbour, 0..9)).prop_map(
        |(mesh_id, origin, incarnation, version, neighbours)| {
            let neighbours = neighbours.into_iter();
            let mut neighbours: Vec<Neighbour> =
                neighbours.map(|(peer, rtt_micros)| Neighbour { peer, rtt_micros }).collect();
            neighbours.sort_unstable_by_key(|neighbour| neighbour.peer);
            neighbours.dedup_by_key(|neighbour| neighbour.peer);
            LinkState { mesh_id, origin, incarnation, version, neighbours }
        },
    )
}

fn signed_link_state() -> impl Strategy<Value = SignedLinkState> {
    // A frame carries the body unread, so any bytes will do.
    let body = prop_oneof![link_state().prop_map(|state| state.encode().unwrap()), bytes()];
    (body, signature()).prop_map(|(body, signature)| SignedLinkState { body, signature })
}

fn link_state_version() -> impl Strategy<Value = LinkStateVersion> {
    (peer_id(), any::<u64>(), any::<u64>()).prop_map(|(origin, incarnation, version)| {
        LinkStateVersion { origin, incarnation, version }
    })
}

pub(crate) fn parcel() -> impl Strategy<Value = Parcel> {
    (mesh_id(), peer_id(), peer_id(), message_id(), deliver_item(), signature()).prop_map(
        |(mesh_id, from, to, message_id, item, signature)| Parcel {
            mesh_id,
            from,
            to,
            message_id,
            item,
            signature,
        },
    )
}

fn parcels() -> impl Strategy<Value = Vec<Parcel>> {
    vec(parcel(), 0..4)
}

fn receipt() -> impl Strategy<Value = Receipt> {
    let who = (mesh_id(), peer_id(), peer_id());
    (who, message_id(), outcome(), time(), signature()).prop_map(
        |((mesh_id, from, to), message_id, outcome, at, signature)| Receipt {
            mesh_id,
            from,
            to,
            message_id,
            outcome,
            at,
            signature,
        },
    )
}

pub(crate) fn itinerary() -> impl Strategy<Value = Itinerary> {
    (peer_id(), peer_id(), vec(peer_id(), 0..=HOPS_MAX))
        .prop_map(|(origin, destination, hops)| Itinerary { origin, destination, hops })
}

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let probe = (any::<u64>(), peer_id()).prop_map(|(nonce, subject)| Probe { nonce, subject });
    let probe_result = (any::<(u64, bool, u64, u64)>(), peer_id()).prop_map(
        |((nonce, is_reached, incarnation, last_seen_at), subject)| ProbeResult {
            nonce,
            subject,
            is_reached,
            incarnation,
            last_seen_at,
        },
    );
    let versions = (vec(link_state_version(), 0..9), any::<bool>())
        .prop_map(|(versions, wants_answer)| LinkStateVersions { versions, wants_answer });
    let states = vec(signed_link_state(), 0..4).prop_map(|states| LinkStates { states });
    let forward =
        (itinerary(), parcels()).prop_map(|(itinerary, parcels)| Forward { itinerary, parcels });
    let receipts = (itinerary(), vec(receipt(), 0..4))
        .prop_map(|(itinerary, receipts)| Receipts { itinerary, receipts });
    let custody =
        (any::<u64>(), parcels()).prop_map(|(request_id, parcels)| Custody { request_id, parcels });
    let custody_result = (any::<u64>(), vec(outcome(), 0..9))
        .prop_map(|(request_id, outcomes)| CustodyResult { request_id, outcomes });
    let hops = option::of(vec(peer_id(), 0..=HOPS_MAX));
    let ping = (itinerary(), any::<(u64, u64)>(), hops).prop_map(
        |(itinerary, (nonce, sent_at), answered_via)| RoutedPing {
            itinerary,
            nonce,
            sent_at,
            answered_via,
        },
    );
    let swim = (itinerary(), vec(any::<u8>(), 0..=SWIM_BYTES_MAX))
        .prop_map(|(itinerary, data)| Swim { itinerary, data });
    prop_oneof![
        probe.prop_map(Frame::Probe),
        probe_result.prop_map(Frame::ProbeResult),
        versions.prop_map(Frame::LinkStateVersions),
        states.prop_map(Frame::LinkStates),
        forward.prop_map(Frame::Forward),
        receipts.prop_map(Frame::Receipts),
        custody.prop_map(Frame::Custody),
        custody_result.prop_map(Frame::CustodyResult),
        ping.prop_map(Frame::RoutedPing),
        swim.prop_map(Frame::Swim),
    ]
}
