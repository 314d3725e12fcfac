//! One run after the other: as the environment says, and when it fails shorter ones.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::checks;
use crate::clients::{Office, set_to_work};
use crate::disturb::{disturb, now};
use crate::idle::held;
use crate::ledger::Ledger;
use crate::quiet::unrest;
use crate::schedule::{Disturbance, draw};
use crate::shrink::shortest;
use crate::world::World;
use crate::write::Dice;

/// Draws everything that is drawn; when it is not given, the process id.
const SEED: &str = "TORTURE_SEED";

/// How long things go wrong.
const SECONDS: &str = "TORTURE_SECONDS";
const SECONDS_DEFAULT: u64 = 600;

/// How long a failure is looked for in shorter schedules; 0 for not at all.
const SHRINK_MINUTES: &str = "TORTURE_SHRINK_MINUTES";

/// The numbers of the disturbances that take place, with commas; all without it.
const ONLY: &str = "TORTURE_ONLY";

/// A folder for the logs and databases of a run that failed.
const KEEP: &str = "TORTURE_KEEP";

/// How long the mesh may take until it is quiet after everything was put right.
const QUIET_SECONDS: &str = "TORTURE_QUIET_SECONDS";
const QUIET_SECONDS_DEFAULT: u64 = 120;

/// The test below, for the runs that it starts.
const TEST: &str = "run::whatever_goes_wrong_all_that_was_acknowledged_is_there_at_the_end";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|given| given.parse().unwrap())
}

/// What a run is.
#[derive(Debug)]
struct Plan {
    seed: u64,
    lasting: Duration,
    schedule: Vec<Disturbance>,
}

impl Plan {
    fn from_environment() -> Self {
        let seed = number(SEED).unwrap_or_else(|| u64::from(std::process::id()));
        let lasting = Duration::from_secs(number(SECONDS).unwrap_or(SECONDS_DEFAULT));
        let mut schedule = draw(seed, lasting);
        if let Ok(only) = std::env::var(ONLY) {
            let only: Vec<usize> = only
                .split(',')
                .filter(|one| !one.is_empty())
                .map(|one| one.parse().unwrap())
                .collect();
            schedule.retain(|disturbance| only.contains(&disturbance.number));
        }
        Self { seed, lasting, schedule }
    }

    /// What has to be in the environment to see it again.
    fn again(&self, schedule: &[Disturbance]) -> [(&'static str, String); 3] {
        let numbers: Vec<String> = schedule.iter().map(|one| one.number.to_string()).collect();
        [
            (SEED, self.seed.to_string()),
            (SECONDS, self.lasting.as_secs().to_string()),
            (ONLY, numbers.join(",")),
        ]
    }

    fn tell(&self, what: &str, schedule: &[Disturbance]) {
        let again = self.again(schedule).map(|(name, value)| format!("{name}={value}"));
        eprintln!("{what}, {} disturbances: {}", schedule.len(), again.join(" "));
        for disturbance in schedule {
            eprintln!("{disturbance}");
        }
    }

    /// Runs shorter schedules in processes of their own, for as long as there is time.
    fn shrink(&self) {
        let Some(minutes) = number(SHRINK_MINUTES).filter(|minutes| *minutes > 0) else { return };
        let deadline = now() + Duration::from_mins(minutes);
        let shortest = shortest(&self.schedule, |some| {
            if now() >= deadline {
                return None;
            }
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", TEST, "--nocapture"]).envs(self.again(some));
            command.env(SHRINK_MINUTES, "0").env_remove(KEEP);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let has_passed = command.status().unwrap().success();
            let how = if has_passed { "pass" } else { "fail" };
            eprintln!("{} disturbances: they {how}", some.len());
            Some(!has_passed)
        });
        self.tell("the shortest schedule found that fails", &shortest);
    }
}

/// Tells how to see a failure again, whatever the failure is.
struct Shown(Plan);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.tell("this schedule failed", &self.0.schedule);
            self.0.shrink();
        }
    }
}

#[tokio::test]
async fn whatever_goes_wrong_all_that_was_acknowledged_is_there_at_the_end() {
    let shown = Shown(Plan::from_environment());
    eprintln!("{SEED}={} {SECONDS}={}", shown.0.seed, shown.0.lasting.as_secs());
    LocalSet::new().run_until(run(&shown.0)).await;
}

async fn run(plan: &Plan) {
    let mut dice = Dice(plan.seed);
    let world = World::start(dice.below(u64::MAX)).await;
    let has_wire = world.ways.borrow().has_wire();
    let office = Rc::new(Office {
        world,
        ledger: RefCell::new(Ledger::default()),
        is_over: Cell::new(false),
        next_write: Cell::new(0),
    });
    let mut files_idle = BTreeMap::new();
    for member in &office.world.members {
        let held = held(member.pid().await);
        eprintln!("{} begins with {held:?}", member.name);
        files_idle.insert(member.place, held.files);
    }
    let began = now();
    let mut tasks = JoinSet::new();
    for member in &office.world.members {
        set_to_work(&office, member, &Rc::new(Cell::new(false)), &mut dice, &mut tasks);
    }
    for disturbance in &plan.schedule {
        if has_wire || !disturbance.fault.needs_wire() {
            tasks.spawn_local(disturb(Rc::clone(&office), *disturbance, began));
        }
    }
    while began.elapsed() < plan.lasting {
        match tokio::time::timeout(plan.lasting - began.elapsed(), tasks.join_next()).await {
            Ok(Some(ended)) => passed(ended, &office),
            Ok(None) | Err(_) => break,
        }
    }
    office.is_over.set(true);
    while let Some(ended) = tasks.join_next().await {
        passed(ended, &office);
    }
    let healed = now();
    eprintln!("all is put right {:.1?} after the beginning", began.elapsed());
    let mut wrong = until_quiet(&office, &files_idle).await;
    eprintln!("quiet {:.1?} after that", healed.elapsed());
    wrong.extend(checks::verdict(&office).await);
    eprintln!("not acknowledged: {:#?}", office.ledger.borrow().failed);
    if !wrong.is_empty() {
        keep(&office);
        panic!("seed {}: {wrong:#?}", plan.seed);
    }
}

/// A task that failed has said why; the logs are of use all the same.
fn passed(ended: Result<(), tokio::task::JoinError>, office: &Office) {
    if let Err(error) = ended {
        keep(office);
        panic!("{error}");
    }
}

fn keep(office: &Office) {
    if let Some(folder) = std::env::var_os(KEEP) {
        office.world.keep(Path::new(&folder));
    }
}

/// Waits until all is quiet; what is not when the time is over.
async fn until_quiet(office: &Office, files_idle: &BTreeMap<usize, usize>) -> Vec<String> {
    let longest = Duration::from_secs(number(QUIET_SECONDS).unwrap_or(QUIET_SECONDS_DEFAULT));
    let deadline: Instant = now() + longest;
    let mut pace = interval(Duration::from_secs(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let unrest = unrest(office, files_idle).await;
        if unrest.is_empty() {
            return unrest;
        }
        if now() >= deadline {
            let told =
                unrest.into_iter().map(|what| format!("not quiet after {longest:?}: {what}"));
            return told.collect();
        }
    }
}
