//! Numbers that look random and are not: they spread things and protect nothing.

use mesh_protocol::PeerId;

/// Turns neighbouring numbers into distant ones (the last step of SplitMix64).
pub(crate) const fn scramble(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number that depends on two peers and their order, the same on every node.
pub(crate) fn mix(first: &PeerId, second: &PeerId) -> u64 {
    let (words, _) = first.as_bytes().as_chunks::<8>();
    let (more, _) = second.as_bytes().as_chunks::<8>();
    let words = words.iter().chain(more).map(|word| u64::from_le_bytes(*word));
    words.fold(0, |mixed, word| scramble(mixed.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word))
}

#[cfg(test)]
mod tests;
