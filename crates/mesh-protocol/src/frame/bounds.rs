//! How much a frame may hold: what is more is neither sent nor taken.

use super::{DeliverItem, Frame};
use crate::codec::check_count;
use crate::{
    DELIVER_ITEMS_MAX, HOPS_MAX, Itinerary, JOIN_RECORDS_MAX, LINK_STATE_VERSIONS_MAX,
    LINK_STATES_PER_FRAME_MAX, PARCELS_PER_FRAME_MAX, PRIORITY_MAX, Parcel, RECORD_IDS_MAX,
    RECORDS_PER_FRAME_MAX, SNAPSHOT_CHUNK_BYTES_MAX, SWIM_BYTES_MAX, TEXT_BYTES_MAX,
};

impl Frame {
    /// Names the field that breaks its bound, if one does.
    pub(super) fn check_bounds(&self) -> Result<(), &'static str> {
        match self {
            Self::Refused(refused) => check_count("refusal", refused.message.len(), TEXT_BYTES_MAX),
            Self::Deliver(deliver) => {
                check_count("batch", deliver.items.len(), DELIVER_ITEMS_MAX)?;
                let is_known = |item: &DeliverItem| item.priority <= PRIORITY_MAX;
                if deliver.items.iter().all(is_known) { Ok(()) } else { Err("priority") }
            }
            Self::DeliverResult(result) => {
                check_count("batch result", result.outcomes.len(), DELIVER_ITEMS_MAX)
            }
            Self::RecordIds(ids) => check_count("record ids", ids.ids.len(), RECORD_IDS_MAX),
            Self::Records(records) => {
                check_count("records", records.records.len(), RECORDS_PER_FRAME_MAX)
            }
            Self::Introduce(introduce) => {
                check_count("introduction", introduce.records.len(), RECORDS_PER_FRAME_MAX)
            }
            Self::JoinReply(reply) => {
                check_count("join reply", reply.records.len(), JOIN_RECORDS_MAX)
            }
            Self::LinkStateVersions(versions) => {
                check_count("link states", versions.versions.len(), LINK_STATE_VERSIONS_MAX)
            }
            Self::LinkStates(states) => {
                check_count("link states", states.states.len(), LINK_STATES_PER_FRAME_MAX)
            }
            Self::Forward(forward) => {
                check_hops(&forward.itinerary)?;
                check_parcels(&forward.parcels)
            }
            Self::Receipts(receipts) => {
                check_hops(&receipts.itinerary)?;
                check_count("receipts", receipts.receipts.len(), PARCELS_PER_FRAME_MAX)
            }
            Self::Custody(custody) => check_parcels(&custody.parcels),
            Self::CustodyResult(result) => {
                check_count("custody result", result.outcomes.len(), PARCELS_PER_FRAME_MAX)
            }
            Self::RoutedPing(ping) => {
                check_hops(&ping.itinerary)?;
                check_count("hops", ping.answered_via.as_ref().map_or(0, Vec::len), HOPS_MAX)
            }
            Self::Swim(swim) => {
                check_hops(&swim.itinerary)?;
                check_count("gossip", swim.data.len(), SWIM_BYTES_MAX)
            }
            Self::SyncHave(have) => have.check_bounds(),
            Self::SyncParts(parts) => parts.check_bounds(),
            Self::SnapshotRequest(request) => request.check_bounds(),
            Self::SnapshotChunk(chunk) => {
                check_count("snapshot", chunk.len(), SNAPSHOT_CHUNK_BYTES_MAX)
            }
            Self::TableDigests(digests) => digests.check_bounds(),
            Self::ConfigQuestion(question) => question.check_bounds(),
            Self::ConfigAnswer(answer) => answer.check_bounds(),
            Self::OriginOwners(owners) => owners.check_bounds(),
            Self::Hello(_)
            | Self::Welcome(_)
            | Self::Probe(_)
            | Self::ProbeResult(_)
            | Self::Live(_)
            | Self::LiveResult(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::PairKeyStored(_)
            | Self::JoinRequest(_) => Ok(()),
        }
    }
}

const fn check_hops(itinerary: &Itinerary) -> Result<(), &'static str> {
    check_count("hops", itinerary.hops.len(), HOPS_MAX)
}

fn check_parcels(parcels: &[Parcel]) -> Result<(), &'static str> {
    check_count("parcels", parcels.len(), PARCELS_PER_FRAME_MAX)?;
    parcels.iter().try_for_each(Parcel::check_bounds)
}
