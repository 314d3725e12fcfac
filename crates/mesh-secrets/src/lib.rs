//! Finds secrets in what is about to travel: shared configuration, pushed files, messages, templates.
//!
//! Pure values: bytes and the time come in, [`Finding`]s go out. Never in here: IO, a clock, a task, or a
//! copy of what was found. A finding names file, line, column and rule, and no part of the value.
//!
//! A keyword comes first (one pass of Aho–Corasick over the bytes), then the expressions of the rules that the
//! keyword belongs to, on its line alone, then a judgement of what matched: placeholders, paths and
//! references pass. **An error refuses**: whoever gets an `Err` treats the content as if a secret had been found.
//!
//! Start reading at [`Scanner`]; the rules are in `rule.rs`, each with a line that must be found and one
//! that must pass in `tests/it/rules.rs`.

mod allow;
mod error;
mod file_name;
mod finding;
mod glob;
mod join_token;
mod judge;
mod key;
mod lines;
mod matching;
mod rule;
mod scanner;
mod stream;
mod table;
mod value;

pub use allow::{AllowList, ExpiredAllowance};
pub use error::{AllowListError, ScanError};
pub use finding::{Finding, RuleId};
pub use rule::rules;
pub use scanner::{FINDINGS_MAX, Scanner};
pub use stream::FileScan;
