//! A root in a temporary folder, and pushes for it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mesh_protocol::{
    FileDigests, FileEntry, FileTime, FolderEntry, LinkEntry, PushId, RelativePath,
};
use mesh_tree::{Plan, Planned, Root, RootConfig, Staging, Step, TreeError};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) struct Home {
    pub(crate) folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    pub(crate) fn open(&self) -> Root {
        open(self.path())
    }

    /// Everything in the root but what is its own.
    pub(crate) fn tree(&self) -> BTreeMap<String, Seen> {
        tree(self.path())
    }
}

pub(crate) fn open(path: &Path) -> Root {
    Root::open(path, config()).unwrap()
}

pub(crate) fn config() -> RootConfig {
    RootConfig { free_bytes_min: 0, ..RootConfig::default() }
}

/// What is seen of a file: a folder's times change with what is done beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    File { text: Vec<u8>, mode: u32, modified: (i64, i64) },
    Folder { mode: u32, modified: (i64, i64) },
    Link(PathBuf),
}

pub(crate) fn tree(top: &Path) -> BTreeMap<String, Seen> {
    let mut seen = BTreeMap::new();
    let mut left = vec![top.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().as_os_str().as_bytes().escape_ascii();
            let name = name.to_string();
            if name == ".mesh-tree" {
                continue;
            }
            let facts = fs::symlink_metadata(&path).unwrap();
            let mode = facts.permissions().mode() & 0o7777;
            let modified = (facts.mtime(), facts.mtime_nsec());
            let what = if facts.is_symlink() {
                Seen::Link(fs::read_link(&path).unwrap())
            } else if facts.is_dir() {
                left.push(path);
                Seen::Folder { mode, modified }
            } else {
                Seen::File { text: fs::read(&path).unwrap(), mode, modified }
            };
            seen.insert(name, what);
        }
    }
    seen
}

/// One entry of a push.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    File(FileEntry, Vec<u8>),
    Folder(FolderEntry),
    Link(LinkEntry),
}

impl Entry {
    pub(crate) fn path(&self) -> &RelativePath {
        match self {
            Self::File(entry, _) => &entry.path,
            Self::Folder(entry) => &entry.path,
            Self::Link(entry) => &entry.path,
        }
    }
}

pub(crate) fn path(name: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(name.as_ref()).unwrap()
}

pub(crate) fn time(seconds: i64) -> FileTime {
    FileTime { seconds, nanos: 123_456_789 }
}

pub(crate) fn entry(name: impl AsRef<[u8]>, bytes: u64) -> FileEntry {
    FileEntry { path: path(name), bytes, is_executable: false, modified: time(1_500_000_000) }
}

pub(crate) fn file(name: impl AsRef<[u8]>, text: impl AsRef<[u8]>) -> Entry {
    let text = text.as_ref().to_vec();
    Entry::File(entry(name, text.len() as u64), text)
}

pub(crate) fn program(name: &str, text: &str) -> Entry {
    let entry = FileEntry { is_executable: true, ..entry(name, text.len() as u64) };
    Entry::File(entry, text.as_bytes().to_vec())
}

pub(crate) fn folder(name: &str) -> Entry {
    Entry::Folder(FolderEntry {
        path: path(name),
        is_listable: true,
        modified: time(1_400_000_000),
    })
}

pub(crate) fn link(name: &str, target: &str) -> Entry {
    Entry::Link(LinkEntry { path: path(name), target: target.as_bytes().to_vec() })
}

pub(crate) fn digests(bytes: &[u8]) -> FileDigests {
    FileDigests {
        blake3: *blake3::hash(bytes).as_bytes(),
        sha256: Sha256::digest(bytes).as_slice().try_into().unwrap(),
    }
}

pub(crate) fn push(number: u8) -> PushId {
    PushId::from_bytes([number; 16])
}

pub(crate) fn stage(root: &Root, id: PushId, entries: &[Entry]) -> Staging {
    let staging = Staging::open(root, id).unwrap();
    for (number, entry) in (0..).zip(entries) {
        if let Entry::File(entry, text) = entry {
            staging.whole(number, entry, &digests(text), text).unwrap();
        }
    }
    staging
}

pub(crate) fn plan(root: &Root, id: PushId, entries: &[Entry]) -> Result<Planned, TreeError> {
    let staging = stage(root, id, entries);
    let mut plan = Plan::begin(&staging, NOW)?;
    for (number, entry) in (0..).zip(entries) {
        match entry {
            Entry::File(entry, _) => plan.file(number, entry)?,
            Entry::Folder(entry) => plan.folder(entry)?,
            Entry::Link(entry) => plan.link(entry)?,
        }
    }
    plan.finish()
}

pub(crate) fn commit(root: &Root, id: PushId, entries: &[Entry]) -> Result<(), TreeError> {
    plan(root, id, entries)?.commit(&mut |_: Step| {})
}

pub(crate) fn roll_back(root: &Root, of: PushId, id: PushId, force: bool) -> Result<(), TreeError> {
    root.plan_rollback(of, id, NOW, force)?.commit(&mut |_| {})
}

/// Numbers that look random and are the same every time.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(crate) fn why(error: TreeError) -> mesh_tree::Refusal {
    match error {
        TreeError::Refused { why, .. } => why,
        other => panic!("{other:?}"),
    }
}
