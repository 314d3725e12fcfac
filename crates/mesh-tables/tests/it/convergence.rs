//! Any writes on any database, passed on in any order: all end equal.

use crate::peer::{Peer, accept, converge};

/// A row of numbers that only looks random: a failure names its seed, and comes again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

async fn write(peer: &Peer, chance: &mut Chance) {
    let id = *chance.pick(&["p", "q", "r"]);
    let value = chance.below(900);
    let sql = match chance.below(10) {
        0 => {
            format!("INSERT OR REPLACE INTO notes VALUES ('{id}', 'whole {value}', {value}, NULL)")
        }
        1 => format!("INSERT OR REPLACE INTO notes (id, b) VALUES ('{id}', {value})"),
        2 | 3 => format!("UPDATE notes SET a = 'edit {value}' WHERE id = '{id}'"),
        4 => format!("UPDATE notes SET b = {value}, c = x'{:04x}' WHERE id >= '{id}'", value),
        5 => format!("UPDATE notes SET a = 'all {value}'"),
        6 | 7 => format!("DELETE FROM notes WHERE id = '{id}'"),
        8 => format!("INSERT OR IGNORE INTO notes (id, a) VALUES ('{id}', 'new {value}')"),
        _ => format!(
            "UPDATE OR IGNORE notes SET id = '{}' WHERE id = '{id}'",
            chance.pick(&["p", "q"])
        ),
    };
    peer.run(&sql).await;
}

async fn exchange(from: &Peer, to: &Peer, chance: &mut Chance) {
    let mut bodies = from.bodies_for(to).await;
    match chance.below(4) {
        // The rest is lost on the way.
        0 => bodies.truncate(bodies.len() / 2),
        // Something comes twice, or too early.
        1 => bodies.extend(bodies.clone()),
        2 => bodies.reverse(),
        _ => {}
    }
    to.take(bodies, from).await;
}

async fn run(seed: u64, is_ahead: bool) {
    let peers = Peer::with_notes::<3>().await;
    if is_ahead {
        peers[0].run_ahead().await;
    }
    let mut chance = Chance(seed);
    for _ in 0..40 {
        let peer = usize::try_from(chance.below(3)).unwrap();
        let other = (peer + 1 + usize::try_from(chance.below(2)).unwrap()) % 3;
        match chance.below(5) {
            0..3 => write(&peers[peer], &mut chance).await,
            3 => {
                exchange(&peers[peer], &peers[other], &mut chance).await;
                if is_ahead && chance.below(2) == 0 {
                    accept(&[&peers[peer], &peers[other]]).await;
                }
            }
            _ => {
                let conflicts = peers[peer].tables.conflicts(None).await.unwrap();
                let Some(first) = conflicts.into_iter().next() else { continue };
                let at = peers[peer].now().await;
                peers[peer].tables.restore_conflict(first.id, at).await.unwrap();
            }
        }
    }
    let all = [&peers[0], &peers[1], &peers[2]];
    if is_ahead {
        accept(&all).await;
        accept(&all).await;
    }
    converge(&all).await;
}

#[tokio::test]
async fn whatever_is_written_anywhere_all_databases_end_equal() {
    for seed in (0..10).chain([21]) {
        println!("seed {seed}");
        run(seed, false).await;
    }
}

#[tokio::test]
async fn so_they_do_where_the_clock_of_one_is_ahead_and_the_others_accept_that() {
    for seed in 0..10 {
        println!("seed {seed}");
        run(seed, true).await;
    }
}
