//! The parts of the configuration file about what others may push, fetch and copy: roots, repositories,
//! and the bounds of pushes.

use std::fmt::Display;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use mesh_node::{Hostname, PeerId, PushSettings, RepositorySettings, RootName, RootSettings};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{seconds, set};

/// No push waits longer: the protocol's bound of 30 days.
const TTL_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// Bounds of pushes. Sizes are bytes, times are seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFiles {
    incoming_max: Option<NonZeroUsize>,
    ttl_seconds: Option<u64>,
    limit_bytes_per_second: Option<NonZeroU64>,
    remembered_max: Option<u64>,
    sender_serves_max: Option<NonZeroUsize>,
    target_serves_max: Option<NonZeroUsize>,
    target_takes_max: Option<NonZeroUsize>,
}

/// A folder that others may push into, or read from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoot {
    name: RootName,
    path: AbsolutePath,
    allow_from: Option<Vec<Who>>,
    allow_read: Option<Vec<Who>>,
    #[serde(default)]
    test_commands: Vec<String>,
    #[serde(default)]
    require_test: bool,
    #[serde(default)]
    approve: bool,
    test_seconds_max: Option<u64>,
    bytes_max: Option<u64>,
    files_max: Option<u64>,
    free_bytes_min: Option<u64>,
    file_mode: Option<Mode<0o400>>,
    folder_mode: Option<Mode<0o700>>,
    backups_max: Option<NonZeroUsize>,
    backups_seconds_max: Option<NonZeroU32>,
}

/// A repository that others may use with git.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRepository {
    name: RootName,
    path: AbsolutePath,
    allow_push_from: Option<Vec<Who>>,
    allow_fetch_from: Option<Vec<Who>>,
}

/// A service has no working directory that anybody would think of.
#[derive(Debug)]
struct AbsolutePath(PathBuf);

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = PathBuf::deserialize(deserializer)?;
        let why = || format!("{} is no absolute path: it has to begin with /", path.display());
        if path.is_absolute() { Ok(Self(path)) } else { Err(D::Error::custom(why())) }
    }
}

/// A member by its hostname or peer id, or everybody.
#[derive(Debug)]
struct Who(String);

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let who = String::deserialize(deserializer)?;
        let is_known =
            who == "*" || who.parse::<Hostname>().is_ok() || who.parse::<PeerId>().is_ok();
        let why = || format!("{who:?} is no hostname, no peer id and not \"*\"");
        if is_known { Ok(Self(who)) } else { Err(D::Error::custom(why())) }
    }
}

/// Permissions as octal text, of which the owner needs at least `OWNER`.
#[derive(Debug)]
struct Mode<const OWNER: u32>(u32);

impl<'de, const OWNER: u32> Deserialize<'de> for Mode<OWNER> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_octal = text.len() <= 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = if is_octal { u32::from_str_radix(&text, 8).ok() } else { None };
        match mode {
            Some(mode) if mode <= 0o777 && mode & OWNER == OWNER => Ok(Self(mode)),
            _ => Err(D::Error::custom(format!(
                "{text:?} is no mode: octal text from \"{OWNER:04o}\" to \"0777\" with what the owner needs"
            ))),
        }
    }
}

fn names(given: Option<Vec<Who>>) -> Option<Vec<String>> {
    given.map(|all| all.into_iter().map(|Who(who)| who).collect())
}

/// # Errors
/// Two have one name.
fn each_once<T, N: PartialEq + Display>(
    what: &str,
    all: &[T],
    name: impl Fn(&T) -> &N,
) -> anyhow::Result<()> {
    for (index, one) in all.iter().enumerate() {
        if all.iter().take(index).any(|earlier| name(earlier) == name(one)) {
            anyhow::bail!("two {what} have the name {}", name(one));
        }
    }
    Ok(())
}

impl RawRoot {
    fn join(self) -> anyhow::Result<RootSettings> {
        let AbsolutePath(path) = self.path;
        let mut root = RootSettings::new(self.name, path);
        set(&mut root.allow_from, names(self.allow_from));
        set(&mut root.allow_read, names(self.allow_read));
        let is_blank = |command: &String| command.trim().is_empty();
        anyhow::ensure!(
            !self.test_commands.iter().any(is_blank),
            "a test command of the root {} is empty",
            root.name
        );
        anyhow::ensure!(
            !self.require_test || !self.test_commands.is_empty(),
            "the root {} requires a test, and test_commands names none",
            root.name
        );
        root.test_commands = self.test_commands;
        root.require_test = self.require_test;
        root.approve = self.approve;
        set(&mut root.test_timeout, seconds(self.test_seconds_max));
        set(&mut root.tree.bytes_max, self.bytes_max);
        set(&mut root.tree.files_max, self.files_max);
        set(&mut root.tree.free_bytes_min, self.free_bytes_min);
        set(&mut root.tree.file_mode, self.file_mode.map(|Mode(mode)| mode));
        set(&mut root.tree.folder_mode, self.folder_mode.map(|Mode(mode)| mode));
        set(&mut root.keep.backups_max, self.backups_max.map(NonZeroUsize::get));
        let seconds_max = self.backups_seconds_max.map(|seconds| i64::from(seconds.get()));
        set(&mut root.keep.age_seconds_max, seconds_max);
        Ok(root)
    }
}

impl RawFiles {
    /// # Errors
    /// Two roots have one name, or one can take nothing.
    pub(super) fn join(self, roots: Vec<RawRoot>) -> anyhow::Result<PushSettings> {
        each_once("roots", &roots, |root| &root.name)?;
        anyhow::ensure!(
            self.ttl_seconds.is_none_or(|ttl| (1..=TTL_SECONDS_MAX).contains(&ttl)),
            "ttl_seconds has to be from 1 to {TTL_SECONDS_MAX}"
        );
        let count = |given: Option<NonZeroUsize>| given.map(NonZeroUsize::get);
        let mut pushes = PushSettings {
            roots: roots.into_iter().map(RawRoot::join).collect::<Result<_, _>>()?,
            limit_bytes_per_second: self.limit_bytes_per_second.map(NonZeroU64::get),
            ..PushSettings::default()
        };
        set(&mut pushes.incoming_max, count(self.incoming_max));
        set(&mut pushes.ttl, seconds(self.ttl_seconds));
        set(&mut pushes.remembered_max, self.remembered_max);
        set(&mut pushes.distribution.sender_serves_max, count(self.sender_serves_max));
        set(&mut pushes.distribution.target_serves_max, count(self.target_serves_max));
        set(&mut pushes.distribution.target_takes_max, count(self.target_takes_max));
        Ok(pushes)
    }
}

/// # Errors
/// Two repositories have one name.
pub(super) fn repositories(given: Vec<RawRepository>) -> anyhow::Result<Vec<RepositorySettings>> {
    each_once("repositories", &given, |one| &one.name)?;
    let settings = |raw: RawRepository| {
        let AbsolutePath(path) = raw.path;
        let mut repository = RepositorySettings::new(raw.name, path);
        set(&mut repository.allow_push_from, names(raw.allow_push_from));
        set(&mut repository.allow_fetch_from, names(raw.allow_fetch_from));
        repository
    };
    Ok(given.into_iter().map(settings).collect())
}
