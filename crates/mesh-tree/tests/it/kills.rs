//! Processes that are killed between any two changes on disk: all old or all new, and staged bytes that
//! were verified still are.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use mesh_tree::{Recovered, Root, Space, Staging, Step};
use rustix::process::{Resource, Rlimit};

use crate::support::{
    Entry, Home, Seeded, Seen, commit, digests, entry, file, folder, link, open, path, plan,
    program, push, roll_back, tree,
};

/// Names the root to a child process; without it the child's test does nothing.
const ROOT: &str = "MESH_TREE_TEST_ROOT";
/// After how many changes on disk it is killed.
const STEPS: &str = "MESH_TREE_TEST_STEPS";
const WHAT: &str = "MESH_TREE_TEST_WHAT";

fn kill_self() {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .unwrap();
    unreachable!("it was killed");
}

#[test]
fn child_that_is_killed_in_a_commit() {
    let Some(top) = std::env::var_os(ROOT) else { return };
    let mut left: u64 = std::env::var(STEPS).unwrap().parse().unwrap();
    let what = std::env::var(WHAT).unwrap();
    let root = open(Path::new(&top));
    let mut step = |_: Step| {
        if left == 0 {
            kill_self();
        }
        left -= 1;
    };
    match &*what {
        "small" => plan(&root, push(1), &small()).unwrap().commit(&mut step).unwrap(),
        "many" => plan(&root, push(1), &many("new", 0)).unwrap().commit(&mut step).unwrap(),
        "back" => {
            root.plan_rollback(push(1), push(2), 0, false).unwrap().commit(&mut step).unwrap();
        }
        // The last file is saved by somebody just before its turn, so all is undone.
        "undo" => {
            let planned = plan(&root, push(1), &small()).unwrap();
            let theirs = Path::new(&top).join("z");
            let mut is_saved = false;
            planned
                .commit(&mut |at| {
                    if !is_saved {
                        is_saved = true;
                        std::fs::write(&theirs, "theirs").unwrap();
                    }
                    step(at);
                })
                .unwrap_err();
        }
        // Nothing can be opened or made any more, as when a disk is full.
        "starved" => {
            let planned = plan(&root, push(1), &small()).unwrap();
            planned
                .commit(&mut |_| {
                    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
                    let limit = Rlimit { current: Some(0), maximum: most };
                    rustix::process::setrlimit(Resource::Nofile, limit).unwrap();
                })
                .unwrap_err();
            kill_self();
        }
        other => panic!("{other}"),
    }
}

fn small() -> Vec<Entry> {
    vec![
        file("a", "new"),
        folder("f"),
        file("f/in", "new"),
        folder("g"),
        file("g/new", "new"),
        program("h", "new"),
        link("l", "a"),
        file("n/x/y", "new"),
        file("z", "new"),
    ]
}

fn before_small(home: &Home) {
    home.write("a", "old");
    home.write("f", "a file");
    home.write("g/theirs", "theirs");
    home.write("h/in", "a folder");
    home.write("z", "old");
    std::os::unix::fs::symlink("z", home.at("l")).unwrap();
    set_times(home);
}

/// Everything old is older than anything that the test does.
fn set_times(home: &Home) {
    for name in ["g", "h"] {
        let folder = std::fs::File::open(home.at(name)).unwrap();
        folder.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    }
}

fn many(text: &str, seed: u64) -> Vec<Entry> {
    let mut seeded = Seeded(seed);
    let mut entries: Vec<_> = (0..1_000)
        .map(|number| {
            let name = format!("{}/{}/{number:04}", number % 7, number % 31);
            file(name, format!("{text} {number} {}", seeded.below(10)))
        })
        .collect();
    entries.sort_by(|one, other| one.path().cmp(other.path()));
    entries
}

/// Runs this very program with nothing but the child in it; tells whether it was killed.
fn is_killed(top: &Path, what: &str, steps: u64) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["kills::child_that_is_killed_in_a_commit", "--exact", "--nocapture"])
        .args(["--test-threads=1"])
        .env(ROOT, top)
        .env(STEPS, steps.to_string())
        .env(WHAT, what)
        .output()
        .unwrap();
    assert!(status.status.success() || status.status.signal() == Some(9), "{status:?}");
    !status.status.success()
}

