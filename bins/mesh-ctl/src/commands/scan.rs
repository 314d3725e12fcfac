use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use ignore::{DirEntry, WalkBuilder};
use mesh_control::ApiError;
use mesh_protocol::ErrorCode;
use mesh_secrets::{AllowList, ExpiredAllowance, Finding, Scanner};
use serde::Serialize;

use super::Context;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::DownloadBar;
use crate::text::{BAD, DIM, GOOD, bytes, plain, styled};

pub(crate) const EXAMPLE: &str = "\
Looks for what the mesh refuses to carry: tokens, passwords, private keys, and what looks like one.
Says file, line, column and rule, never the value. Needs no agent. Hidden files count; files that
.gitignore names and Git's own folder do not, unless --no-ignore is given; symbolic links are not
followed.
Exit code: 0 nothing found, 4 something found, 1 something could not be read.

A list of what is allowed, with a reason and an expiry for each entry, is taken from
.mesh-secrets-allow.toml in the current directory, or from where --allow says.

Examples:
  mesh-ctl scan .
  mesh-ctl scan notes deploy.sh --allow allowed.toml
  mesh-ctl scan /srv/scripts --no-ignore --json | jq '.findings[].file'";

/// More findings than anyone reads end the scan.
const FOUND_MAX: usize = 10_000;
/// More are counted, not named.
const NAMED_MAX: usize = 1_000;
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Args)]
pub(crate) struct ScanArgs {
    /// Files, and folders with all that is in them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The list of what is allowed [default: .mesh-secrets-allow.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,
    /// Look at files that .gitignore names as well
    #[arg(long)]
    no_ignore: bool,
}

/// What came of it.
#[derive(Serialize)]
struct Scanned {
    findings: Vec<FindingView>,
    files: u64,
    bytes: u64,
    /// False when there was so much to find that the rest was not looked at.
    complete: bool,
    skipped: Named,
    unreadable: Named,
    expired_allowances: Vec<ExpiredAllowance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ApiError>,
}

#[derive(Serialize)]
struct FindingView {
    file: String,
    line: u64,
    column: u64,
    rule: &'static str,
    what: &'static str,
    #[serde(skip)]
    text: String,
}

/// Files of which something is to be said; the first of them.
#[derive(Default, Serialize)]
#[serde(transparent)]
struct Named {
    files: Vec<NamedFile>,
    #[serde(skip)]
    count: u64,
}

#[derive(Serialize)]
struct NamedFile {
    file: String,
    why: String,
}

pub(crate) fn run(args: &ScanArgs, context: &Context) -> Result<Exit, Failure> {
    let scanner = Scanner::new(allow_list(args.allow.as_deref())?);
    let now = i64::try_from(clock::now().0 / 1000).unwrap_or(i64::MAX);
    let mut scan = Scan::new(&scanner, now);
    for path in &args.paths {
        scan.path(path, args.no_ignore)?;
    }
    finish(scan.done, &context.output)
}

/// An allow list that is named has to be there; the one in the current directory may be.
fn allow_list(named: Option<&Path>) -> Result<AllowList, Failure> {
    let path = named.unwrap_or(Path::new(AllowList::FILE_NAME));
    let shown = plain(&path.to_string_lossy());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(AllowList::default());
        }
        Err(error) => {
            let message = format!("the allow list {shown} cannot be read: {error}");
            return Err(ApiError::new(ErrorCode::StorageError, message, "").into());
        }
    };
    AllowList::parse(&text).map_err(|error| {
        let message = format!("the allow list {shown} is not taken: {error}");
        ApiError::new(ErrorCode::SchemaInvalid, message, "see docs/operations.md, Secrets").into()
    })
}

