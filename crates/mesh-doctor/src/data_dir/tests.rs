use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn present(mode: u32, files: &[(&str, u32, u32)]) -> DataDirState {
    let file = |&(name, mode, uid): &(&str, u32, u32)| DataFile {
        name: name.to_owned(),
        mode,
        uid,
        is_writable: true,
    };
    DataDirState::Present {
        mode,
        uid: 7,
        is_writable: true,
        files: files.iter().map(file).collect(),
    }
}

fn judged(state: &DataDirState) -> Finding {
    judge_permissions(Path::new("/srv/mesh"), state)
}

#[test]
fn a_directory_of_the_agent_alone_is_as_it_should_be() {
    assert!(judged(&present(0o700, &[("node.key", 0o600, 7)])).ok);
    let missing = DataDirState::Missing { parent: PathBuf::from("/srv"), is_writable: true };
    assert!(judged(&missing).ok);
}

#[test]
fn what_is_not_writable_is_named_with_the_mend() {
    let states = [
        DataDirState::Missing { parent: PathBuf::from("/srv"), is_writable: false },
        DataDirState::InTheWay { path: PathBuf::from("/srv") },
        DataDirState::Present { mode: 0o700, uid: 7, is_writable: false, files: Vec::new() },
    ];
    for state in states {
        let found = judged(&state);
        assert!(!found.ok && found.detail.contains("not writable"), "{found:?}");
        assert!(found.detail.contains("/srv/mesh") && !found.hint.is_empty(), "{found:?}");
    }
}

#[test]
fn a_key_that_others_may_read_or_own_is_a_fault() {
    let found = judged(&present(0o700, &[("node.key", 0o640, 7)]));
    assert!(!found.ok && found.detail.contains("node.key"), "{found:?}");
    assert!(found.hint.contains("chmod -R go="), "{found:?}");
    let found = judged(&present(0o700, &[("mesh.db", 0o600, 0)]));
    assert!(!found.ok && found.detail.contains("mesh.db"), "{found:?}");
    assert!(found.hint.contains("chown"), "{found:?}");
    let found = judged(&present(0o755, &[]));
    assert!(!found.ok && found.detail.contains("mode 755"), "{found:?}");
}

#[test]
fn the_directory_is_read_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    assert_eq!(
        read_data_dir(&path.join("deeper")),
        DataDirState::Missing { parent: dir.path().to_owned(), is_writable: true }
    );
    fs::write(&path, "a file in the way").unwrap();
    for wanted in [path.clone(), path.join("deeper")] {
        assert_eq!(read_data_dir(&wanted), DataDirState::InTheWay { path: path.clone() });
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    fs::write(path.join("node.key"), "secret").unwrap();
    fs::set_permissions(path.join("node.key"), Permissions::from_mode(0o644)).unwrap();
    let found = judge_permissions(&path, &read_data_dir(&path));
    assert!(!found.ok && found.detail.contains("node.key"), "{found:?}");
    fs::set_permissions(path.join("node.key"), Permissions::from_mode(0o600)).unwrap();
    assert!(judge_permissions(&path, &read_data_dir(&path)).ok);
}
