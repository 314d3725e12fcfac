//! A folder with a watched file in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesh_configfile::{ConfigFile, FileConfig, FileContent};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// Names the file to a child process; without it the child's test does nothing.
pub(crate) const FILE: &str = "MESH_CONFIGFILE_TEST_FILE";

pub(crate) struct Home {
    pub(crate) folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mesh-config.json");
        Self { folder, path }
    }

    pub(crate) fn with(text: &str) -> Self {
        let home = Self::new();
        fs::write(&home.path, text).unwrap();
        home
    }

    /// Opens the file as it is opened by default, but for a poll so rare that only events can tell.
    pub(crate) async fn open(&self) -> ConfigFile {
        open(&self.path, Duration::from_secs(3600)).await
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// What lies in the folder apart from the file and its versions.
    pub(crate) fn beside(&self) -> Vec<String> {
        fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["mesh-config.json", "mesh-config.json.versions"].contains(&&**name))
            .collect()
    }
}

pub(crate) async fn open(path: &Path, poll: Duration) -> ConfigFile {
    let config = FileConfig { poll, ..FileConfig::default() };
    ConfigFile::open(path.to_owned(), config, &TaskTracker::new()).await.unwrap()
}

pub(crate) fn text(content: FileContent) -> Option<String> {
    match content {
        FileContent::Present { bytes, .. } => Some(String::from_utf8(bytes).unwrap()),
        FileContent::Missing => None,
    }
}

/// A reader of the file who waits for changes.
pub(crate) struct Reader {
    pub(crate) file: ConfigFile,
    pub(crate) changes: watch::Receiver<u64>,
}

impl Reader {
    pub(crate) async fn of(file: ConfigFile) -> Self {
        let changes = file.changes();
        file.read().await.ok();
        Self { file, changes }
    }

    pub(crate) async fn changed(&mut self) {
        tokio::time::timeout(DEADLINE, self.changes.changed()).await.expect("no change").unwrap();
    }

    /// Reads after each change until `text` stands there; none waits for nothing to stand there.
    pub(crate) async fn until(&mut self, wanted: Option<&str>) {
        let wait = async {
            loop {
                self.changes.changed().await.unwrap();
                if let Ok(content) = self.file.read().await
                    && text(content).as_deref() == wanted
                {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.expect("it was never seen");
    }
}

/// Runs this very program with nothing but `test` in it, as the user of that number.
pub(crate) fn child(test: &str, file: &Path, user: Option<u32>) -> Child {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(std::env::current_exe().unwrap());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
