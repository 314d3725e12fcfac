//! Who has links with whom in a large mesh.

use std::collections::BTreeSet;

/// Two links each, as where every member keeps links with eight others.
const RINGS: u64 = 4;

/// The same order for every call with the same numbers, and none that shows in the numbers.
fn place(ring: u64, number: usize) -> u64 {
    let mut word = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (ring + 1) << 32;
    for _ in 0..3 {
        word = (word ^ word >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    word
}

/// For each of `count` members those that it has links with: its neighbours on four rings, in each of which all
/// stand in another order. They are at most eight, and everybody reaches everybody.
#[must_use]
pub fn ring_links(count: usize) -> Vec<BTreeSet<usize>> {
    let mut links = vec![BTreeSet::new(); count];
    for ring in 0..RINGS {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|number| place(ring, *number));
        let next = order.iter().cycle().skip(1);
        for (one, two) in order.iter().zip(next).filter(|(one, two)| one != two) {
            for (from, to) in [(*one, *two), (*two, *one)] {
                links.get_mut(from).map(|linked| linked.insert(to));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_at_most_eight_links_and_reaches_everybody() {
        for count in [0, 1, 2, 3, 100] {
            let links = ring_links(count);
            assert_eq!(links.len(), count);
            let mut reached = BTreeSet::new();
            let mut next: Vec<usize> = (0..count).take(1).collect();
            while let Some(number) = next.pop() {
                assert!(links[number].len() <= 8 && !links[number].contains(&number), "{number}");
                assert!(links[number].iter().all(|other| links[*other].contains(&number)));
                if reached.insert(number) {
                    next.extend(&links[number]);
                }
            }
            assert_eq!(reached.len(), count);
        }
    }
}
