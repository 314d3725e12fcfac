//! What is read to be pushed: files and folders that somebody names, and what is in them.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_protocol::RelativePath;

use crate::folder::{Folder, Nearest, link_target, lstat};
use crate::local::LocalFile;
use crate::path::{shown, split};
use crate::root::OWN;
use crate::rules::{self, OWN_NAME};
use crate::sources::open;
use crate::{Facts, Kind, Refusal, TreeError};

/// Something that is pushed, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it lies here.
    pub path: PathBuf,
    /// Its place beneath the destination; the root itself for what a folder holds, without the folder.
    pub name: RelativePath,
    /// The folder that it lies in, when no symbolic link on the way from there may be followed either.
    pub beneath: Option<PathBuf>,
}

/// What a walk leaves out.
#[derive(Clone, Copy, Debug)]
pub struct WalkConfig {
    /// Whether `.gitignore` and `.meshignore` count, those of the folders above too, and `.git` is left
    /// out.
    pub has_rules: bool,
    /// How many entries there may be.
    pub entries_max: u64,
}

impl Default for WalkConfig {
    fn default() -> Self {
        Self { has_rules: true, entries_max: 4 << 20 }
    }
}

/// One entry of a walk.
#[derive(Clone)]
pub struct Walked {
    /// Its place beneath the destination.
    pub path: RelativePath,
    /// What it is.
    pub facts: Facts,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    top: Arc<Folder>,
    within: Vec<u8>,
}

impl fmt::Debug for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walked").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Walked {
    /// Opens the file for reading; through no symbolic link that has come to stand on the way.
    ///
    /// # Errors
    /// [`TreeError::Changed`] when it is not the file that was walked over any more.
    pub fn open(&self) -> Result<LocalFile, TreeError> {
        LocalFile::open_seen(&self.top, &self.within, &self.facts)
    }
}

/// Goes through sources in the order of their places, and in each through a folder before what is in it.
///
/// What cannot be pushed comes as an error with its name, and the walk goes on; but rules that cannot be read end
/// what there is of their source. Every call blocks.
pub struct Walk {
    left: std::vec::IntoIter<Source>,
    open: Option<Open>,
    config: WalkConfig,
    entries: u64,
}

type Unread = Arc<Mutex<Option<TreeError>>>;

struct Open {
    source: Source,
    top: Arc<Folder>,
    entries: ignore::Walk,
    /// Where the last entry lies: the next one mostly lies there, too.
    nearest: Nearest,
    /// Why the rules of a folder are not read.
    unread: Unread,
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl Walk {
    /// Begins a walk over `sources`.
    ///
    /// # Errors
    /// [`TreeError::Order`] when two of them have places in each other.
    pub fn new(mut sources: Vec<Source>, config: WalkConfig) -> Result<Self, TreeError> {
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        for (one, other) in sources.iter().zip(sources.iter().skip(1)) {
            if other.name.starts_with(&one.name) {
                return Err(TreeError::Order { path: other.path.display().to_string() });
            }
        }
        Ok(Self { left: sources.into_iter(), open: None, config, entries: 0 })
    }

    /// Begins with a source; a file or a link is all there is of it.
    fn begin(&mut self, source: Source) -> Result<Option<Walked>, TreeError> {
        let whole = source.path.clone();
        let io = TreeError::at_std(&whole);
        let facts = lstat(&source.path).map_err(&io)?;
        if facts.kind == Kind::Folder {
            let top = open(&source, &source.path)?;
            if self.config.has_rules {
                rules::check_above(&source.path)?;
                // The filter does not see it.
                rules::check_folder(&source.path)?;
            }
            let unread = Unread::default();
            let entries = walk_of(&source.path, self.config, Arc::clone(&unread));
            self.open = Some(Open {
                source,
                top: Arc::new(top),
                entries,
                nearest: Nearest::default(),
                unread,
            });
            return Ok(None);
        }
        let bytes = source.path.as_os_str().as_bytes();
        if source.name.is_root() {
            return Err(TreeError::refused(bytes, Refusal::NotAFolder));
        }
        let (folder, name) = split(bytes);
        let folder = match folder {
            None => Path::new("."),
            Some(b"") => Path::new("/"),
            Some(folder) => Path::new(std::ffi::OsStr::from_bytes(folder)),
        };
        let top = open(&source, folder)?;
        walked(Arc::new(top), &mut Nearest::default(), name.to_vec(), source.name).map(Some)
    }

    fn go_on(&mut self) -> Option<Result<Walked, TreeError>> {
        let open = self.open.as_mut()?;
        let next = open.entries.next();
        let unread = locked(&open.unread).take();
        if let Some(error) = unread {
            self.open = None;
            return Some(Err(error));
        }
        let entry = match next? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(of_walk(&open.source.path, error))),
        };
        if let Some(error) = entry.error() {
            tracing::warn!(path = %entry.path().display(), %error, "rules that cannot be read");
        }
        let within = entry.path().strip_prefix(&open.source.path).unwrap_or(entry.path());
        let within = within.as_os_str().as_bytes().to_vec();
        if within.is_empty() {
            if open.source.name.is_root() {
                return self.go_on();
            }
            let facts = open.top.own_facts().map_err(TreeError::at(&within));
            let (top, path) = (Arc::clone(&open.top), open.source.name.clone());
            return Some(facts.map(|facts| Walked { path, facts, target: None, top, within }));
        }
        let path = RelativePath::parse(&within).and_then(|path| open.source.name.join(&path));
        Some(match path {
            Ok(path) => walked(Arc::clone(&open.top), &mut open.nearest, within, path),
            Err(error) => Err(TreeError::refused(&within, Refusal::Path(error))),
        })
    }
}

