//! Pace and bounds of liveness by gossip.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Config, PeriodicParams};

use mesh_protocol::SWIM_BYTES_MAX;

use super::codec::ENDS_BYTES;

/// Without a least step an alarm would be due again the moment it rang.
const STEP_MIN: Duration = Duration::from_millis(1);

/// Far enough to mean "never", near enough to be added to any moment.
const STEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Room for any message and a few updates.
const PACKET_BYTES_MIN: usize = 512;

/// Pace and bounds of [`Swim`](crate::Swim).
///
/// The defaults are for a thousand members: one that crashes is known to be down by all within ten
/// seconds, and nobody else is called down while one message of twenty gets lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwimConfig {
    /// Every so often one member, by turns, is probed.
    pub probe_period: Duration,
    /// Wait for the answer before others are asked to probe; shorter than half of `probe_period`.
    pub probe_rtt: Duration,
    /// How many others are asked.
    pub indirect_probes: u8,
    /// Time for a suspected member to object before it is called down.
    pub suspect_to_down_after: Duration,
    /// How often the one who suspects a member tells it so within that time. Its answer is the
    /// objection, so a single one that gets through both ways saves it.
    pub warnings: u32,
    /// Every so often news are passed on, while there are any.
    pub gossip_period: Duration,
    /// To how many at once.
    pub gossip_fanout: u8,
    /// Every so often one member is asked for some of those that it knows to be up.
    pub announce_period: Duration,
    /// Newcomers are announced to at this distance from each other, on average.
    pub introduce_every: Duration,
    /// Every so often this node announces itself to members that are not up, which ends partitions.
    pub reach_out_period: Duration,
    /// To how many at once.
    pub reach_out_fanout: u8,
    /// Largest datagram, at most [`SWIM_BYTES_MAX`].
    pub max_packet_bytes: usize,
}

impl Default for SwimConfig {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_secs(1),
            probe_rtt: Duration::from_millis(300),
            indirect_probes: 5,
            suspect_to_down_after: Duration::from_millis(2_500),
            warnings: 4,
            gossip_period: Duration::from_millis(200),
            gossip_fanout: 3,
            announce_period: Duration::from_secs(60),
            introduce_every: Duration::from_millis(20),
            reach_out_period: Duration::from_secs(5),
            reach_out_fanout: 2,
            max_packet_bytes: SWIM_BYTES_MAX,
        }
    }
}

impl SwimConfig {
    /// The same with every figure in a range that works.
    pub(super) fn usable(self) -> Self {
        let step = |duration: Duration| duration.clamp(STEP_MIN, STEP_MAX);
        // The indirect probe has to have been sent when the period ends.
        let probe_period = self.probe_period.clamp(STEP_MIN * 2, STEP_MAX);
        Self {
            probe_period,
            probe_rtt: self.probe_rtt.clamp(STEP_MIN, probe_period / 2),
            suspect_to_down_after: step(self.suspect_to_down_after),
            gossip_period: step(self.gossip_period),
            announce_period: step(self.announce_period),
            introduce_every: self.introduce_every.min(STEP_MAX),
            reach_out_period: step(self.reach_out_period),
            max_packet_bytes: self.max_packet_bytes.clamp(PACKET_BYTES_MIN, SWIM_BYTES_MAX),
            ..self
        }
    }

    /// What foca is told in a mesh of `members`.
    pub(super) fn for_foca(&self, members: usize) -> Config {
        let periodic = |frequency: Duration, count: u8| PeriodicParams {
            frequency,
            num_members: at_least_one(usize::from(count)),
        };
        Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: at_least_one(usize::from(self.indirect_probes)),
            max_transmissions: transmissions(members),
            suspect_to_down_after: self.suspect_to_down_after,
            // Bounded by the members; one that is forgotten could be brought back by an old rumour.
            remove_down_after: None,
            max_packet_size: at_least_one(self.max_packet_bytes + ENDS_BYTES),
            notify_down_members: true,
            periodic_announce: Some(periodic(self.announce_period, 1)),
            // The node reaches out by itself, to those also that it never heard of.
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(periodic(self.gossip_period, self.gossip_fanout)),
        }
    }
}

/// How often each member passes on a piece of news. A rumour that everyone tells this often misses one
/// of `members` about once in a thousand times.
fn transmissions(members: usize) -> NonZeroU8 {
    let doublings = u8::try_from(members.max(1).ilog2()).unwrap_or(u8::MAX);
    NonZeroU8::MIN.saturating_add(doublings.saturating_mul(2).saturating_add(1))
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}
