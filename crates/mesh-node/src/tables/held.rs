//! Transactions that came before one that they build upon: kept for a moment, because that one is usually on
//! its way over another link, and asking for everything again costs far more.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesh_protocol::{Dot, PeerId, TransactionPart};
use mesh_tables::{Have, IncomingPart};

/// How long they are kept before what is missing is asked for.
const HOLD: Duration = Duration::from_millis(50);

/// Bytes of them at the most; what comes beyond is asked for at once.
const BYTES_MAX: usize = 4 << 20;

/// What is kept.
#[derive(Default)]
pub(super) struct Held {
    parts: Vec<IncomingPart>,
    bytes: usize,
    until: Option<Instant>,
}

impl Held {
    /// When what is missing is to be asked for; none when nothing is kept.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether nothing is kept.
    pub(super) const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whoever sent what is kept.
    pub(super) fn senders(&self) -> impl Iterator<Item = PeerId> {
        self.parts.iter().map(|part| part.member)
    }

    /// Takes everything out, to try it once more. The moment to ask stays.
    pub(super) fn take(&mut self) -> Vec<IncomingPart> {
        self.bytes = 0;
        std::mem::take(&mut self.parts)
    }

    /// Keeps, of what was tried, whole transactions that `have` still lacks; `missing` are those that they
    /// wait for. Says whether nothing has to be asked for at once: there was room, and no piece of a larger
    /// transaction waits.
    pub(super) fn keep(
        &mut self,
        tried: &[IncomingPart],
        missing: &[Dot],
        have: &Have,
        now: Instant,
    ) -> bool {
        let mut is_all = true;
        for part in tried {
            let Some((dot, is_whole)) = TransactionPart::peek(&part.body) else { continue };
            if have.has(&dot) {
                continue;
            }
            if !is_whole || self.bytes + part.body.len() > BYTES_MAX {
                is_all &= missing.iter().all(|first| first.origin != dot.origin);
                continue;
            }
            self.bytes += part.body.len();
            self.parts.push(part.clone());
        }
        self.until = match self.until {
            _ if self.parts.is_empty() => None,
            None => Some(now + HOLD),
            kept => kept,
        };
        is_all
    }

    /// Gives up: whoever sent these is asked for what is missing.
    pub(super) fn give_up(&mut self) -> BTreeSet<PeerId> {
        self.until = None;
        self.take().into_iter().map(|part| part.member).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mesh_protocol::{OriginHave, OriginId, TransactionHeader};

    use super::*;

    const ORIGIN: OriginId = OriginId::from_bytes([7; OriginId::LEN]);

    fn sender() -> PeerId {
        PeerId::from_bytes([9; 32])
    }

    fn part(sequence: u64, is_last: bool) -> IncomingPart {
        let dot = Dot { origin: ORIGIN, sequence };
        let header = Some(TransactionHeader::default());
        let part = TransactionPart { dot, part: 0, is_last, header, sections: Vec::new() };
        IncomingPart { body: part.encode().unwrap(), member: sender() }
    }

    fn have(upto: u64) -> Have {
        let origin = OriginHave { origin: ORIGIN, upto, holes: Vec::new(), floor: 0 };
        Have { database: ORIGIN, origins: vec![origin], log_head: 0, in_snapshot: false }
    }

    fn now() -> Instant {
        crate::clock::now().instant
    }

    #[test]
    fn what_is_still_missing_is_tried_again_until_its_moment_is_over() {
        let (mut held, now) = (Held::default(), now());
        assert!(held.keep(&[part(3, true), part(4, true)], &[], &have(3), now));
        assert_eq!(held.until(), Some(now + HOLD));
        let again = held.take();
        assert_eq!(again.len(), 1, "the third was had");
        assert!(held.keep(&again, &[], &have(3), now + HOLD / 2));
        assert_eq!(held.until(), Some(now + HOLD), "the moment does not move");
        assert_eq!(held.give_up(), BTreeSet::from([sender()]));
        assert_eq!((held.until(), held.take().len()), (None, 0));
    }

    #[test]
    fn what_has_come_leaves_nothing_behind() {
        let (mut held, now) = (Held::default(), now());
        assert!(held.keep(&[part(4, true)], &[], &have(3), now));
        let again = held.take();
        assert!(held.keep(&again, &[], &have(4), now));
        assert_eq!(held.until(), None);
    }

    #[test]
    fn pieces_of_large_transactions_are_not_kept_here_but_asked_for() {
        let mut held = Held::default();
        let missing = [Dot { origin: ORIGIN, sequence: 4 }];
        assert!(!held.keep(&[part(5, false)], &missing, &have(3), now()));
        assert!(held.keep(&[part(4, false)], &[], &have(3), now()), "it is being gathered");
        assert_eq!(held.until(), None);
    }

    #[test]
    fn beyond_its_bound_nothing_more_is_kept() {
        let mut held = Held::default();
        let one = part(4, true).body.len();
        let many: Vec<IncomingPart> =
            (0..=BYTES_MAX / one).map(|number| part(4 + number as u64 % 100, true)).collect();
        let missing = [Dot { origin: ORIGIN, sequence: 4 }];
        assert!(!held.keep(&many, &missing, &have(3), now()));
        assert!(held.bytes <= BYTES_MAX);
    }
}
