use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_protocol::{HOLES_MAX, OriginId, PeerId};

use super::ExchangeConfig;
use super::stated::Stated;

/// Most times that a pause doubles.
const DOUBLINGS_MAX: u32 = 6;

/// What is under way to a peer of one origin, beyond what it said it has.
#[derive(Clone, Debug)]
struct Sent {
    upto: u64,
    /// What of it was left out: it is sent out of order, when it was kept aside here for a while.
    gaps: BTreeSet<u64>,
    /// When something last went or was acknowledged.
    at: Instant,
    /// How often it went in vain.
    resends: u32,
}

/// A question for what is missing.
#[derive(Clone, Debug)]
struct Ask {
    at: Instant,
    is_answered: bool,
    /// How often it was asked without getting anything.
    repeats: u32,
}

/// One link, from its coming up to its going down.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Whether the peer has said on this link all it has. Nothing is sent before.
    pub(super) is_heard: bool,
    /// Up to where the peer is to be sent the transactions of each origin. Origins of the own database alone.
    pub(super) goal: BTreeMap<OriginId, u64>,
    sent: BTreeMap<OriginId, Sent>,
    /// When everything is to be told.
    pub(super) compare_at: Option<Instant>,
    ask: Option<Ask>,
    /// Something is missing and has not been asked for.
    is_missing: bool,
    /// When the peer's last question was answered, and whether another one waits.
    pub(super) answered_at: Option<Instant>,
    pub(super) answer_at: Option<Instant>,
    /// Revisions of what both ends know of members that the other end is not linked with. Members alone.
    pub(super) relayed: BTreeMap<PeerId, u64>,
    pub(super) snapshots_in_vain: u32,
    /// Before this no snapshot is begun with the peer again.
    snapshot_after: Option<Instant>,
    /// Whether the last one was whole.
    was_snapshot_whole: bool,
}

impl Link {
    /// What the peer has or has been sent of an origin, and what is left out below that.
    pub(super) fn had(&self, origin: &OriginId, stated: u64) -> (u64, Option<&BTreeSet<u64>>) {
        match self.sent.get(origin) {
            Some(sent) if sent.upto > stated => (sent.upto, Some(&sent.gaps)),
            Some(_) | None => (stated, None),
        }
    }

    /// A transaction has gone to the peer.
    pub(super) fn send(&mut self, origin: OriginId, sequence: u64, stated: u64, now: Instant) {
        let fresh = Sent { upto: stated, gaps: BTreeSet::new(), at: now, resends: 0 };
        let sent = self.sent.entry(origin).or_insert(fresh);
        sent.at = now;
        if sequence <= sent.upto {
            sent.gaps.remove(&sequence);
            return;
        }
        let left_out = sent.upto.max(stated).saturating_add(1)..sequence;
        let gaps = sequence.saturating_sub(left_out.start);
        let gaps = usize::try_from(gaps).unwrap_or(usize::MAX);
        // Beyond the bound it counts as not sent, and will be sent once more.
        if sent.gaps.len().saturating_add(gaps) <= HOLES_MAX {
            sent.gaps.extend(left_out);
            sent.upto = sequence;
        }
    }

    /// The peer evidently has all of an origin up to a number: it has sent it.
    pub(super) fn raise(&mut self, origin: OriginId, upto: u64, stated: u64, now: Instant) {
        if upto <= stated {
            return;
        }
        let fresh = Sent { upto, gaps: BTreeSet::new(), at: now, resends: 0 };
        let sent = self.sent.entry(origin).or_insert(fresh);
        sent.upto = sent.upto.max(upto);
        sent.gaps.retain(|gap| *gap > upto);
    }

    /// Compares what is under way with what the peer said. What it does not acknowledge may have crossed
    /// with its words, so it is sent again only when there was time enough.
    pub(super) fn reconcile(
        &mut self,
        before: Option<&Stated>,
        stated: &Stated,
        config: &ExchangeConfig,
        now: Instant,
    ) {
        self.sent.retain(|origin, sent| {
            let upto = stated.upto(origin);
            if before.is_some_and(|before| before.upto(origin) < upto) {
                sent.at = now;
                sent.resends = 0;
            }
            sent.gaps.retain(|gap| *gap > upto);
            let patience = doubled(config.resend_after, sent.resends);
            if upto < sent.upto && now >= sent.at + patience {
                sent.upto = upto;
                sent.gaps.clear();
                sent.at = now;
                sent.resends += 1;
            }
            // What is to be sent again stays, to know how often that was.
            upto < sent.upto || sent.resends > 0
        });
    }

    /// The peer has asked: what it has not, it has lost.
    pub(super) fn forget_sent(&mut self) {
        self.sent.clear();
    }

    /// Something that this peer sent was applied.
    pub(super) fn got_something(&mut self) {
        if let Some(ask) = &mut self.ask {
            ask.repeats = 0;
        }
    }

    pub(super) const fn lacks_something(&mut self) {
        self.is_missing = true;
    }

    /// When to ask for what is missing.
    pub(super) fn ask_at(&self, config: &ExchangeConfig, now: Instant) -> Option<Instant> {
        self.is_missing.then(|| match &self.ask {
            None => now,
            Some(ask) if ask.is_answered => {
                ask.at + doubled(config.ask_pause, ask.repeats).min(config.ask_again_after)
            }
            Some(ask) => ask.at + config.ask_again_after,
        })
    }

    pub(super) fn asked(&mut self, now: Instant) {
        let repeats = self.ask.as_ref().map_or(0, |ask| ask.repeats.saturating_add(1));
        self.ask = Some(Ask { at: now, is_answered: false, repeats });
        self.is_missing = false;
    }

    /// The peer has said everything it has. What came before it answered was sent before it knew the
    /// question, and comes again.
    pub(super) fn answered(&mut self) {
        if let Some(ask) = &mut self.ask
            && !ask.is_answered
        {
            ask.is_answered = true;
            self.is_missing = false;
        }
    }

    pub(super) fn snapshot_ended(&mut self, completed: bool, pause: Duration, now: Instant) {
        self.was_snapshot_whole = completed;
        self.snapshot_after = Some(now + doubled(pause, self.snapshots_in_vain));
        self.snapshots_in_vain = self.snapshots_in_vain.saturating_add(1);
    }

    /// The last one brought what it was taken for.
    pub(super) const fn snapshot_helped(&mut self, again_at: Instant) {
        self.snapshots_in_vain = 0;
        self.snapshot_after = Some(again_at);
    }

    /// Until when no snapshot is taken from the peer. One that another has spoiled keeps all changes away until it
    /// is ended, so whoever gives whole ones ends it at once.
    pub(super) fn snapshot_waits(&self, is_begun: bool, now: Instant) -> Option<Instant> {
        let waits = !(is_begun && self.was_snapshot_whole);
        self.snapshot_after.filter(|after| waits && *after > now)
    }
}

fn doubled(pause: Duration, times: u32) -> Duration {
    pause.saturating_mul(1 << times.min(DOUBLINGS_MAX))
}
