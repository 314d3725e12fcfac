//! Disks that are full or cannot be written, under agents that run and under such that start.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mesh_control::{ClientError, DataState, DataView, DeliveryState, SendRequest};
use mesh_protocol::ErrorCode;
use tokio::time::interval;

use crate::agent::{Agent, Extra, PATIENCE, eventually, text_message};
use crate::desk::{NOTES, equal};
use crate::world::{Located, World, measured, now};

/// How long a state has to stay the same.
const STEADY: Duration = Duration::from_secs(6);

/// Rows of 10,000 bytes each, from a number on.
fn rows(from: usize, count: usize) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (VALUES ({from}) UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
         INSERT INTO notes SELECT i, 'title ' || i, hex(randomblob(5000)) FROM n",
        to = from + count - 1
    )
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// A small disk in the place of a data directory.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn new(path: PathBuf) -> Self {
        DirBuilder::new().recursive(true).mode(0o700).create(&path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=24m,mode=700", "disk", path.to_str().unwrap()]);
        Self { path }
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![0xa5; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}"), self.path.to_str().unwrap()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _still_there = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// A folder that can be made read-only while files in it are open, for the process that is started with it.
struct Freezer {
    folder: PathBuf,
}

impl Freezer {
    fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn marker(&self) -> PathBuf {
        let mut marker = self.folder.clone().into_os_string();
        marker.push(".frozen");
        marker.into()
    }

    fn freeze(&self) {
        File::create(self.marker()).unwrap();
    }

    fn thaw(&self) {
        fs::remove_file(self.marker()).unwrap();
    }

    fn environment(&self, dir: &Path) -> Vec<(&'static str, OsString)> {
        let library = dir.join("libfrozen_disk.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/netns/frozen_disk.c");
        let options = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
        let output = ["-o", library.to_str().unwrap(), source];
        run("cc", &[&options[..], &output[..]].concat());
        vec![("LD_PRELOAD", library.into()), ("FROZEN_DISK", self.folder.clone().into())]
    }
}

async fn data(agent: &Agent) -> DataView {
    agent.status().await.data
}

async fn is_in(agent: &Agent, state: DataState) -> Duration {
    let what = format!("the tables of {} are {}", agent.name(), state.as_str());
    measured(PATIENCE, &what, async || data(agent).await.state == state).await
}

fn code_of<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorCode {
    let error = result.unwrap_err();
    let ClientError::Api(error) = error else { panic!("{error:?}") };
    error.code
}

/// What a member does whose disk takes nothing: it says so, steadily, serves what it has, takes nothing, and
/// goes on by itself when `mend` has run.
async fn bears(members: &[Located; 3], state: DataState, code: ErrorCode, mend: impl FnOnce()) {
    let [oak, elm, ash] = members;
    oak.write(&rows(1000, 100)).await;
    elm.write(&rows(2000, 100)).await;
    oak.write("UPDATE notes SET body = 'oak' WHERE id = 1").await;
    equal(&[oak, elm]).await;
    is_in(ash, state).await;
    let started = now();
    let mut looks = interval(Duration::from_millis(20));
    while started.elapsed() < STEADY {
        looks.tick().await;
        let view = data(ash).await;
        assert!(view.state == state && !view.detail.is_empty(), "it stays so: {view:?}");
    }
    let view = data(ash).await;
    assert!(view.behind > 0, "it knows that others have more: {view:?}");
    assert_eq!(ash.rows("SELECT count(*) FROM notes").await, ["2"], "all or nothing");
    assert_eq!(ash.rows("SELECT body FROM notes WHERE id = 2").await, ["before"]);
    assert_eq!(code_of(ash.try_sql(&rows(3000, 500)).await), code);
    assert_eq!(ash.rows("SELECT count(*) FROM notes WHERE id >= 3000").await, ["0"]);
    let refused = ash.ctl(&["--json", "sql", &rows(3000, 500)]);
    let said = [&refused.stdout[..], &refused.stderr].concat();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&said).contains(code.as_str()), "{refused:?}");
    let shown = ash.ctl(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("disk is full") || shown.contains("cannot be written"), "{shown}");

    let message = SendRequest { wait_seconds: Some(2), ..text_message("ash", "for a full disk") };
    let sent = oak.client().send(&message).await.unwrap();
    assert_ne!(sent.deliveries[0].state, DeliveryState::Acked, "it cannot be stored");
    assert_eq!(ash.inbox().await, []);
    let refused = code_of(ash.client().send(&text_message("oak", "it cannot be kept")).await);
    assert!([ErrorCode::DiskFull, ErrorCode::StorageError].contains(&refused), "{refused:?}");

    mend();
    let mended = now();
    equal(&[oak, elm, ash]).await;
    eprintln!("equal {:?} after it was mended", mended.elapsed());
    is_in(ash, DataState::Ok).await;
    eprintln!("ok {:?} after it was mended", mended.elapsed());
    ash.write("INSERT INTO notes VALUES (5000, 'ash', 'again')").await;
    oak.shows("SELECT body FROM notes WHERE id = 5000", &["again"]).await;
    let arrives = async || (ash.texts().await == ["for a full disk"]).then_some(());
    eventually(PATIENCE, "the message arrives", arrives).await;
    for member in members {
        assert!(member.starts() == 1, "nobody was restarted");
        assert_eq!(member.rows("SELECT count(*) FROM notes").await, ["203"]);
    }
}

