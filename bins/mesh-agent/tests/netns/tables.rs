//! The replicated tables while wires are cut and members are away.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use mesh_control::MemberStatus;
use mesh_testkit::netns::LanMachine;
use tokio::time::interval;

use crate::agent::{Agent, NEWS, PATIENCE, eventually};
use crate::desk::{NOTES, equal};
use crate::world::{Located, World, direct, measured, now, reaches_through, seconds, shown};

/// To see that the other half fell silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Everybody has the same within this time, once everybody reaches everybody.
const HEALING: Duration = Duration::from_secs(20);

const ALL: &str = "SELECT * FROM notes ORDER BY id";

fn agents(members: &[Located]) -> Vec<&Agent> {
    members.iter().map(|member| &**member).collect()
}

/// Everybody has the table of notes.
async fn noted(members: &[Located]) {
    members[0].create(NOTES).await;
    for member in members {
        member.shows(ALL, &[]).await;
    }
}

async fn conflict_ids(agent: &Agent) -> Vec<String> {
    agent.conflicts().await.into_iter().map(|conflict| conflict.id).collect()
}

/// Checksums by table, without those of tables that are set aside.
async fn checksums(agent: &Agent) -> BTreeMap<String, String> {
    let tables = agent.tables().await.into_iter();
    tables.filter_map(|table| Some((table.name, table.checksum?))).collect()
}

#[tokio::test]
async fn both_sides_of_a_split_write_and_nothing_is_lost() {
    let mut world = World::new();
    let members = world.mesh(["oak", "elm", "ash", "fir", "yew"]).await;
    let [oak, elm, ash, fir, yew] = &members;
    noted(&members).await;
    oak.write("INSERT INTO notes VALUES (1,'a','a'),(2,'a','a'),(3,'a','a'),(4,'a','a')").await;
    equal(&agents(&members)).await;
    let machines: Vec<&LanMachine> = members.iter().map(|member| &member.machine).collect();
    let (some, others) = machines.split_at(2);
    world.lan.split(some, others).unwrap();

    // The same rows on both sides, one of them in other columns, and rows of everybody's own.
    oak.write("UPDATE notes SET title = 'oak' WHERE id IN (1, 2)").await;
    fir.write("UPDATE notes SET title = 'fir' WHERE id = 1").await;
    fir.write("UPDATE notes SET body = 'fir' WHERE id = 2").await;
    elm.write("DELETE FROM notes WHERE id IN (3, 4)").await;
    yew.write("UPDATE notes SET body = 'yew' WHERE id = 3").await;
    yew.write("DELETE FROM notes WHERE id = 4").await;
    for (number, member) in members.iter().enumerate() {
        let number = number + 1;
        member
            .write(&format!("INSERT INTO notes VALUES ({number}0, '{}', '')", member.name()))
            .await;
    }
    // The same table on both sides, and one of which each side has another idea.
    for (number, member) in [elm, ash].into_iter().enumerate() {
        member.create("CREATE TABLE twice (id INTEGER PRIMARY KEY, by TEXT)").await;
        member.write(&format!("INSERT INTO twice VALUES ({number}, '{}')", member.name())).await;
    }
    oak.create("CREATE TABLE plans (id INTEGER PRIMARY KEY, early TEXT)").await;
    oak.write("INSERT INTO plans VALUES (1, 'oak')").await;
    yew.create("CREATE TABLE plans (id INTEGER PRIMARY KEY, late TEXT)").await;
    yew.write("INSERT INTO plans VALUES (1, 'yew'), (2, 'yew')").await;
    equal(&agents(&members[..2])).await;
    equal(&agents(&members[2..])).await;
    shown(oak, "yew", MemberStatus::Inactive, SILENCE).await;
    shown(yew, "oak", MemberStatus::Inactive, SILENCE).await;

    world.lan.heal(some, others).unwrap();
    let took = measured(HEALING, "everybody has the same tables and conflicts", async || {
        let expected = (checksums(oak).await, conflict_ids(oak).await);
        let mut is_equal = expected.0.len() == 3 && expected.1.len() == 2;
        for member in &members {
            is_equal &= (checksums(member).await, conflict_ids(member).await) == expected;
        }
        is_equal
    })
    .await;
    eprintln!("everybody had the same {took:?} after the split healed");
    for member in &members {
        let expected =
            ["1|fir|a", "2|oak|fir", "10|oak|", "20|elm|", "30|ash|", "40|fir|", "50|yew|"];
        assert_eq!(member.rows(ALL).await, expected, "at {}", member.name());
        assert_eq!(member.rows("SELECT * FROM twice ORDER BY id").await, ["0|elm", "1|ash"]);
        assert_eq!(member.rows("SELECT * FROM plans").await, ["1|oak"], "the earlier one wins");
    }
    let lost = elm.conflicts().await;
    let lost: Vec<_> = lost.iter().map(|one| (one.column.as_deref(), &*one.lost.by)).collect();
    assert!(
        lost.contains(&(Some("title"), "oak")) && lost.contains(&(Some("body"), "yew")),
        "{lost:?}"
    );

    // The later table is nowhere dropped: who had it has its rows aside, who had not has them parked.
    let aside = "SELECT name FROM sqlite_schema WHERE name GLOB 'plans__mesh_aside_????????'";
    for member in [ash, fir, yew] {
        let [name] = <[String; 1]>::try_from(member.rows(aside).await).unwrap();
        let rows = member.rows(&format!("SELECT late FROM {name} ORDER BY id")).await;
        assert_eq!(rows, ["yew", "yew"]);
        assert!(member.log().contains("a table was set aside"));
    }
    for member in [oak, elm] {
        let parked = member.client().parked_list().await.unwrap();
        let parked: Vec<_> =
            parked.iter().map(|one| (&*one.reason, one.member.as_deref())).collect();
        assert_eq!(parked, [("unknown_table", Some("yew"))], "at {}", member.name());
    }
}

