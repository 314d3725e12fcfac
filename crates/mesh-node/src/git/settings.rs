//! What may be set.

use std::path::PathBuf;

use mesh_protocol::RootName;

/// A repository that others may use with git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositorySettings {
    /// Its name in the mesh, which follows the rules of a root's.
    pub name: RootName,
    /// Where it is: a bare repository, or the work tree of one.
    pub path: PathBuf,
    /// Hostnames or peer ids of those who may push; `*` is every member.
    pub allow_push_from: Vec<String>,
    /// Those who may clone and fetch.
    pub allow_fetch_from: Vec<String>,
}

impl RepositorySettings {
    /// A repository that every member may fetch from, and nobody push to.
    #[must_use]
    pub fn new(name: RootName, path: PathBuf) -> Self {
        Self { name, path, allow_push_from: Vec::new(), allow_fetch_from: vec!["*".to_owned()] }
    }
}
