//! `mesh-agent doctor`: what would keep an agent from starting, looked at without starting one.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use mesh_node::{Finding, default_data_dir};

use crate::settings::{Flags, Settings};

/// How findings are shown.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct DoctorOptions {
    /// Print one JSON document: a list of check, ok, detail and hint
    #[arg(long)]
    json: bool,
}

/// Looks, and prints what was found. Changes nothing on disk.
pub(crate) fn doctor(options: &DoctorOptions, flags: Flags) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(flags, || Ok(default_data_dir()?))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let findings = runtime.block_on(settings.builder().diagnose());
    let text = if options.json {
        let document = serde_json::to_string_pretty(&findings)?;
        format!("{document}\n")
    } else {
        findings.iter().map(line).collect()
    };
    std::io::stdout().write_all(text.as_bytes()).context("the findings cannot be printed")?;
    let is_well = findings.iter().all(|finding| finding.ok);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(finding: &Finding) -> String {
    let Finding { check, ok, detail, hint } = finding;
    let mark = if *ok { "ok    " } else { "FAILED" };
    let hint = if hint.is_empty() { String::new() } else { format!("\n{:20}-> {hint}", "") };
    format!("{mark} {:12} {detail}{hint}\n", check.as_str())
}