fn old_or_new(
    home: &Home,
    root: &Root,
    old: &BTreeMap<String, Seen>,
    new: &BTreeMap<String, Seen>,
) -> bool {
    let recovered = root.recover().unwrap();
    let seen = home.tree();
    assert!(root.recover().unwrap().is_empty());
    assert_eq!(seen, home.tree());
    let is_new = seen == *new;
    assert!(is_new || seen == *old, "{recovered:?}: {seen:#?}");
    if let Some(recovered) = recovered.first() {
        assert_eq!(matches!(recovered, Recovered::Committed(_)), is_new);
    }
    is_new
}

/// Folders get the time of what is done in them, unless a push says otherwise.
fn without_times(tree: BTreeMap<String, Seen>, names: &[&str]) -> BTreeMap<String, Seen> {
    tree.into_iter()
        .map(|(name, seen)| match seen {
            Seen::Folder { mode, .. } if names.contains(&&*name) => {
                (name, Seen::Folder { mode, modified: (0, 0) })
            }
            seen => (name, seen),
        })
        .collect()
}

#[test]
fn a_kill_after_any_change_of_a_small_commit_leaves_all_old_or_all_new() {
    let mut seen = [0, 0];
    for steps in 0.. {
        let home = Home::new();
        before_small(&home);
        let old = home.tree();
        let was_killed = is_killed(home.path(), "small", steps);
        let root = home.open();
        root.recover().unwrap();
        let is_new = home.tree() != old;
        assert_eq!(is_new, home.read("a") == "new");
        if is_new {
            assert_eq!(home.read("n/x/y"), "new");
            assert_eq!(home.read("z"), "new");
            assert_eq!(home.read("f/in"), "new");
            assert_eq!(home.read("g/theirs"), "theirs");
            assert_eq!(home.read("l"), "new");
            roll_back(&root, push(1), push(2), false).unwrap();
            assert_eq!(home.tree(), old, "after {steps}");
        } else {
            // What was staged is still there.
            commit(&root, push(1), &small()).unwrap();
        }
        seen[usize::from(is_new)] += 1;
        if !was_killed {
            break;
        }
    }
    assert!(seen[1] > 15, "{seen:?}");
}

#[test]
fn a_kill_after_any_change_of_an_undoing_leaves_all_old() {
    for steps in 0.. {
        let home = Home::new();
        before_small(&home);
        let mut old = home.tree();
        let was_killed = is_killed(home.path(), "undo", steps);
        let root = home.open();
        root.recover().unwrap();
        let mut seen = home.tree();
        let theirs = seen.remove("z").unwrap();
        assert!(matches!(theirs, Seen::File { text, .. } if text == b"theirs"));
        old.remove("z");
        assert_eq!(seen, old, "after {steps}");
        assert!(root.backups().unwrap().is_empty());
        if !was_killed {
            assert!(steps > 20, "{steps}");
            break;
        }
    }
}

#[test]
fn a_push_that_was_said_to_have_failed_is_not_put_in_place_later() {
    let home = Home::new();
    before_small(&home);
    let old = home.tree();
    assert!(is_killed(home.path(), "starved", 0));
    let root = home.open();
    assert_eq!(root.recover().unwrap(), [Recovered::Undone(push(1))]);
    assert_eq!(home.tree(), old);
    assert_eq!(std::fs::read_dir(home.at(".mesh-tree/journal")).unwrap().count(), 0);
    commit(&root, push(1), &small()).unwrap();
    assert_eq!(std::fs::read_dir(home.at(".mesh-tree/journal")).unwrap().count(), 0);
}

#[test]
fn a_kill_after_any_change_of_a_rollback_leaves_all_old_or_all_new() {
    for steps in 0.. {
        let home = Home::new();
        before_small(&home);
        let before = home.tree();
        {
            let root = home.open();
            commit(&root, push(1), &small()).unwrap();
        }
        let after = home.tree();
        let was_killed = is_killed(home.path(), "back", steps);
        let root = home.open();
        let is_back = old_or_new(&home, &root, &after, &before);
        if is_back {
            // And forth again.
            roll_back(&root, push(2), push(3), false).unwrap();
            let seen = without_times(home.tree(), &["n", "n/x"]);
            assert_eq!(seen, without_times(after, &["n", "n/x"]), "after {steps}");
        }
        if !was_killed {
            assert!(is_back && steps > 15);
            break;
        }
    }
}

