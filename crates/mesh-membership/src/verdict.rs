//! What the records say, in the form that others ask about.

use std::collections::BTreeMap;

use mesh_protocol::{
    Address, FormerHostname, Hostname, PeerId, Profile, ProtocolVersion, Record, RecordId, Removal,
    SealingPublicKey, UnixMillis, VerifiedRecord, VersionRange,
};

use crate::MEMBERS_MAX;
use crate::judge::{Judgement, Pending, Place};
use crate::names::{Claim, assign_names};

/// Fewest digits of a peer id that are taken for an abbreviation.
const PREFIX_DIGITS_MIN: usize = 8;

/// Versions of a member that has not published a profile: the first that there was.
const FIRST_VERSION: ProtocolVersion = ProtocolVersion { major: 1, minor: 0 };

/// A peer that belongs, and what it says of itself. What comes from the profile is empty until the
/// member's profile arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's identity.
    pub peer_id: PeerId,
    /// The name that it is known by, unique among the members.
    pub hostname: Hostname,
    /// The name that it asks for. Differs from `hostname` while an earlier member has that name.
    pub claimed_hostname: Hostname,
    /// Names that it had.
    pub former_hostnames: Vec<FormerHostname>,
    /// Where to dial it, the preferred address first.
    pub addresses: Vec<Address>,
    /// What messages to it are sealed to; none until its profile arrives.
    pub sealing_key: Option<SealingPublicKey>,
    /// Since when it belongs; never before its sponsor.
    pub joined_at: UnixMillis,
    /// Who vouched for it; none for the founder.
    pub sponsor: Option<PeerId>,
    /// Admissions between it and the founding record.
    pub depth: u32,
    /// Revision of its profile; 0 until one arrives.
    pub revision: u64,
    /// Version of its program.
    pub agent_version: String,
    /// Protocol versions that it speaks.
    pub versions: VersionRange,
    /// Its address in its tailnet.
    pub tailscale_ip: Option<String>,
    /// Its name in its tailnet.
    pub tailscale_hostname: Option<String>,
}

/// Whom a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// A member's name or id.
    Current(PeerId),
    /// A name that a member had.
    Former {
        /// The member.
        peer: PeerId,
        /// What it is called.
        current: Hostname,
        /// Until when the old name is answered.
        until: UnixMillis,
    },
    /// Nobody, or more than one.
    Unknown,
}

/// Who belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    members: BTreeMap<PeerId, Member>,
    names: BTreeMap<Hostname, PeerId>,
    former: BTreeMap<Hostname, Vec<(UnixMillis, PeerId)>>,
    removals: BTreeMap<PeerId, Removal>,
    pending: BTreeMap<PeerId, Pending>,
}

