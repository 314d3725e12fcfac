//! One name for each member and one member for each name.

use std::collections::BTreeMap;

use mesh_protocol::{HOSTNAME_BYTES_MAX, Hostname, PeerId};

/// What a member without a profile is called, with digits of its id behind.
const NAMELESS: &str = "peer";

/// The name that a member asks for, if it has said one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) peer: PeerId,
    pub(crate) hostname: Option<&'a Hostname>,
}

/// Gives each its name, those first who come first. A name that is taken gets digits of the peer id
/// behind it, and a counter if that is taken as well.
pub(crate) fn assign_names<'a>(
    claims: impl IntoIterator<Item = Claim<'a>>,
) -> BTreeMap<Hostname, PeerId> {
    let mut names = BTreeMap::new();
    for claim in claims {
        let name = match claim.hostname {
            Some(name) if !names.contains_key(name) => name.clone(),
            Some(name) => free_variant(name.as_str(), claim.peer, &names),
            None => free_variant(NAMELESS, claim.peer, &names),
        };
        names.insert(name, claim.peer);
    }
    names
}

fn free_variant(base: &str, peer: PeerId, taken: &BTreeMap<Hostname, PeerId>) -> Hostname {
    let mut suffix = format!("-{}", peer.short());
    let mut count = 1_u64;
    loop {
        // Shortened or not, the name starts with the base's first letter or digit and ends with a digit,
        // so it parses; and among one more variants than there are names one is free.
        let kept = base.get(..HOSTNAME_BYTES_MAX - suffix.len()).unwrap_or(base);
        if let Ok(name) = format!("{kept}{suffix}").parse::<Hostname>()
            && !taken.contains_key(&name)
        {
            return name;
        }
        count += 1;
        suffix = format!("-{}-{count}", peer.short());
    }
}

#[cfg(test)]
mod tests;
