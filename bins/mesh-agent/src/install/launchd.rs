//! The service as a launchd property list.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::machine::{self, Machine};
use super::plan::{Action, CommandLine, Installed, Plan, Service};
use super::{DATA_DIR, USER_COMMENT, UserName};

/// Where an administrator's services are.
pub(super) const PLIST_DIR: &str = "/Library/LaunchDaemons";

pub(super) const PLIST: &str = "mesh-agent.plist";

/// The service's name, in launchd's domain for the whole machine.
const TARGET: &str = "system/mesh-agent";

/// What has no such line is somebody else's.
const MARK: &str = "<!-- Written by `mesh-agent install`, which overwrites it. -->";

/// Numbers for users of services.
const USER_IDS: std::ops::Range<u32> = 300..400;

pub(super) fn plan_install(plan: &mut Plan, service: &Service, machine: &Machine) {
    let user = service.user.as_str();
    plan.user_step(service, machine, create_user(service, machine.free_user_id));
    plan.data_dir_step(service, machine);
    plan.unit_step(service, machine, plist(service));
    plan.step("stop the one that runs", stop(machine));
    let unit = service.unit.to_string_lossy();
    plan.step_with_hint(
        "start it, now and at every start of the machine",
        Action::Run(vec![
            CommandLine::new("launchctl", &["enable", TARGET]),
            CommandLine::new("launchctl", &["bootstrap", "system", &unit]),
        ]),
        "if the old one was still stopping, repeating this is enough",
    );
    let data_dir = service.data_dir.as_str();
    let socket = match data_dir {
        DATA_DIR => String::new(),
        elsewhere => format!(" --socket {elsewhere}/control.sock"),
    };
    plan.notes.push(format!("The agent runs as {user}. Now, as root: mesh-ctl{socket} status"));
    plan.notes.push(format!("Its log: tail -f {data_dir}/agent.log"));
}

pub(super) fn plan_uninstall(plan: &mut Plan, unit: &Path, machine: &Machine) {
    plan.step("stop the service", stop(machine));
    plan.step(format!("remove {}", unit.display()), Action::RemoveFile(unit.to_owned()));
}

fn stop(machine: &Machine) -> Action {
    if machine.is_loaded {
        Action::Run(vec![CommandLine::new("launchctl", &["bootout", TARGET])])
    } else {
        Action::Nothing("it does not run")
    }
}

/// A user without password, shell and home that login windows do not show. `-create` is harmless
/// for what exists.
fn create_user(service: &Service, id: u32) -> Vec<CommandLine> {
    let id = id.to_string();
    let user = format!("/Users/{}", service.user.as_str());
    let group = format!("/Groups/{}", service.user.as_str());
    let set = |entry: &str, key: &str, value: &str| {
        CommandLine::new("dscl", &[".", "-create", entry, key, value])
    };
    vec![
        set(&group, "PrimaryGroupID", &id),
        set(&group, "RealName", USER_COMMENT),
        set(&user, "UniqueID", &id),
        set(&user, "PrimaryGroupID", &id),
        set(&user, "RealName", USER_COMMENT),
        set(&user, "UserShell", "/usr/bin/false"),
        set(&user, "NFSHomeDirectory", "/var/empty"),
        set(&user, "IsHidden", "1"),
    ]
}

/// The property list. There is no journal: the log is a file beside the data, where the service may
/// write.
pub(super) fn plist(service: &Service) -> String {
    let mut arguments = String::new();
    for argument in std::iter::once(&service.program).chain(&service.arguments) {
        // Writing to a string cannot fail.
        let _written = writeln!(arguments, "    <string>{}</string>", escaped(argument));
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
{MARK}
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>mesh-agent</string>
  <key>ProgramArguments</key>
  <array>
{arguments}  </array>
  <key>UserName</key>
  <string>{user}</string>
  <key>Umask</key>
  <integer>63</integer>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <key>ExitTimeOut</key>
  <integer>15</integer>
  <key>HardResourceLimits</key>
  <dict>
    <key>Core</key>
    <integer>0</integer>
  </dict>
  <key>SoftResourceLimits</key>
  <dict>
    <key>Core</key>
    <integer>0</integer>
    <key>NumberOfFiles</key>
    <integer>16384</integer>
  </dict>
  <key>StandardErrorPath</key>
  <string>{data_dir}/agent.log</string>
</dict>
</plist>
"#,
        user = service.user.as_str(),
        data_dir = escaped(service.data_dir.as_str()),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Reads the values that launchd obeys, so that a change by hand counts.
pub(super) fn read_back(plist: &str) -> Option<Installed> {
    if !plist.lines().any(|line| line == MARK) {
        return None;
    }
    let after = |name: &str| {
        let mut lines = plist.lines().map(str::trim);
        let _before = lines.by_ref().find(|line| *line == name)?;
        lines.next()?.strip_prefix("<string>")?.strip_suffix("</string>")
    };
    let data_dir = PathBuf::from(after("<string>--data-dir</string>")?);
    Some(Installed { user: after("<key>UserName</key>")?.parse().ok()?, data_dir })
}

/// How the user database describes the user; none when there is no such user.
pub(super) fn user_comment(user: &UserName) -> Option<String> {
    let entry = format!("/Users/{}", user.as_str());
    let said = machine::ask("dscl", &[".", "-read", &entry, "RealName"])?;
    // A value with a space is on a line of its own.
    Some(said.trim_start_matches("RealName:").trim().to_owned())
}

/// A number that neither a user nor a group has.
pub(super) fn free_user_id() -> u32 {
    let users = machine::ask("dscl", &[".", "-list", "/Users", "UniqueID"]).unwrap_or_default();
    let groups =
        machine::ask("dscl", &[".", "-list", "/Groups", "PrimaryGroupID"]).unwrap_or_default();
    free_id_beside(&[&users, &groups])
}

/// The listings have a name and a number on each line. With every number taken, the first one past
/// the range is as good as any.
pub(super) fn free_id_beside(listings: &[&str]) -> u32 {
    let taken: BTreeSet<u32> = listings
        .iter()
        .flat_map(|listing| listing.lines())
        .filter_map(|line| line.split_whitespace().next_back()?.parse().ok())
        .collect();
    let mut ids = USER_IDS.chain(USER_IDS.end..);
    ids.find(|id| !taken.contains(id)).unwrap_or(USER_IDS.end)
}

pub(super) fn is_loaded() -> bool {
    machine::ask("launchctl", &["print", TARGET]).is_some()
}
