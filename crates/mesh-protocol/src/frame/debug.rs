use std::fmt;

use super::Frame;
use crate::codec::ByteCount;

impl fmt::Debug for Frame {
    /// Shows a snapshot's length alone: rows are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes;
        let (name, body): (&str, &dyn fmt::Debug) = match self {
            Self::Hello(body) => ("Hello", body),
            Self::Welcome(body) => ("Welcome", body),
            Self::Refused(body) => ("Refused", body),
            Self::Deliver(body) => ("Deliver", body),
            Self::DeliverResult(body) => ("DeliverResult", body),
            Self::Live(body) => ("Live", body),
            Self::LiveResult(body) => ("LiveResult", body),
            Self::Ping(body) => ("Ping", body),
            Self::Pong(body) => ("Pong", body),
            Self::PairKeyStored(body) => ("PairKeyStored", body),
            Self::RecordIds(body) => ("RecordIds", body),
            Self::Records(body) => ("Records", body),
            Self::JoinRequest(body) => ("JoinRequest", body),
            Self::JoinReply(body) => ("JoinReply", body),
            Self::Introduce(body) => ("Introduce", body),
            Self::Probe(body) => ("Probe", body),
            Self::ProbeResult(body) => ("ProbeResult", body),
            Self::LinkStateVersions(body) => ("LinkStateVersions", body),
            Self::LinkStates(body) => ("LinkStates", body),
            Self::Forward(body) => ("Forward", body),
            Self::Receipts(body) => ("Receipts", body),
            Self::Custody(body) => ("Custody", body),
            Self::CustodyResult(body) => ("CustodyResult", body),
            Self::RoutedPing(body) => ("RoutedPing", body),
            Self::Swim(body) => ("Swim", body),
            Self::SyncHave(body) => ("SyncHave", body),
            Self::SyncParts(body) => ("SyncParts", body),
            Self::SnapshotRequest(body) => ("SnapshotRequest", body),
            Self::TableDigests(body) => ("TableDigests", body),
            Self::ConfigQuestion(body) => ("ConfigQuestion", body),
            Self::ConfigAnswer(body) => ("ConfigAnswer", body),
            Self::OriginOwners(body) => ("OriginOwners", body),
            Self::SnapshotChunk(chunk) => {
                bytes = ByteCount(chunk.len());
                ("SnapshotChunk", &bytes)
            }
        };
        f.debug_tuple(name).field(body).finish()
    }
}