#[tokio::test]
async fn a_line_of_members_hands_on_at_once_what_either_end_writes() {
    let mut world = World::new();
    let machines = [world.machine(), world.machine(), world.machine()];
    world.part(&machines[0], &machines[2]);
    let [of_oak, of_elm, of_ash] = machines;
    let mut elm = world.start("elm", of_elm, "mesh_node=debug,info").await;
    let oak = world.start("oak", of_oak, "mesh_node=debug,info").await;
    oak.join(&elm.token().await).await.unwrap();
    let ash = world.start("ash", of_ash, "mesh_node=debug,info").await;
    ash.join(&elm.token().await).await.unwrap();
    for (one, other) in [(&oak, "ash"), (&ash, "oak")] {
        let what = format!("{} reaches {other} through elm", one.name());
        measured(PATIENCE, &what, async || reaches_through(one, other, &["elm"]).await).await;
    }
    oak.create(NOTES).await;
    ash.shows(ALL, &[]).await;

    let mut slowest = Duration::ZERO;
    for number in 0..10 {
        for (from, to, id) in [(&oak, &ash, number * 2), (&ash, &oak, number * 2 + 1)] {
            let sql = format!("INSERT INTO notes VALUES ({id}, '{}', '')", from.name());
            from.write(&sql).await;
            let find = format!("SELECT 1 FROM notes WHERE id = {id}");
            let what = format!("{} has what {} wrote", to.name(), from.name());
            let is_there = async || to.rows(&find).await.len() == 1;
            slowest = slowest.max(measured(NEWS, &what, is_there).await);
        }
    }
    eprintln!("the slowest of 20 writes took {slowest:?} through a third member");

    elm.kill9();
    oak.write("INSERT INTO notes VALUES (100, 'oak', 'alone')").await;
    ash.write("INSERT INTO notes VALUES (101, 'ash', 'alone')").await;
    ash.write("UPDATE notes SET body = 'ash' WHERE id = 0").await;
    oak.write("UPDATE notes SET title = 'elm is away' WHERE id = 0").await;
    elm.restart().await;
    let restarted = now();
    for member in [&oak, &ash, &elm] {
        member
            .shows(
                "SELECT title, body FROM notes WHERE id IN (0, 100, 101)",
                &["elm is away|ash", "oak|alone", "ash|alone"],
            )
            .await;
    }
    eprintln!("all three had everything {:?} after the restart", restarted.elapsed());
    equal(&[&oak, &elm, &ash]).await;
    assert_eq!(conflict_ids(&oak).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_member_that_was_away_for_longer_than_the_log_reaches_loses_nothing() {
    /// The log reaches over a few dozen of these writes.
    const CONFIG: &str = "[tables]\nlog_bytes_max = 20000\nlog_bytes_kept = 4000\n\
                          compare_every_seconds = 1\n";
    let mut world = World::new();
    let mut members = world.mesh_with(["oak", "elm", "ash"], CONFIG).await;
    noted(&members).await;
    members[0].write("INSERT INTO notes VALUES (1, 'a', 'a'), (2, 'a', 'a')").await;
    equal(&agents(&members)).await;
    let [oak, elm, ash] = &mut members;
    world.lan.split(&[&ash.machine], &[&oak.machine, &elm.machine]).unwrap();
    ash.write("INSERT INTO notes VALUES (3, 'ash', 'unsent')").await;
    ash.write("UPDATE notes SET title = 'ash' WHERE id = 1").await;
    ash.write("DELETE FROM notes WHERE id = 2").await;
    ash.kill9();
    for number in 0..200 {
        let writer = if number % 2 == 0 { &*oak } else { &*elm };
        let id = 1000 + number;
        let sql =
            format!("INSERT INTO notes VALUES ({id}, 'while ash is away', hex(zeroblob(200)))");
        writer.write(&sql).await;
    }
    oak.write("UPDATE notes SET body = 'oak' WHERE id = 1").await;
    for member in [&*oak, &*elm] {
        let what = format!("the log of {} is short", member.name());
        let is_short = async || (member.status().await.data.log_bytes <= 20_000).then_some(());
        eventually(PATIENCE, &what, is_short).await;
    }
    world.lan.heal(&[&ash.machine], &[&oak.machine, &elm.machine]).unwrap();
    ash.restart().await;
    let restarted = now();
    equal(&[&*oak, &*elm, &*ash]).await;
    eprintln!("all was equal {:?} after the restart", restarted.elapsed());
    assert!(ash.log().contains("the state of the tables is taken over"), "a snapshot was taken");
    for member in &members {
        assert_eq!(member.rows("SELECT count(*) FROM notes").await, ["202"]);
        let own = member.rows("SELECT * FROM notes WHERE id < 1000 ORDER BY id").await;
        assert_eq!(own, ["1|ash|oak", "3|ash|unsent"], "at {}", member.name());
        assert_eq!(conflict_ids(member).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_stream_of_rows_survives_a_wire_that_carries_one_direction_alone() {
    const BATCHES: usize = 40;
    const CUT: Duration = Duration::from_secs(3);
    let mut world = World::new();
    let members = world.mesh(["oak", "elm"]).await;
    let [oak, elm] = &members;
    noted(&members).await;
    let started = now();
    let mut pause = interval(CUT);
    let _now = pause.tick().await;
    for batch in 0..BATCHES {
        // Each direction once, for longer than the stream would take.
        match batch {
            8 => world.lan.cut(&oak.machine, &elm.machine).unwrap(),
            16 => {
                let _cut = pause.tick().await;
                world.lan.mend(&oak.machine, &elm.machine).unwrap();
            }
            24 => world.lan.cut(&elm.machine, &oak.machine).unwrap(),
            32 => {
                let _cut = pause.tick().await;
                world.lan.mend(&elm.machine, &oak.machine).unwrap();
            }
            _ => {}
        }
        let (from, to) = (batch * 500, batch * 500 + 499);
        let sql = format!(
            "WITH RECURSIVE n(i) AS (VALUES ({from}) UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
             INSERT INTO notes SELECT i, 'title ' || i, 'body ' || i FROM n"
        );
        assert_eq!(oak.write(&sql).await, 500);
    }
    eprintln!("20,000 rows were written in {:?}", started.elapsed());
    elm.shows("SELECT count(*) FROM notes", &["20000"]).await;
    eprintln!("and all there after {:?}", started.elapsed());
    equal(&agents(&members)).await;
}

/// The same numbers every time, from a seed that a failed run prints.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Rows that all of them write, beside those of everybody's own.
const SHARED: u64 = 50;

/// Writes until it is over; how many rows of its own were inserted.
async fn write_on(member: &Agent, number: u64, seed: u64, is_over: &Cell<bool>) -> u64 {
    let mut numbers = Numbers(seed.wrapping_add(number << 32));
    let mut own = 0;
    while !is_over.get() {
        let shared = numbers.below(SHARED);
        let name = member.name();
        let sql = match numbers.below(5) {
            0 => format!("UPDATE notes SET title = '{name} {own}' WHERE id = {shared}"),
            1 => format!("UPDATE notes SET body = '{name} {own}' WHERE id = {shared}"),
            2 => format!("DELETE FROM notes WHERE id = {shared}"),
            3 => format!("INSERT OR REPLACE INTO notes VALUES ({shared}, '{name}', '{own}')"),
            _ => {
                own += 1;
                let id = number * 1_000_000 + own;
                format!("INSERT INTO notes VALUES ({id}, '{name}', 'its own')")
            }
        };
        member.write(&sql).await;
        tokio::task::yield_now().await;
    }
    own
}

/// Splits the machines at random, another way every second.
async fn split_on(world: &World, machines: &[&LanMachine], seed: u64, is_over: &Cell<bool>) {
    let mut numbers = Numbers(seed);
    let mut pace = interval(Duration::from_secs(1));
    let started = now();
    let lasting = seconds("NETNS_SPLIT_SECONDS", 15);
    while started.elapsed() < lasting {
        let chosen = numbers.below(1 << machines.len());
        let is_chosen = |at: &usize| chosen >> at & 1 == 1;
        let (some, others): (Vec<usize>, Vec<usize>) = (0..machines.len()).partition(is_chosen);
        let some: Vec<&LanMachine> = some.into_iter().map(|at| machines[at]).collect();
        let others: Vec<&LanMachine> = others.into_iter().map(|at| machines[at]).collect();
        world.lan.split(&some, &others).unwrap();
        let ticks = 1 + numbers.below(3);
        for _ in 0..ticks {
            pace.tick().await;
        }
        world.lan.heal(&some, &others).unwrap();
    }
    is_over.set(true);
}

#[tokio::test]
async fn all_is_equal_after_splits_at_random_while_everybody_writes() {
    let given = std::env::var("NETNS_SEED").ok().map(|text| text.parse().unwrap());
    let seed: u64 = given.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("NETNS_SEED={seed}");
    let mut world = World::new();
    let members = world.mesh(["oak", "elm", "ash", "fir", "yew"]).await;
    noted(&members).await;
    let machines: Vec<&LanMachine> = members.iter().map(|member| &member.machine).collect();
    let is_over = Cell::new(false);
    let writing = members
        .iter()
        .zip(1_u64..)
        .map(|(member, number)| write_on(member, number, seed, &is_over));
    let splitting = split_on(&world, &machines, seed, &is_over);
    let (own, ()) = tokio::join!(join_all(writing), splitting);

    let healed = now();
    for one in &members {
        for other in members.iter().filter(|other| other.name() != one.name()) {
            direct(one, other.name(), SILENCE).await;
        }
    }
    eprintln!("everybody reached everybody {:?} after the end", healed.elapsed());
    equal(&agents(&members)).await;
    let conflicts = conflict_ids(&members[0]).await.len();
    eprintln!(
        "equal {:?} after the end, {own:?} own rows, {conflicts} conflicts",
        healed.elapsed()
    );
    for (number, own) in (1..).zip(own) {
        let sql = format!(
            "SELECT count(*) FROM notes WHERE id / 1000000 = {number} AND body = 'its own'"
        );
        assert_eq!(members[0].rows(&sql).await, [own.to_string()]);
    }
}
