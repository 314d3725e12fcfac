//! Roots without room: for their quota, or for the disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_control::{PushRequest, PushTargetState};
use mesh_protocol::{PushReason, PushStep};

use super::desk::{
    LONG, at, cleaned, followed, noise, pushed, request, root, staged, states, tree, write,
};
use crate::agent::{Agent, eventually, linked};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

async fn pair(dir: &Path, rules: &str) -> (Agent, Agent, PathBuf) {
    let (path, extra) = root(dir, "mint", rules);
    let baulder = Agent::start(dir, "baulder").await;
    let mint = Agent::start_with(dir, "mint", extra).await;
    mint.join(&baulder.token().await).await.unwrap();
    linked(&[&baulder, &mint]).await;
    (baulder, mint, path)
}

/// A push that finds no room: it is told, nothing is left of it, and everything is as it was.
async fn no_room(
    (baulder, mint, on_mint): (&Agent, &Agent, &Path),
    wanted: &PushRequest,
    reason: PushReason,
) -> String {
    let before = tree(on_mint);
    let ended = pushed(baulder, wanted).await;
    assert_eq!(states(&ended), [PushTargetState::Failed], "{ended:?}");
    let error = at(&ended, mint).error.as_ref().unwrap();
    assert_eq!(error.reason, reason, "{error:?}");
    cleaned(on_mint).await;
    assert!(tree(on_mint) == before, "the root is not what it was");
    error.detail.clone()
}

async fn room((baulder, mint): (&Agent, &Agent), wanted: &PushRequest) {
    let ended = pushed(baulder, wanted).await;
    assert_eq!(states(&ended), [PushTargetState::Confirmed], "{:?}", at(&ended, mint));
}

#[tokio::test]
async fn more_bytes_than_the_quota_are_told_and_fit_when_others_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair(dir.path(), "bytes_max = 1048576").await;
    let agents = (&baulder, &mint);
    let three = (&baulder, &mint, &*on_mint);
    let [large, file] = ["large.bin", "report.bin"].map(|name| dir.path().join(name));
    noise(&large, 2 * MIB, 1);
    noise(&file, 300 * KIB, 2);
    fs::write(on_mint.join("report.bin"), vec![1; 300 << 10]).unwrap();
    fs::write(on_mint.join("others"), vec![2; 600 << 10]).unwrap();
    // More than there could ever be room for, and more than there is room for at the moment.
    for wanted in [&large, &file] {
        let wanted = request(&[wanted], &[&mint]);
        let detail = no_room(three, &wanted, PushReason::QuotaExceeded).await;
        assert!(detail.contains("1048576"), "{detail}");
    }
    fs::remove_file(on_mint.join("others")).unwrap();
    let wanted = request(&[&file], &[&mint]);
    room(agents, &wanted).await;
    assert!(fs::read(on_mint.join("report.bin")).unwrap() == fs::read(&file).unwrap());
    // Three of 300 KiB fit, with what is kept of before; a fourth one does not.
    noise(&file, 300 * KIB, 3);
    room(agents, &wanted).await;
    noise(&file, 300 * KIB, 4);
    no_room(three, &wanted, PushReason::QuotaExceeded).await;
}

#[tokio::test]
async fn more_files_than_the_quota_are_told_and_fit_when_others_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (baulder, mint, on_mint) = pair(dir.path(), "files_max = 60").await;
    let three = (&baulder, &mint, &*on_mint);
    let [many, some] = ["many", "some"].map(|name| dir.path().join(name));
    for (folder, count) in [(&many, 70), (&some, 30)] {
        for number in 0..count {
            write(&folder.join(format!("{number}.txt")), &format!("number {number}"), 0o644);
        }
    }
    for number in 0..30 {
        write(&on_mint.join(format!("old/{number}")), "old", 0o644);
    }
    write(&on_mint.join("some/0.txt"), "the old version", 0o644);
    for wanted in [&many, &some] {
        let wanted = request(&[wanted], &[&mint]);
        let detail = no_room(three, &wanted, PushReason::QuotaExceeded).await;
        assert!(detail.contains("60"), "{detail}");
    }
    fs::remove_dir_all(on_mint.join("old")).unwrap();
    room((&baulder, &mint), &request(&[&some], &[&mint])).await;
    assert_eq!(fs::read(on_mint.join("some/29.txt")).unwrap(), b"number 29");
}

