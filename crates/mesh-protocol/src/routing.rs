//! What travels through others: who reaches whom, parcels and the receipts for them, probes.
//!
//! Everything that a relay or custodian could profit from forging carries its author's signature:
//! links by the peer that has them, a parcel by its sender, a receipt by its receiver. What is signed
//! begins with a label of its own, so that no signature can be used for anything else.

use serde::{Deserialize, Serialize};

use crate::codec::{ByteCount, check_count, decode, encode, list};
use crate::{
    DecodeError, DeliverItem, DeliverOutcome, EncodeError, HOPS_MAX, LINK_STATE_BYTES_MAX,
    LINK_STATE_VERSIONS_MAX, LINK_STATES_PER_FRAME_MAX, MeshId, MessageId, NEIGHBOURS_MAX,
    PARCEL_MESSAGE_BYTES_MAX, PARCELS_PER_FRAME_MAX, PRIORITY_MAX, PeerId, RecordError,
    RecordVerifier, Signature, UnixMillis,
};

/// Asks a member whether it reaches another one at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Comes back in the answer.
    pub nonce: u64,
    /// Whom it is about.
    pub subject: PeerId,
}

/// Answers [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// The probe that is answered.
    pub nonce: u64,
    /// Whom it is about.
    pub subject: PeerId,
    /// Whether the subject answered a ping on a link of its own, just now.
    pub is_reached: bool,
    /// The subject's incarnation as far as the answering member knows; 0 when it knows none.
    pub incarnation: u64,
    /// When the answering member last heard of the subject, Unix milliseconds; 0 for never.
    pub last_seen_at: u64,
}

/// A link that a peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The other end.
    pub peer: PeerId,
    /// Latest round trip, microseconds; 0 when it is not known.
    pub rtt_micros: u32,
}

/// The links of one peer. Of several, the highest `(incarnation, version)` counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// The mesh.
    pub mesh_id: MeshId,
    /// Whose links these are; it signs.
    pub origin: PeerId,
    /// Grows with every start of the origin.
    pub incarnation: u64,
    /// Grows with every change within one incarnation.
    pub version: u64,
    /// The links, sorted by peer, each peer once.
    #[serde(deserialize_with = "list::<_, _, NEIGHBOURS_MAX>")]
    pub neighbours: Vec<Neighbour>,
}

impl LinkState {
    /// Name and version.
    #[must_use]
    pub const fn version(&self) -> LinkStateVersion {
        LinkStateVersion {
            origin: self.origin,
            incarnation: self.incarnation,
            version: self.version,
        }
    }

    /// The canonical bytes, which are signed.
    ///
    /// # Errors
    /// [`EncodeError`] when a bound is exceeded or the links are not in order.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check().map_err(|what| EncodeError::FieldTooLarge { what })?;
        encode(self, LINK_STATE_BYTES_MAX)
    }

    fn check(&self) -> Result<(), &'static str> {
        check_count("links", self.neighbours.len(), NEIGHBOURS_MAX)?;
        let is_sorted = self.neighbours.windows(2).all(|pair| match pair {
            [a, b] => a.peer < b.peer,
            _ => true,
        });
        if is_sorted { Ok(()) } else { Err("links") }
    }
}

/// Names one [`LinkState`] among those of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkStateVersion {
    /// Whose links.
    pub origin: PeerId,
    /// The origin's start.
    pub incarnation: u64,
    /// The change within it.
    pub version: u64,
}

const LINK_STATE_DOMAIN: &[u8] = b"agent-mesh/v1/link-state\0";
const PARCEL_DOMAIN: &[u8] = b"agent-mesh/v1/parcel\0";
const RECEIPT_DOMAIN: &[u8] = b"agent-mesh/v1/receipt\0";

/// A [`LinkState`] with its signature, as it travels. Nothing in it has been checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLinkState {
    /// The canonical bytes of the [`LinkState`].
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Ed25519 signature of the origin over [`SignedLinkState::signing_bytes`].
    pub signature: Signature,
}

impl std::fmt::Debug for SignedLinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = ByteCount(self.body.len());
        f.debug_struct("SignedLinkState").field("body", &body).finish_non_exhaustive()
    }
}

impl SignedLinkState {
    /// What is signed: a domain label, then the canonical bytes.
    #[must_use]
    pub fn signing_bytes(body: &[u8]) -> Vec<u8> {
        [LINK_STATE_DOMAIN, body].concat()
    }

