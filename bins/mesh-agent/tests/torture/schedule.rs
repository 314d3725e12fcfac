//! What is to go wrong and when, drawn from a seed: the same seed, the same schedule.

use std::fmt;
use std::time::Duration;

use crate::write::Dice;

/// Members that are there from the beginning to the end.
pub(crate) const MEMBERS: usize = 5;

/// Machines that a split puts on one side or the other, newcomers among them.
const MACHINES: u32 = 12;

/// How many members may be dead, frozen or without room at one time.
const ILL_MAX: usize = 2;

/// Between the end of one trouble of a member and its next one.
const REST: Duration = Duration::from_secs(3);

/// One thing that goes wrong, members by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Killed, and started when it is over.
    Kill { member: usize },
    /// Stopped as for an upgrade, and started when it is over.
    Upgrade { member: usize },
    /// Suspended with SIGSTOP.
    Freeze { member: usize },
    /// No byte can be written to its disk.
    FullDisk { member: usize },
    /// Its clock is wrong by so many hours.
    Clock { member: usize, hours: i8 },
    /// Nothing of what one sends reaches the other.
    Cut { from: usize, to: usize },
    /// Machines of the set, by bits, and the others do not reach each other.
    Split { some: u32 },
    /// The same, but one machine reaches all.
    Bridge { some: u32, between: usize },
    /// Of what a member sends and gets so much is lost.
    Loss { member: usize, percent: u8 },
    /// It arrives late, in order.
    Delay { member: usize, millis: u64 },
    /// It arrives late, and what comes later overtakes it; some of it arrives twice.
    Reorder { member: usize, millis: u64 },
    /// A newcomer joins through one member, and is removed by another when it is over.
    Guest { through: usize, removed_by: usize },
    /// The member takes another name.
    Rename { member: usize },
}

impl Fault {
    /// The member whose process or machine is in trouble.
    pub(crate) const fn ill(self) -> Option<usize> {
        match self {
            Self::Kill { member }
            | Self::Upgrade { member }
            | Self::Freeze { member }
            | Self::FullDisk { member }
            | Self::Clock { member, .. } => Some(member),
            Self::Cut { .. }
            | Self::Split { .. }
            | Self::Bridge { .. }
            | Self::Loss { .. }
            | Self::Delay { .. }
            | Self::Reorder { .. }
            | Self::Guest { .. }
            | Self::Rename { .. } => None,
        }
    }

    /// Whether it takes a user-space wire.
    pub(crate) const fn needs_wire(self) -> bool {
        matches!(self, Self::Loss { .. } | Self::Delay { .. } | Self::Reorder { .. })
    }
}

/// A fault with its time, counted from the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disturbance {
    /// Names it in this schedule.
    pub(crate) number: usize,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) fault: Fault,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, from, to, fault } = self;
        write!(f, "{number:3}: {:6.1} to {:6.1} s: {fault:?}", from.as_secs_f64(), to.as_secs_f64())
    }
}

/// Draws what happens within `lasting`.
pub(crate) fn draw(seed: u64, lasting: Duration) -> Vec<Disturbance> {
    let mut drawer = Drawer { dice: Dice(seed), well_from: [Duration::ZERO; MEMBERS] };
    let mut all = Vec::new();
    let mut from = Duration::from_secs(1);
    while from < lasting {
        if let Some((fault, lasts)) = drawer.fault(from) {
            let is_short = !matches!(fault, Fault::Guest { .. });
            let end = from + lasts;
            let to = if is_short { end.min(lasting) } else { end };
            all.push(Disturbance { number: all.len(), from, to, fault });
        }
        from += drawer.millis(300, 5_000);
    }
    all
}

struct Drawer {
    dice: Dice,
    /// From when on a member may have trouble again.
    well_from: [Duration; MEMBERS],
}

impl Drawer {
    fn millis(&mut self, min: u64, max: u64) -> Duration {
        Duration::from_millis(min + self.dice.below(max - min))
    }

    fn member(&mut self) -> usize {
        usize::try_from(self.dice.below(MEMBERS as u64)).unwrap_or_default()
    }

