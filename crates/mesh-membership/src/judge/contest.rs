//! Contests: open acts that wait for one another and for nothing else.

use std::collections::BTreeMap;

use super::ActKind;
use super::case::{ActNo, Case, PartyNo, Status};
use super::silence::Silence;

/// Where a walk through the contests met an act.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Visit {
    /// Which walk; another one's marks mean nothing.
    walk: usize,
    /// How many acts the walk had met before.
    order: usize,
    /// The earliest act that is known to be in the same contest.
    earliest: usize,
    /// Whether the contest that it is in is still being gathered.
    is_pending: bool,
}

/// How much of what an act may wait for was looked at before.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    admissions: usize,
    removals: usize,
    /// Of the present removal: itself, and the admissions that give its signer a vote.
    votes: usize,
}

impl Case {
    /// Parts the acts of `open` into groups that wait for each other, those first that others wait for
    /// (Tarjan's strongly connected components). Without recursion: a hostile chain must not exhaust the
    /// stack.
    pub(super) fn contests(&mut self, open: &[ActNo]) -> Vec<Vec<ActNo>> {
        self.walks += 1;
        let mut met = 0;
        let mut pending: Vec<ActNo> = Vec::new();
        let mut contests = Vec::new();
        for root in open {
            if self.is_met(*root) {
                continue;
            }
            let mut path: Vec<(ActNo, Asked)> = vec![(*root, Asked::default())];
            self.meet(*root, &mut met, &mut pending);
            while let Some((act, asked)) = path.last_mut() {
                let act = *act;
                if let Some(awaited) = self.next_awaited(act, asked) {
                    if !self.is_met(awaited) {
                        self.meet(awaited, &mut met, &mut pending);
                        path.push((awaited, Asked::default()));
                    } else if self[awaited].visit.is_pending {
                        let order = self[awaited].visit.order;
                        self.join(act, order);
                    }
                    continue;
                }
                path.pop();
                let Visit { order, earliest, .. } = self[act].visit;
                if let Some((waiting, _)) = path.last() {
                    self.join(*waiting, earliest);
                }
                if order == earliest {
                    contests.push(self.gather(act, &mut pending));
                }
            }
        }
        contests
    }

    /// What the most senior signer of a contest prevails with: its admissions, or else its removals.
    pub(super) fn winners(&mut self, contest: &[ActNo]) -> Vec<(ActNo, Status)> {
        let depths = self.depths();
        let mut silences: BTreeMap<PartyNo, Silence> = BTreeMap::new();
        let mut ranks: Vec<(u32, PartyNo, ActKind, ActNo)> = Vec::new();
        for number in contest {
            let act = &self[*number];
            // No depth means no voice yet, and who was removed speaks as a senior again only once its
            // return is certain: an act cannot win by what it would bring about.
            let Some(depth) = depths.get(&act.signer) else { continue };
            let silence = silences
                .entry(act.signer)
                .or_insert_with(|| Silence::unless_rejoined(self, act.signer));
            if !silence.covers(*number, act.at) {
                ranks.push((*depth, act.signer, act.kind, *number));
            }
        }
        ranks.sort_unstable();
        let first = ranks.first().map(|(_, signer, kind, _)| (*signer, *kind));
        let prevail =
            ranks.iter().take_while(|(_, signer, kind, _)| Some((*signer, *kind)) == first);
        prevail.map(|(.., number)| (*number, Status::Counts)).collect()
    }

    /// The next of the open acts that may change what becomes of an open act: admissions of its signer
    /// (voice, seniority, rejoin), removals of its signer that do not list it, and where it takes several of
    /// these, what gives those who signed them a vote.
    fn next_awaited(&self, number: ActNo, asked: &mut Asked) -> Option<ActNo> {
        let signer = &self[self[number].signer];
        let is_open = |other: &ActNo| self[*other].status == Status::Open;
        while let Some(admission) = signer.admissions.get(asked.admissions).copied() {
            asked.admissions += 1;
            if is_open(&admission) {
                return Some(admission);
            }
        }
        while let Some(number_of_removal) = signer.removals.get(asked.removals).copied() {
            let removal = &self[number_of_removal];
            if !removal.references.contains(&number) {
                if asked.votes == 0 {
                    asked.votes = 1;
                    if is_open(&number_of_removal) {
                        return Some(number_of_removal);
                    }
                }
                if self.has_quorum && removal.signer != removal.subject {
                    for vote in self.franchise(removal.signer).skip(asked.votes - 1) {
                        asked.votes += 1;
                        if is_open(&vote) {
                            return Some(vote);
                        }
                    }
                }
            }
            asked.removals += 1;
            asked.votes = 0;
        }
        None
    }

    fn is_met(&self, act: ActNo) -> bool {
        self[act].visit.walk == self.walks
    }

    fn meet(&mut self, act: ActNo, met: &mut usize, pending: &mut Vec<ActNo>) {
        self[act].visit = Visit { walk: self.walks, order: *met, earliest: *met, is_pending: true };
        *met += 1;
        pending.push(act);
    }

    /// Notes that `act` reaches an act that was met as number `order` and is in its contest.
    fn join(&mut self, act: ActNo, order: usize) {
        let visit = &mut self[act].visit;
        visit.earliest = visit.earliest.min(order);
    }

    /// Takes the contest that `first` opened off the pending acts.
    fn gather(&mut self, first: ActNo, pending: &mut Vec<ActNo>) -> Vec<ActNo> {
        let mut contest = Vec::new();
        while let Some(act) = pending.pop() {
            self[act].visit.is_pending = false;
            contest.push(act);
            if act == first {
                break;
            }
        }
        contest.sort_unstable();
        contest
    }
}
