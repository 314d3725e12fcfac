//! A process whose wall clock is wrong, and can be set right while it runs: a library that is loaded into it
//! (`skewed_clock.c`) stands in the place of the C library's clocks, SQLite's included.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::agent::{Agent, Extra};

const HOUR_MILLIS: i64 = 3_600_000;

/// More than a busy machine takes between two looks at a clock.
const TOLERANCE_MILLIS: i64 = 60_000;

/// By how much the clocks of the processes that are started with it are wrong.
pub(crate) struct SkewedClock {
    shift: PathBuf,
}

impl SkewedClock {
    /// Keeps its setting in `dir`; `millis` is how far the clock is ahead.
    pub(crate) fn new(dir: &Path, millis: i64) -> Self {
        let clock = Self { shift: dir.join("skewed-clock") };
        File::create_new(&clock.shift).unwrap();
        clock.set(millis);
        clock
    }

    /// Sets the clocks of its processes, at once. 0 is right.
    pub(crate) fn set(&self, millis: i64) {
        // In place: what maps the file may not find it empty in between.
        let file = File::options().write(true).open(&self.shift).unwrap();
        file.write_all_at(&millis.to_ne_bytes(), 0).unwrap();
    }

    /// What a process has to have in its environment, for [`Extra::environment`] or [`Command::envs`].
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![("LD_PRELOAD", library().into()), ("SKEWED_CLOCK", self.shift.clone().into())]
    }
}

/// Where the library is, built when it is first asked for.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libskewed_clock.so");
        // Several test processes may do this at a time, and one of them may have it loaded already.
        let fresh = library.with_extension(std::process::id().to_string());
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/skewed_clock.c");
        compile(&["-shared", "-fPIC", source], &fresh);
        fs::rename(&fresh, &library).unwrap();
        library
    })
}

fn compile(arguments: &[&str], output: &Path) {
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]).args(arguments);
    let result = compiler.arg("-o").arg(output).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}

/// Prints the milliseconds of the three wall clocks and of one that is none.
const CLOCKS: &str = "\
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
int main(void) {
    struct timespec wall, steady; struct timeval old;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC, &steady);
    gettimeofday(&old, NULL);
    printf(\"%lld %lld %lld %lld\\n\",
        wall.tv_sec * 1000LL + wall.tv_nsec / 1000000, old.tv_sec * 1000LL + old.tv_usec / 1000,
        time(NULL) * 1000LL, steady.tv_sec * 1000LL);
    return 0;
}
";

/// What a process with this clock sees on each of them.
fn clocks(program: &Path, clock: &SkewedClock) -> [i64; 4] {
    let output = Command::new(program).envs(clock.environment()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<i64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[test]
fn every_wall_clock_of_a_process_is_shifted_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("clocks.c");
    fs::write(&source, CLOCKS).unwrap();
    let program = dir.path().join("clocks");
    compile(&[source.to_str().unwrap()], &program);
    let clock = SkewedClock::new(dir.path(), 0);
    let right = clocks(&program, &clock);
    // Half a second in either direction meets the borrow and the carry of a second.
    for millis in [HOUR_MILLIS + 500, -HOUR_MILLIS - 500] {
        clock.set(millis);
        let [wall @ .., steady] = clocks(&program, &clock);
        for (shifted, right) in wall.into_iter().zip(right) {
            let off = shifted - right - millis;
            assert!(off.abs() < TOLERANCE_MILLIS, "{millis} ms: {off} ms off");
        }
        assert!((steady - right[3]).abs() < TOLERANCE_MILLIS);
    }
}

#[tokio::test]
async fn the_clock_of_an_agent_can_be_wrong_and_be_set_right_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SkewedClock::new(dir.path(), HOUR_MILLIS);
    let extra = Extra { environment: clock.environment(), ..Extra::default() };
    let agent = Agent::start_with(dir.path(), "baulder", extra).await;
    // A token ends a day after it was made, by the clock of the agent that made it.
    let token_ends = async || {
        let token = agent.client().token_create(&mesh_control::TokenCreate::default()).await;
        i64::try_from(token.unwrap().expires_at.0).unwrap()
    };
    let wrong = token_ends().await;
    clock.set(0);
    let right = token_ends().await;
    let off = wrong - right - HOUR_MILLIS;
    assert!(off.abs() < TOLERANCE_MILLIS, "{off} ms off");
}
