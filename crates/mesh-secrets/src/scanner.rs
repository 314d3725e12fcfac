use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::allow::{AllowList, ExpiredAllowance};
use crate::finding::Finding;
use crate::lines::Lines;
use crate::stream::FileScan;
use crate::{ScanError, value};

/// One scan gives no more findings than this. What holds so many is refused by the first.
pub const FINDINGS_MAX: usize = 256;

/// Looks for secrets. A clone is cheap, shares the allow list and may be used on any thread.
///
/// Time is linear in the bytes, memory is bounded whatever they are. Content may be binary; text of UTF-16 with its mark at
/// the start is read as text. What is compressed or encrypted is not looked into.
#[derive(Clone, Default)]
pub struct Scanner {
    allow: Arc<AllowList>,
}

impl Scanner {
    /// Makes a scanner that lets through what `allow` names.
    #[must_use]
    pub fn new(allow: AllowList) -> Self {
        Self { allow: Arc::new(allow) }
    }

    /// Looks at the name and the whole content of a file or message. `now` is in seconds of Unix time.
    ///
    /// The findings are in the order of their places, at most [`FINDINGS_MAX`].
    ///
    /// # Errors
    /// [`ScanError`]: the content was not judged, and must be refused.
    pub fn scan_text(
        &self,
        name: &str,
        content: &[u8],
        now: i64,
    ) -> Result<Vec<Finding>, ScanError> {
        let mut scan = self.file_scan(name, now)?;
        scan.whole(content);
        Ok(scan.finish())
    }

    /// Begins to look at a file that comes piece by piece, of any size, in memory of a fixed size.
    ///
    /// # Errors
    /// [`ScanError`]: nothing can be judged, and everything must be refused.
    pub fn file_scan(&self, name: &str, now: i64) -> Result<FileScan, ScanError> {
        Ok(FileScan::new(Lines::of_file(Arc::clone(&self.allow), name, now)?))
    }

    /// Looks at a dotted configuration key and its JSON value: at every string and number in it, with the names
    /// above as context. The findings name the dotted key down to the string (`agents.oak.hooks[2].url`), line and column
    /// are those within it.
    ///
    /// Under a key for secrets (`agents.oak.token`) every value counts but a placeholder, a path or a reference; under one
    /// that says where a secret lies (`agents.oak.token_file`) none does, unless it looks like a secret by itself.
    ///
    /// # Errors
    /// [`ScanError`]: the value was not judged, and must be refused.
    pub fn scan_value(
        &self,
        key: &str,
        value: &Value,
        now: i64,
    ) -> Result<Vec<Finding>, ScanError> {
        value::scan(&self.allow, key, value, now)
    }

    /// The entries of the allow list that count no more.
    #[must_use]
    pub fn expired(&self, now: i64) -> Vec<ExpiredAllowance> {
        self.allow.expired(now)
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("allow", &self.allow).finish()
    }
}
