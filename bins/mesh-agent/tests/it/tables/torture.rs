//! Everything at once: programs of all kinds write on three agents, which are killed, frozen, stopped and cut
//! off from each other meanwhile. At the end all are equal, and nothing that was acknowledged is lost.

mod gate;
mod model;
mod write;
mod writers;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use self::gate::Gate;
use self::write::{Dice, TABLE};
use self::writers::{Log, Program, Writer};
use super::desk::equal_within;
use crate::agent::{Agent, Extra, eventually, free_port, linked};

/// How many writes there are; 100,000 for the long run.
const WRITES: &str = "MESH_TEST_WRITES";
const WRITES_DEFAULT: u64 = 4_000;

/// Draws everything that is drawn; what the machine does in between is not.
const SEED: &str = "MESH_TEST_SEED";
const SEED_DEFAULT: u64 = 4;

/// The longest that something goes on being wrong, whatever the writers do.
const DISTURBANCE_MAX: Duration = Duration::from_millis(1500);

/// How many writes there are between two disturbances.
const DISTURBED_EVERY: u64 = 300;

const CONFIG: &str = "[tables]\nconflicts_max = 10000000\n";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |given| given.parse().unwrap())
}

/// Says the seed when the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to see it again: {SEED}={}", self.0);
        }
    }
}

/// How often what was done.
#[derive(Debug, Default)]
struct Disturbed {
    killed: u32,
    stopped: u32,
    frozen: u32,
    cut: u32,
}

/// Three agents that reach each other through gates alone.
struct World {
    agents: [Agent; 3],
    gates: [Gate; 3],
    log: Arc<Log>,
    dice: Dice,
    disturbed: Disturbed,
}

impl World {
    async fn start(dir: &Path, dice: Dice) -> Self {
        let config = dir.join("agent.toml");
        std::fs::write(&config, CONFIG).unwrap();
        let (mut agents, mut gates) = (Vec::new(), Vec::new());
        for name in ["one", "two", "three"] {
            let port = free_port();
            let gate = Gate::start(([127, 0, 0, 1], port).into()).await;
            let advertised = gate.address().to_string();
            let config = config.to_str().unwrap();
            let extra = Extra::new(&["--advertise", &advertised, "--config", config]);
            let agent = Agent::start_at(dir, name, port, extra).await;
            if let Some(founder) = agents.first() {
                let token = Agent::token(founder).await;
                agent.join(&token).await.unwrap();
            }
            agents.push(agent);
            gates.push(gate);
        }
        let agents: [Agent; 3] = agents.try_into().unwrap_or_else(|_| unreachable!("three names"));
        let gates = gates.try_into().unwrap_or_else(|_| unreachable!("three names"));
        linked(&agents.each_ref()).await;
        agents[0].create(TABLE).await;
        for agent in &agents {
            agent.shows("SELECT count(*) FROM cells", &["0"]).await;
        }
        Self { agents, gates, log: Log::new(), dice, disturbed: Disturbed::default() }
    }

    /// Sets all writers to work; how many writes there will be.
    fn write(&mut self, writes: u64, tasks: &mut JoinSet<()>) -> u64 {
        let mut all = 0;
        let shares =
            [(Program::Api, 50), (Program::Ctl, 5), (Program::Shell, 25), (Program::Python, 20)];
        for agent in &self.agents {
            for (program, percent) in shares {
                let writer = Writer {
                    program,
                    client: mesh_control::ControlClient::new(agent.client().path().to_owned()),
                    database: agent.data_db(),
                    rows: writes / 20,
                    dice: Dice(self.dice.below(u64::MAX)),
                    log: Arc::clone(&self.log),
                };
                let is_there = match program {
                    Program::Api | Program::Ctl => true,
                    Program::Shell => super::desk::is_installed("sqlite3"),
                    Program::Python => super::desk::is_installed("python3"),
                };
                if is_there {
                    let count = writes * percent / 300;
                    all += count;
                    tasks.spawn_local(writer.run(count));
                }
            }
        }
        all
    }

    /// Waits until so many writes were begun.
    async fn reaches(&self, begun: u64, longest: Duration) {
        let reached = eventually(longest * 2, "the writers go on", async || {
            (self.log.begun() >= begun).then_some(())
        });
        // They may all wait for what is wrong.
        let _either = timeout(longest, reached).await;
    }

    /// Does something to an agent or to all, and takes it back a few writes later.
    async fn disturb(&mut self) {
        let until = self.log.begun() + self.dice.below(DISTURBED_EVERY);
        let which = usize::try_from(self.dice.below(3)).unwrap();
        match self.dice.below(10) {
            0..4 => {
                self.disturbed.killed += 1;
                self.agents[which].kill9();
                self.reaches(until, DISTURBANCE_MAX).await;
                self.agents[which].restart().await;
            }
            4 => {
                self.disturbed.stopped += 1;
                let _stopped = self.agents[which].terminate().await;
                self.reaches(until, DISTURBANCE_MAX).await;
                self.agents[which].restart().await;
            }
            5..8 => {
                self.disturbed.frozen += 1;
                self.agents[which].freeze();
                self.reaches(until, DISTURBANCE_MAX).await;
                self.agents[which].thaw();
            }
            _ => {
                self.disturbed.cut += 1;
                self.gates.iter().for_each(Gate::shut);
                self.reaches(until, DISTURBANCE_MAX).await;
                self.gates.iter().for_each(Gate::open);
            }
        }
    }
}

#[tokio::test]
async fn whatever_happens_all_are_equal_at_the_end_and_nothing_acknowledged_is_lost() {
    LocalSet::new().run_until(torture()).await;
}

#[expect(clippy::disallowed_methods, reason = "says how long it took")]
async fn torture() {
    let dir = tempfile::tempdir().unwrap();
    let seed = Seed(setting(SEED, SEED_DEFAULT));
    let mut dice = Dice(seed.0);
    let mut world = World::start(dir.path(), Dice(dice.below(u64::MAX))).await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let all = world.write(setting(WRITES, WRITES_DEFAULT), &mut tasks);
    loop {
        let next = world.log.begun() + dice.below(2 * DISTURBED_EVERY);
        if next >= all {
            break;
        }
        world.reaches(next, Duration::from_secs(60)).await;
        world.disturb().await;
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let written = began.elapsed();
    let [one, two, three] = &world.agents;
    equal_within(&[one, two, three], Duration::from_secs(120 + all / 100)).await;

    let outcomes = world.log.take();
    assert_eq!(outcomes.len() as u64, all);
    let rows = one.rows("SELECT id, a, b, c FROM cells ORDER BY id").await;
    let verdict = model::judge(&outcomes, &rows, &one.conflicts().await);
    eprintln!(
        "seed {}: written in {written:.1?}, equal after {:.1?}; {:?}; {} acknowledged, {} unknown; {} cells \
         visible, {} listed, {} excused, {} wrong",
        seed.0,
        began.elapsed(),
        world.disturbed,
        verdict.acknowledged,
        verdict.unknown,
        verdict.visible,
        verdict.listed,
        verdict.excused,
        verdict.wrong.len(),
    );
    let some: Vec<&String> = verdict.wrong.iter().take(20).collect();
    assert!(some.is_empty(), "{some:#?}");
    assert!(verdict.listed > 0, "nobody ever wrote at the same time");
    assert!(verdict.excused <= 3 * verdict.unknown, "{verdict:?}");
}
