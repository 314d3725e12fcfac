//! Pushes whose sender and targets die at random moments: they end right, and what was there is not sent again.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use mesh_control::{PushCancel, PushState, PushTargetState, PushView};
use mesh_protocol::PushReason;
use rustix::process::{Signal, kill_process};

use super::desk::{
    LONG, cleaned, detail, dice, followed, noise, pushed, request, root, staged, states, wired,
    write,
};
#[cfg(target_os = "linux")]
use crate::abuse::memory_peak_kib;
use crate::agent::{Agent, Extra, eventually, linked};
use crate::proxy::Proxy;

const MIB: u64 = 1 << 20;

/// How much is pushed; 2048 for the whole.
const SIZE: &str = "MESH_TEST_PUSH_MIB";
const SIZE_DEFAULT: u64 = 64;

/// Draws the moments.
const SEED: &str = "MESH_TEST_SEED";
const SEED_DEFAULT: u64 = 6;

const KILLS: u64 = 10;

/// Small files beside the large one.
#[cfg(target_os = "linux")]
const SMALL_FILES: u64 = 500;

/// What may be on its way when one dies: in the buffers of two sockets, of the wire, and of the receiver.
const IN_FLIGHT_BYTES: u64 = 4 * MIB;

/// How much more an agent may hold while it pushes.
#[cfg(target_os = "linux")]
const MEMORY_KIB_MAX: u64 = 64 << 10;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |given| given.parse().unwrap())
}

fn bytes_pushed() -> u64 {
    setting(SIZE, SIZE_DEFAULT) * MIB
}

/// Whether two files have the same bytes, however many.
fn is_same(one: &Path, other: &Path) -> bool {
    let open = |path| BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let (mut one, mut other) = (open(one), open(other));
    loop {
        let (here, there) = (one.fill_buf().unwrap(), other.fill_buf().unwrap());
        let both = here.len().min(there.len());
        if here[..both] != there[..both] || (both == 0 && here.len() != there.len()) {
            return false;
        }
        if both == 0 {
            return true;
        }
        one.consume(both);
        other.consume(both);
    }
}

fn passed(wires: &[Proxy]) -> u64 {
    wires.iter().map(Proxy::passed).sum()
}

/// A sender, a target and a file; everything between the two goes over wires that count.
struct Pair {
    agents: [Agent; 2],
    wires: Vec<Proxy>,
    file: PathBuf,
    arrived: PathBuf,
    /// Dropped after the agents, which show their logs then.
    _dir: tempfile::TempDir,
}

async fn pair(bytes: u64) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let (on_mint, mint) = root(dir.path(), "mint", "");
    // Before there are wires: they stand still while this is written.
    let file = dir.path().join("image.bin");
    noise(&file, bytes, SEED_DEFAULT);
    let (baulder, wire) = wired(dir.path(), "baulder", Extra::default()).await;
    let (mint, other) = wired(dir.path(), "mint", mint).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    let arrived = on_mint.join("image.bin");
    Pair { agents: [baulder, mint], wires: vec![wire, other], file, arrived, _dir: dir }
}

