//! What is to be done, as values: refusals, steps, notes.

use std::path::{Path, PathBuf};

use super::machine::{Machine, Manager};
use super::place::{DataDir, DirState};
use super::{USER_COMMENT, UserName};

/// Everything that installing or uninstalling comes to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Why nothing of it may be carried out; most plans have none.
    pub(super) refusals: Vec<String>,
    /// In this order. Each can be repeated without harm.
    pub(super) steps: Vec<Step>,
    /// What to know once it is done.
    pub(super) notes: Vec<String>,
}

/// One step of a plan.
#[derive(Debug)]
pub(super) struct Step {
    /// What it does, as an order.
    pub(super) what: String,
    pub(super) action: Action,
    /// Where to look when it fails; empty when the error says it all.
    pub(super) hint: String,
}

#[derive(Debug)]
pub(super) enum Action {
    /// Runs programs, one after the other.
    Run(Vec<CommandLine>),
    /// Puts a file there that everybody may read, unless it is there with this very text.
    Write { path: PathBuf, text: String },
    /// Removes a file, if it is there.
    RemoveFile(PathBuf),
    /// Removes a data directory with all that is in it, unless an agent runs on it.
    RemoveDataDir(PathBuf),
    /// Nothing, because it is as it should be.
    Nothing(&'static str),
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

impl CommandLine {
    pub(super) fn new(program: &str, arguments: &[&str]) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        }
    }
}

/// The service that is to be installed.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) user: UserName,
    pub(super) data_dir: DataDir,
    /// Whether it is to listen on a port below 1024.
    pub(super) has_privileged_port: bool,
    pub(super) unit: PathBuf,
}

/// What the unit of an installed service says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) user: UserName,
    pub(super) data_dir: PathBuf,
}

impl Plan {
    pub(super) fn refuse(&mut self, reason: Option<String>) {
        self.refusals.extend(reason);
    }

    pub(super) fn step(&mut self, what: impl Into<String>, action: Action) {
        self.step_with_hint(what, action, "");
    }

    pub(super) fn step_with_hint(&mut self, what: impl Into<String>, action: Action, hint: &str) {
        self.steps.push(Step { what: what.into(), action, hint: hint.to_owned() });
    }

    /// The commands make the user, unless it is there.
    pub(super) fn user_step(
        &mut self,
        service: &Service,
        machine: &Machine,
        commands: Vec<CommandLine>,
    ) {
        let action = match machine.user_comment {
            Some(_) => Action::Nothing("it is there"),
            None => Action::Run(commands),
        };
        self.step(format!("create the user {}", service.user.as_str()), action);
    }

    /// A directory that the service manager does not make by itself. What is in it came from an agent
    /// that ran as somebody else, perhaps: it becomes the service's.
    pub(super) fn data_dir_step(&mut self, service: &Service, machine: &Machine) {
        let (user, data_dir) = (service.user.as_str(), service.data_dir.as_str());
        let make = CommandLine::new("install", &["-d", "-m", "0700", "-o", user, data_dir]);
        let mut commands = vec![make];
        if machine.data_dir == DirState::OfAnAgent {
            commands.push(CommandLine::new("chown", &["-R", user, data_dir]));
        }
        self.step(format!("make {data_dir} and give it to {user}"), Action::Run(commands));
    }

    /// A unit is written over one that `install` wrote, for the same data. Anything else is a mistake:
    /// the agent would start as a new peer, or somebody else's service would be gone.
    pub(super) fn unit_step(&mut self, service: &Service, machine: &Machine, text: String) {
        if let Some(there) = &machine.unit_text {
            match machine.manager.read_back(there) {
                None => self.refusals.push(foreign_unit(&service.unit)),
                Some(installed) if installed.data_dir != Path::new(service.data_dir.as_str()) => {
                    self.refusals.push(format!(
                        "the installed service keeps this member's keys in {dir}: say --data-dir {dir}, or stop the service, move the directory, and `mesh-agent uninstall` first",
                        dir = installed.data_dir.display()
                    ));
                }
                Some(_) => {}
            }
        }
        let what = format!("write {}", service.unit.display());
        self.step(what, Action::Write { path: service.unit.clone(), text });
    }
}

pub(super) fn foreign_unit(unit: &Path) -> String {
    format!(
        "{} was not written by `mesh-agent install`: move it away if it is not needed",
        unit.display()
    )
}

/// Removes what a service leaves behind. The user goes only if `install` made it.
pub(super) fn plan_purge(plan: &mut Plan, machine: &Machine, user: &UserName, data_dir: &Path) {
    let what = format!("remove {} with the keys and messages in it", data_dir.display());
    let action = match machine.data_dir {
        DirState::Absent => Action::Nothing("it is not there"),
        DirState::Empty | DirState::OfAnAgent | DirState::Unreadable => {
            Action::RemoveDataDir(data_dir.to_owned())
        }
        DirState::OfOthers => {
            plan.refusals.push(format!(
                "{} holds no data of an agent, so it is not removed: leave out --purge",
                data_dir.display()
            ));
            Action::Nothing("it is not an agent's")
        }
    };
    plan.step(what, action);
    let name = user.as_str();
    let action = match machine.user_comment.as_deref() {
        None => Action::Nothing("it is not there"),
        Some(USER_COMMENT) => Action::Run(match machine.manager {
            Manager::Systemd => vec![CommandLine::new("userdel", &[name])],
            Manager::Launchd => vec![
                CommandLine::new("dscl", &[".", "-delete", &format!("/Users/{name}")]),
                CommandLine::new("dscl", &[".", "-delete", &format!("/Groups/{name}")]),
            ],
        }),
        Some(_) => Action::Nothing("it was not made for the service, so it stays"),
    };
    plan.step(format!("remove the user {name}"), action);
    plan.notes.push(String::from(
        "To the other members this one is inactive: `mesh-ctl peers remove` on one of them expels it.",
    ));
}
