//! What the tests of pushes do again and again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use mesh_control::{PushDetail, PushRequest, PushState, PushTargetState, PushTargetView, PushView};

use crate::agent::{Agent, Extra, eventually, free_port, linked};
use crate::proxy::Proxy;

/// Pushes wait for each other and for the disk; a busy machine gets there too.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A folder that an agent opens as the root `scripts`, and what the agent is to be started with.
pub(super) fn root(dir: &Path, agent: &str, rules: &str) -> (PathBuf, Extra) {
    let path = dir.join(format!("{agent}-scripts"));
    fs::create_dir_all(&path).unwrap();
    let settings = dir.join(format!("{agent}.toml"));
    let text = format!("[[roots]]\nname = \"scripts\"\npath = {path:?}\n{rules}\n");
    fs::write(&settings, text).unwrap();
    let extra = Extra::new(&["--config", settings.to_str().unwrap()]);
    (path, extra)
}

/// Two linked agents, of which the second one opens a root with these rules, and where that is.
pub(super) async fn pair_in(dir: &Path, rules: &str) -> (Agent, Agent, PathBuf) {
    let (on_mint, extra) = root(dir, "mint", rules);
    let baulder = Agent::start_with(dir, "baulder", Extra::default()).await;
    let mint = Agent::start_with(dir, "mint", extra).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    (baulder, mint, on_mint)
}

/// The same in a folder of their own, without rules.
pub(super) struct Pair {
    pub(super) baulder: Agent,
    pub(super) mint: Agent,
    pub(super) on_mint: PathBuf,
    pub(super) dir: tempfile::TempDir,
}

pub(super) async fn pair() -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair_in(dir.path(), "").await;
    Pair { baulder, mint, on_mint, dir }
}

impl Pair {
    pub(super) fn request(&self, path: &Path) -> PushRequest {
        request(&[path], &[&self.mint])
    }

    pub(super) async fn push(&self, path: &Path) -> PushView {
        pushed(&self.baulder, &self.request(path)).await
    }
}

pub(super) fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A push of these into the root `scripts` of some.
pub(super) fn request(paths: &[&Path], to: &[&Agent]) -> PushRequest {
    PushRequest {
        paths: paths.iter().map(|path| path.to_path_buf()).collect(),
        to: to.iter().map(|agent| agent.name().to_owned()).collect(),
        root: Some("scripts".parse().unwrap()),
        ..PushRequest::default()
    }
}

/// Follows a push until it looks as wanted, or is over.
pub(super) async fn followed(
    agent: &Agent,
    push: &PushView,
    is_wanted: impl Fn(&PushView) -> bool,
) -> PushView {
    let mut news = agent.client().push_follow(&push.push_id.to_string()).await.unwrap();
    let until = async {
        loop {
            let push = news.next().await.expect("it goes on until it is over").unwrap();
            if push.state == PushState::Ended || is_wanted(&push) {
                return push;
            }
        }
    };
    tokio::time::timeout(LONG, until).await.expect("the push comes to that in time")
}

/// Begins a push and waits for its end.
pub(super) async fn pushed(from: &Agent, request: &PushRequest) -> PushView {
    let begun = from.client().push(request).await.unwrap();
    followed(from, &begun, |_| false).await
}

pub(super) fn at<'p>(push: &'p PushView, agent: &Agent) -> &'p PushTargetView {
    push.targets.iter().find(|target| target.hostname == agent.name()).unwrap()
}

pub(super) fn states(push: &PushView) -> Vec<PushTargetState> {
    push.targets.iter().map(|target| target.state).collect()
}

pub(super) async fn detail(agent: &Agent, push: &PushView) -> PushDetail {
    agent.client().push_detail(&push.push_id.to_string()).await.unwrap()
}

/// What happened, in a word each.
pub(super) async fn story(agent: &Agent, push: &PushView) -> Vec<String> {
    detail(agent, push).await.events.into_iter().map(|event| event.what).collect()
}

/// Bytes, mode and time of everything in a folder, but what belongs to the root itself.
pub(super) fn tree(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            if path.ends_with(".mesh-tree") {
                continue;
            }
            let bytes = if facts.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            let name = path.strip_prefix(folder).unwrap().to_owned();
            found.insert(name, (bytes, facts.mode(), facts.mtime(), facts.mtime_nsec()));
            if facts.is_dir() {
                waiting.push(path);
            }
        }
    }
    found
}

/// Starts an agent that the others reach over a wire alone.
pub(super) async fn wired(dir: &Path, name: &str, mut extra: Extra) -> (Agent, Proxy) {
    let port = free_port();
    let wire = Proxy::start_counting(([127, 0, 0, 1], port).into()).await;
    extra.arguments.extend(["--advertise".to_owned(), wire.address().to_string()]);
    (Agent::start_at(dir, name, port, extra).await, wire)
}

/// Numbers that look as if they were drawn, the same for the same seed.
pub(super) fn dice(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A file of whole eight bytes that nothing makes smaller.
pub(super) fn noise(path: &Path, bytes: u64, seed: u64) {
    let mut dice = dice(seed);
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    for _ in 0..bytes / 8 {
        file.write_all(&dice().to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

/// What is staged in a root, by its path.
pub(super) fn staged(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.join(".mesh-tree/staging")];
    while let Some(next) = waiting.pop() {
        let Ok(entries) = fs::read_dir(next) else { continue };
        // What is removed meanwhile is not there.
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                waiting.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

/// Waits until nothing is staged.
pub(super) async fn cleaned(root: &Path) {
    eventually(LONG, "staging is clean", async || staged(root).is_empty().then_some(())).await;
}

/// Makes one bit of a file another one.
pub(super) fn flip(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}