/// Kills one of the two ten times, from PREPARE to VERIFY.
async fn killed_again_and_again(who: usize) {
    let (seed, bytes) = (setting(SEED, SEED_DEFAULT), bytes_pushed());
    eprintln!("{SEED}={seed} {SIZE}={}", bytes / MIB);
    let mut dice = dice(seed);
    // What is named first is dropped last.
    let Pair { _dir, mut agents, wires, file, arrived } = pair(bytes).await;
    let before = passed(&wires);
    let begun = agents[0].client().push(&request(&[&file], &[&agents[1]])).await.unwrap();
    let mut killed_at = before;
    for kill in 0..KILLS {
        // In sum less than the file, so that it is under way each time, however little is sent again.
        let next = killed_at + if kill == 0 { 0 } else { dice() % (bytes / KILLS) };
        let what = format!("{next} bytes are on the wire");
        if kill < KILLS - 1 {
            eventually(LONG, &what, async || (passed(&wires) >= next).then_some(())).await;
        } else {
            everything_is_there(&agents[1], &begun).await;
        }
        agents[who].kill9();
        killed_at = passed(&wires);
        agents[who].restart().await;
    }
    let ended = followed(&agents[0], &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    assert!(is_same(&arrived, &file));
    let travelled = passed(&wires) - before;
    let again = travelled.saturating_sub(bytes);
    eprintln!("{travelled} bytes on the wire for {bytes}: {} again for each kill", again / KILLS);
    assert!(travelled >= bytes, "the wires that are looked at are not those in use");
    assert!(travelled <= bytes / 10 * 11 + KILLS * IN_FLIGHT_BYTES);
}

/// Waits until a target has every chunk, or is further.
async fn everything_is_there(target: &Agent, push: &PushView) {
    eventually(LONG, "every chunk is there", async || {
        let push = detail(target, push).await.push;
        let is_there = push.targets[0].bytes_done >= push.bytes_total;
        (is_there || push.state == PushState::Ended).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_is_killed_ten_times_goes_on_where_it_was() {
    killed_again_and_again(0).await;
}

#[tokio::test]
async fn a_target_that_is_killed_ten_times_asks_only_for_what_it_lacks() {
    killed_again_and_again(1).await;
}

#[tokio::test]
async fn a_target_that_is_killed_does_not_hold_the_others_up_and_gets_its_push_later() {
    let bytes = bytes_pushed() / 4;
    let dir = tempfile::tempdir().unwrap();
    let (on_mint, mint) = root(dir.path(), "mint", "");
    let (on_oak, oak) = root(dir.path(), "oak", "");
    let file = dir.path().join("image.bin");
    noise(&file, bytes, SEED_DEFAULT);
    let (baulder, wire) = wired(dir.path(), "baulder", Extra::default()).await;
    let (mint, to_mint) = wired(dir.path(), "mint", mint).await;
    let (mut oak, to_oak) = wired(dir.path(), "oak", oak).await;
    let wires = [wire, to_mint, to_oak];
    for agent in [&mint, &oak] {
        agent.join(&baulder.token().await).await.unwrap();
    }
    linked(&[&baulder, &mint, &oak]).await;
    let before = passed(&wires);
    let begun = baulder.client().push(&request(&[&file], &[&mint, &oak])).await.unwrap();
    let some = before + bytes / 3;
    eventually(LONG, "it is under way", async || (passed(&wires) >= some).then_some(())).await;
    oak.kill9();
    let is_at_mint = |push: &PushView| states(push).contains(&PushTargetState::Confirmed);
    let push = followed(&baulder, &begun, is_at_mint).await;
    assert_eq!(push.state, PushState::Running, "one of them is away: {push:?}");
    assert!(is_same(&on_mint.join("image.bin"), &file));
    assert!(!on_oak.join("image.bin").exists());
    oak.restart().await;
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed; 2], "{ended:?}");
    assert!(is_same(&on_oak.join("image.bin"), &file));
    let travelled = passed(&wires) - before;
    eprintln!("{travelled} bytes on the wires for twice {bytes}");
    assert!(travelled <= bytes / 10 * 22 + IN_FLIGHT_BYTES);
}

#[tokio::test]
async fn what_is_given_up_while_its_target_is_dead_is_cleaned_away_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (on_mint, extra) = root(dir.path(), "mint", "");
    let baulder = Agent::start(dir.path(), "baulder").await;
    let mut mint = Agent::start_with(dir.path(), "mint", extra).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    let file = dir.path().join("image.bin");
    noise(&file, 16 * MIB, SEED_DEFAULT);
    let mut slow = request(&[&file], &[&mint]);
    slow.limit_bytes_per_second = Some(4 * MIB);
    let begun = baulder.client().push(&slow).await.unwrap();
    eventually(LONG, "some of it is staged", async || {
        let known = mint.client().push_detail(&begun.push_id.to_string()).await.ok()?;
        (known.push.targets[0].bytes_done > MIB).then_some(())
    })
    .await;
    mint.kill9();
    let cancel = PushCancel { push_id: begun.push_id.to_string() };
    baulder.client().push_cancel(&cancel).await.unwrap();
    followed(&baulder, &begun, |_| false).await;
    assert!(!staged(&on_mint).is_empty());
    mint.restart().await;
    cleaned(&on_mint).await;
    eventually(LONG, "the target knows why", async || {
        let push = detail(&mint, &begun).await.push;
        let error = push.targets[0].error.as_ref()?;
        (push.state == PushState::Ended && error.reason == PushReason::Cancelled).then_some(())
    })
    .await;
}

/// Waits, without a pause, until a file has these bytes.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread that looks without a pause has no runtime's clock"
)]
fn until_placed(path: &Path, bytes: &[u8]) -> bool {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if fs::read(path).is_ok_and(|found| found == bytes) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_target_that_is_killed_between_two_renames_has_everything_new_when_it_is_back() {
    const FILES: u64 = 1000;
    let seed = setting(SEED, SEED_DEFAULT);
    eprintln!("{SEED}={seed}");
    let mut dice = dice(seed);
    let dir = tempfile::tempdir().unwrap();
    let (on_mint, extra) = root(dir.path(), "mint", "");
    let baulder = Agent::start(dir.path(), "baulder").await;
    let mut mint = Agent::start_with(dir.path(), "mint", extra).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    let tools = dir.path().join("tools");
    let name = |number: u64| format!("{number:04}.txt");
    let (mut new, mut amid) = (String::new(), 0);
    for round in 0..4 {
        let old = std::mem::replace(&mut new, format!("round {round}"));
        for number in 0..FILES {
            write(&tools.join(name(number)), &new, 0o644);
        }
        let begun = baulder.client().push(&request(&[&tools], &[&mint])).await.unwrap();
        if round > 0 {
            let watched = on_mint.join("tools").join(name(dice() % FILES));
            let (bytes, pid) = (new.clone().into_bytes(), mint.pid());
            let killing = tokio::task::spawn_blocking(move || {
                assert!(until_placed(&watched, &bytes), "it is put in place in time");
                kill_process(pid, Signal::KILL).unwrap();
            });
            killing.await.unwrap();
            mint.kill9();
            let count = |text: &str| {
                let files = (0..FILES).map(|number| on_mint.join("tools").join(name(number)));
                files.filter(|file| fs::read(file).is_ok_and(|is| is == text.as_bytes())).count()
            };
            amid += usize::from(count(&old) > 0);
            mint.restart().await;
            assert_eq!(count(&new), 1000, "of {} that were old when it died", count(&old));
        }
        let ended = followed(&baulder, &begun, |_| false).await;
        assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
        assert_eq!(ended.targets[0].replaced, Some(if round > 0 { FILES } else { 0 }));
    }
    eprintln!("killed between two renames {amid} times");
    assert!(amid > 0, "it never died between two renames");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn neither_side_holds_more_than_64_mib_more_than_when_it_is_idle() {
    let bytes = bytes_pushed();
    let pair = pair(bytes).await;
    let [baulder, mint] = &pair.agents;
    let idle = [memory_peak_kib(baulder), memory_peak_kib(mint)];
    let before = passed(&pair.wires);
    let folder = pair.file.with_file_name("many");
    for number in 0..SMALL_FILES {
        write(&folder.join(format!("{number}.txt")), &number.to_string().repeat(500), 0o644);
    }
    // One large file, and many small ones.
    let large = pushed(baulder, &request(&[&pair.file], &[mint])).await;
    let travelled = passed(&pair.wires) - before;
    let small = pushed(baulder, &request(&[&folder], &[mint])).await;
    for ended in [large, small] {
        assert_eq!(states(&ended), [PushTargetState::Confirmed], "{ended:?}");
    }
    let busy = [memory_peak_kib(baulder), memory_peak_kib(mint)];
    for (who, idle, busy) in [("sender", idle[0], busy[0]), ("target", idle[1], busy[1])] {
        eprintln!("{who}: {idle} KiB idle, {busy} KiB at most");
        assert!(busy <= idle + MEMORY_KIB_MAX, "the {who} held {busy} KiB");
    }
    assert!(travelled <= bytes / 100 * 102 + MIB, "{travelled} bytes on the wire for {bytes}");
}
