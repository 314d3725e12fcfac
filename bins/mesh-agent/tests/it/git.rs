//! Git between two agents, with the machine's own git on both sides.
//!
//! Where there is no git, these tests say so and prove nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mesh_control::{EventView, GitQuery};
use mesh_protocol::{ErrorCode, GitService};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::agent::{Agent, Extra, PATIENCE, eventually, linked, within};

/// `oak`, which has opened repositories, and `mint`, where git runs.
struct World {
    dir: TempDir,
    oak: Agent,
    mint: Agent,
}

/// What a command of git came to.
struct Said {
    is_done: bool,
    words: String,
}

fn has_git() -> bool {
    let has_git = Command::new("git").arg("--version").output().is_ok();
    if !has_git {
        eprintln!("skipped: this machine has no git");
    }
    has_git
}

impl World {
    /// None on a machine without git.
    async fn new() -> Option<Self> {
        if !has_git() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut config = String::new();
        for (name, rule) in [
            ("notes", "allow_push_from = [\"mint\"]"),
            ("closed", ""),
            ("hidden", "allow_fetch_from = [\"nobody\"]"),
            ("gone", "allow_push_from = [\"*\"]"),
        ] {
            let entry =
                format!("[[repositories]]\nname = \"{name}\"\npath = \"{}\"\n{rule}\n", path(name));
            config.push_str(&entry);
            if name != "gone" {
                plain(dir.path(), &["init", "-q", "--bare", "-b", "main", name]);
            }
        }
        fs::write(path("oak.toml"), config).unwrap();
        let oak = Extra::new(&["--config", &path("oak.toml")]);
        let oak = Agent::start_with(dir.path(), "oak", oak).await;
        let mint = Agent::start(dir.path(), "mint").await;
        mint.join(&oak.token().await).await.unwrap();
        linked(&[&oak, &mint]).await;
        let world = Self { dir, oak, mint };
        world.seed("notes");
        world.seed("closed");
        Some(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a first commit into a repository, without the mesh.
    fn seed(&self, name: &str) {
        let work = self.path(&format!("{name}.seed"));
        plain(self.dir.path(), &["clone", "-q", name, work.to_str().unwrap()]);
        commit(&work, "first");
        plain(&work, &["push", "-q", "origin", "HEAD:main"]);
    }

    /// What `main` names in a repository of oak.
    fn main_of(&self, name: &str) -> String {
        plain(&self.path(name), &["rev-parse", "refs/heads/main"])
    }

    fn command(&self, at: &Path, arguments: &[&str]) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_mesh-agent")).parent().unwrap();
        assert!(
            programs.join("git-remote-mesh").exists(),
            "the test needs git-remote-mesh beside mesh-agent: cargo build --package git-remote-mesh"
        );
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = bare(at, arguments);
        command
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("MESH_SOCKET", self.mint.client().path());
        command
    }

    /// Runs git on mint's machine.
    async fn git(&self, at: &Path, arguments: &[&str]) -> Said {
        let mut command = self.command(at, arguments);
        let output = within(spawn_blocking(move || command.output().unwrap())).await.unwrap();
        let words = [output.stdout, output.stderr].concat();
        Said {
            is_done: output.status.success(),
            words: String::from_utf8_lossy(&words).into_owned(),
        }
    }

    async fn git_does(&self, at: &Path, arguments: &[&str]) {
        let said = self.git(at, arguments).await;
        assert!(said.is_done, "git {arguments:?}: {}", said.words);
    }

    /// Runs git, which has to fail with these words.
    async fn git_fails(&self, at: &Path, arguments: &[&str], words: &str) {
        let said = self.git(at, arguments).await;
        assert!(!said.is_done && said.words.contains(words), "git {arguments:?}: {}", said.words);
    }

    /// A clone on mint's machine.
    async fn clone_of(&self, name: &str, to: &str) -> PathBuf {
        let (address, work) = (format!("mesh://oak/{name}"), self.path(to));
        self.git_does(self.dir.path(), &["clone", "-q", &address, work.to_str().unwrap()]).await;
        work
    }

    /// A push that oak's hook holds up, in a process group of its own, and the hook's process.
    async fn held_push(&self, work: &Path) -> (Child, Pid) {
        let (hook, started) = (self.path("notes/hooks/pre-receive"), self.path("started"));
        let script = format!(
            "#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec tail -f /dev/null\n",
            started.display()
        );
        fs::write(&hook, script).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.command(work, &["push", "-q", "origin", "HEAD:main"]);
        command.process_group(0).stdin(Stdio::null()).stderr(Stdio::piped());
        let push = command.spawn().unwrap();
        let process = eventually(PATIENCE, "the hook holds the push up", async || {
            fs::read_to_string(&started).ok()?.trim().parse().ok().and_then(Pid::from_raw)
        });
        let process = process.await;
        fs::remove_file(hook).unwrap();
        fs::remove_file(started).unwrap();
        (push, process)
    }
}

fn bare(at: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(at).args(arguments).env_clear();
    for name in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a tester");
        command.env(format!("GIT_{who}_EMAIL"), "tester@example.org");
    }
    command.env("HOME", at).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// Runs git without the mesh; what it prints.
fn plain(at: &Path, arguments: &[&str]) -> String {
    let output = bare(at, arguments).output().unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {complained}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(work: &Path, words: &str) -> String {
    fs::write(work.join("file"), words).unwrap();
    plain(work, &["add", "."]);
    plain(work, &["commit", "-q", "-m", words]);
    plain(work, &["rev-parse", "HEAD"])
}

async fn events(agent: &Agent, kind: &str) -> Vec<EventView> {
    let events = agent.client().events(1000).await.unwrap();
    events.into_iter().filter(|event| event.kind == kind).collect()
}

/// Waits for the only event of a kind.
async fn only_event(agent: &Agent, kind: &str) -> EventView {
    eventually(PATIENCE, &format!("{} tells of {kind}", agent.name()), async || {
        let mut events = events(agent, kind).await;
        assert!(events.len() <= 1, "{events:?}");
        events.pop()
    })
    .await
}

/// Whether a process still does something: one that nobody has buried does not.
fn runs(process: Pid) -> bool {
    let mut ps = Command::new("ps");
    ps.args(["-o", "stat=", "-p", &process.as_raw_nonzero().to_string()]);
    let state = String::from_utf8(ps.output().unwrap().stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

fn field<'e>(event: &'e EventView, name: &str) -> &'e str {
    event.fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn a_repository_is_cloned_pushed_to_and_fetched_and_both_sides_tell_of_the_push() {
    let Some(world) = World::new().await else { return };
    let (old, work) = (world.main_of("notes"), world.clone_of("notes", "work").await);
    let other = world.clone_of("notes", "other").await;
    assert_eq!(plain(&work, &["rev-parse", "HEAD"]), old);

    let new = commit(&work, "second");
    fs::write(work.join("large"), vec![7; 3 << 20]).unwrap();
    world.git_does(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    assert_eq!(world.main_of("notes"), new);
    let told = only_event(&world.oak, "git_push").await;
    let fields = ["repository", "reference", "old", "new", "by"].map(|name| field(&told, name));
    assert_eq!(fields, ["notes", "refs/heads/main", &old, &new, "mint"]);
    let told = only_event(&world.mint, "git_pushed").await;
    assert_eq!((field(&told, "to"), field(&told, "repository")), ("oak", "notes"));
    assert_eq!(told.fields["exit_code"], 0);

    world.git_does(&other, &["fetch", "-q"]).await;
    assert_eq!(plain(&other, &["rev-parse", "origin/main"]), new);
    world.git_does(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    assert_eq!(events(&world.oak, "git_push").await.len(), 1, "nothing was moved");
    world.git_does(&work, &["push", "-q", "origin", "HEAD:refs/heads/side"]).await;
    world.git_does(&work, &["push", "-q", "origin", ":side"]).await;
    let moved = eventually(PATIENCE, "all three are told", async || {
        let events = events(&world.oak, "git_push").await;
        (events.len() == 3).then_some(events)
    });
    let moved = moved.await;
    let zeros = "0".repeat(40);
    assert_eq!((field(&moved[1], "old"), field(&moved[1], "new")), (&*zeros, &*new));
    assert_eq!((field(&moved[2], "old"), field(&moved[2], "new")), (&*new, &*zeros));

    let World { mut oak, mint, .. } = world;
    assert!(oak.terminate().await.success());
    let side = "refs/heads/side".to_owned();
    let expected = [
        ("refs/heads/main".to_owned(), old, new.clone()),
        (side.clone(), zeros.clone(), new.clone()),
        (side, new, zeros),
    ];
    assert_eq!(recorded(&oak, &mint).await, expected);
}

/// What oak's database tells of mint's pushes into `notes`.
async fn recorded(oak: &Agent, mint: &Agent) -> Vec<(String, String, String)> {
    let url = format!("sqlite://{}", oak.data_dir().join("mesh.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let query = "SELECT reference, old_id, new_id FROM git_audit
        WHERE repository = 'notes' AND peer_id = ? ORDER BY git_audit_id";
    let query = sqlx::query_as(query).bind(mint.peer_id().as_bytes().to_vec());
    query.fetch_all(&mut database).await.unwrap()
}

#[tokio::test]
async fn a_large_history_goes_both_ways_unchanged() {
    let Some(world) = World::new().await else { return };
    let work = world.clone_of("notes", "work").await;
    // Larger than every buffer on the way, and nothing that could be compressed.
    let mut state = 1_u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()[7]
    })
    .take(16 << 20)
    .collect();
    fs::write(work.join("large"), &bytes).unwrap();
    let new = commit(&work, "large");
    world.git_does(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    assert_eq!(world.main_of("notes"), new);
    let again = world.clone_of("notes", "again").await;
    assert!(fs::read(again.join("large")).unwrap() == bytes, "the file came back as it went");
    plain(&world.path("notes"), &["fsck", "--strict"]);
}

#[tokio::test]
async fn what_is_not_open_to_a_member_is_refused_with_the_reason() {
    let Some(world) = World::new().await else { return };
    let old = world.main_of("closed");
    let work = world.clone_of("closed", "work").await;
    commit(&work, "second");
    let push = ["push", "-q", "origin", "HEAD:main"];
    world.git_fails(&work, &push, "this member may not push to this repository").await;
    assert_eq!(world.main_of("closed"), old);
    assert!(events(&world.oak, "git_push").await.is_empty());
    for (address, words) in [
        ("mesh://oak/hidden", "this member may not fetch from this repository"),
        ("mesh://oak/nothing", "no repository of this name is open"),
        ("mesh://oak/gone", "not there on this machine"),
        ("mesh://elm/notes", "no member of this mesh is called \"elm\""),
        ("mesh://mint/notes", "this agent itself"),
    ] {
        world.git_fails(world.dir.path(), &["clone", "-q", address, "to"], words).await;
        assert!(!world.path("to").exists(), "{address}");
    }
    let nowhere = world.path("nowhere");
    let mut command = world.command(&work, &["fetch"]);
    command.env("MESH_SOCKET", &nowhere);
    let output = within(spawn_blocking(move || command.output().unwrap())).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nowhere") && !output.status.success(), "{said}");
}

#[tokio::test]
async fn a_member_that_is_away_is_told_so() {
    let Some(mut world) = World::new().await else { return };
    let work = world.clone_of("notes", "work").await;
    world.oak.kill9();
    eventually(PATIENCE, "mint has lost oak", async || {
        let said = world.git(&work, &["fetch"]).await;
        said.words.contains("there is no link with oak").then_some(())
    })
    .await;
    world.oak.restart().await;
    linked(&[&world.oak, &world.mint]).await;
    world.git_does(&work, &["fetch", "-q"]).await;
}

#[tokio::test]
async fn names_with_tricks_reach_neither_a_path_nor_an_option() {
    let Some(world) = World::new().await else { return };
    let proof = world.path("proof");
    let option = format!("--upload-pack=touch {}", proof.display());
    let absolute = world.path("notes").display().to_string();
    for name in
        ["../notes", "..", ".", "", "notes/", "notes/.git", "Notes", "notes\0", &option, &absolute]
    {
        for service in [GitService::UploadPack, GitService::ReceivePack] {
            let query = GitQuery { peer: "oak".to_owned(), repository: name.to_owned(), service };
            let refused = within(world.mint.client().git(&query)).await.unwrap_err();
            let code = refused.to_api_error().code;
            assert_eq!(code, ErrorCode::UnknownRepository, "{name:?}: {refused}");
        }
    }
    for name in ["../notes", &option, &absolute, "notes;x"] {
        let address = format!("mesh://oak/{name}");
        world.git_fails(world.dir.path(), &["clone", "-q", &address, "to"], "mesh").await;
    }
    assert!(!proof.exists() && !world.path("to").exists());
    let long = GitQuery {
        peer: "oak".to_owned(),
        repository: "n".repeat(5000),
        service: GitService::UploadPack,
    };
    let refused = within(world.mint.client().git(&long)).await.unwrap_err();
    assert_eq!(refused.to_api_error().code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn a_push_that_is_killed_half_way_moves_nothing_and_leaves_nothing_running() {
    let Some(mut world) = World::new().await else { return };
    let (old, work) = (world.main_of("notes"), world.clone_of("notes", "work").await);
    let new = commit(&work, "second");

    let (mut push, hook) = world.held_push(&work).await;
    kill_process_group(Pid::from_child(&push), Signal::KILL).unwrap();
    push.wait().unwrap();
    let ends = "oak has ended what the push had begun";
    eventually(PATIENCE, ends, async || (!runs(hook)).then_some(())).await;
    assert_eq!(world.main_of("notes"), old);

    let (push, hook) = world.held_push(&work).await;
    world.mint.kill9();
    let output = within(spawn_blocking(move || push.wait_with_output().unwrap())).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("mesh: "), "{said}");
    eventually(PATIENCE, ends, async || (!runs(hook)).then_some(())).await;
    assert_eq!(world.main_of("notes"), old);

    world.mint.restart().await;
    linked(&[&world.oak, &world.mint]).await;
    let (push, hook) = world.held_push(&work).await;
    assert!(world.oak.terminate().await.success());
    let output = within(spawn_blocking(move || push.wait_with_output().unwrap())).await.unwrap();
    assert!(!output.status.success());
    eventually(PATIENCE, ends, async || (!runs(hook)).then_some(())).await;
    assert_eq!(world.main_of("notes"), old);

    world.oak.restart().await;
    linked(&[&world.oak, &world.mint]).await;
    assert!(events(&world.oak, "git_push").await.is_empty());
    world.git_does(&work, &["push", "-q", "origin", "HEAD:main"]).await;
    assert_eq!(world.main_of("notes"), new);
}