impl Iterator for Walk {
    type Item = Result<Walked, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = match self.go_on() {
                Some(next) => Some(next),
                None => {
                    self.open = None;
                    let source = self.left.next()?;
                    self.begin(source).transpose()
                }
            };
            let Some(next) = next else { continue };
            self.entries += 1;
            if self.entries > self.config.entries_max {
                self.open = None;
                self.left = Vec::new().into_iter();
                return Some(Err(TreeError::Quota {
                    what: "files",
                    wanted: self.entries,
                    max: self.config.entries_max,
                }));
            }
            return Some(next);
        }
    }
}

fn walked(
    top: Arc<Folder>,
    nearest: &mut Nearest,
    within: Vec<u8>,
    path: RelativePath,
) -> Result<Walked, TreeError> {
    let (facts, target) = look_at(&top, nearest, &within)?;
    Ok(Walked { path, facts, target, top, within })
}

fn look_at(
    top: &Folder,
    nearest: &mut Nearest,
    within: &[u8],
) -> Result<(Facts, Option<Vec<u8>>), TreeError> {
    let at = TreeError::at(within);
    let (folder, name) = split(within);
    let folder = nearest.parent(top, folder).map_err(&at)?;
    let facts = folder.facts(name).map_err(&at)?;
    let target = match facts.kind {
        Kind::File | Kind::Folder => None,
        Kind::Link => Some(link_target(folder, name).map_err(&at)?),
        Kind::Pipe | Kind::Socket | Kind::Device => {
            return Err(TreeError::refused(within, Refusal::Special(facts.kind)));
        }
    };
    Ok((facts, target))
}

fn locked(unread: &Mutex<Option<TreeError>>) -> MutexGuard<'_, Option<TreeError>> {
    unread.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder in another comes by the filter before its rules are read: where they cannot be, `unread` says why.
fn walk_of(path: &Path, config: WalkConfig, unread: Unread) -> ignore::Walk {
    let has_rules = config.has_rules;
    let mut builder = ignore::WalkBuilder::new(path);
    builder
        .standard_filters(false)
        .git_ignore(has_rules)
        .git_exclude(has_rules)
        .parents(has_rules)
        .require_git(false)
        .follow_links(false)
        .same_file_system(true)
        .max_depth(Some(mesh_protocol::PATH_DEPTH_MAX + 1))
        .sort_by_file_name(Ord::cmp)
        .filter_entry(move |entry| {
            let name = entry.file_name().as_bytes();
            if entry.depth() == 0 {
                return true;
            }
            if name == OWN || (has_rules && name == b".git") {
                return false;
            }
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            if !has_rules || !is_folder {
                return true;
            }
            let mut unread = locked(&unread);
            if unread.is_none() {
                *unread = rules::check_folder(entry.path()).err();
            }
            unread.is_none()
        });
    if has_rules {
        builder.add_custom_ignore_filename(OWN_NAME);
    }
    builder.build()
}

fn of_walk(source: &Path, error: ignore::Error) -> TreeError {
    let text = error.to_string();
    let path = path_of(&error).unwrap_or(source);
    let path = shown(path.as_os_str().as_bytes());
    TreeError::Io {
        path,
        source: error.into_io_error().unwrap_or_else(|| std::io::Error::other(text)),
    }
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            path_of(err)
        }
        ignore::Error::Partial(_)
        | ignore::Error::Loop { .. }
        | ignore::Error::Io(_)
        | ignore::Error::Glob { .. }
        | ignore::Error::UnrecognizedFileType(_)
        | ignore::Error::InvalidDefinition => None,
    }
}