    /// The content, unchecked but within its bounds: enough to see whether it is new.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not exactly one link state.
    pub fn peek(&self) -> Result<LinkState, DecodeError> {
        const WHAT: &str = "link state";
        if self.body.len() > LINK_STATE_BYTES_MAX {
            let bytes = self.body.len() as u64;
            return Err(DecodeError::TooLarge { bytes, bytes_max: LINK_STATE_BYTES_MAX });
        }
        let state: LinkState = decode(WHAT, &self.body, false)?;
        state.check().map_err(|what| DecodeError::Malformed { what })?;
        Ok(state)
    }

    /// The content, when its origin signed it.
    ///
    /// # Errors
    /// [`RecordError`]: malformed or forged.
    pub fn verify(&self, verifier: &impl RecordVerifier) -> Result<LinkState, RecordError> {
        let state = self.peek()?;
        let signed = Self::signing_bytes(&self.body);
        if !verifier.is_signed_by(&state.origin, &signed, &self.signature) {
            return Err(RecordError::Signature);
        }
        Ok(state)
    }
}

/// A message that goes through others: sealed, and signed with everything that its receiver acts upon.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The mesh.
    pub mesh_id: MeshId,
    /// The sender, who signs.
    pub from: PeerId,
    /// The receiver.
    pub to: PeerId,
    /// The message inside.
    pub message_id: MessageId,
    /// The message with its place in the sender's outbox.
    pub item: DeliverItem,
    /// Ed25519 signature of the sender over [`Parcel::signing_bytes`].
    pub signature: Signature,
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parcel")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("message_id", &self.message_id)
            .field("item", &self.item)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct ParcelHead {
    mesh_id: MeshId,
    from: PeerId,
    to: PeerId,
    message_id: MessageId,
    stream: u64,
    sequence: u64,
    priority: u8,
    expires_at: u64,
    message_digest: [u8; 32],
}

impl Parcel {
    /// What is signed: a domain label, every field, and the digest of the message.
    ///
    /// # Errors
    /// Never for fields of fixed size; the type keeps callers free of panics.
    pub fn signing_bytes(&self, verifier: &impl RecordVerifier) -> Result<Vec<u8>, EncodeError> {
        let head = ParcelHead {
            mesh_id: self.mesh_id,
            from: self.from,
            to: self.to,
            message_id: self.message_id,
            stream: self.item.stream,
            sequence: self.item.sequence,
            priority: self.item.priority,
            expires_at: self.item.expires_at,
            message_digest: verifier.digest(&self.item.message),
        };
        Ok([PARCEL_DOMAIN, &encode(&head, 1024)?].concat())
    }

    /// Whether the sender named in it signed it.
    #[must_use]
    pub fn is_genuine(&self, verifier: &impl RecordVerifier) -> bool {
        self.signing_bytes(verifier)
            .is_ok_and(|bytes| verifier.is_signed_by(&self.from, &bytes, &self.signature))
    }

    /// Encodes a parcel that is to be kept.
    ///
    /// # Errors
    /// [`EncodeError`] when the message is too large or the priority unknown.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check_bounds().map_err(|what| EncodeError::FieldTooLarge { what })?;
        encode(self, crate::FRAME_BODY_BYTES_MAX)
    }

    /// Decodes what [`Parcel::encode`] made.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not exactly one parcel.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "parcel";
        if bytes.len() > crate::FRAME_BODY_BYTES_MAX {
            let (bytes, bytes_max) = (bytes.len() as u64, crate::FRAME_BODY_BYTES_MAX);
            return Err(DecodeError::TooLarge { bytes, bytes_max });
        }
        let parcel: Self = decode(WHAT, bytes, false)?;
        parcel.check_bounds().map_err(|what| DecodeError::Malformed { what })?;
        Ok(parcel)
    }

    /// Names the field that breaks its bound, if one does.
    pub(crate) const fn check_bounds(&self) -> Result<(), &'static str> {
        if self.item.priority > PRIORITY_MAX {
            return Err("priority");
        }
        check_count("parcel", self.item.message.len(), PARCEL_MESSAGE_BYTES_MAX)
    }
}

/// What became of a message, said by its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The mesh.
    pub mesh_id: MeshId,
    /// The message's receiver, who signs.
    pub from: PeerId,
    /// The message's sender.
    pub to: PeerId,
    /// The message.
    pub message_id: MessageId,
    /// What became of it.
    pub outcome: DeliverOutcome,
    /// When, by the receiver's clock.
    pub at: UnixMillis,
    /// Ed25519 signature of the receiver over [`Receipt::signing_bytes`].
    pub signature: Signature,
}

impl Receipt {
    /// What is signed: a domain label, then every field before the signature.
    ///
    /// # Errors
    /// Never for fields of fixed size; the type keeps callers free of panics.
    pub fn signing_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        let fields = (self.mesh_id, self.from, self.to, self.message_id, self.outcome, self.at);
        Ok([RECEIPT_DOMAIN, &encode(&fields, 1024)?].concat())
    }

    /// Whether the receiver named in it signed it.
    #[must_use]
    pub fn is_genuine(&self, verifier: &impl RecordVerifier) -> bool {
        self.signing_bytes()
            .is_ok_and(|bytes| verifier.is_signed_by(&self.from, &bytes, &self.signature))
    }
}

