//! A plan as a shell script: to be read, or run on a machine that is set up some other way.

use super::plan::{Action, CommandLine, Plan};

/// The whole plan. What would be refused comes first, as comments: the script stays readable output.
pub(super) fn of(plan: &Plan, command: &str) -> String {
    let mut script =
        format!("#!/bin/sh\n# What `mesh-agent {command}` does on this machine.\nset -eu\n");
    for refusal in &plan.refusals {
        script.push_str(&comment(&format!("It would be refused: {refusal}")));
    }
    for step in &plan.steps {
        script.push('\n');
        match &step.action {
            Action::Nothing(why) => {
                script.push_str(&comment(&format!("{}: {why}", step.what)));
            }
            Action::Run(commands) => {
                script.push_str(&comment(&step.what));
                for command in commands {
                    script.push_str(&line(command));
                    script.push('\n');
                }
            }
            Action::Write { path, text } => {
                script.push_str(&comment(&step.what));
                let quoted = quoted(&path.to_string_lossy());
                let dir = path.parent().unwrap_or(path).to_string_lossy();
                script.push_str(&format!("mkdir -p {}\n", self::quoted(&dir)));
                script.push_str(&format!("cat > {quoted} <<'END'\n{text}END\n"));
            }
            Action::RemoveFile(path) => {
                script.push_str(&comment(&step.what));
                script.push_str(&format!("rm -f -- {}\n", quoted(&path.to_string_lossy())));
            }
            Action::RemoveDataDir(path) => {
                script.push_str(&comment(&step.what));
                script.push_str(&format!("rm -rf -- {}\n", quoted(&path.to_string_lossy())));
            }
        }
    }
    if !plan.notes.is_empty() {
        script.push('\n');
    }
    for note in &plan.notes {
        script.push_str(&comment(note));
    }
    script
}

/// A command as one types it.
pub(super) fn line(command: &CommandLine) -> String {
    let mut line = quoted(&command.program);
    for argument in &command.arguments {
        line.push(' ');
        line.push_str(&quoted(argument));
    }
    line
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}

fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
