//! Which admissions and removals count, decided from their set alone.
//!
//! # The rule
//! An *act* is an admission or a removal. An act counts when
//! 1. its signer has a **voice**: it is the founder, or an admission of it counts; and
//! 2. no removal of its signer that counts **silences** it. A removal silences every act of its subject
//!    that it does not list as standing, whatever date the act bears, with one exception: a **rejoin**, an
//!    admission that counts and overrides this removal, lifts it for acts dated at or after both of them.
//!    A removal does not silence itself, so a member may remove itself.
//!
//! Nothing counts by its own doing: circles of admissions give nobody a voice, and nobody comes back by
//! an act that needs its own return.
//!
//! A peer **belongs** when it is the founder and no removal of it counts, or when an admission of it
//! counts that overrides every removal of it that counts.
//!
//! # Where one removal is not enough
//! A mesh may be founded with a quorum of N. There a removal that counts is a **vote**, if its signer is the
//! founder or an admission of it by the founder counts. An act is silenced when the votes of N peers say so,
//! each by the words above; a peer is out when there are votes of N peers that the admission in question
//! does not override. What a peer signs about itself is decisive alone. Where fewer than N peers other than
//! the subject were ever admitted by the founder (itself included), all of them are enough, but one at least.
//!
//! - Whom others admit has no vote, so that nobody makes itself more votes: k members that lie have k.
//! - How many are needed depends on no removal, so no removal makes the next one easier.
//! - With N = 1 every removal that counts is decisive.
//!
//! Where removals silence each other in a circle this leaves a **contest**: acts that wait for one another
//! and for nothing else. In each contest the most senior signer prevails, of those that have a voice and
//! are not removed for certain: its admissions in the contest count, or, if it has none there, its
//! removals; and the rule goes on from there. Seniority is the least number of admissions that lead to a
//! peer from the founding record through acts that count, then the smaller peer id. Who comes back by a
//! rejoin has the seniority that it had.
//!
//! # What follows
//! - Acts of removed peers that are not listed change nothing, nor do acts of those they would admit, as
//!   long as each removal in force was signed by a senior of its subject and rests on no rejoin: to undo
//!   the removal such an act would have to win a contest that holds an act of somebody more senior.
//! - The price: a senior that a junior removed can contest it by removing the junior, also with an old
//!   date, for dates prove nothing. A stolen key of a founder wins every contest.
//! - A rejoin believes the peer's key again: its acts of a later date count, whenever they were signed.
//!   A peer whose key was stolen comes back under a new key, not by a rejoin.
//!
//! # Why it ends, and why order does not matter
//! An act is decided once and for all. [`Case::deduce`] decides what must be so whatever becomes of the
//! open acts; its steps never take anything back, so their order is of no consequence. What it leaves open
//! waits for open acts. [`Case::settle`] parts the open acts into contests, and takes one up when
//! everything outside that it waits for is decided, so contests do not influence those before them. Within
//! one it voids what could count by its own doing only ([`Case::unfounded`]), or else lets the most senior
//! signer prevail ([`Case::winners`]), deduces, and parts what is left. So each round decides an act or
//! parts a set, and there are finitely many of both.
//!
//! A contest has an act that may win: in the order in which `unfounded` found its acts founded, take the
//! first. What gives it a voice and lifts its removals was founded before it, so it is not open, else the
//! act would wait for it and it would be in the contest.

mod case;
mod contest;
mod fact;
mod silence;

use std::collections::{BTreeMap, BTreeSet};

use mesh_protocol::{PeerId, RecordId, UnixMillis};

pub(crate) use fact::{ActKind, Fact};

use case::{Act, Case, Party, PartyNo, Status};

/// How a member came to belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Admissions between the founding record and the member.
    pub(crate) depth: u32,
    /// The latest date on the way from the founding record, of the way on which it is least.
    pub(crate) joined_at: UnixMillis,
    /// Who vouched; none for the founder.
    pub(crate) sponsor: Option<PeerId>,
}

/// A removal that too few have asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Who asked for it.
    pub by: Vec<PeerId>,
    /// How many it takes.
    pub needed: usize,
}

/// What the records say, without the profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// The admissions and removals that count.
    pub(crate) counting: BTreeSet<RecordId>,
    /// Distance to the founding record, of every peer that has a voice.
    pub(crate) depths: BTreeMap<PeerId, u32>,
    /// Who belongs.
    pub(crate) places: BTreeMap<PeerId, Place>,
    /// The admissions that count and are not outdone by removals.
    pub(crate) effective: BTreeSet<RecordId>,
    /// The removals that count, of every peer that has any, whether it came back or not.
    pub(crate) removals: BTreeMap<PeerId, Vec<RecordId>>,
    /// Of each peer that belongs and whose removal was asked for: by whom, and how many it takes.
    pub(crate) pending: BTreeMap<PeerId, Pending>,
    /// Who has a vote on removals; everybody where one is enough.
    pub(crate) electors: Option<BTreeSet<PeerId>>,
}