    fn two(&mut self) -> (usize, usize) {
        let one = self.member();
        let step = usize::try_from(self.dice.below(MEMBERS as u64 - 1)).unwrap_or_default();
        (one, (one + 1 + step) % MEMBERS)
    }

    fn some(&mut self) -> u32 {
        u32::try_from(1 + self.dice.below((1 << MACHINES) - 2)).unwrap_or(1)
    }

    /// A fault with how long it lasts; none when the member that was drawn is not well.
    fn fault(&mut self, now: Duration) -> Option<(Fault, Duration)> {
        let (one, other) = self.two();
        let member = one;
        let (fault, lasts) = match self.dice.below(100) {
            0..14 => (Fault::Kill { member }, self.millis(0, 12_000)),
            14..20 => (Fault::Upgrade { member }, self.millis(0, 3_000)),
            20..31 => (Fault::Freeze { member }, self.millis(500, 25_000)),
            31..38 => (Fault::FullDisk { member }, self.millis(2_000, 15_000)),
            38..43 => {
                let hours = if self.dice.below(2) == 0 { 1 } else { -1 };
                (Fault::Clock { member, hours }, self.millis(3_000, 15_000))
            }
            43..54 => (Fault::Cut { from: one, to: other }, self.millis(1_000, 30_000)),
            54..64 => (Fault::Split { some: self.some() }, self.millis(1_000, 30_000)),
            64..70 => {
                (Fault::Bridge { some: self.some(), between: other }, self.millis(3_000, 30_000))
            }
            70..77 => {
                let percent = u8::try_from(1 + self.dice.below(30)).unwrap_or(1);
                (Fault::Loss { member, percent }, self.millis(3_000, 30_000))
            }
            77..83 => {
                let millis = 10 + self.dice.below(400);
                (Fault::Delay { member, millis }, self.millis(3_000, 30_000))
            }
            83..90 => {
                let millis = 5 + self.dice.below(150);
                (Fault::Reorder { member, millis }, self.millis(3_000, 30_000))
            }
            90..95 => {
                (Fault::Guest { through: one, removed_by: other }, self.millis(15_000, 120_000))
            }
            _ => (Fault::Rename { member }, Duration::ZERO),
        };
        if fault.ill().is_some() {
            let is_ill = self.well_from.iter().filter(|well_from| **well_from > now + REST).count();
            if self.well_from.get(member).is_none_or(|well_from| *well_from > now)
                || is_ill >= ILL_MAX
            {
                return None;
            }
            self.well_from[member] = now + lasts + REST;
        }
        Some((fault, lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTING: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_has_one_schedule_and_another_seed_another_one() {
        assert_eq!(draw(7, LASTING), draw(7, LASTING));
        assert_ne!(draw(7, LASTING), draw(8, LASTING));
    }

    #[test]
    fn every_kind_of_fault_comes_and_all_but_guests_are_over_in_time() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..20 {
            for disturbance in draw(seed, LASTING) {
                let name = format!("{:?}", disturbance.fault);
                kinds.insert(name.split(' ').next().unwrap().to_owned());
                assert!(disturbance.from <= disturbance.to, "{disturbance}");
                let is_guest = matches!(disturbance.fault, Fault::Guest { .. });
                assert!(is_guest || disturbance.to <= LASTING, "{disturbance}");
            }
        }
        assert_eq!(kinds.len(), 13, "{kinds:?}");
    }

    #[test]
    fn a_member_has_one_trouble_at_a_time_and_most_members_have_none() {
        for seed in 0..50 {
            let all = draw(seed, LASTING);
            let ill: Vec<_> = all.iter().filter(|one| one.fault.ill().is_some()).collect();
            for one in &ill {
                let at_once =
                    ill.iter().filter(|other| other.from <= one.from && one.from < other.to);
                let members: Vec<_> = at_once.map(|other| other.fault.ill()).collect();
                let mut different = members.clone();
                different.sort_unstable();
                different.dedup();
                assert_eq!(members.len(), different.len(), "seed {seed}: {one}");
                assert!(members.len() <= ILL_MAX, "seed {seed}: {one}");
            }
        }
    }
}
