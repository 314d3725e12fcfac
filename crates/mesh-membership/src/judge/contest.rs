//! Contests: open acts that wait for one another and for nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::ActKind;
use super::case::{ActNo, Case, Status};
use super::silence::Silence;

impl Case {
    /// The act that wins each contest. Empty when nothing is open.
    pub(super) fn contest_winners(&self) -> Vec<ActNo> {
        let is_open = |number: &ActNo| self[*number].status == Status::Open;
        let open: BTreeSet<ActNo> = self.act_numbers().filter(is_open).collect();
        if open.is_empty() {
            return Vec::new();
        }
        let depths = self.depths();
        let rank = |number: &ActNo| {
            let act = &self[*number];
            // No depth means no voice yet, and who was removed speaks as a senior again only once its
            // return is certain: an act cannot win by what it would bring about.
            let depth = depths.get(&act.signer)?;
            let is_out = Silence::unless_rejoined(self, act.signer).covers(*number, act.at);
            (!is_out).then_some((*depth, act.signer, act.kind, *number))
        };
        closed_groups(&open, |number| self.awaited_by(number))
            .into_iter()
            .filter_map(|group| group.iter().filter_map(rank).min())
            .map(|(_, _, _, winner)| winner)
            .collect()
    }

    /// The open acts that may change what becomes of an open act: admissions of its signer (voice,
    /// seniority, rejoin) and removals of its signer that do not list it.
    fn awaited_by(&self, number: ActNo) -> Vec<ActNo> {
        let signer = &self[self[number].signer];
        let concerns = |other: &ActNo| {
            let act = &self[*other];
            let is_spared = act.kind == ActKind::Removal && act.references.contains(&number);
            act.status == Status::Open && !is_spared
        };
        signer.admissions.iter().chain(&signer.removals).copied().filter(concerns).collect()
    }
}

/// A node on its way through [`closed_groups`].
struct Visit {
    /// When the node was met.
    order: usize,
    /// The earliest node that is known to be in the same group.
    earliest: usize,
    /// Whether its group is still being gathered.
    is_pending: bool,
}

/// The groups of nodes that reach each other and nothing outside the group (Tarjan's strongly connected
/// components, those without a way out). Without recursion: a hostile chain must not exhaust the stack.
pub(crate) fn closed_groups<N: Copy + Ord>(
    nodes: &BTreeSet<N>,
    next: impl Fn(N) -> Vec<N>,
) -> Vec<BTreeSet<N>> {
    let mut visits: BTreeMap<N, Visit> = BTreeMap::new();
    let mut pending: Vec<N> = Vec::new();
    let mut groups = Vec::new();
    for root in nodes {
        if visits.contains_key(root) {
            continue;
        }
        let mut path = vec![(*root, next(*root))];
        enter(*root, &mut visits, &mut pending);
        while let Some((node, ways)) = path.last_mut() {
            let node = *node;
            if let Some(way) = ways.pop() {
                match visits.get(&way) {
                    None => {
                        enter(way, &mut visits, &mut pending);
                        path.push((way, next(way)));
                    }
                    Some(visit) if visit.is_pending => {
                        let order = visit.order;
                        lower(node, order, &mut visits);
                    }
                    Some(_) => {}
                }
                continue;
            }
            path.pop();
            let Some(visit) = visits.get(&node) else { continue };
            let (order, earliest) = (visit.order, visit.earliest);
            if let Some((parent, _)) = path.last() {
                lower(*parent, earliest, &mut visits);
            }
            if order == earliest {
                let group = take_group(node, &mut visits, &mut pending);
                if group.iter().all(|member| next(*member).iter().all(|way| group.contains(way))) {
                    groups.push(group);
                }
            }
        }
    }
    groups
}

fn enter<N: Copy + Ord>(node: N, visits: &mut BTreeMap<N, Visit>, pending: &mut Vec<N>) {
    let order = visits.len();
    visits.insert(node, Visit { order, earliest: order, is_pending: true });
    pending.push(node);
}

fn lower<N: Ord>(node: N, order: usize, visits: &mut BTreeMap<N, Visit>) {
    if let Some(visit) = visits.get_mut(&node) {
        visit.earliest = visit.earliest.min(order);
    }
}

/// Takes the group that `first` opened off the pending nodes.
fn take_group<N: Copy + Ord>(
    first: N,
    visits: &mut BTreeMap<N, Visit>,
    pending: &mut Vec<N>,
) -> BTreeSet<N> {
    let mut group = BTreeSet::new();
    while let Some(node) = pending.pop() {
        if let Some(visit) = visits.get_mut(&node) {
            visit.is_pending = false;
        }
        group.insert(node);
        if node == first {
            break;
        }
    }
    group
}