impl Judgement {
    /// Whether a removal that `peer` signs has a say.
    pub(crate) fn has_vote(&self, peer: &PeerId) -> bool {
        self.electors.as_ref().is_none_or(|electors| electors.contains(peer))
    }

    /// Whether `one` prevails over `other` in a contest.
    pub(crate) fn is_senior(&self, one: &PeerId, other: &PeerId) -> bool {
        let rank = |peer: &PeerId| (self.depths.get(peer).copied().unwrap_or(u32::MAX), *peer);
        rank(one) < rank(other)
    }
}

/// Applies the rule.
pub(crate) fn judge<'a>(
    founder: PeerId,
    founded_at: UnixMillis,
    remove_quorum: usize,
    facts: impl IntoIterator<Item = Fact<'a>>,
) -> Judgement {
    let mut case = Case::new(founder, remove_quorum, facts);
    case.settle();
    let depths = case.depths();
    let since = case.since(founded_at);
    let mut judgement = Judgement {
        counting: case.acts().filter(|act| act.status == Status::Counts).map(|a| a.id).collect(),
        depths: depths.iter().map(|(party, depth)| (case[*party].id, *depth)).collect(),
        ..Judgement::default()
    };
    if case.has_quorum {
        let voters = case.party_numbers().filter(|party| {
            depths.contains_key(party) && case.has_vote(*party, |status| status == Status::Counts)
        });
        judgement.electors = Some(voters.map(|party| case[party].id).collect());
    }
    for party in case.party_numbers() {
        note(&case, party, &depths, &since, &mut judgement);
    }
    judgement
}

/// Writes down what was found about one party.
fn note(
    case: &Case,
    party: PartyNo,
    depths: &BTreeMap<PartyNo, u32>,
    since: &BTreeMap<PartyNo, UnixMillis>,
    judgement: &mut Judgement,
) {
    let Party { id, needed, .. } = case[party];
    let removals: Vec<RecordId> =
        case.counting(&case[party].removals).map(|(_, removal)| removal.id).collect();
    let mut standing: Vec<(Option<&Act>, BTreeSet<PartyNo>)> = Vec::new();
    if party == case.founder() {
        standing.extend(case.votes(party, &BTreeSet::new()).map(|votes| (None, votes)));
    }
    for (_, admission) in case.counting(&case[party].admissions) {
        if let Some(votes) = case.votes(party, &admission.references) {
            judgement.effective.insert(admission.id);
            standing.push((Some(admission), votes));
        }
    }
    let fewest = standing.iter().map(|(_, votes)| votes).min_by_key(|votes| votes.len());
    if let Some(votes) = fewest.filter(|votes| !votes.is_empty()) {
        let by = votes.iter().map(|voter| case[*voter].id).collect();
        judgement.pending.insert(id, Pending { by, needed });
    }
    let admissions: Option<Vec<&Act>> =
        standing.into_iter().map(|(admission, _)| admission).collect();
    let place = match admissions {
        // The founder belongs by the founding record.
        None => since.get(&party).map(|at| Place { depth: 0, joined_at: *at, sponsor: None }),
        Some(admissions) => place(case, &admissions, depths, since),
    };
    if let Some(place) = place {
        judgement.places.insert(id, place);
    }
    if !removals.is_empty() {
        judgement.removals.insert(id, removals);
    }
}

/// The place among the members that `admissions` of one party give it.
fn place(
    case: &Case,
    admissions: &[&Act],
    depths: &BTreeMap<PartyNo, u32>,
    since: &BTreeMap<PartyNo, UnixMillis>,
) -> Option<Place> {
    let mut least: Option<(UnixMillis, u32, RecordId, PeerId)> = None;
    let mut depth = u32::MAX;
    for admission in admissions {
        let sponsor = admission.signer;
        let (Some(sponsor_depth), Some(sponsor_since)) =
            (depths.get(&sponsor), since.get(&sponsor))
        else {
            continue;
        };
        let way = sponsor_depth.saturating_add(1);
        let joined_at = admission.at.max(*sponsor_since);
        let candidate = (joined_at, way, admission.id, case[sponsor].id);
        least = Some(least.map_or(candidate, |least| least.min(candidate)));
        depth = depth.min(way);
    }
    least.map(|(joined_at, _, _, sponsor)| Place { depth, joined_at, sponsor: Some(sponsor) })
}