#[test]
fn a_kill_in_a_commit_of_a_thousand_files_leaves_all_old_or_all_new() {
    let mut seeded = Seeded(7);
    let mut at: Vec<_> = (0..10).map(|_| seeded.below(2_000)).collect();
    at.extend([0, 1, 1_999, 2_000, 2_001, 2_002]);
    let mut seen = [0, 0];
    for steps in at {
        let home = Home::new();
        for one in many("old", 0).iter().filter(|one| one.path().as_bytes()[0] != b'3') {
            let Entry::File(entry, text) = one else { panic!() };
            home.write(
                std::str::from_utf8(entry.path.as_bytes()).unwrap(),
                str::from_utf8(text).unwrap(),
            );
        }
        let texts = |tree: BTreeMap<String, Seen>| -> BTreeMap<String, Vec<u8>> {
            let text = |(name, seen)| match seen {
                Seen::File { text, .. } => Some((name, text)),
                Seen::Folder { .. } | Seen::Link(_) => None,
            };
            tree.into_iter().filter_map(text).collect()
        };
        let old = texts(home.tree());
        is_killed(home.path(), "many", steps);
        home.open().recover().unwrap();
        let new: BTreeMap<_, _> = many("new", 0)
            .into_iter()
            .map(|one| match one {
                Entry::File(entry, text) => (entry.path.to_string(), text),
                other => panic!("{other:?}"),
            })
            .collect();
        let found = texts(tree(home.path()));
        assert!(found == old || found == new, "after {steps}");
        seen[usize::from(found == new)] += 1;
    }
    assert!(seen[1] > 0, "{seen:?}");
}

#[test]
fn child_that_is_killed_while_it_stages() {
    let Some(top) = std::env::var_os(ROOT) else { return };
    let root = open(Path::new(&top));
    let staging = Staging::open(&root, push(1)).unwrap();
    let file = staging.file(0, &entry("big", 1 << 20), Space::Allocated).unwrap();
    let mut seeded = Seeded(1);
    println!();
    loop {
        let chunk = seeded.below(64);
        let byte = u8::try_from(chunk).unwrap() + 1;
        file.put(chunk << 14, &vec![byte; 1 << 14]).unwrap();
        println!("put {chunk}");
    }
}

#[test]
fn what_was_verified_before_a_kill_still_is_and_nothing_else() {
    use std::io::BufRead as _;
    for round in 0..6_usize {
        let home = Home::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::child_that_is_killed_while_it_stages", "--exact", "--nocapture"])
            .env(ROOT, home.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Vec<u64> = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("put ")?.parse().ok())
            .take(5 + round * 3)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();

        let root = home.open();
        let staging = Staging::open(&root, push(1)).unwrap();
        let file = staging.file(0, &entry("big", 1 << 20), Space::Allocated).unwrap();
        for chunk in &said {
            assert!(file.is_verified(chunk << 14..(chunk + 1) << 14), "{chunk}");
        }
        let staged = home.at(&format!(".mesh-tree/staging/{}/items/0", push(1)));
        let bytes = std::fs::read(staged).unwrap();
        for (chunk, bytes) in (0..).zip(bytes.chunks(1 << 14)) {
            if file.is_verified(chunk << 14..(chunk + 1) << 14) {
                assert!(bytes.iter().all(|byte| u64::from(*byte) == chunk + 1), "{chunk}");
            }
        }
        assert!(root.file(&path("big")).is_err());
    }
}

#[test]
fn a_file_of_which_only_a_part_was_written_at_once_begins_anew() {
    let home = Home::new();
    let root = home.open();
    let (name, text) = (entry("f", 9), "some text");
    let staging = Staging::open(&root, push(1)).unwrap();
    drop(staging.file(0, &name, Space::AtOnce).unwrap());
    drop(staging);
    home.write(&format!(".mesh-tree/staging/{}/items/0", push(1)), "some");
    let staging = Staging::open(&root, push(1)).unwrap();
    let begun = staging.file(0, &name, Space::AtOnce).unwrap();
    assert_eq!(begun.next_missing(0), Some(0..9));
    drop(begun);
    staging.whole(0, &name, &digests(text.as_bytes()), text.as_bytes()).unwrap();
    commit(&root, push(1), &[file("f", text)]).unwrap();
    assert_eq!(home.read("f"), text);
}
