//! What the demo says of itself.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Stopwatch;
use crate::output::Output;
use crate::text::{BAD, DIM, GOOD, millis, plain, styled};

/// Width of the names, so that the times stand in one column.
const NAME_WIDTH: usize = 62;

/// One step that ended.
#[derive(Serialize)]
struct Step {
    name: String,
    ok: bool,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The steps so far.
pub(super) struct Report<'a> {
    output: &'a Output,
    total: Stopwatch,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Document<'a> {
    steps: &'a [Step],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Self { output, total: Stopwatch::start(), steps: Vec::new() }
    }

    /// Runs one step and says how it went.
    pub(super) async fn step<T>(
        &mut self,
        name: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let watch = Stopwatch::start();
        let done = work.await;
        let ms = in_millis(watch.elapsed());
        let (ok, mark) =
            if done.is_ok() { (true, styled(GOOD, "✓")) } else { (false, styled(BAD, "✗")) };
        let error = done.as_ref().err().map(|error| format!("{error:#}"));
        self.steps.push(Step { name: name.to_owned(), ok, ms, error });
        let time = styled(DIM, &format!("{:>10}", millis(ms)));
        self.output.news(&format!("{mark} {name:NAME_WIDTH$} {time}"))?;
        done
    }

    /// Says how the whole went.
    pub(super) fn end(
        &self,
        failure: Option<&anyhow::Error>,
        logs: &[(&str, Vec<String>)],
    ) -> io::Result<()> {
        let error = failure.map(|failure| format!("{failure:#}"));
        let document = Document { steps: &self.steps, error };
        self.output.show(&document, |document| match &document.error {
            None => {
                let time = millis(in_millis(self.total.elapsed()));
                format!("{} {} steps in {time}\n", styled(GOOD, "All passed:"), self.steps.len())
            }
            Some(error) => failed(error, logs),
        })
    }
}

fn failed(error: &str, logs: &[(&str, Vec<String>)]) -> String {
    let mut text = format!("{} {}\n", styled(BAD, "Failed:"), plain(error));
    for (name, lines) in logs {
        text.push_str(&format!("\nThe end of {name}'s log:\n"));
        for line in lines {
            // The agents may colour their log; what remains of it is shown as it is.
            let line = anstream::adapter::strip_str(line).to_string();
            text.push_str(&format!("  {}\n", plain(&line)));
        }
    }
    text
}

fn in_millis(duration: Duration) -> f64 {
    let micros = duration.as_micros();
    // Exact up to 285 years.
    f64::from(u32::try_from(micros / 1000).unwrap_or(u32::MAX))
        + f64::from(u32::try_from(micros % 1000).unwrap_or(0)) / 1000.0
}
