use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mesh_control::{ApiError, ConfigDifference, ConfigImport, ConfigImported};
use mesh_protocol::ErrorCode;
use serde::Serialize;
use serde_json::Value;

use super::super::Context;
use super::input::json_input;
use super::shown::from_to;
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, Columns, GOOD, NORMAL, bytes, plain, plain_json};

pub(super) const EXAMPLE: &str = "\
A template is plain JSON in a stable order, without secrets and without what belongs to one
machine alone; it lives well in a repository.

Examples:
  mesh-ctl config template export mesh.json
  mesh-ctl config template import mesh.json --dry-run";

#[derive(Args)]
pub(super) struct TemplateArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Writes the configuration without secrets
    #[command(after_help = "\
Examples:
  mesh-ctl config template export
  mesh-ctl config template export mesh.json")]
    Export {
        /// The file, which is replaced when it exists [default: standard output]
        file: Option<PathBuf>,
    },
    /// Merges a template, as one change; what it does not name stays
    #[command(after_help = "\
Examples:
  mesh-ctl config template import mesh.json --dry-run
  mesh-ctl config template import - < mesh.json")]
    Import {
        /// The file, or `-` for standard input
        file: PathBuf,
        /// Show what would be different, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Why, for those who read the history
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

/// A template that was written.
#[derive(Serialize)]
struct Written {
    file: String,
    bytes: u64,
}

pub(super) async fn run(args: TemplateArgs, context: &Context) -> Result<Exit, Failure> {
    match args.action {
        Action::Export { file } => export(file.as_deref(), context).await,
        Action::Import { file, dry_run, note } => {
            let client = context.client()?;
            let template = document(&file)?;
            let request = ConfigImport { template, dry_run, note };
            let imported = client.config_template_import(&request);
            let imported = patiently("merging the template", imported).await?;
            context.output.show(&imported, |imported| render(imported, dry_run))?;
            Ok(Exit::Done)
        }
    }
}

async fn export(file: Option<&Path>, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let template = client.config_template_export();
    let template = patiently("reading the configuration", template).await?;
    let text = serde_json::to_string_pretty(&template).map_err(io::Error::other)?;
    let text = format!("{}\n", plain_json(&text));
    let Some(path) = file else {
        context.output.print(&text)?;
        return Ok(Exit::Done);
    };
    write_whole(path, text.as_bytes()).map_err(|error| {
        let path = plain(&path.to_string_lossy());
        let message = format!("writing {path} failed: {error}");
        let hint = "name a file in a directory that can be written";
        Failure::from(ApiError::new(ErrorCode::StorageError, message, hint))
    })?;
    let written = Written { file: path.display().to_string(), bytes: text.len() as u64 };
    context.output.show(&written, |written| {
        format!("{} is written: {}.\n", plain(&written.file), bytes(written.bytes))
    })?;
    Ok(Exit::Done)
}

/// The file has its former content or all of the new one.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".mesh-template-")
        // As for any new file: there is nothing secret in it.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn document(path: &Path) -> Result<Value, Failure> {
    let text = json_input(path)?;
    serde_json::from_str(&text).map_err(|error| {
        let path = plain(&path.to_string_lossy());
        let hint = "`mesh-ctl config template export` shows what a template looks like";
        Failure::usage(format!("{path} is not JSON: {error}"), hint)
    })
}

fn render(imported: &ConfigImported, is_dry_run: bool) -> String {
    let mut columns = Columns::untitled();
    for ConfigDifference { key, before, after } in &imported.differences {
        let (style, mark) = match (before, after) {
            (None, _) => (GOOD, "+"),
            (Some(_), Some(_)) => (NORMAL, "~"),
            (Some(_), None) => (BAD, "-"),
        };
        let values = from_to(before.as_ref(), after.as_ref());
        columns.row(style, [mark.to_owned(), plain(key), values]);
    }
    let last = match imported.version {
        Some(version) => format!("Change {version} of {} keys.", imported.changed.len()),
        None if imported.differences.is_empty() => {
            "Nothing is different from the template.".to_owned()
        }
        None if is_dry_run => "Nothing was changed: that is what an import would do.".to_owned(),
        None => "Nothing was changed.".to_owned(),
    };
    format!("{}{last}\n", columns.render())
}
