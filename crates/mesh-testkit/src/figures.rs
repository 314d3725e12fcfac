//! One form for what benchmarks find: a line for whoever watches, and a line of JSON that `cargo figures` makes
//! the table of.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// The figures of one benchmark.
#[derive(Debug)]
pub struct Figures {
    bench: &'static str,
    /// The last name of each depth: one that is indented belongs to the one above it.
    names: Mutex<Vec<String>>,
}

/// What the same takes without us, in the same run, and the figure by that.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    text: String,
    ratio: Option<f64>,
}

impl Raw {
    /// `ratio` is the figure by what is behind `text`, or the other way round, as the aim has it.
    #[must_use]
    pub fn new(text: impl Into<String>, ratio: f64) -> Self {
        Self { text: text.into(), ratio: Some(ratio) }
    }
}

impl From<&str> for Raw {
    /// Without a ratio; empty when there is nothing to compare with.
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), ratio: None }
    }
}

impl Figures {
    /// The figures of a benchmark, which is named `CRATE/BENCH`.
    #[must_use]
    pub const fn of(bench: &'static str) -> Self {
        Self { bench, names: Mutex::new(Vec::new()) }
    }

    /// Shows what was measured with its unit, and what it should be, and keeps both in `bench/` of the target
    /// folder, marked when the build is not optimised: such figures say that a benchmark works, not how fast it is.
    pub fn add(&self, name: &str, value: &str, aim: &str, raw: impl Into<Raw>) {
        let Raw { text: raw, ratio } = raw.into();
        let shown = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        say(format!("{name:<56} {value:>16} {shown:>7}  {aim:<28} {raw}").trim_end());
        let millis = UNIX_EPOCH.elapsed().map(|since| since.as_millis()).unwrap_or_default();
        let line = serde_json::json!({
            "bench": self.bench, "at": u64::try_from(millis).unwrap_or(u64::MAX), "name": self.whole(name),
            "value": value, "aim": aim, "raw": raw, "ratio": ratio, "is_optimised": !cfg!(debug_assertions),
        });
        if let Err(error) = self.keep(&line) {
            say(&format!("  which cannot be kept for `cargo figures`: {error}"));
        }
    }

    /// The name with those that it belongs to.
    fn whole(&self, name: &str) -> String {
        let depth = (name.len() - name.trim_start().len()) / 2;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.truncate(depth);
        names.push(name.trim().to_owned());
        names.join(": ")
    }

    fn keep(&self, line: &serde_json::Value) -> io::Result<()> {
        let folder = folder()?;
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.jsonl", self.bench.replace('/', ".")));
        writeln!(File::options().create(true).append(true).open(path)?, "{line}")
    }
}

/// `bench/` of the folder that cargo builds into: benchmarks are programs in there.
fn folder() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let target = target.map(Path::to_owned);
    target.map(|target| target.join("bench")).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "this program lies in no target folder")
    })
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_indented_belongs_to_the_one_above_it() {
        let figures = Figures::of("crate/bench");
        let names = ["a file", "  time", "    of it hashing", "  rate", "another", "  time"];
        let whole = names.map(|name| figures.whole(name));
        let expected = [
            "a file",
            "a file: time",
            "a file: time: of it hashing",
            "a file: rate",
            "another",
            "another: time",
        ];
        assert_eq!(whole, expected);
    }
}
