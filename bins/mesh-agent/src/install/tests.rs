use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::machine::{self, Machine, Manager};
use super::place::{self, DataDir, DirState};
use super::plan::{self, Action, CommandLine, Installed, Plan, Service};
use super::{USER_COMMENT, UserName, launchd, perform, script, systemd};

const PROGRAM: &str = "/usr/local/bin/mesh-agent";

fn machine(manager: Manager) -> Machine {
    Machine {
        manager,
        is_root: true,
        has_manager: true,
        version: Some(252),
        is_loaded: false,
        program: PathBuf::from(PROGRAM),
        program_is_guarded: true,
        user_comment: None,
        free_user_id: 300,
        unit_text: None,
        data_dir: DirState::Absent,
    }
}

fn service(manager: Manager, data_dir: &str, flags: &[&str]) -> Service {
    let arguments = ["run", "--data-dir", data_dir];
    Service {
        program: PROGRAM.to_owned(),
        arguments: arguments.iter().chain(flags).map(|&text| text.to_owned()).collect(),
        user: manager.default_user(),
        data_dir: DataDir::of(data_dir.to_owned()),
        has_privileged_port: false,
        unit: manager.unit(None),
    }
}

fn usual(manager: Manager) -> Service {
    service(manager, "/var/lib/mesh-agent", &[])
}

fn install_plan(service: &Service, machine: &Machine) -> Plan {
    let mut plan = Plan::default();
    match machine.manager {
        Manager::Systemd => systemd::plan_install(&mut plan, service, machine),
        Manager::Launchd => launchd::plan_install(&mut plan, service, machine),
    }
    plan
}

fn purge_plan(machine: &Machine) -> Plan {
    let mut plan = Plan::default();
    let (unit, user) = (machine.manager.unit(None), machine.manager.default_user());
    match machine.manager {
        Manager::Systemd => systemd::plan_uninstall(&mut plan, &unit, machine),
        Manager::Launchd => launchd::plan_uninstall(&mut plan, &unit, machine),
    }
    plan::plan_purge(&mut plan, machine, &user, Path::new("/var/lib/mesh-agent"));
    plan
}

/// Compares with a file of `fixtures/service`; `UPDATE_GOLDEN=1` writes it.
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/service").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(golden, text, "{name} differs; UPDATE_GOLDEN=1 takes the new text over");
}

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

#[test]
fn units_and_scripts_are_the_golden_ones() {
    let (linux, macos) = (machine(Manager::Systemd), machine(Manager::Launchd));
    assert_golden("mesh-agent.service", &systemd::unit(&usual(Manager::Systemd), Some(252)));

    let flags =
        ["--hostname", "mint", "--listen", "[::]:443", "--log-level", "info,mesh_node=debug"];
    let mut elsewhere = service(Manager::Systemd, "/srv/mesh/data", &flags);
    elsewhere.has_privileged_port = true;
    assert_golden("elsewhere.service", &systemd::unit(&elsewhere, Some(254)));
    assert_golden("mesh-agent.plist", &launchd::plist(&usual(Manager::Launchd)));

    let plan = install_plan(&usual(Manager::Systemd), &linux);
    assert_golden("install-linux.sh", &script::of(&plan, "install"));
    let plan = install_plan(&usual(Manager::Launchd), &macos);
    assert_golden("install-macos.sh", &script::of(&plan, "install"));

    let installed = |manager, unit_text: String| Machine {
        unit_text: Some(unit_text),
        user_comment: Some(USER_COMMENT.to_owned()),
        data_dir: DirState::OfAnAgent,
        is_loaded: true,
        ..machine(manager)
    };
    let unit = systemd::unit(&usual(Manager::Systemd), None);
    let plan = purge_plan(&installed(Manager::Systemd, unit));
    assert_golden("purge-linux.sh", &script::of(&plan, "uninstall --purge"));
    let plist = launchd::plist(&usual(Manager::Launchd));
    let plan = purge_plan(&installed(Manager::Launchd, plist));
    assert_golden("purge-macos.sh", &script::of(&plan, "uninstall --purge"));
}

#[test]
fn what_is_written_is_read_back() {
    for manager in [Manager::Systemd, Manager::Launchd] {
        let mut service = service(manager, "/srv/mesh", &["--hostname", "a&b"]);
        service.user = user("mesh");
        let text = match manager {
            Manager::Systemd => systemd::unit(&service, None),
            Manager::Launchd => launchd::plist(&service),
        };
        let expected = Installed { user: user("mesh"), data_dir: PathBuf::from("/srv/mesh") };
        assert_eq!(manager.read_back(&text), Some(expected));
        assert_eq!(manager.read_back(&text.replace("Written by", "By")), None);
        assert_eq!(manager.read_back(""), None);
    }
}