/// Three members, the last of which keeps its data as `prepared` says.
async fn members(world: &mut World, environment: Vec<(&'static str, OsString)>) -> [Located; 3] {
    let machines = [world.machine(), world.machine(), world.machine()];
    let [of_oak, of_elm, of_ash] = machines;
    let oak = world.start("oak", of_oak, "mesh_node=debug,info").await;
    let elm = world.start("elm", of_elm, "mesh_node=debug,info").await;
    elm.join(&oak.token().await).await.unwrap();
    let extra = Extra { environment, ..Extra::new(&["--log-level", "mesh_node=debug,info"]) };
    let ash = world.start_extra("ash", of_ash, extra).await;
    ash.join(&oak.token().await).await.unwrap();
    oak.create(NOTES).await;
    oak.write("INSERT INTO notes VALUES (1, 'a', 'before'), (2, 'a', 'before')").await;
    equal(&[&oak, &elm, &ash]).await;
    [oak, elm, ash]
}

#[tokio::test]
async fn a_member_with_a_full_disk_says_so_and_catches_up_when_there_is_room() {
    let mut world = World::new();
    let disk = Disk::new(world.data_dir("ash"));
    let members = members(&mut world, Vec::new()).await;
    disk.fill();
    bears(&members, DataState::DiskFull, ErrorCode::DiskFull, || disk.free()).await;
}

#[tokio::test]
async fn a_member_whose_disk_became_read_only_says_so_and_catches_up_when_it_is_not() {
    let mut world = World::new();
    let freezer = Freezer::new(world.data_dir("ash"));
    let environment = freezer.environment(world.dir());
    let members = members(&mut world, environment).await;
    freezer.freeze();
    bears(&members, DataState::ReadOnly, ErrorCode::ReadOnly, || freezer.thaw()).await;
}

/// Starts the agent, which must end by itself; what it said.
async fn refusal(agent: &Agent) -> String {
    let mut command = agent.command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let ended = async || child.try_wait().unwrap();
    let status = eventually(PATIENCE, "the agent ends by itself", ended).await;
    assert!(!status.success());
    let said = child.wait_with_output().unwrap().stderr;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn an_agent_on_a_disk_that_takes_nothing_says_why_it_does_not_start_and_harms_nothing() {
    let mut world = World::new();
    let disk = Disk::new(world.data_dir("ash"));
    let [oak, elm, mut ash] = members(&mut world, Vec::new()).await;
    ash.write("INSERT INTO notes VALUES (3, 'ash', 'its own')").await;
    ash.kill9();
    oak.write("INSERT INTO notes VALUES (4, 'oak', 'while it is away')").await;

    disk.remount("ro");
    let said = refusal(&ash).await;
    assert!(said.contains("cannot be used: Read-only file system"), "{said}");
    disk.remount("rw");
    disk.fill();
    let said = refusal(&ash).await;
    assert!(said.contains("cannot be opened") && said.contains("the disk is full"), "{said}");
    disk.free();
    ash.restart().await;
    equal(&[&oak, &elm, &ash]).await;
    assert_eq!(ash.rows("SELECT count(*) FROM notes").await, ["4"]);
}

#[tokio::test]
async fn an_agent_is_not_made_on_a_full_disk_and_is_made_when_there_is_room() {
    let mut world = World::new();
    let machine = world.machine();
    let disk = Disk::new(world.data_dir("ash"));
    let mut ash = world.start("ash", machine, "info").await;
    assert!(ash.terminate().await.success());
    for entry in fs::read_dir(&disk.path).unwrap() {
        let path = entry.unwrap().path();
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.unwrap();
    }
    disk.fill();
    let said = refusal(&ash).await;
    assert!(said.contains("No space left on device"), "{said}");
    disk.free();
    ash.restart().await;
    ash.create(NOTES).await;
    assert_eq!(data(&ash).await.state, DataState::Ok);
}