fn finish(mut done: Scanned, output: &Output) -> Result<Exit, Failure> {
    if done.findings.is_empty()
        && let Some(first) = done.unreadable.files.first()
    {
        let others = match done.unreadable.count {
            1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        let message = format!("{} cannot be read: {}{others}", first.file, first.why);
        let hint = "what was not looked at may hold secrets: make it readable, or name other paths";
        return Err(ApiError::new(ErrorCode::StorageError, message, hint).into());
    }
    for expired in &done.expired_allowances {
        output.warn(&format!(
            "the allowance of {} for {} counted until {}",
            expired.rule, expired.name, expired.expired
        ));
    }
    for NamedFile { file, why } in &done.unreadable.files {
        output.warn(&format!("{file} cannot be read: {why}"));
    }
    let is_clean = done.findings.is_empty();
    if !is_clean {
        let hint = "take it out and make it worthless, or allow it with a reason and an expiry";
        done.error = Some(ApiError::new(ErrorCode::SecretFound, counted(&done), hint));
    }
    output.show(&done, render)?;
    Ok(if is_clean { Exit::Done } else { Exit::of(ErrorCode::SecretFound) })
}

fn counted(done: &Scanned) -> String {
    let found = match done.findings.len() {
        0 => "no secrets".to_owned(),
        1 => "1 secret".to_owned(),
        _ if !done.complete => format!("{FOUND_MAX} secrets or more"),
        count => format!("{count} secrets"),
    };
    let files = if done.files == 1 { "file" } else { "files" };
    format!("{found} found in {} {files}, {}", done.files, bytes(done.bytes))
}

fn render(done: &Scanned) -> String {
    let mut text = String::new();
    for finding in &done.findings {
        text.push_str(&format!("{}\n", plain(&finding.text)));
    }
    if done.skipped.count > 0 {
        let skipped = format!("{} skipped; --json names them and says why", done.skipped.count);
        text.push_str(&format!("{}\n", styled(DIM, &skipped)));
    }
    let style = if done.findings.is_empty() { GOOD } else { BAD };
    text.push_str(&format!("{}\n", styled(style, &format!("{}.", sentence(&counted(done))))));
    text
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A scan under way.
struct Scan<'s> {
    scanner: &'s Scanner,
    now: i64,
    bar: DownloadBar,
    chunk: Vec<u8>,
    done: Scanned,
}

impl<'s> Scan<'s> {
    fn new(scanner: &'s Scanner, now: i64) -> Self {
        Self {
            scanner,
            now,
            bar: DownloadBar::new(None),
            chunk: vec![0; CHUNK_BYTES],
            done: Scanned {
                findings: Vec::new(),
                files: 0,
                bytes: 0,
                complete: true,
                skipped: Named::default(),
                unreadable: Named::default(),
                expired_allowances: scanner.expired(now),
                error: None,
            },
        }
    }

    /// A file, or a folder with all that is in it.
    fn path(&mut self, path: &Path, no_ignore: bool) -> Result<(), Failure> {
        let is_link = match path.symlink_metadata() {
            Ok(metadata) => metadata.is_symlink(),
            Err(error) => {
                self.done.unreadable.add(path, error.to_string());
                return Ok(());
            }
        };
        if is_link {
            self.done.unreadable.add(path, "a symbolic link; name what it leads to".to_owned());
            return Ok(());
        }
        for entry in walk(path, no_ignore) {
            match entry {
                Ok(entry) => self.entry(&entry, no_ignore)?,
                Err(error) => self.done.unreadable.add(&place(&error, path), said(&error)),
            }
            if self.done.findings.len() >= FOUND_MAX {
                self.done.findings.truncate(FOUND_MAX);
                self.done.complete = false;
                break;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, no_ignore: bool) -> Result<(), Failure> {
        if let Some(error) = entry.error() {
            // A broken .gitignore would hide files that nobody meant.
            self.done.unreadable.add(entry.path(), said(error));
        }
        let Some(kind) = entry.file_type() else { return Ok(()) };
        if kind.is_symlink() {
            self.done.skipped.add(entry.path(), "a symbolic link".to_owned());
        } else if kind.is_file() {
            return self.file(entry.path());
        } else if !kind.is_dir() && entry.depth() == 0 {
            self.done.unreadable.add(entry.path(), "neither a file nor a folder".to_owned());
        } else if !kind.is_dir() {
            self.done.skipped.add(entry.path(), "neither a file nor a folder".to_owned());
        } else if !no_ignore && entry.depth() > 0 && is_git_folder(entry.path()) {
            self.done.skipped.add(entry.path(), "Git's own folder".to_owned());
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = shown(path);
        let refused = |error| {
            let message = format!("{} was not judged: {error}", plain(&shown));
            ApiError::new(ErrorCode::Internal, message, "")
        };
        let mut scan = self.scanner.file_scan(&shown, self.now).map_err(refused)?;
        let read = File::open(path).and_then(|mut file| {
            while !scan.is_full() {
                let count = match file.read(&mut self.chunk) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                scan.feed(self.chunk.get(..count).unwrap_or(&self.chunk));
                self.done.bytes += count as u64;
                self.bar.advance_to(self.done.bytes);
            }
            Ok(())
        });
        if let Err(error) = read {
            self.done.unreadable.add(path, error.to_string());
        }
        self.done.files += 1;
        self.done.findings.extend(scan.finish().into_iter().map(FindingView::from));
        Ok(())
    }
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        let text = finding.to_string();
        let Finding { name, line, column, rule, what } = finding;
        Self { file: name, line, column, rule: rule.as_str(), what, text }
    }
}

impl Named {
    fn add(&mut self, path: &Path, why: String) {
        self.count += 1;
        if self.files.len() < NAMED_MAX {
            self.files.push(NamedFile { file: shown(path), why });
        }
    }
}

fn walk(path: &Path, no_ignore: bool) -> ignore::Walk {
    let mut builder = WalkBuilder::new(path);
    builder
        .standard_filters(false)
        .git_ignore(!no_ignore)
        .parents(!no_ignore)
        // The same answer wherever the folder lies: in a working copy, or copied from one.
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        // Git's own folder is seen, so that it can be named, and not entered.
        .filter_entry(move |entry| {
            no_ignore || entry.depth() < 2 || !entry.path().parent().is_some_and(is_git_folder)
        });
    builder.build()
}

fn is_git_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == ".git")
}

/// A path as it is printed and as allow lists name it.
fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    path.to_string_lossy().into_owned()
}

/// Where an error of the walk happened.
fn place(error: &ignore::Error, root: &Path) -> PathBuf {
    match error {
        ignore::Error::WithPath { path, .. } => path.clone(),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            place(err, root)
        }
        ignore::Error::Loop { child, .. } => child.clone(),
        ignore::Error::Partial(_)
        | ignore::Error::Io(_)
        | ignore::Error::Glob { .. }
        | ignore::Error::UnrecognizedFileType(_)
        | ignore::Error::InvalidDefinition => root.to_owned(),
    }
}

/// What the walk says, without the path, which is named already.
fn said(error: &ignore::Error) -> String {
    match error.io_error() {
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}