#[test]
fn arguments_reach_the_agent_whatever_systemd_makes_of_their_characters() {
    assert_eq!(systemd::quoted("[fe80::1%eth0]:13500"), "[fe80::1%%eth0]:13500");
    assert_eq!(systemd::quoted("a$b"), "a$$b");
    assert_eq!(systemd::quoted("mesh[{peer=1}]=debug"), "\"mesh[{peer=1}]=debug\"");
    assert_eq!(systemd::quoted("a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
    assert_eq!(systemd::quoted(""), "\"\"");
}

#[test]
fn systemd_tells_its_version() {
    assert_eq!(systemd::version_in("systemd 252 (252.38-1~deb12u1)\n+PAM"), Some(252));
    assert_eq!(systemd::version_in("systemd 258~rc1 (258~rc1)"), Some(258));
    assert_eq!(systemd::version_in("something else"), None);
}

#[test]
fn a_new_user_gets_a_number_that_nobody_has() {
    let users = "_a   300\n_b   -2\nnobody 302\n";
    assert_eq!(launchd::free_id_beside(&[users, "staff 301"]), 303);
    assert_eq!(launchd::free_id_beside(&[]), 300);
    let full: String = (300..400).map(|id| format!("u {id}\n")).collect();
    assert_eq!(launchd::free_id_beside(&[&full]), 400);
}

#[test]
fn a_user_name_is_plain_and_not_root() {
    for name in ["mesh-agent", "_mesh", "a1"] {
        assert_eq!(user(name).as_str(), name);
    }
    for name in ["", "root", "1a", "-a", "Mesh", "a b", "a\nb", "a%b", &"a".repeat(32)] {
        assert!(name.parse::<UserName>().is_err(), "{name:?}");
    }
}

#[test]
fn a_program_that_can_vanish_or_be_swapped_is_refused() {
    let refusal = |path: &str, is_guarded| {
        place::program_refusal(Manager::Systemd, Path::new(path), is_guarded)
    };
    assert_eq!(refusal(PROGRAM, true), None);
    assert_eq!(refusal("/opt/mesh/bin/mesh-agent", true), None);
    for path in [
        "/home/a/mesh-agent",
        "/root/.cargo/bin/mesh-agent",
        "/tmp/m",
        "/work/target/debug/m",
        "/x/.cargo/bin/m",
    ] {
        let why = refusal(path, true).unwrap();
        assert!(why.contains(path) && why.contains("/usr/local/bin/mesh-agent install"), "{why}");
    }
    assert!(refusal(PROGRAM, false).unwrap().contains("others than root"));
    let of_macos = place::program_refusal(Manager::Launchd, Path::new("/Users/a/mesh-agent"), true);
    assert!(of_macos.is_some());
}

#[test]
fn a_data_directory_that_a_service_cannot_have_is_refused() {
    let refusal =
        |path: &str| place::data_dir_refusal(Manager::Systemd, Path::new(path), DirState::Absent);
    for path in ["/var/lib/mesh-agent", "/var/lib/a/b", "/srv/mesh", "/var/lib/mesh-agent/"] {
        assert_eq!(refusal(path), None, "{path}");
    }
    for path in [
        "mesh",
        "/",
        "/srv",
        "/var/lib",
        "/srv/../etc/x",
        "/srv/a b",
        "/srv/a%b",
        "/home/a/mesh",
        "/tmp/mesh",
        "/run/mesh",
        "/var/lib/private/mesh",
    ] {
        assert!(refusal(path).is_some(), "{path}");
    }
    let of_others =
        place::data_dir_refusal(Manager::Systemd, Path::new("/srv/www"), DirState::OfOthers);
    assert!(of_others.unwrap().contains("something else"));
}

#[test]
fn the_state_of_a_directory_tells_an_agent_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    assert_eq!(machine::state_of(&path), DirState::Absent);
    fs::create_dir(&path).unwrap();
    assert_eq!(machine::state_of(&path), DirState::Empty);
    fs::write(path.join("photo"), "").unwrap();
    assert_eq!(machine::state_of(&path), DirState::OfOthers);
    assert_eq!(machine::state_of(&path.join("photo")), DirState::OfOthers);
    fs::write(path.join("node.key"), "").unwrap();
    assert_eq!(machine::state_of(&path), DirState::OfAnAgent);
}

#[test]
fn a_unit_of_others_and_one_with_other_data_are_not_overwritten() {
    let service = usual(Manager::Systemd);
    let with = |unit: String| Machine { unit_text: Some(unit), ..machine(Manager::Systemd) };

    let plan = install_plan(&service, &with(systemd::unit(&service, None)));
    assert_eq!(plan.refusals, Vec::<String>::new(), "the same service again");

    let plan = install_plan(&service, &with(String::from("[Service]\nExecStart=/bin/true\n")));
    assert!(plan.refusals.join("").contains("not written by"), "{:?}", plan.refusals);

    let other = self::service(Manager::Systemd, "/srv/mesh", &[]);
    let plan = install_plan(&service, &with(systemd::unit(&other, None)));
    assert!(plan.refusals.join("").contains("--data-dir /srv/mesh"), "{:?}", plan.refusals);
}

#[test]
fn purging_spares_what_was_not_made_for_the_service() {
    let plan = purge_plan(&Machine {
        user_comment: Some(String::from("Ada Lovelace")),
        data_dir: DirState::OfOthers,
        ..machine(Manager::Systemd)
    });
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    let script = script::of(&plan, "uninstall --purge");
    assert!(!script.contains("rm -rf") && !script.contains("\nuserdel"), "{script}");
}

#[test]
fn only_a_dry_run_does_without_root_and_systemd() {
    let user = Machine { is_root: false, ..machine(Manager::Systemd) };
    assert!(user.unfit(false).unwrap().contains("root"));
    assert_eq!(user.unfit(true), None);
    let container = Machine { has_manager: false, ..machine(Manager::Systemd) };
    assert!(container.unfit(false).unwrap().contains("--dry-run"));
    assert_eq!(container.unfit(true), None);
}

fn shell(text: &str) -> Action {
    Action::Run(vec![CommandLine::new("sh", &["-c", text])])
}

fn perform(plan: &Plan) -> (anyhow::Result<()>, String) {
    let mut output = Vec::new();
    let result = perform::all(plan, "install", &mut output);
    (result, String::from_utf8(output).unwrap())
}

#[test]
fn steps_are_told_as_they_happen_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("new/mesh-agent.service");
    let mut plan = Plan::default();
    plan.step("write it", Action::Write { path: unit.clone(), text: String::from("text\n") });
    plan.step("start it", shell("exit 0"));
    plan.notes.push(String::from("That is all."));

    let (result, said) = perform(&plan);
    result.unwrap();
    assert_eq!(said, "[1/2] write it: done\n[2/2] start it: done\nThat is all.\n");
    assert_eq!(fs::read_to_string(&unit).unwrap(), "text\n");
    assert_eq!(fs::metadata(&unit).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(unit.parent().unwrap()).unwrap().count(), 1, "nothing partial is left");
    let (result, said) = perform(&plan);
    result.unwrap();
    assert!(said.starts_with("[1/2] write it: it is there, unchanged\n"), "{said}");

    let mut plan = Plan::default();
    plan.step("remove it", Action::RemoveFile(unit.clone()));
    assert!(perform(&plan).1.contains("remove it: done"));
    assert!(!unit.exists());
    assert!(perform(&plan).1.contains("remove it: it was not there"));
}

