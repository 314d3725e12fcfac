use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use mesh_control::{CheckView, ClientError, ControlClient};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Context, agent_program};
use crate::exit::{Exit, Failure};
use crate::progress::patiently;
use crate::text::{BAD, DIM, GOOD, ODD, plain, styled};

pub(crate) const EXAMPLE: &str = "\
An agent that runs is asked. For one that does not, the mesh-agent beside this command or in PATH
looks at the machine; give it the flags that the agent would be started with, behind `--`.

Examples:
  mesh-ctl doctor
  mesh-ctl doctor --json | jq '.[] | select(.ok | not)'
  mesh-ctl doctor -- --config /etc/mesh-agent.toml";

/// How long the examination by a program of its own may take.
const EXAMINATION_WAIT: Duration = Duration::from_secs(60);

/// The name of the socket's file in a data directory.
const SOCKET_NAME: &str = "control.sock";

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Flags of an agent that does not run, such as --data-dir or --listen
    #[arg(last = true, value_name = "AGENT_FLAGS")]
    agent_flags: Vec<String>,
}

pub(crate) async fn run(args: DoctorArgs, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let checks = match patiently("examining", client.doctor()).await {
        Ok(checks) => checks,
        Err(error @ ClientError::NotRunning { .. }) => {
            let examined = examine(&client, args.agent_flags);
            let (found, remark) = match patiently("examining the machine", examined).await {
                Ok(found) => (found, String::new()),
                Err(why) => (Vec::new(), format!("; {why}, so nothing more was looked at")),
            };
            let mut checks = vec![agent_check(&error, &remark)];
            checks.extend(found);
            checks
        }
        Err(error @ (ClientError::Unreachable { .. } | ClientError::TimedOut { .. })) => {
            vec![agent_check(&error, "")]
        }
        Err(error) => return Err(error.into()),
    };
    let is_well = checks.iter().all(|check| check.ok);
    context.output.show(&checks, |checks| render(checks))?;
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

/// What is wrong with an agent that does not answer.
fn agent_check(error: &ClientError, remark: &str) -> CheckView {
    let told = error.to_api_error();
    CheckView {
        check: "agent".to_owned(),
        ok: false,
        detail: format!("{}{remark}", told.message),
        hint: told.hint,
    }
}

/// Lets an agent's program look for what keeps it from starting.
///
/// # Errors
/// Why it could not, for people.
async fn examine(
    client: &ControlClient,
    agent_flags: Vec<String>,
) -> Result<Vec<CheckView>, String> {
    let program = agent_program().ok_or("mesh-agent is neither beside this command nor in PATH")?;
    let mut command = Command::new(&program);
    command.args(["doctor", "--json"]).args(data_dir_flag(client.path(), &agent_flags));
    let output = command.args(agent_flags).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(EXAMINATION_WAIT, output)
        .await
        .map_err(|_| format!("{} did not come to an end", program.display()))?
        .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        format!("{} could not examine this machine ({said})", program.display())
    })
}

/// A socket with the usual name lies in the data directory of its agent.
fn data_dir_flag(socket: &Path, agent_flags: &[String]) -> Vec<PathBuf> {
    let decides = ["--data-dir", "--config"];
    let is_decided =
        agent_flags.iter().any(|flag| decides.iter().any(|name| flag.starts_with(name)))
            || ["MESH_DATA_DIR", "MESH_CONFIG"].iter().any(|name| std::env::var_os(name).is_some());
    let usual = socket.file_name().is_some_and(|name| name == SOCKET_NAME);
    match socket.parent() {
        Some(directory) if usual && !is_decided => {
            vec![PathBuf::from("--data-dir"), directory.to_owned()]
        }
        Some(_) | None => Vec::new(),
    }
}

fn render(checks: &[CheckView]) -> String {
    let width = checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for CheckView { check, ok, detail, hint } in checks {
        let mark = if *ok { styled(GOOD, "✓") } else { styled(BAD, "✗") };
        text.push_str(&format!("{mark} {:width$}  {}\n", plain(check), plain(detail)));
        if !hint.is_empty() {
            let style = if *ok { DIM } else { ODD };
            text.push_str(&format!(
                "  {:width$}  {}\n",
                "",
                styled(style, &format!("→ {}", plain(hint)))
            ));
        }
    }
    let failed = checks.iter().filter(|check| !check.ok).count();
    let last = match failed {
        0 => styled(GOOD, "All is well."),
        failed => styled(BAD, &format!("{failed} of {} checks failed.", checks.len())),
    };
    format!("{text}\n{last}\n")
}