/// From whom, to whom and through whom a frame travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Itinerary {
    /// Who sent the frame on its way; answers go there.
    pub origin: PeerId,
    /// Where it is to end.
    pub destination: PeerId,
    /// Members that passed it on, in order.
    #[serde(deserialize_with = "list::<_, _, HOPS_MAX>")]
    pub hops: Vec<PeerId>,
}

impl Itinerary {
    /// The way from `origin` to `destination`, before its first step.
    #[must_use]
    pub const fn new(origin: PeerId, destination: PeerId) -> Self {
        Self { origin, destination, hops: Vec::new() }
    }

    /// The same way with `me` among those that passed the frame on; none when that would close a loop or
    /// exceed [`HOPS_MAX`] links.
    #[must_use]
    pub fn through(&self, me: PeerId) -> Option<Self> {
        // With n members between them, the ends are n + 1 links apart.
        let is_long = self.hops.len() + 1 >= HOPS_MAX;
        if is_long || self.has_seen(&me) || self.destination == me {
            return None;
        }
        let mut onward = self.clone();
        onward.hops.push(me);
        Some(onward)
    }

    /// Whether the frame comes from `peer` or passed through it.
    #[must_use]
    pub fn has_seen(&self, peer: &PeerId) -> bool {
        self.origin == *peer || self.hops.contains(peer)
    }
}

/// The link states that the sender has; the other side answers with newer ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStateVersions {
    /// One per origin.
    #[serde(deserialize_with = "list::<_, _, LINK_STATE_VERSIONS_MAX>")]
    pub versions: Vec<LinkStateVersion>,
    /// Whether the other side is to say as well what it has.
    pub wants_answer: bool,
}

/// Link states that the receiver may lack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStates {
    /// The link states; each is checked by whoever gets it.
    #[serde(deserialize_with = "list::<_, _, LINK_STATES_PER_FRAME_MAX>")]
    pub states: Vec<SignedLinkState>,
}

/// Parcels on their way, all from one place and to one receiver. Nobody on the way answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The way.
    pub itinerary: Itinerary,
    /// The parcels, oldest first.
    #[serde(deserialize_with = "list::<_, _, PARCELS_PER_FRAME_MAX>")]
    pub parcels: Vec<Parcel>,
}

/// Receipts on their way, to whoever keeps a copy of the messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// The way.
    pub itinerary: Itinerary,
    /// The receipts.
    #[serde(deserialize_with = "list::<_, _, PARCELS_PER_FRAME_MAX>")]
    pub receipts: Vec<Receipt>,
}

/// Asks the receiver of this frame to keep parcels until their own receivers are back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    /// Comes back in the answer.
    pub request_id: u64,
    /// The parcels, oldest first.
    #[serde(deserialize_with = "list::<_, _, PARCELS_PER_FRAME_MAX>")]
    pub parcels: Vec<Parcel>,
}

/// Answers [`Custody`]: one outcome per parcel, in order, given after the commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyResult {
    /// The request that is answered.
    pub request_id: u64,
    /// One outcome per parcel.
    #[serde(deserialize_with = "list::<_, _, PARCELS_PER_FRAME_MAX>")]
    pub outcomes: Vec<DeliverOutcome>,
}

/// A round trip through others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedPing {
    /// The way.
    pub itinerary: Itinerary,
    /// Comes back in the answer.
    pub nonce: u64,
    /// The sender's clock, Unix milliseconds.
    pub sent_at: u64,
    /// None on the way there; on the way back, the members that the ping passed through.
    #[serde(deserialize_with = "optional_hops")]
    pub answered_via: Option<Vec<PeerId>>,
}

/// A piece of gossip of the liveness protocol of large meshes, for one member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swim {
    /// The way.
    pub itinerary: Itinerary,
    /// What the protocol says; at most [`SWIM_BYTES_MAX`](crate::SWIM_BYTES_MAX) bytes.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Swim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let data = ByteCount(self.data.len());
        f.debug_struct("Swim").field("itinerary", &self.itinerary).field("data", &data).finish()
    }
}

fn optional_hops<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<PeerId>>, D::Error> {
    #[derive(Deserialize)]
    struct Hops(#[serde(deserialize_with = "list::<_, _, HOPS_MAX>")] Vec<PeerId>);
    Ok(Option::<Hops>::deserialize(deserializer)?.map(|hops| hops.0))
}
