//! Five members on machines of their own, newcomers, and what is between them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use mesh_control::{ControlClient, TableCreate};
use mesh_protocol::PeerId;
use mesh_testkit::netns::{Lan, NetnsError};
use rustix::process::Pid;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::agent::{Agent, Extra, eventually};
use crate::schedule::MEMBERS;
use crate::skewed_clock::SkewedClock;
use crate::ways::Ways;
use crate::write::TABLE;

const NAMES: [&str; MEMBERS] = ["oak", "elm", "ash", "fir", "yew"];

/// Until all are linked for the first time, beside other runs.
const START: Duration = Duration::from_secs(120);

/// The port of the mesh: every machine has its own.
const PORT: u16 = 13_500;

/// Nothing that lost is forgotten, whatever the writers do.
const CONFIG: &str = "[tables]\nconflicts_max = 10000000\n";

/// In every second run, so little is kept for those who are away that they take the state of another one.
const SHORT_LOG: &str = "log_bytes_max = 60000\nlog_bytes_kept = 10000\n";

/// What a disk is called in the list of mounts; the process id of its owner follows.
const DISK: &str = "torture-disk-";

/// More than is written in an hour, beside what a root leaves free.
const DISK_SIZE: &str = "size=256m,mode=700";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// A small disk in the place of a data directory.
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    fn new(path: PathBuf) -> Self {
        DirBuilder::new().recursive(true).mode(0o700).create(&path).unwrap();
        let name = format!("{DISK}{}", std::process::id());
        run("mount", &["-t", "tmpfs", "-o", DISK_SIZE, &name, path.to_str().unwrap()]);
        Self { path }
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Leaves no room at all.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0xa5; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        let _was_never_full = fs::remove_file(self.filler());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _still_there = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Unmounts the disks of runs that are gone without having done so.
fn remove_leftovers() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    for line in mounts.lines().filter(|line| line.starts_with(DISK)) {
        let mut words = line.split(' ');
        let owner = words.next().unwrap().trim_start_matches(DISK);
        if !Path::new("/proc").join(owner).exists() {
            let _another_was_faster =
                Command::new("umount").arg("-l").arg(words.next().unwrap()).status();
        }
    }
}

/// An agent with its machine, its disk and its clock.
pub(crate) struct Member {
    /// The order in which machines came.
    pub(crate) place: usize,
    /// Its first name.
    pub(crate) name: String,
    pub(crate) peer_id: PeerId,
    pub(crate) client: ControlClient,
    pub(crate) clock: SkewedClock,
    pub(crate) data_dir: PathBuf,
    /// Held by what is the matter with it: one thing at a time, however long the one before takes to end.
    pub(crate) trouble: Mutex<()>,
    /// Dropped before its disk.
    pub(crate) agent: Mutex<Agent>,
    pub(crate) disk: Disk,
}

impl Member {
    pub(crate) async fn pid(&self) -> Pid {
        self.agent.lock().await.pid()
    }

    /// Where pushes of others are put.
    pub(crate) fn root(&self) -> PathBuf {
        self.data_dir.join("inbox-files")
    }

    /// Every member of the first hour has a number below theirs.
    pub(crate) const fn is_guest(&self) -> bool {
        self.place >= MEMBERS
    }
}

/// What is named first is dropped first: agents end before their machines do.
pub(crate) struct World {
    pub(crate) members: Vec<Rc<Member>>,
    pub(crate) guests: RefCell<Vec<Rc<Member>>>,
    pub(crate) ways: RefCell<Ways>,
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) async fn start(seed: u64) -> Self {
        remove_leftovers();
        let dir = TempDir::new().unwrap();
        let lan = match Lan::on_wire(dir.path(), seed) {
            Err(error @ (NetnsError::TunMissing | NetnsError::Refused { .. })) => {
                eprintln!("no loss, delay and reordering, only cuts: {error}");
                Lan::new()
            }
            result => result,
        };
        let ways = RefCell::new(Ways::new(lan.expect("needs root and iproute2")));
        let log = if seed.is_multiple_of(2) { "" } else { SHORT_LOG };
        fs::write(dir.path().join("agent.toml"), format!("{CONFIG}{log}")).unwrap();
        let mut world = Self { members: Vec::new(), guests: RefCell::new(Vec::new()), ways, dir };
        for name in NAMES {
            let member = world.add(name).await;
            if let Some(founder) = world.members.first() {
                let token = founder.agent.lock().await.token().await;
                member.agent.lock().await.join(&token).await.unwrap();
            }
            world.members.push(member);
        }
        eventually(START, "all members are linked", async || {
            for member in &world.members {
                if !member.agent.lock().await.is_linked_with(&NAMES).await {
                    return None;
                }
            }
            Some(())
        })
        .await;
        let create = TableCreate { sql: TABLE.to_owned() };
        world.members[0].client.table_create(&create).await.unwrap();
        world
    }

    /// Starts an agent on a machine of its own.
    async fn add(&self, name: &str) -> Rc<Member> {
        let machine = self.ways.borrow_mut().add_machine();
        let place = usize::from(machine.address().octets()[3]) - 1;
        let folder = self.dir.path().join(format!("{name}-machine"));
        fs::create_dir(&folder).unwrap();
        let clock = SkewedClock::new(&folder, 0);
        let data_dir = self.dir.path().join(name);
        let disk = Disk::new(data_dir.clone());
        let config = self.dir.path().join("agent.toml");
        let arguments =
            ["--log-level", "mesh_node=debug,info", "--config", config.to_str().unwrap()];
        let extra = Extra {
            environment: clock.environment(),
            namespace: Some(machine.namespace().to_owned()),
            ..Extra::new(&arguments)
        };
        let agent = Agent::start_at(self.dir.path(), name, PORT, extra).await;
        Rc::new(Member {
            place,
            name: name.to_owned(),
            peer_id: agent.peer_id(),
            client: agent.client().clone(),
            clock,
            data_dir,
            trouble: Mutex::new(()),
            agent: Mutex::new(agent),
            disk,
        })
    }

    /// Starts an agent that is no member yet.
    pub(crate) async fn add_guest(&self, name: &str) -> Rc<Member> {
        let guest = self.add(name).await;
        self.guests.borrow_mut().push(Rc::clone(&guest));
        guest
    }

    /// Everybody whose process there is.
    pub(crate) fn everybody(&self) -> Vec<Rc<Member>> {
        self.members.iter().chain(&*self.guests.borrow()).map(Rc::clone).collect()
    }

    pub(crate) fn peer_ids(&self) -> BTreeSet<PeerId> {
        self.members.iter().map(|member| member.peer_id).collect()
    }

    /// Keeps logs and databases where somebody wants them.
    pub(crate) fn keep(&self, folder: &Path) {
        for member in self.everybody() {
            let kept = folder.join(&member.name);
            fs::create_dir_all(&kept).unwrap();
            let log = self.dir.path().join(format!("{}.log", member.name));
            fs::copy(log, kept.join("log")).unwrap();
            for name in ["data.db", "data.db-wal", "mesh.db", "mesh.db-wal"] {
                // One that does not run may have no log of writes.
                let _not_there = fs::copy(member.data_dir.join(name), kept.join(name));
            }
        }
    }
}
