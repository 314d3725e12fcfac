//! The one table of what benchmarks found: the last figure of each line, the machine, and what was not measured.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use comfy_table::{Table, TableStyle, presets};
use jiff::Timestamp;
use serde::Deserialize;

/// Where `--write` puts the table.
const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- figures: written by `cargo figures --write` -->";
const END: &str = "<!-- end of figures -->";

/// A line as `mesh_testkit::Figures` keeps it.
#[derive(Deserialize)]
struct Row {
    bench: String,
    at: i64,
    name: String,
    value: String,
    aim: String,
    raw: String,
    ratio: Option<f64>,
    is_optimised: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Prints the table of the last runs, or writes it into the document.
#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
pub(crate) fn figures(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let arguments: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let rows = rows(&crate::target()?.join("bench"))?;
    let missing = missing(&rows)?;
    match arguments.as_slice() {
        [] => println!("{}", page(&rows, &missing, presets::NOTHING)),
        ["--markdown"] => println!("{}", page(&rows, &missing, presets::ASCII_MARKDOWN)),
        ["--write"] => write(&page(&rows, &missing, presets::ASCII_MARKDOWN))?,
        _ => bail!("usage: cargo figures [--markdown | --write]"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The last figure of each name, benchmark by benchmark, in the order in which they were measured first.
fn rows(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut files: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => {
            entries.collect::<Result<Vec<_>, _>>()?.iter().map(fs::DirEntry::path).collect()
        }
        // No benchmark has run yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    files.sort();
    for file in files {
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for line in text.lines() {
            let row: Row = serde_json::from_str(line).with_context(|| {
                format!("{} has a line that is no figure; delete it", file.display())
            })?;
            let place = *places.entry(row.name.clone()).or_insert(rows.len());
            match rows.get_mut(place) {
                Some(before) => *before = row,
                None => rows.push(row),
            }
        }
    }
    Ok(rows)
}

/// The benchmarks of the workspace of which there is no figure.
fn missing(rows: &[Row]) -> anyhow::Result<Vec<String>> {
    let mut metadata = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    metadata.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let output = metadata.current_dir(crate::workspace()?).output().context("running cargo")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let Metadata { packages } = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let mut missing = Vec::new();
    for package in packages {
        let benches =
            package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bench"));
        for bench in benches {
            let name = format!("{}/{}", package.name, bench.name);
            if !rows.iter().any(|row| row.bench == name) {
                missing.push(format!("cargo bench -p {} --bench {}", package.name, bench.name));
            }
        }
    }
    missing.sort();
    Ok(missing)
}

fn page(rows: &[Row], missing: &[String], preset: TableStyle) -> String {
    let mut page = machine() + "\n\n";
    if !rows.is_empty() {
        let mut table = Table::new();
        table.load_style(preset);
        table.set_header(["figure", "measured", "ratio", "aim", "raw limit, same run", "run"]);
        let mut bench = "";
        for row in rows {
            if row.bench != bench {
                bench = &row.bench;
                table.add_row([bench]);
            }
            let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let at = Timestamp::from_millisecond(row.at).unwrap_or(Timestamp::UNIX_EPOCH);
            let mut at = at.strftime("%Y-%m-%d %H:%M").to_string();
            if !row.is_optimised {
                at += ", not optimised";
            }
            table.add_row([&row.name, &row.value, &ratio, &row.aim, &row.raw, &at]);
        }
        page += &format!("{table}\n");
    }
    if !missing.is_empty() {
        page += "\nNot measured:\n";
        for command in missing {
            page += &format!("- `{command}`\n");
        }
    }
    page
}

/// What the figures are figures of.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let unknown = || String::from("unknown");
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |n| n.to_string());
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown);
    let kib = field(&read("/proc/meminfo"), "MemTotal");
    let kib: Option<u64> = kib.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let memory = kib.map_or_else(unknown, |kib| format!("{} MiB", kib / 1024));
    let kernel = Some(read("/proc/sys/kernel/osrelease").trim().to_owned());
    let kernel = kernel.filter(|kernel| !kernel.is_empty()).unwrap_or_else(unknown);
    format!(
        "{} {}: {cores} cores ({model}), {memory} of memory, kernel {kernel}. Times are UTC.",
        env::consts::OS,
        env::consts::ARCH
    )
}

/// Puts the table in its place in the document.
fn write(page: &str) -> anyhow::Result<()> {
    let path = crate::workspace()?.join(DOCUMENT);
    let document = fs::read_to_string(&path).with_context(|| format!("reading {DOCUMENT}"))?;
    fs::write(&path, with_page(&document, page)?).with_context(|| format!("writing {DOCUMENT}"))
}

/// The document with this page in the place of the one before.
fn with_page(document: &str, page: &str) -> anyhow::Result<String> {
    let marks = || format!("{DOCUMENT} has no place for the table: {BEGIN} and {END}");
    let (before, rest) = document.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", page.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bench: &str, at: i64, name: &str, value: &str, is_optimised: bool) -> String {
        let line = serde_json::json!({
            "bench": bench, "at": at, "name": name, "value": value, "aim": "≤ 5", "raw": "bare 1", "ratio": 2.5,
            "is_optimised": is_optimised,
        });
        line.to_string() + "\n"
    }

    #[test]
    fn the_last_run_of_each_figure_is_shown_with_its_time_below_its_benchmark() {
        let folder = tempfile::tempdir().unwrap();
        let before =
            line("a/one", 0, "first", "7 µs", true) + &line("a/one", 0, "next", "8 µs", true);
        let after = line("a/one", 86_400_000, "first", "9 µs", false);
        fs::write(folder.path().join("a.one.jsonl"), before + &after).unwrap();
        fs::write(folder.path().join("b.two.jsonl"), line("b/two", 0, "first", "1 s", true))
            .unwrap();
        let page = page(
            &rows(folder.path()).unwrap(),
            &["cargo bench -p c --bench three".to_owned()],
            presets::ASCII_MARKDOWN,
        );
        let cells = |line: &str| {
            let cells = line.split('|').map(str::trim).filter(|cell| !cell.is_empty());
            cells.collect::<Vec<_>>().join(" | ")
        };
        let lines: Vec<String> = page.lines().skip(4).map(cells).collect();
        let expected = [
            "a/one",
            "first | 9 µs | 2.50 | ≤ 5 | bare 1 | 1970-01-02 00:00, not optimised",
            "next | 8 µs | 2.50 | ≤ 5 | bare 1 | 1970-01-01 00:00",
            "b/two",
            "first | 1 s | 2.50 | ≤ 5 | bare 1 | 1970-01-01 00:00",
            "",
            "Not measured:",
            "- `cargo bench -p c --bench three`",
        ];
        assert_eq!(lines, expected, "{page}");
    }

    #[test]
    fn the_page_takes_the_place_of_the_one_before_and_of_nothing_else() {
        let document = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let written = with_page(&document, "new\n\n").unwrap();
        assert_eq!(written, format!("above\n{BEGIN}\nnew\n{END}\nbelow\n"));
        assert_eq!(with_page(&written, "new").unwrap(), written);
        with_page("no marks", "new").unwrap_err();
    }
}