#[tokio::test]
async fn what_is_to_stay_free_on_the_disk_stays_free() {
    let dir = tempfile::tempdir().unwrap();
    let rules = format!("free_bytes_min = {}", 1_u64 << 60);
    let (baulder, mut mint, on_mint) = pair(dir.path(), &rules).await;
    let tools = dir.path().join("tools");
    write(&tools.join("small.txt"), "a few bytes", 0o644);
    noise(&tools.join("image.bin"), 3 * MIB, 1);
    write(&on_mint.join("tools/small.txt"), "the old version", 0o644);
    let wanted = request(&[&tools], &[&mint]);
    no_room((&baulder, &mint, &on_mint), &wanted, PushReason::DiskFull).await;
    mint.kill9();
    root(dir.path(), "mint", "free_bytes_min = 0");
    mint.restart().await;
    linked(&[&baulder, &mint]).await;
    room((&baulder, &mint), &wanted).await;
    assert_eq!(fs::read(on_mint.join("tools/small.txt")).unwrap(), b"a few bytes");
}

/// A small disk of its own; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where nobody may mount anything.
    fn mount(path: &Path, bytes: u64) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={bytes},mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(path.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[1; 4 << 10]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_before_and_amid_a_push_which_works_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&dir.path().join("mint-scripts"), 8 * MIB) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    let (baulder, mint, on_mint) = pair(dir.path(), "free_bytes_min = 0").await;
    assert_eq!(on_mint, disk.0);
    let three = (&baulder, &mint, &*on_mint);
    let large = dir.path().join("large.bin");
    noise(&large, 12 * MIB, 1);
    write(&on_mint.join("large.bin"), "the old version", 0o600);
    no_room(three, &request(&[&large], &[&mint]), PushReason::DiskFull).await;

    // Somebody else takes the room while the push is under way.
    let tools = dir.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for number in 0..400 {
        noise(&tools.join(format!("{number:03}.bin")), 8 * KIB, number);
    }
    write(&on_mint.join("tools/000.bin"), "the old version", 0o644);
    let mut wanted = request(&[&tools], &[&mint]);
    wanted.limit_bytes_per_second = Some(2 * MIB);
    let before = tree(&on_mint);
    let begun = baulder.client().push(&wanted).await.unwrap();
    eventually(LONG, "it is under way", async || (staged(&on_mint).len() > 10).then_some(())).await;
    disk.fill();
    let ended = followed(&baulder, &begun, |_| false).await;
    assert_eq!(states(&ended), [PushTargetState::Failed], "{ended:?}");
    let error = at(&ended, &mint).error.as_ref().unwrap();
    assert_eq!(error.reason, PushReason::DiskFull, "{error:?}");
    cleaned(&on_mint).await;
    fs::remove_file(on_mint.join("filler")).unwrap();
    assert!(tree(&on_mint).keys().eq(before.keys()));
    assert_eq!(fs::read(on_mint.join("tools/000.bin")).unwrap(), b"the old version");

    wanted.limit_bytes_per_second = None;
    room((&baulder, &mint), &wanted).await;
    let last = tools.join("399.bin");
    assert_eq!(fs::read(on_mint.join("tools/399.bin")).unwrap(), fs::read(last).unwrap());
}

#[tokio::test]
async fn a_disk_that_is_full_when_everything_is_verified_is_told_and_the_old_version_stays() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&dir.path().join("mint-scripts"), 8 * MIB) else {
        eprintln!("skipped: nothing can be mounted here");
        return;
    };
    // Whoever writes the most at the worst moment: the test itself.
    let filler = disk.0.join("filler");
    let test = format!("dd if=/dev/zero of={} bs=4096 count=2047", filler.display());
    let rules = format!("free_bytes_min = 0\ntest_commands = [\"sh -c '{test} || true'\"]");
    let (baulder, mint, on_mint) = pair(dir.path(), &rules).await;
    let tools = dir.path().join("tools");
    for number in 0..300 {
        write(&tools.join(format!("{number:03}.txt")), "new", 0o644);
        write(&on_mint.join(format!("tools/{number:03}.txt")), "the old version", 0o644);
    }
    let mut wanted = request(&[&tools], &[&mint]);
    wanted.test = Some(format!("sh -c '{test} || true'"));
    let before = tree(&on_mint.join("tools"));
    let ended = pushed(&baulder, &wanted).await;
    let error = at(&ended, &mint).error.as_ref().unwrap();
    assert_eq!((error.step, error.reason), (PushStep::Confirm, PushReason::DiskFull), "{error:?}");
    assert!(fs::metadata(&filler).unwrap().len() > MIB);
    cleaned(&on_mint).await;
    assert!(tree(&on_mint.join("tools")) == before, "the root is not what it was");
    fs::remove_file(&filler).unwrap();
    wanted.test = None;
    room((&baulder, &mint), &wanted).await;
    assert_eq!(fs::read(on_mint.join("tools/299.txt")).unwrap(), b"new");
}