impl Verdict {
    pub(crate) fn new<'a>(
        judgement: &Judgement,
        profiles: impl Iterator<Item = &'a VerifiedRecord>,
        record: impl Fn(&RecordId) -> Option<&'a VerifiedRecord>,
    ) -> Self {
        let profiles: BTreeMap<PeerId, &Profile> = profiles
            .filter_map(|record| match record.record() {
                Record::Profile(profile) => Some((profile.peer, profile)),
                Record::Founding(_) | Record::Admission(_) | Record::Removal(_) => None,
            })
            .collect();
        let mut places: Vec<(&PeerId, &Place)> = judgement.places.iter().collect();
        places.sort_unstable_by_key(|(peer, place)| (place.depth, **peer));
        places.truncate(MEMBERS_MAX);
        // Names go by age: whoever came first keeps its name.
        places.sort_unstable_by_key(|(peer, place)| (place.joined_at, place.depth, **peer));
        let claims = places.iter().map(|(peer, _)| Claim {
            peer: **peer,
            hostname: profiles.get(peer).map(|profile| &profile.hostname),
        });
        let names = assign_names(claims);
        let mut verdict = Self::default();
        for (hostname, peer) in &names {
            if let Some(place) = judgement.places.get(peer) {
                let member = member(*peer, hostname, place, profiles.get(peer).copied());
                for name in &member.former_hostnames {
                    let holders = verdict.former.entry(name.hostname.clone()).or_default();
                    holders.push((name.until, *peer));
                }
                verdict.members.insert(*peer, member);
            }
        }
        verdict.names = names;
        for (peer, removals) in &judgement.removals {
            let removals = removals.iter().filter_map(|id| match record(id)?.record() {
                Record::Removal(removal) => Some((removal.removed_at, *id, removal)),
                Record::Founding(_) | Record::Admission(_) | Record::Profile(_) => None,
            });
            let first = removals.min_by_key(|(at, id, _)| (*at, *id));
            if let Some((.., removal)) = first
                && !judgement.places.contains_key(peer)
            {
                verdict.removals.insert(*peer, removal.clone());
            }
        }
        let pending = judgement.pending.iter();
        let pending = pending.filter(|(peer, _)| verdict.members.contains_key(peer));
        verdict.pending = pending.map(|(peer, pending)| (*peer, pending.clone())).collect();
        verdict
    }

    /// The members.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<PeerId, Member> {
        &self.members
    }

    /// The member with this identity.
    #[must_use]
    pub fn member(&self, peer: &PeerId) -> Option<&Member> {
        self.members.get(peer)
    }

    /// Whether the peer belongs.
    #[must_use]
    pub fn is_member(&self, peer: &PeerId) -> bool {
        self.members.contains_key(peer)
    }

    /// The earliest removal that keeps the peer out; none when the peer belongs or was never in.
    #[must_use]
    pub fn removal_of(&self, peer: &PeerId) -> Option<&Removal> {
        self.removals.get(peer)
    }

    /// The removal of a member that too few have asked for.
    #[must_use]
    pub fn pending_removal_of(&self, peer: &PeerId) -> Option<&Pending> {
        self.pending.get(peer)
    }

    /// Finds the member that `name` stands for: a hostname in any case, a full peer id in hexadecimal, a
    /// former hostname, or at least eight leading digits of a peer id that only one member has.
    #[must_use]
    pub fn resolve(&self, name: &str, now: UnixMillis) -> Resolution {
        let hostname: Option<Hostname> = name.parse().ok();
        if let Some(peer) = hostname.as_ref().and_then(|hostname| self.names.get(hostname)) {
            return Resolution::Current(*peer);
        }
        if let Ok(peer) = name.parse::<PeerId>() {
            let is_member = self.is_member(&peer);
            return if is_member { Resolution::Current(peer) } else { Resolution::Unknown };
        }
        let former = hostname.and_then(|hostname| self.former.get(&hostname));
        // Of several that had the name, the one that had it last.
        let latest = former.into_iter().flatten().filter(|(until, _)| *until > now).max();
        if let Some((until, peer)) = latest
            && let Some(member) = self.members.get(peer)
        {
            let current = member.hostname.clone();
            return Resolution::Former { peer: *peer, current, until: *until };
        }
        self.resolve_prefix(name)
    }

    fn resolve_prefix(&self, name: &str) -> Resolution {
        let prefix = name.to_ascii_lowercase();
        // Filled up with zeros the digits are the least peer id that starts with them.
        let least = format!("{prefix:0<64}").parse::<PeerId>();
        let (true, Ok(least)) = (prefix.len() >= PREFIX_DIGITS_MIN, least) else {
            return Resolution::Unknown;
        };
        let mut matches = self
            .members
            .range(least..)
            .map(|(peer, _)| *peer)
            .take_while(|peer| peer.to_string().starts_with(&prefix));
        match (matches.next(), matches.next()) {
            (Some(peer), None) => Resolution::Current(peer),
            (Some(_), Some(_)) | (None, _) => Resolution::Unknown,
        }
    }
}

fn member(
    peer_id: PeerId,
    hostname: &Hostname,
    place: &Place,
    profile: Option<&Profile>,
) -> Member {
    let mut member = Member {
        peer_id,
        hostname: hostname.clone(),
        claimed_hostname: hostname.clone(),
        former_hostnames: Vec::new(),
        addresses: Vec::new(),
        sealing_key: None,
        joined_at: place.joined_at,
        sponsor: place.sponsor,
        depth: place.depth,
        revision: 0,
        agent_version: String::new(),
        versions: VersionRange { min: FIRST_VERSION, max: FIRST_VERSION },
        tailscale_ip: None,
        tailscale_hostname: None,
    };
    if let Some(profile) = profile {
        member.claimed_hostname = profile.hostname.clone();
        member.former_hostnames = profile.former_hostnames.clone();
        member.addresses = profile.addresses.clone();
        member.sealing_key = Some(profile.sealing_key);
        member.revision = profile.revision;
        member.agent_version = profile.agent_version.clone();
        member.versions = profile.versions;
        member.tailscale_ip = profile.tailscale_ip.clone();
        member.tailscale_hostname = profile.tailscale_hostname.clone();
    }
    member
}