#[test]
fn a_failed_step_tells_the_cause_what_was_done_and_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let never = dir.path().join("never");
    let mut plan = Plan::default();
    plan.step("begin", Action::Nothing("it is there"));
    plan.step_with_hint("start it", shell("echo no luck >&2; exit 3"), "see the journal");
    plan.step("go on", Action::Write { path: never.clone(), text: String::new() });
    plan.step("end", shell("exit 0"));
    let (result, said) = perform(&plan);
    assert_eq!(said, "[1/4] begin: it is there\n[2/4] start it: failed\n");
    let error = format!("{:#}", result.unwrap_err());
    for part in [
        "could not start it",
        "no luck",
        "exit status: 3",
        "see the journal",
        "done before it: begin\n",
        "not done: go on; end\n",
        "`mesh-agent install` again",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(!never.exists());

    let mut plan = Plan::default();
    let missing = CommandLine::new("/no/such/program", &[]);
    plan.step("run it", Action::Run(vec![missing]));
    let error = format!("{:#}", perform(&plan).0.unwrap_err());
    assert!(error.contains("/no/such/program") && error.contains("before it: nothing"), "{error}");
}

#[test]
fn a_data_directory_that_an_agent_holds_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    let lock = fs::File::create(data_dir.join("agent.lock")).unwrap();
    lock.lock().unwrap();
    let mut plan = Plan::default();
    plan.step("remove it", Action::RemoveDataDir(data_dir.clone()));
    let error = format!("{:#}", perform(&plan).0.unwrap_err());
    assert!(error.contains("an agent runs on it"), "{error}");
    assert!(data_dir.exists());
    drop(lock);
    perform(&plan).0.unwrap();
    assert!(!data_dir.exists());
    perform(&plan).0.unwrap();
}

#[test]
fn the_script_quotes_what_a_shell_would_take_apart() {
    let line = CommandLine::new("useradd", &["--comment", "agent's mesh", "", "mesh-agent"]);
    assert_eq!(script::line(&line), r"useradd --comment 'agent'\''s mesh' '' mesh-agent");
}
