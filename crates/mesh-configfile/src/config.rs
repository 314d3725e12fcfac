use std::time::Duration;

/// How one file is read, watched and kept.
#[derive(Clone, Debug)]
pub struct FileConfig {
    /// A larger file is refused without being read, and nothing larger is written.
    pub bytes_max: usize,
    /// How many versions are kept beside the file.
    pub versions_max: usize,
    /// How long a changed file must have stayed the same before it is read.
    ///
    /// A program that empties the file and writes it in steps is waited for as long as its steps lie
    /// closer together than this.
    pub settle: Duration,
    /// How often the file is looked at where the file system tells of no changes, and where its folder is
    /// not there.
    pub poll: Duration,
    /// Permissions of a file that did not exist before; those of an existing one are kept.
    pub mode: u32,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            bytes_max: 8 << 20,
            versions_max: 20,
            settle: Duration::from_millis(50),
            poll: Duration::from_secs(2),
            mode: 0o600,
        }
    }
}
