//! Secrets in what is to be pushed: names and text, each judged before anything travels.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use mesh_protocol::{PushProblem, PushReason, RelativePath};
use mesh_secrets::{AllowList, FileScan, Finding, Scanner};
use mesh_tree::{Source, read_rules};

use super::{problem, unread};

/// A file is text unless there is a NUL in so many of its first bytes; UTF-16 is told by its mark.
const LOOKED_AT_BYTES: usize = 64 << 10;
/// Findings that are named.
const NAMED_MAX: usize = 5;
/// What has so many is not looked at any further.
const FOUND_MAX: usize = 100;

/// What looks for secrets in the files of one push.
pub(super) struct Scanners {
    each: Vec<(Source, Scanner)>,
    now: i64,
}

/// What was found in them.
#[derive(Default)]
pub(super) struct Scanning {
    findings: Vec<Finding>,
    /// Why something was not judged.
    failure: Option<String>,
}

impl Scanners {
    /// Reads the list of what is allowed that lies in each source, or beside a source that is a file. Its names are
    /// those beneath the folder that it lies in. None counts in a folder that others look into: whoever may push
    /// there would say what leaves this machine.
    pub(super) fn new(sources: &[Source], now: i64) -> Result<Self, PushProblem> {
        let scanner = |source: &Source| {
            let folder = if source.beneath.is_some() {
                None
            } else if source.path.is_dir() {
                Some(source.path.as_path())
            } else {
                source.path.parent()
            };
            let allow = folder.map_or_else(|| Ok(AllowList::default()), allow_list)?;
            Ok((source.clone(), Scanner::new(allow)))
        };
        let each = sources.iter().map(scanner).collect::<Result<_, _>>()?;
        Ok(Self { each, now })
    }

    /// Begins with the file that has this place. Its name is what it is called here.
    pub(super) fn begin(&self, place: &RelativePath) -> Scan {
        let found = self.each.iter().find(|(source, _)| place.starts_with(&source.name));
        let scan = found.map(|(source, scanner)| {
            let beneath = place.as_bytes().get(source.name.as_bytes().len()..).unwrap_or_default();
            let beneath = beneath.strip_prefix(b"/").unwrap_or(beneath);
            let own = source.path.file_name().map_or(beneath, |name| name.as_bytes());
            let name = if beneath.is_empty() { own } else { beneath };
            // A name that is not text is shown as what can be read of it.
            scanner.file_scan(&String::from_utf8_lossy(name), self.now)
        });
        let scan = match scan {
            Some(Ok(scan)) => Ok(scan),
            Some(Err(error)) => Err(format!("{place} was not judged: {error}")),
            None => Err(format!("{place} belongs to no source")),
        };
        Scan { scan, is_text: None }
    }
}

impl Scanning {
    /// Takes what came of a file.
    pub(super) fn scanned(&mut self, scanned: Scanned) {
        match scanned {
            Ok(findings) => self.findings.extend(findings),
            Err(failure) => self.failure = Some(self.failure.take().unwrap_or(failure)),
        }
    }

    /// Whether more findings would change nothing.
    pub(super) const fn is_full(&self) -> bool {
        self.findings.len() >= FOUND_MAX
    }

    /// Refuses when anything was found, or not judged. The value is never told.
    pub(super) fn finish(&self) -> Result<(), PushProblem> {
        if let Some(failure) = &self.failure {
            return Err(problem(PushReason::SecretFound, failure));
        }
        if self.findings.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            self.findings.iter().take(NAMED_MAX).map(Finding::to_string).collect();
        let mut detail = named.join("; ");
        let more = self.findings.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            let or_more = if self.is_full() { " or more" } else { "" };
            detail.push_str(&format!("; and {more} more{or_more}"));
        }
        Err(problem(PushReason::SecretFound, detail))
    }
}

fn allow_list(folder: &Path) -> Result<AllowList, PushProblem> {
    let text = read_rules(folder, AllowList::FILE_NAME).map_err(|error| {
        let told = unread(&error);
        problem(told.reason, format!("the list of what is allowed: {}", told.detail))
    })?;
    let Some(text) = text else { return Ok(AllowList::default()) };
    let refused = |what: String| {
        let path = folder.join(AllowList::FILE_NAME);
        let detail =
            format!("the list of what is allowed, {}, is not taken: {what}", path.display());
        problem(PushReason::SecretFound, detail)
    };
    let text = String::from_utf8(text).map_err(|error| refused(error.to_string()))?;
    AllowList::parse(&text).map_err(|error| refused(error.to_string()))
}

/// What was found in a file, or why it was not judged.
pub(super) type Scanned = Result<Vec<Finding>, String>;

/// One file that is looked at, piece by piece.
pub(super) struct Scan {
    scan: Result<FileScan, String>,
    /// None before the first piece.
    is_text: Option<bool>,
}

impl Scan {
    pub(super) fn feed(&mut self, piece: &[u8]) {
        let is_text = *self.is_text.get_or_insert_with(|| is_text(piece));
        if let Ok(scan) = &mut self.scan
            && is_text
            && !scan.is_full()
        {
            scan.feed(piece);
        }
    }

    pub(super) fn finish(self) -> Scanned {
        self.scan.map(FileScan::finish)
    }
}

fn is_text(start: &[u8]) -> bool {
    let is_utf16 = matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    let looked_at = start.get(..LOOKED_AT_BYTES).unwrap_or(start);
    is_utf16 || !looked_at.contains(&0)
}
