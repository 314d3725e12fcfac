//! What becomes of what people and programs do to the file, each way of saving by itself.

use std::fs::{self, File};
use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use mesh_control::ConfigFileState;
use serde_json::json;

use super::desk::{LONG, add_member, edit, in_step, put};
use crate::agent::{Agent, eventually, mesh};

const NAMES: [&str; 2] = ["one", "two"];

async fn two(dir: &Path) -> [Agent; 2] {
    let agents = mesh(dir, NAMES).await;
    agents[0].set("settings.kept", "as it was").await;
    for agent in &agents {
        agent.has_file(&NAMES).await;
        agent.has("settings.kept", "as it was").await;
    }
    in_step(&agents.each_ref(), LONG).await;
    agents
}

fn is_there(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Each edits the value of `settings.tool` in the file from `from` to `to`.
fn save_with(tool: &str, path: &Path, from: &str, to: &str) {
    match tool {
        "vim" if is_there("vim") => run(Command::new("vim")
            .args(["-u", "NONE", "-es", "-c", &format!("%s/{from}/{to}/"), "-c", "wq"])
            .arg(path)),
        // As vim saves where it may make a file of its own: the old one aside, the new one under its name.
        "vim" => {
            eprintln!("vim is not installed: its system calls are made by the test");
            let text = fs::read_to_string(path).unwrap().replacen(from, to, 1);
            let backup = path.with_extension("json~");
            fs::rename(path, &backup).unwrap();
            fs::write(path, text).unwrap();
            fs::remove_file(backup).unwrap();
        }
        // Nano empties the file and writes it in place.
        "nano" => {
            eprintln!("nano needs a terminal: its system calls are made by the test");
            let text = fs::read_to_string(path).unwrap().replacen(from, to, 1);
            let mut file = File::options().write(true).truncate(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        "sed" => run(Command::new("sed").args(["-i", &format!("s/{from}/{to}/")]).arg(path)),
        "cp" => {
            let text = fs::read_to_string(path).unwrap().replacen(from, to, 1);
            let beside = path.with_file_name("made-elsewhere.json");
            fs::write(&beside, text).unwrap();
            run(Command::new("cp").arg(&beside).arg(path));
            fs::remove_file(beside).unwrap();
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn saves_of_vim_nano_sed_and_cp_are_taken_and_comments_mode_and_owner_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let agents = two(dir.path()).await;
    let [one, two] = &agents;
    let path = one.config_file();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // A trailing comma and comments, which are the user's.
    add_member(
        &path,
        "// what my tools say\n  \"tools\": { \"tool\": \"nothing\", /* the end */ }",
    );
    two.has("tools.tool", "nothing").await;
    let owner = fs::metadata(&path).unwrap().uid();
    let mut before = "nothing";
    for (round, tool) in ["vim", "nano", "sed", "cp"].into_iter().enumerate() {
        save_with(tool, &path, before, tool);
        two.has("tools.tool", tool).await;
        two.set("settings.remote", round).await;
        eventually(LONG, "what changes elsewhere is written around the comments", async || {
            let text = one.config_text();
            (text.contains(&format!("\"remote\": {round}"))
                && text.contains("// what my tools say")
                && text.contains("/* the end */")
                && text.contains(&format!("\"tool\": \"{tool}\",")))
            .then_some(())
        })
        .await;
        assert_eq!(one.value("settings.kept").await, Some(json!("as it was")), "{tool}");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.uid(), owner, "{tool}");
        // Programs that make another file set its mode themselves.
        if tool != "vim" {
            assert_eq!(metadata.mode() & 0o777, 0o640, "{tool}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        before = tool;
    }
}

#[tokio::test]
async fn copies_without_a_revision_and_of_other_machines_set_and_never_remove() {
    let dir = tempfile::tempdir().unwrap();
    let agents = two(dir.path()).await;
    let [one, two] = &agents;
    put(&one.config_file(), b"{\"settings\": {\"copied\": true}}");
    two.has("settings.copied", true).await;
    one.has("settings.kept", "as it was").await;
    one.has("settings.copied", true).await;
    in_step(&agents.each_ref(), LONG).await;

    // Another machine's file, with its revision and with a value that was changed in it.
    let other = two.config_text().replacen("\"as it was\"", "\"from the copy\"", 1);
    let copy = dir.path().join("copy.json");
    fs::write(&copy, other).unwrap();
    run(Command::new("cp").arg(&copy).arg(one.config_file()));
    for agent in &agents {
        agent.has("settings.kept", "from the copy").await;
        agent.has("settings.copied", true).await;
        assert!(agent.config_conflicts().await.is_empty());
    }
    // What is taken out of a file that was written by the agent is removed.
    edit(&one.config_file(), |text| text.replacen("\"copied\": true,", "", 1));
    for agent in &agents {
        agent.lacks("settings.copied").await;
    }
}

/// A child that empties the file and writes the first half of `text`, and is killed then.
fn half_a_write(path: &Path, text: &str) {
    let script = "exec 3>\"$1\"; printf '%s' \"$2\" >&3; echo half; read -r never";
    let half = &text[..text.len() / 2];
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(path)
        .arg(half)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "half\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The file is not taken and stays; what `two` changes waits and is there once the file is mended.
async fn waits_until_mended(agents: &[Agent; 2], label: &str, broken: &[u8], mended: &str) {
    let [one, two] = agents;
    let path = one.config_file();
    let version = one.client().config_state().await.unwrap().version;
    let waiting = two.set("settings.meanwhile", label).await;
    eventually(LONG, "the change has come", async || {
        let state = one.client().config_state().await.unwrap();
        (state.version >= waiting && version < waiting).then_some(())
    })
    .await;
    assert_eq!(one.value("settings.meanwhile").await, Some(json!(label)));
    assert_eq!(one.value("settings.kept").await, Some(json!("as it was")), "{label}");
    two.set("settings.more", label).await;
    eventually(LONG, "the other file has it", async || {
        (two.file_value("/settings/more") == Some(json!(label))).then_some(())
    })
    .await;
    assert_eq!(fs::read(&path).unwrap(), broken, "{label}: the file stays byte for byte");
    put(&path, mended.as_bytes());
    for agent in agents {
        agent.has("settings.meanwhile", label).await;
        agent.has("settings.more", label).await;
        agent.has("settings.kept", "as it was").await;
    }
    one.stands(ConfigFileState::InStep).await;
    in_step(&agents.each_ref(), LONG).await;
    assert!(one.config_conflicts().await.is_empty(), "{label}");
}

#[tokio::test]
async fn files_that_cannot_be_taken_change_nothing_and_are_left_until_they_are_mended() {
    let dir = tempfile::tempdir().unwrap();
    let agents = two(dir.path()).await;
    let [one, _] = &agents;
    let path = one.config_file();

    let good = one.config_text();
    half_a_write(&path, &good);
    let view = one.stands(ConfigFileState::Broken).await;
    assert!(view.line.is_some() && view.column.is_some(), "{view:?}");
    waits_until_mended(&agents, "half", &good.as_bytes()[..good.len() / 2], &good).await;

    let good = one.config_text();
    let broken = good.replacen("\"kept\":", "\"kept\" =", 1);
    put(&path, broken.as_bytes());
    let view = one.stands(ConfigFileState::Broken).await;
    let line = good.lines().position(|line| line.contains("\"kept\":")).unwrap() as u64 + 1;
    assert_eq!(view.line, Some(line), "{view:?}");
    assert!(view.column.is_some_and(|column| column > 4), "{view:?}");
    let told = one.events_of("config_file").await;
    assert!(told.iter().any(|event| event.fields["line"] == json!(line)), "{told:?}");
    waits_until_mended(&agents, "json", broken.as_bytes(), &good).await;

    let good = one.config_text();
    fs::write(&path, b"").unwrap();
    let view = one.stands(ConfigFileState::Broken).await;
    assert!(view.detail.contains("empty"), "{view:?}");
    waits_until_mended(&agents, "empty", b"", &good).await;

    let good = one.config_text();
    let large = vec![b' '; 50 << 20];
    put(&path, &large);
    let view = one.stands(ConfigFileState::Unreadable).await;
    assert!(view.detail.contains("52428800"), "{view:?}");
    waits_until_mended(&agents, "large", &large, &good).await;
}

#[tokio::test]
async fn a_file_that_is_deleted_or_has_a_folder_in_its_place_comes_back_with_its_local_keys() {
    let dir = tempfile::tempdir().unwrap();
    let mut agents = two(dir.path()).await;
    add_member(&agents[0].config_file(), "\"local\": {\"mine\": 1}");
    agents[0].has("local.mine", 1).await;
    agents[0].try_set("local.mine", json!(2)).await.unwrap();
    {
        let [one, two] = &agents;
        assert_eq!(one.file_value("/local/mine"), Some(json!(2)), "it is there at once");
        let path = one.config_file();
        fs::remove_file(&path).unwrap();
        one.has("settings.kept", "as it was").await;
        one.has("local.mine", 2).await;
        assert_eq!(two.value("settings.kept").await, Some(json!("as it was")));

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let view = one.stands(ConfigFileState::Unreadable).await;
        assert!(view.detail.contains("folder"), "{view:?}");
        two.set("settings.behind", "the folder").await;
        eventually(LONG, "it is known", async || {
            (one.value("settings.behind").await == Some(json!("the folder"))).then_some(())
        })
        .await;
        fs::remove_dir(&path).unwrap();
        one.has("settings.behind", "the folder").await;
        one.has("local.mine", 2).await;
    }
    // Deleted while nobody looked: the versions beside it have the local keys.
    let one = &mut agents[0];
    assert!(one.terminate().await.success());
    fs::remove_file(one.config_file()).unwrap();
    one.restart().await;
    one.has("local.mine", 2).await;
    one.has("settings.kept", "as it was").await;
}

#[tokio::test]
async fn a_stale_editor_does_not_take_others_changes_back_and_what_both_touched_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let agents = two(dir.path()).await;
    let [one, two] = &agents;
    one.set("settings.both", "before").await;
    one.set("settings.theirs", "before").await;
    for agent in &agents {
        agent.has("settings.both", "before").await;
        agent.has("settings.theirs", "before").await;
    }
    in_step(&agents.each_ref(), LONG).await;
    let loaded = one.config_text();
    two.set("settings.theirs", "changed by two").await;
    two.set("settings.both", "changed by two").await;
    one.has("settings.both", "changed by two").await;
    let saved = loaded
        .replacen("\"both\": \"before\"", "\"both\": \"changed in the editor\"", 1)
        .replacen("\"as it was\"", "\"edited\"", 1);
    put(&one.config_file(), saved.as_bytes());
    for agent in &agents {
        agent.has("settings.theirs", "changed by two").await;
        agent.has("settings.kept", "edited").await;
        agent.has("settings.both", "changed in the editor").await;
        let conflicts = agent.config_conflicts().await;
        let [conflict] = &conflicts[..] else { panic!("{conflicts:?}") };
        assert_eq!((conflict.kept.by.as_str(), conflict.lost.by.as_str()), ("one", "two"));
        let history = agent.config_history("settings.both").await;
        let lost = history[0].conflict.as_ref().unwrap();
        assert_eq!(lost.value, json!("changed by two"));
    }
}

#[tokio::test]
async fn what_was_saved_while_the_agent_was_stopped_is_taken_at_its_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut agents = two(dir.path()).await;
    agents[0].set("settings.gone", 1).await;
    agents[0].has("settings.gone", 1).await;
    assert!(agents[0].terminate().await.success());
    edit(&agents[0].config_file(), |text| {
        text.replacen("\"as it was\"", "\"edited\"", 1).replacen("\"gone\": 1,", "", 1)
    });
    agents[1].set("settings.theirs", 1).await;
    agents[0].restart().await;
    for agent in &agents {
        agent.has("settings.kept", "edited").await;
        agent.has("settings.theirs", 1).await;
        agent.lacks("settings.gone").await;
        assert!(agent.config_conflicts().await.is_empty());
    }
    // Killed with a change on the disk that the file does not show yet: the file takes nothing back.
    for round in 0..5 {
        agents[1].set("settings.theirs", round).await;
        agents[0].kill9();
        agents[0].restart().await;
        for agent in &agents {
            agent.has("settings.theirs", round).await;
        }
    }
    assert!(agents[0].config_conflicts().await.is_empty());
}

#[tokio::test]
async fn twenty_versions_lie_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let one = Agent::start(dir.path(), "one").await;
    one.has_file(&["one"]).await;
    for round in 0..25 {
        one.set("settings.round", round).await;
        one.has("settings.round", round).await;
    }
    let folders = fs::read_dir(one.data_dir()).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders
        .filter(|path| path.is_dir())
        .find(|path| path.to_string_lossy().contains("mesh-config.json"))
        .unwrap();
    let mut versions: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    assert_eq!(versions.len(), 20, "{versions:?}");
    assert_eq!(fs::read(versions.last().unwrap()).unwrap(), one.config_text().into_bytes());
}
