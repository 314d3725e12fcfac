use super::*;

fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text))
}

#[test]
fn root_has_the_system_directory_whatever_the_environment_says() {
    let dir = data_dir_of(true, path("/x"), path("/root"));
    assert_eq!(dir, Ok(PathBuf::from("/var/lib/mesh-agent")));
}

#[test]
fn a_user_has_the_state_directory_then_the_home() {
    let dir = data_dir_of(false, path("/state"), path("/home/u"));
    assert_eq!(dir, Ok(PathBuf::from("/state/mesh-agent")));
    let dir = data_dir_of(false, None, path("/home/u"));
    assert_eq!(dir, Ok(PathBuf::from("/home/u/.local/state/mesh-agent")));
}

#[test]
fn relative_and_missing_directories_are_not_used() {
    let dir = data_dir_of(false, path("state"), path("/home/u"));
    assert_eq!(dir, Ok(PathBuf::from("/home/u/.local/state/mesh-agent")));
    assert_eq!(data_dir_of(false, path("state"), path("")), Err(DefaultPathError::NoHome));
}

#[test]
fn the_socket_lies_in_the_data_directory() {
    assert_eq!(socket_path_in(Path::new("/d")), PathBuf::from("/d/control.sock"));
}
